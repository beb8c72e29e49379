"""
Tiny models for tests of mechanics: a llama with two layers that loads in milliseconds and answers a fixed sentence.

The weights are random, but for one planted chain: each token's embedding points at the token that follows it in the
sentence, and the last word at the end of the turn. So an answer stops by itself, whatever was asked. How sharply it
points is the model's confidence: `tiny-random` is sure, `tiny-unsure` is not, which makes a cascade escalate without
a real model. Everything is seeded: the same file each time.
"""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

__all__ = ["TINY_MODELS", "TinyModel", "write_tiny_model"]

_WIDTH = 256  # K-quants need rows of a multiple of 256
_FEED_FORWARD = 256
_LAYERS = 2
_HEADS = 4
_CONTEXT = 4096
_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SENTENCE = ("A", " tiny", " model", " with", " random", " weights", " knows", " nothing", ".")
_STEADY = 4.0
"""Value of the first dimension in each embedding. Nothing else writes there, so it survives all layers and lets
the output layer push tokens down that must not appear: bytes that are no text, and control tokens."""
_NORMAL, _CONTROL = 1, 3  # token types of the GGUF specification
_U32, _F32, _BOOL, _STRING, _ARRAY = 4, 6, 7, 8, 9  # value types of the GGUF specification
_ALIGNMENT = 32


@dataclass(frozen=True)
class TinyModel:
    """
    Args:
        sharpness: weight of the planted chain in the output layer; the larger, the surer.
    """

    name: str
    seed: int
    sharpness: float

    @property
    def file(self) -> str:
        return f"{self.name}-q4_k_m.gguf"


TINY_MODELS: Final = (
    TinyModel("tiny-random", seed=1, sharpness=0.04),
    TinyModel("tiny-unsure", seed=2, sharpness=0.018),
)


def _byte_tokens() -> list[str]:
    """GPT-2's spelling of the 256 bytes: printable characters for themselves, the others shifted behind 255."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = 0
    spelled = []
    for byte in range(256):
        if byte in printable:
            spelled.append(chr(byte))
        else:
            spelled.append(chr(256 + shifted))
            shifted += 1
    return spelled


def _vocabulary() -> list[str]:
    spelled = _byte_tokens()
    words = [word.replace(" ", spelled[ord(" ")]) for word in _SENTENCE]
    return [*spelled, *(word for word in words if len(word) > 1), *_SPECIALS]


def _chain(tokens: Sequence[str]) -> dict[int, int]:
    """Token → the one that follows: the template's newline, the sentence, the end of the turn."""
    spelled = _byte_tokens()
    words = [word.replace(" ", spelled[ord(" ")]) for word in _SENTENCE]
    ids = [tokens.index(word) for word in (spelled[ord("\n")], *words, "<|im_end|>")]
    return dict(pairwise(ids))


def write_tiny_model(model: TinyModel, target: Path) -> None:
    """Write the model as GGUF version 3, all tensors F32, to be quantized by llama-quantize."""
    tokens = _vocabulary()
    tensors = list(_tensors(model, tokens))
    keys = _metadata(model, tokens)
    head = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys)), *keys]
    offset = 0
    for name, shape, values in tensors:
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head.append(_text(name) + dimensions + struct.pack("<IQ", 0, offset))
        offset += _aligned(4 * len(values))
    with target.open("wb") as file:
        file.write(b"".join(head))
        file.write(bytes(-file.tell() % _ALIGNMENT))
        for _, _, values in tensors:
            file.write(struct.pack(f"<{len(values)}f", *values))
            file.write(bytes(-file.tell() % _ALIGNMENT))


def _aligned(size: int) -> int:
    return size + -size % _ALIGNMENT


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _metadata(model: TinyModel, tokens: Sequence[str]) -> list[bytes]:
    last_special = len(tokens) - 1
    types = [_CONTROL if token in _SPECIALS else _NORMAL for token in tokens]

    def entry(key: str, kind: int, value: bytes) -> bytes:
        return _text(key) + struct.pack("<I", kind) + value

    def number(key: str, value: int) -> bytes:
        return entry(key, _U32, struct.pack("<I", value))

    def array(key: str, kind: int, values: Sequence[bytes]) -> bytes:
        return entry(key, _ARRAY, struct.pack("<IQ", kind, len(values)) + b"".join(values))

    return [
        entry("general.architecture", _STRING, _text("llama")),
        entry("general.name", _STRING, _text(model.name)),
        number("llama.block_count", _LAYERS),
        number("llama.context_length", _CONTEXT),
        number("llama.embedding_length", _WIDTH),
        number("llama.feed_forward_length", _FEED_FORWARD),
        number("llama.attention.head_count", _HEADS),
        number("llama.attention.head_count_kv", _HEADS),
        number("llama.rope.dimension_count", _WIDTH // _HEADS),
        number("llama.vocab_size", len(tokens)),
        entry("llama.attention.layer_norm_rms_epsilon", _F32, struct.pack("<f", 1e-5)),
        entry("tokenizer.ggml.model", _STRING, _text("gpt2")),
        entry("tokenizer.ggml.pre", _STRING, _text("gpt-2")),
        array("tokenizer.ggml.tokens", _STRING, [_text(token) for token in tokens]),
        array("tokenizer.ggml.token_type", 5, [struct.pack("<i", kind) for kind in types]),
        array("tokenizer.ggml.merges", _STRING, [_text("e r")]),  # llama.cpp demands the key; this one finds no token
        number("tokenizer.ggml.bos_token_id", last_special - 2),
        number("tokenizer.ggml.eos_token_id", last_special),
        entry("tokenizer.ggml.add_bos_token", _BOOL, b"\0"),
        entry("tokenizer.chat_template", _STRING, _text(_TEMPLATE)),
    ]


def _tensors(model: TinyModel, tokens: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...], Sequence[float]]]:
    """Name, shape (fastest dimension first) and values of each tensor."""
    chance = random.Random(model.seed)  # noqa: S311 - weights, not secrets

    def rows(count: int, width: int, scale: float, *, silent_first_row: bool = False) -> list[float]:
        values = [chance.gauss(0, scale) for _ in range(count * width)]
        if silent_first_row:  # writes nothing into the steady dimension
            values[:width] = [0.0] * width
        return values

    ones = [1.0] * _WIDTH
    square = (_WIDTH, _WIDTH)
    embeddings = rows(len(tokens), _WIDTH, 1.0)
    for token in range(len(tokens)):
        embeddings[token * _WIDTH] = _STEADY
    yield "token_embd.weight", (_WIDTH, len(tokens)), embeddings
    for layer in range(_LAYERS):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", (_WIDTH,), ones
        for part in ("attn_q", "attn_k", "attn_v"):
            yield f"{block}.{part}.weight", square, rows(_WIDTH, _WIDTH, 0.02)
        yield f"{block}.attn_output.weight", square, rows(_WIDTH, _WIDTH, 0.02, silent_first_row=True)
        yield f"{block}.ffn_norm.weight", (_WIDTH,), ones
        for part in ("ffn_gate", "ffn_up"):
            yield f"{block}.{part}.weight", (_WIDTH, _FEED_FORWARD), rows(_FEED_FORWARD, _WIDTH, 0.02)
        down = rows(_WIDTH, _FEED_FORWARD, 0.02, silent_first_row=True)
        yield f"{block}.ffn_down.weight", (_FEED_FORWARD, _WIDTH), down
    yield "output_norm.weight", (_WIDTH,), ones
    yield "output.weight", (_WIDTH, len(tokens)), _output(model, tokens, embeddings, rows(len(tokens), _WIDTH, 0.01))


def _output(
    model: TinyModel, tokens: Sequence[str], embeddings: Sequence[float], noise: Sequence[float]
) -> Sequence[float]:
    """Noise, the planted chain, and the push against tokens that must not appear."""
    values = list(noise)
    chain = _chain(tokens)
    for before, after in chain.items():
        for dimension in range(1, _WIDTH):
            values[after * _WIDTH + dimension] += model.sharpness * embeddings[before * _WIDTH + dimension]
    spelled = _byte_tokens()
    allowed = {spelled[byte] for byte in range(0x20, 0x7F)} | {token for token in tokens if len(token) > 1}
    allowed -= set(_SPECIALS) - {"<|im_end|>"}
    for token, spelling in enumerate(tokens):
        values[token * _WIDTH] = 0.0 if spelling in allowed else -5.0
    return values
