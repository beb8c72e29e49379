"""
The header of a GGUF file, read with bounds: what the file says it holds, and how long it must be.

Own code, and not the `gguf` package: that one needs numpy and maps the whole file, and it trusts the counts in it. A
model file is untrusted input, and this runs before every engine start. Layout: docs/gguf.md of ggml, versions 2 and 3.

    magic "GGUF" · version u32 · tensor count u64 · entry count u64
    entries: key string · type u32 · value          string: length u64 · bytes
    tensors: name string · dimension count u32 · dimensions u64… · type u32 · offset u64
    padding to general.alignment · tensor data
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from modelcascade.cli.gguf_types import FILE_TYPES, TENSOR_TYPES

__all__ = ["GGUFError", "Header", "read_header"]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_ENTRIES = 65_536
_MAX_TENSORS = 1_048_576
_MAX_KEY = 65_535
_MAX_DIMENSIONS = 8
_MAX_KEPT_TEXT = 256
_MAX_KEPT_LIST = 4096
_DEFAULT_ALIGNMENT = 32
_MAX_ALIGNMENT = 1 << 20
_GUESSED = 1024
"""Added by llama.cpp to a file type that it derived from the tensors."""

_SCALARS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_INTEGERS = frozenset("BbHhIiQq")
_STRING = 8
_ARRAY = 9

_Value = int | str | tuple[int, ...]


class GGUFError(Exception):
    """The file is no GGUF file, or ends too early; the text is a clause such as `ends inside its header`."""

    def __init__(self, kind: Literal["NotGGUF", "Truncated"], message: str) -> None:
        super().__init__(message)
        self.kind: Literal["NotGGUF", "Truncated"] = kind


@dataclass(frozen=True)
class Header:
    """What was read; sizes in bytes."""

    entries: Mapping[str, _Value]
    """Integers, short texts and short lists of integers, by key."""

    tensor_bytes: Mapping[str, int]
    """Bytes of tensor data by tensor type."""

    required_bytes: int
    """The file is cut off when it is shorter than this."""

    @property
    def weights_bytes(self) -> int:
        """All tensor data."""
        return sum(self.tensor_bytes.values())

    @property
    def architecture(self) -> str | None:
        """Such as `llama` or `qwen2`."""
        return self._text("general.architecture")

    @property
    def variant(self) -> str | None:
        """
        Name of the quantization as llama-quantize has it, such as Q4_K_M.

        Without `general.file_type`: the tensor type that most bytes are in, such as Q4_K.
        """
        file_type = self._number("general.file_type")
        if file_type is not None:
            number = file_type - _GUESSED if file_type >= _GUESSED else file_type
            return FILE_TYPES.get(number, f"file type {number}")
        return max(self.tensor_bytes, key=lambda name: self.tensor_bytes[name], default=None)

    @property
    def shards(self) -> int:
        """Files that the model is split into."""
        return self._number("split.count") or 1

    @property
    def shard(self) -> int:
        """Which of them this is, from 0."""
        return self._number("split.no") or 0

    @property
    def layers(self) -> int | None:
        """Transformer blocks."""
        return self._of_architecture("block_count")

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was trained for."""
        return self._of_architecture("context_length")

    @property
    def kv_heads(self) -> int | None:
        """Key and value heads of the widest layer; without an own number as many as there are heads."""
        found = self._of_architecture("attention.head_count_kv")
        return found if found is not None else self._of_architecture("attention.head_count")

    @property
    def head_dim(self) -> int | None:
        """Width of one head."""
        found = self._of_architecture("attention.key_length")
        if found is not None:
            return found
        width = self._of_architecture("embedding_length")
        heads = self._of_architecture("attention.head_count")
        return width // heads if width and heads else None

    def _text(self, key: str) -> str | None:
        value = self.entries.get(key)
        return value if isinstance(value, str) else None

    def _number(self, key: str) -> int | None:
        """A non-negative integer; of a list (one number per layer) the largest."""
        value = self.entries.get(key)
        if isinstance(value, tuple):
            value = max(value, default=None)
        return value if isinstance(value, int) and value >= 0 else None

    def _of_architecture(self, key: str) -> int | None:
        return None if self.architecture is None else self._number(f"{self.architecture}.{key}")


def read_header(file: BinaryIO, size: int) -> Header:
    """
    Read a header from the start of a seekable file of `size` bytes.

    Raises:
        GGUFError: it is no GGUF file of version 2 or 3, or it ends inside its header. Nothing else, whatever the bytes.
    """
    reader = _Reader(file, size)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise GGUFError("NotGGUF", "does not start with the letters GGUF")
    version = reader.number("<I")
    if version not in _VERSIONS:
        # a file for big-endian machines shows its version with the bytes reversed
        raise GGUFError("NotGGUF", f"has GGUF version {version}, known are 2 and 3 (little-endian)")
    tensors = reader.count(_MAX_TENSORS, "tensors")
    entries = dict(_entries(reader, reader.count(_MAX_ENTRIES, "entries")))
    sizes: dict[str, int] = {}
    end = 0
    for name, bytes_, offset in _tensors(reader, tensors):
        sizes[name] = sizes.get(name, 0) + bytes_
        end = max(end, offset + bytes_)
    alignment = entries.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 0 < alignment <= _MAX_ALIGNMENT:
        raise GGUFError("NotGGUF", "has a damaged header: general.alignment is out of range")
    start = -(-reader.position // alignment) * alignment
    return Header(entries, sizes, start + end if tensors else reader.position)


def _entries(reader: "_Reader", count: int) -> Iterator[tuple[str, _Value]]:
    for _ in range(count):
        key = reader.text(_MAX_KEY)
        kind = reader.number("<I")
        value = _value(reader, kind)
        if value is not None:
            yield key, value


def _value(reader: "_Reader", kind: int) -> _Value | None:
    """One value, or `None` when it is of no interest (and skipped)."""
    if kind == _STRING:
        return reader.short_text()
    if kind == _ARRAY:
        return _list(reader)
    shape = _SCALARS.get(kind)
    if shape is None:
        raise GGUFError("NotGGUF", f"has a damaged header: value type {kind} does not exist")
    value = reader.number(shape)
    return value if shape[1] in _INTEGERS else None


def _list(reader: "_Reader") -> tuple[int, ...] | None:
    kind = reader.number("<I")
    length = reader.number("<Q")
    if kind == _STRING:
        for _ in range(reader.bounded(length, 8, "list")):
            reader.skip(reader.number("<Q"))
        return None
    shape = _SCALARS.get(kind)
    if shape is None:
        raise GGUFError("NotGGUF", f"has a damaged header: lists of type {kind} do not exist")
    width = struct.calcsize(shape)
    reader.bounded(length, width, "list")
    if length > _MAX_KEPT_LIST or shape[1] not in _INTEGERS:
        reader.skip(length * width)
        return None
    return struct.unpack(f"<{length}{shape[1]}", reader.take(length * width))


def _tensors(reader: "_Reader", count: int) -> Iterator[tuple[str, int, int]]:
    """Type, bytes and offset of each tensor; bytes are 0 for a type that is not known here."""
    for _ in range(count):
        reader.text(_MAX_KEY)
        dimensions = reader.number("<I")
        if dimensions > _MAX_DIMENSIONS:
            raise GGUFError("NotGGUF", f"has a damaged header: a tensor of {dimensions} dimensions")
        elements = 1
        for _ in range(dimensions):
            elements *= reader.number("<Q")
        name, per_block, block_bytes = TENSOR_TYPES.get(kind := reader.number("<I"), (f"type {kind}", 1, 0))
        yield name, elements // per_block * block_bytes, reader.number("<Q")


@dataclass
class _Reader:
    """Reads forward; every length is held against the bytes that are left, so nothing large is ever asked for."""

    file: BinaryIO
    size: int
    position: int = field(default=0, init=False)

    def take(self, length: int) -> bytes:
        self.bounded(length, 1, "value")
        found = self.file.read(length)
        if len(found) != length:
            raise GGUFError("Truncated", "ends inside its header")
        self.position += length
        return found

    def skip(self, length: int) -> None:
        self.bounded(length, 1, "value")
        self.file.seek(length, 1)
        self.position += length

    def number(self, shape: str) -> int:
        return struct.unpack(shape, self.take(struct.calcsize(shape)))[0]  # type: ignore[no-any-return] # by shape

    def count(self, limit: int, what: str) -> int:
        found = self.number("<Q")
        if found > limit:
            raise GGUFError("NotGGUF", f"has a damaged header: {found} {what}")
        return found

    def bounded(self, count: int, width: int, what: str) -> int:
        if count * width > self.size - self.position:
            raise GGUFError("Truncated", f"ends inside its header: a {what} reaches beyond the end")
        return count

    def text(self, limit: int) -> str:
        return self.take(self.count(limit, "bytes in one name")).decode("utf-8", "replace")

    def short_text(self) -> str | None:
        length = self.number("<Q")
        if length <= _MAX_KEPT_TEXT:
            return self.take(length).decode("utf-8", "replace")
        self.skip(length)
        return None
