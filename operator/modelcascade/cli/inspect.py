"""
`modelcascade inspect`: look at a mounted model before an engine starts on it.

Runs as the init container of a local tier's pod, without network and without token. It writes one `Inspection` as
JSON to the termination message, which the operator reads from the pod's status. Exit code 0: start the engine.
"""

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from modelcascade.api.documents import Inspection
from modelcascade.cli.gguf_header import GGUFError, Header, read_header
from modelcascade.cli.gguf_types import VARIANT_ALIASES

__all__ = ["inspect_model", "run_inspect"]

_SHOWN = 5
_MAX_ENTRIES = 10_000
_MAX_MESSAGE = 2000
"""Bytes; the kubelet cuts a termination message at 4096 bytes, and a cut document is no document."""

_SHARD_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


@dataclass(frozen=True)
class _Wanted:
    folder: Path
    file: str | None
    format: str
    variant: str | None


class _RefusedError(Exception):
    """The inspection ends with this report."""

    def __init__(self, report: Inspection) -> None:
        super().__init__(report.message)
        self.report = report


def run_inspect(arguments: Sequence[str]) -> int:
    """Inspect, report, link; 0 when an engine may start, 1 when not, 2 on wrong usage."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    wanted = _Wanted(Path(options.path), options.file, options.format, options.variant)
    report = inspect_model(wanted.folder, file=wanted.file, format_=wanted.format, variant=wanted.variant)
    document = report.model_dump_json(by_alias=True, exclude_none=True)
    print(document)
    # On a person's machine there is no termination log, and none is made unless it is asked for.
    target = Path(options.report or "/dev/termination-log")
    if options.report or target.exists():
        target.write_text(document, encoding="utf-8")
    if report.outcome != "Ok":
        return 1
    if options.link and report.path:
        _link(Path(options.link), Path(report.path))
    return 0


def inspect_model(folder: Path, *, file: str | None, format_: str, variant: str | None) -> Inspection:
    """
    Judge the model file below `folder`.

    | found | outcome |
    | --- | --- |
    | no such file, no `.gguf`, or a shard missing | FileNotFound |
    | several `.gguf` and none named | FileAmbiguous |
    | another kind of file | NotGGUF, or FormatMismatch when the kind is known |
    | shorter than its header says | Truncated |
    | GGUF, but another format or variant declared | FormatMismatch, VariantMismatch |
    """
    wanted = _Wanted(folder, file, format_, variant)
    try:
        path = _find(wanted)
        header = _read_all(path)
        _check_declared(wanted, path, header)
    except _RefusedError as refused:
        return refused.report
    except OSError as error:
        return _report("FileNotFound", f"{error.filename} cannot be read: {error.strerror}. Check the volume.")
    found = _found(path, header)
    return found.model_copy(update={"message": f"{path.name} holds GGUF {found.found_variant}, as declared."})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelcascade inspect", description="Look at a mounted model file before an engine starts on it."
    )
    parser.add_argument("--path", required=True, help="folder that the model is mounted at")
    parser.add_argument("--file", help="path below it; absent: the only .gguf there")
    parser.add_argument("--format", required=True, help="declared quantization.format, such as GGUF")
    parser.add_argument("--variant", help="declared quantization.variant, such as Q4_K_M; absent: any")
    parser.add_argument("--link", help="where to leave a symbolic link to the file that was found")
    parser.add_argument("--report", help="where to write the report; absent: /dev/termination-log when it exists")
    return parser


def _report(outcome: str, message: str, **found: object) -> Inspection:
    # file names may be no UTF-8, and of control characters, which JSON writes in six bytes each
    plain = "".join(one if one.isprintable() else "?" for one in message)
    short = plain.encode("utf-8", "replace")[:_MAX_MESSAGE].decode("utf-8", "ignore")
    return Inspection.model_validate({"outcome": outcome, "message": short, **found})


def _refuse(outcome: str, message: str, found: Inspection | None = None) -> _RefusedError:
    known = found.model_dump(exclude_none=True, exclude={"outcome", "message"}) if found else {}
    return _RefusedError(_report(outcome, message, **known))


def _find(wanted: _Wanted) -> Path:
    """The file that is named, or the only `.gguf`."""
    if not wanted.folder.is_dir():
        raise _refuse("FileNotFound", f"The model source has no folder {wanted.folder.name!r}: correct the uri's path.")
    if wanted.file is not None:
        path = wanted.folder / wanted.file
        if path.is_file():
            return path
        raise _refuse(
            "FileNotFound",
            f"The model source has no file {wanted.file!r}; it holds {_listing(wanted.folder)}. "
            "Correct model.source.file, or leave it out when there is only one .gguf.",
        )
    models = [path for path in _files(wanted.folder) if path.suffix == ".gguf"]
    match models:
        case [only]:
            return only
        case []:
            raise _refuse(
                "FileNotFound",
                f"The model source has no .gguf file; it holds {_listing(wanted.folder)}. Check model.source.uri.",
            )
        case _:
            first = next((one for one in models if _is_first_shard(one)), None)
            hint = "" if first is None else f" For a split model name its first part, such as {first.name}."
            raise _refuse(
                "FileAmbiguous",
                f"The model source has {len(models)} .gguf files: {_listing(wanted.folder, '.gguf')}. "
                f"Name one in model.source.file.{hint}",
            )


def _files(folder: Path) -> Iterator[Path]:
    """Files below the folder, in a stable order, the first thousands of them; hidden ones are left out."""

    def walk() -> Iterator[Path]:
        for root, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(root) / name for name in sorted(files) if not name.startswith("."))

    return islice(walk(), _MAX_ENTRIES)


def _listing(folder: Path, suffix: str = "") -> str:
    names = [str(path.relative_to(folder)) for path in _files(folder) if path.name.endswith(suffix)]
    if not names:
        return "no files"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _is_first_shard(path: Path) -> bool:
    parts = _SHARD_NAME.fullmatch(path.name)
    return parts is not None and int(parts["number"]) == 1


def _read_all(path: Path) -> Header:
    """The header of the file; of a split model that of its first shard, with the sizes of all."""
    header = _read_one(path)
    if header.shards == 1:
        return header
    parts = _SHARD_NAME.fullmatch(path.name)
    if parts is None or header.shard != 0 or int(parts["number"]) != 1:
        raise _refuse(
            "FileNotFound",
            f"{path.name} is part {header.shard + 1} of a model in {header.shards} files. "
            "Name the first one, NAME-00001-of-NNNNN.gguf, in model.source.file.",
        )
    sizes = dict(header.tensor_bytes)
    for number in range(2, header.shards + 1):
        shard = path.with_name(f"{parts['stem']}-{number:05}-of-{parts['count']}.gguf")
        if not shard.is_file():
            raise _refuse("FileNotFound", f"{path.name} needs {shard.name}, and the model source does not have it.")
        for kind, size in _read_one(shard).tensor_bytes.items():
            sizes[kind] = sizes.get(kind, 0) + size
    return Header(header.entries, sizes, header.required_bytes)


def _read_one(path: Path) -> Header:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            header = read_header(file, size)
    except GGUFError as error:
        if error.kind == "NotGGUF" and path.suffix == ".safetensors":
            raise _refuse(
                "FormatMismatch",
                f"{path.name} is a safetensors file; engine LlamaCpp needs a GGUF file.",
                _report("FormatMismatch", "", path=str(path), found_format="Safetensors"),
            ) from error
        raise _refuse(error.kind, f"{path.name} {error}. Check the model source.") from error
    if size < header.required_bytes:
        raise _refuse(
            "Truncated",
            f"{path.name} has {size:,} bytes and its header promises {header.required_bytes:,}: it is cut off. "
            "Fetch or build it again.",
        )
    return header


def _check_declared(wanted: _Wanted, path: Path, header: Header) -> None:
    found = _found(path, header)
    if wanted.format != "GGUF":
        raise _refuse(
            "FormatMismatch",
            f"{path.name} is a GGUF file and quantization.format says {wanted.format}: declare GGUF.",
            found,
        )
    if wanted.variant is not None and not _is_variant(wanted.variant, header):
        raise _refuse(
            "VariantMismatch",
            f"{path.name} holds {header.variant} and quantization.variant says {wanted.variant}: "
            f"declare {header.variant}, or name another file.",
            found,
        )


def _is_variant(declared: str, header: Header) -> bool:
    name = declared.upper()
    found = header.variant or ""
    if VARIANT_ALIASES.get(name, name) == found:
        return True
    # Without general.file_type only the prevailing tensor type is known: Q4_K fits Q4_K_M and Q4_K_S.
    return "general.file_type" not in header.entries and name.startswith(f"{found}_")


def _found(path: Path, header: Header) -> Inspection:
    return _report(
        "Ok",
        "",
        path=str(path).encode("utf-8", "replace").decode(),
        found_format="GGUF",
        found_variant=header.variant,
        architecture=header.architecture,
        layers=header.layers,
        kv_heads=header.kv_heads,
        head_dim=header.head_dim,
        context_length=header.context_length,
        weights_bytes=header.weights_bytes,
    )


def _link(link: Path, target: Path) -> None:
    """Point the link at the file; a container that was started again finds its old link."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)
