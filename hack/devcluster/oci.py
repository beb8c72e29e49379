"""
OCI images written directly: a layer is a tar file, an image a little JSON around it.

No builder is needed for an image from scratch, and the same content always gives the same digest: times, owners
and order are fixed. Layers are not compressed: they never cross a network here.
"""

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Blob", "Image", "archive_chunks", "file_layer", "file_layer_parts", "tree_layer"]

_CHUNK_BYTES = 1 << 20
_TAR_BLOCK = 512
_EPOCH = "1970-01-01T00:00:00Z"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Blob:
    """Bytes by content: pieces in memory and whole files, in order. `digest` is `sha256:` and hex."""

    parts: tuple[bytes | Path, ...]
    size: int
    digest: str

    @classmethod
    def of(cls, *parts: bytes | Path) -> "Blob":
        digest = hashlib.sha256()
        size = 0
        for chunk in _chunks_of(parts):
            digest.update(chunk)
            size += len(chunk)
        return cls(parts, size, f"sha256:{digest.hexdigest()}")

    def chunks(self) -> Iterator[bytes]:
        return _chunks_of(self.parts)


def _chunks_of(parts: Sequence[bytes | Path]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


@dataclass(frozen=True)
class Image:
    """
    An image without its name.

    Args:
        settings: the `config` object of the OCI image configuration (User, Entrypoint, Env, …).
    """

    layers: tuple[Blob, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Blob:
        return _json_blob(
            {
                "created": _EPOCH,
                "architecture": "amd64",
                "os": "linux",
                "config": dict(self.settings),
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
            }
        )

    @property
    def manifest(self) -> Blob:
        """Its digest is the image's digest."""
        return _json_blob(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST_TYPE,
                "config": _descriptor(_CONFIG_TYPE, self.config),
                "layers": [_descriptor(_LAYER_TYPE, layer) for layer in self.layers],
            }
        )


def _json_blob(document: Mapping[str, Any]) -> Blob:
    return Blob.of(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def _descriptor(media_type: str, blob: Blob) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def archive_chunks(image: Image, name: str, *, present: Collection[str] = ()) -> Iterator[bytes]:
    """
    The OCI archive as a stream, so that gigabytes are not written to disk once more.

    Args:
        name: with a tag, as `localhost/modelcascade/llama-server:dev`.
        present: digests that the receiver has; they are left out.
    """
    manifest = image.manifest
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                **_descriptor(_MANIFEST_TYPE, manifest),
                "annotations": {
                    "io.containerd.image.name": name,
                    "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                },
            }
        ],
    }
    blobs = {blob.digest: blob for blob in (*image.layers, image.config, manifest)}
    yield from _member("oci-layout", _json_blob({"imageLayoutVersion": "1.0.0"}))
    for digest, blob in blobs.items():
        if digest in present:
            continue
        yield from _member(f"blobs/{digest.replace(':', '/')}", blob)
    yield from _member("index.json", _json_blob(index))
    yield bytes(2 * _TAR_BLOCK)


def _member(path: str, blob: Blob, mode: int = 0o444) -> Iterator[bytes]:
    yield _header(path, blob.size, mode)
    yield from blob.chunks()
    yield _padding(blob.size)


def _header(path: str, size: int, mode: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size = size
    member.mode = mode
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _TAR_BLOCK)


def file_layer(files: Mapping[str, bytes | Path], *, mode: int = 0o444) -> Blob:
    """A layer of single files, readable by everyone, in the order of their paths."""
    return Blob.of(*file_layer_parts(files, mode=mode))


def file_layer_parts(files: Mapping[str, bytes | Path], *, mode: int = 0o444) -> tuple[bytes | Path, ...]:
    """What `file_layer` consists of, for a caller that knows size and digest already."""
    parts: list[bytes | Path] = []
    for path, content in sorted(files.items()):
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        parts += [_header(path, size, mode), content, _padding(size)]
    return (*parts, bytes(2 * _TAR_BLOCK))


def tree_layer(
    root: Path, target: Path, *, prefix: str = "", skip: Sequence[str] = (), extra: Mapping[str, bytes] | None = None
) -> Blob:
    """
    Write a folder's content as a layer into the file `target`.

    Args:
        prefix: where the content lies in the image, as `opt/app`.
        skip: paths in the image (and what is below them) that are left out.
        extra: more files of the image, by path; mode 0755 below a `bin` folder, else 0644.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(unfinished, "w", format=tarfile.GNU_FORMAT) as layer:
            for folder in _parents(prefix):
                layer.addfile(_directory(folder))
            _add_tree(layer, root, prefix, tuple(skip))
            for path, content in sorted((extra or {}).items()):
                member = tarfile.TarInfo(path)
                member.size = len(content)
                member.mode = 0o755 if "/bin/" in path else 0o644
                layer.addfile(member, io.BytesIO(content))
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return Blob.of(target)


def _parents(prefix: str) -> list[str]:
    words = [word for word in prefix.split("/") if word]
    return ["/".join(words[: count + 1]) for count in range(len(words))]


def _directory(path: str, mode: int = 0o755) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type = tarfile.DIRTYPE
    member.mode = mode
    return member


def _add_tree(layer: tarfile.TarFile, root: Path, prefix: str, skip: tuple[str, ...]) -> None:
    """Sorted, owned by root, without times; hard links stay links."""
    seen: dict[tuple[int, int], str] = {}
    for path in sorted(root.rglob("*")):
        name = "/".join(filter(None, (prefix, str(path.relative_to(root)))))
        if any(name == left_out or name.startswith(f"{left_out}/") for left_out in skip):
            continue
        facts = path.lstat()
        member = tarfile.TarInfo(name)
        member.mode = stat.S_IMODE(facts.st_mode)
        if stat.S_ISDIR(facts.st_mode):
            layer.addfile(_directory(name, member.mode))
        elif stat.S_ISLNK(facts.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
            layer.addfile(member)
        elif stat.S_ISREG(facts.st_mode):
            first = seen.setdefault((facts.st_dev, facts.st_ino), name)
            if first != name:
                member.type, member.linkname = tarfile.LNKTYPE, first
                layer.addfile(member)
            else:
                member.size = facts.st_size
                with path.open("rb") as file:
                    layer.addfile(member, file)
