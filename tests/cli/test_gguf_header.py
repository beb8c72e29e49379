"""The GGUF header: real files, damaged files, and bytes that are no file at all."""

import io
import struct
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcascade.cli.gguf_header import GGUFError, Header, read_header
from modelcascade.cli.gguf_types import FILE_TYPES, TENSOR_TYPES
from support.gguf_files import write_gguf


def read(content: bytes) -> Header:
    """The header of these bytes."""
    return read_header(io.BytesIO(content), len(content))


def header(*, version: int = 3, tensors: int = 0, entries: int = 0, rest: bytes = b"", magic: bytes = b"GGUF") -> bytes:
    """A header written by hand."""
    return magic + struct.pack("<IQQ", version, tensors, entries) + rest


def text(value: str) -> bytes:
    """A string as GGUF has it."""
    return struct.pack("<Q", len(value)) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    """One key with its value."""
    return text(key) + struct.pack("<I", kind) + value


def test_names_and_sizes_of_types_are_those_of_the_gguf_package() -> None:
    """Upstream's tables are the truth; ours is a copy without numpy."""
    known = {number: (name, *gguf.GGML_QUANT_SIZES[kind]) for name, kind in _kinds() for number in [int(kind)]}
    assert known == {number: TENSOR_TYPES[number] for number in known}
    names = {int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in gguf.LlamaFileType}
    del names[1024]
    assert names == {number: name for number, name in FILE_TYPES.items() if number in names}


def _kinds() -> list[tuple[str, gguf.GGMLQuantizationType]]:
    return [(kind.name, kind) for kind in gguf.GGMLQuantizationType]


def test_a_real_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Architecture, variant, dimensions, and a size that is the file's own."""
    path = write_gguf(tmp_path / "m.gguf", file_type=15)
    found = read(path.read_bytes())
    assert ("llama", "Q4_K_M", 2, 4, 32, 512) == (
        found.architecture,
        found.variant,
        found.layers,
        found.kv_heads,
        found.head_dim,
        found.context_length,
    )
    assert (1, 0, 64 * 4 + 256 * 2) == (found.shards, found.shard, found.weights_bytes)
    upstream = gguf.GGUFReader(path)
    ends = [int(tensor.data_offset + tensor.n_bytes) for tensor in upstream.tensors]
    assert max(ends) == found.required_bytes


@pytest.mark.parametrize(
    ("entries", "attribute", "expected"),
    [
        pytest.param([("general.file_type", 4, struct.pack("<I", 15 + 1024))], "variant", "Q4_K_M", id="guessed type"),
        pytest.param([("general.file_type", 4, struct.pack("<I", 99))], "variant", "file type 99", id="unknown type"),
        pytest.param([], "variant", None, id="no type, no tensors"),
        pytest.param([("general.architecture", 4, b"\1\0\0\0")], "architecture", None, id="architecture is no text"),
        pytest.param([("llama.block_count", 4, b"\1\0\0\0")], "layers", None, id="no architecture"),
        pytest.param([("x.block_count", 5, b"\xff\xff\xff\xff")], "layers", None, id="negative"),
        pytest.param([("x.block_count", 6, b"\0\0\0\0")], "layers", None, id="a float"),
        pytest.param(
            [("x.attention.head_count_kv", 9, struct.pack("<IQ3I", 4, 3, 2, 8, 4))], "kv_heads", 8, id="one per layer"
        ),
        pytest.param([("x.attention.head_count_kv", 9, struct.pack("<IQ", 4, 0))], "kv_heads", None, id="empty list"),
        pytest.param([("x.attention.head_count", 4, struct.pack("<I", 6))], "kv_heads", 6, id="as many as heads"),
        pytest.param([("x.attention.key_length", 4, struct.pack("<I", 96))], "head_dim", 96, id="own width"),
        pytest.param([], "head_dim", None, id="no width"),
        pytest.param([("split.count", 2, b"\3\0"), ("split.no", 2, b"\1\0")], "shards", 3, id="split"),
        pytest.param([("t.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b"))], "shards", 1, id="texts"),
        pytest.param([("t.scores", 9, struct.pack("<IQ2f", 6, 2, 0, 1))], "shards", 1, id="floats"),
        pytest.param([("t.long", 8, text("x" * 1000))], "shards", 1, id="long text"),
    ],
)
def test_facts_of_a_header(entries: list[tuple[str, int, bytes]], attribute: str, expected: object) -> None:
    """What is there is read, what is not there is absent, and nothing is guessed."""
    known = [("general.architecture", 8, text("x"))] if not any("general.arch" in key for key, _, _ in entries) else []
    if attribute == "layers" and entries[0][0].startswith("llama"):
        known = []
    rest = b"".join(entry(*one) for one in (*known, *entries))
    found = read(header(entries=len(known) + len(entries), rest=rest))
    assert expected == getattr(found, attribute)


def test_without_a_file_type_the_prevailing_tensor_type_counts() -> None:
    """Old files have no general.file_type; most bytes are in the quantized tensors."""
    tensors = text("norm") + struct.pack("<IQIQ", 1, 64, 0, 0) + text("w") + struct.pack("<IQQIQ", 2, 256, 10, 12, 256)
    found = read(header(tensors=2, rest=tensors))
    assert ("Q4_K", {"F32": 256, "Q4_K": 1440}) == (found.variant, found.tensor_bytes)


def test_a_tensor_type_of_a_newer_file_is_no_error() -> None:
    """Its size is unknown, and the rest is still checked."""
    found = read(header(tensors=1, rest=text("w") + struct.pack("<IQIQ", 1, 64, 200, 4096)))
    assert ({"type 200": 0}, True) == (found.tensor_bytes, found.required_bytes >= 4096)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        pytest.param(b"", "Truncated", "ends inside its header", id="empty"),
        pytest.param(b"GGU", "Truncated", "ends inside its header", id="half a magic"),
        pytest.param(b"PK\3\4" + bytes(100), "NotGGUF", "does not start with the letters GGUF", id="a zip file"),
        pytest.param(header(version=1), "NotGGUF", "has GGUF version 1", id="version 1"),
        pytest.param(header(version=3 << 24), "NotGGUF", "little-endian", id="big-endian"),
        pytest.param(header(tensors=1 << 40), "NotGGUF", "damaged header", id="too many tensors"),
        pytest.param(header(entries=1 << 40), "NotGGUF", "damaged header", id="too many entries"),
        pytest.param(header(entries=1), "Truncated", "ends inside its header", id="entry missing"),
        pytest.param(header(tensors=1), "Truncated", "ends inside its header", id="tensor missing"),
        pytest.param(header(entries=1, rest=entry("k", 99, b"")), "NotGGUF", "value type 99", id="value type"),
        pytest.param(
            header(entries=1, rest=entry("k", 9, struct.pack("<IQ", 9, 1))), "NotGGUF", "lists of type 9", id="nested"
        ),
        pytest.param(
            header(entries=1, rest=entry("k", 9, struct.pack("<IQ", 4, 1 << 60))), "Truncated", "a list", id="list size"
        ),
        pytest.param(
            header(entries=1, rest=entry("k", 8, struct.pack("<Q", 1 << 60))), "Truncated", "beyond", id="text size"
        ),
        pytest.param(
            header(entries=1, rest=struct.pack("<Q", 1 << 30) + bytes(9)), "NotGGUF", "bytes in one name", id="key size"
        ),
        pytest.param(
            header(tensors=1, rest=text("w") + struct.pack("<I", 9)), "NotGGUF", "9 dimensions", id="dimensions"
        ),
        pytest.param(
            header(entries=1, rest=entry("general.alignment", 4, bytes(4))), "NotGGUF", "alignment", id="alignment 0"
        ),
        pytest.param(
            header(entries=1, rest=entry("general.alignment", 8, text("x"))), "NotGGUF", "alignment", id="alignment"
        ),
    ],
)
def test_damage_is_named(content: bytes, kind: str, message: str) -> None:
    """Each kind of damage has its sentence, and none asks for much memory first."""
    with pytest.raises(GGUFError, match=message) as caught:
        read(content)
    assert kind == caught.value.kind


def test_a_file_that_shrinks_while_it_is_read_is_cut_off() -> None:
    """The size was right a moment ago; the bytes are what counts."""
    with pytest.raises(GGUFError, match="ends inside its header"):
        read_header(io.BytesIO(header(entries=1)), 1000)


def _try(content: bytes) -> None:
    try:
        found = read(content)
    except GGUFError:
        return
    for name in ("variant", "architecture", "layers", "kv_heads", "head_dim", "context_length", "weights_bytes"):
        getattr(found, name)


@given(st.binary(max_size=400))
def test_random_bytes_never_crash(content: bytes) -> None:
    """A model file is untrusted: whatever it holds, the answer is a verdict."""
    _try(content)
    _try(header(tensors=2, entries=2, rest=content))


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_real_files_never_crash(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Flipped bytes and cuts anywhere in a real header give a verdict too."""
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    if not path.exists():
        write_gguf(path, file_type=15)
    content = bytearray(path.read_bytes()[:1200])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _try(bytes(content[: data.draw(st.integers(0, len(content)))]))
