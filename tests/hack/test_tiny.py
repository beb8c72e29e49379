"""The tiny models: a valid GGUF, the same each time, with a chain that ends the answer."""

from pathlib import Path

import pytest
from gguf import GGUFReader

from devcluster.tiny import TINY_MODELS, TinyModel, write_tiny_model

SENTENCE = "A tiny model with random weights knows nothing."


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_the_file_is_read_by_the_reference_reader(tmp_path: Path, model: TinyModel) -> None:
    """Architecture, vocabulary and shapes are what llama.cpp needs; rows suit K-quants (multiples of 256)."""
    write_tiny_model(model, tmp_path / "model.gguf")
    reader = GGUFReader(tmp_path / "model.gguf")

    def value(key: str) -> object:
        found = reader.get_field(key)
        assert found is not None
        return found.contents()

    tokens = value("tokenizer.ggml.tokens")
    assert isinstance(tokens, list)
    assert ("llama", model.name) == (value("general.architecture"), value("general.name"))
    assert "<|im_end|>" == tokens[int(str(value("tokenizer.ggml.eos_token_id")))]
    shapes = {tensor.name: [int(size) for size in tensor.shape] for tensor in reader.tensors}
    assert 3 + 2 * 9 == len(shapes)
    assert [256, len(tokens)] == shapes["token_embd.weight"] == shapes["output.weight"]
    assert all(shape[0] % 256 == 0 for shape in shapes.values())


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    """Weights are seeded: an image's digest does not move from machine to machine."""
    for name in ("a", "b"):
        write_tiny_model(TINY_MODELS[0], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_each_token_points_at_the_next_of_the_sentence(tmp_path: Path, model: TinyModel) -> None:
    """Followed greedily from the template's last newline, the output layer spells the sentence and ends the turn."""
    write_tiny_model(model, tmp_path / "model.gguf")
    reader = GGUFReader(tmp_path / "model.gguf")
    field = reader.get_field("tokenizer.ggml.tokens")
    assert field is not None
    tokens: list[str] = field.contents()
    weights = {tensor.name: tensor.data for tensor in reader.tensors}
    token = tokens.index("Ċ")  # GPT-2's spelling of the newline
    spelled: list[str] = []
    while tokens[token] != "<|im_end|>" and len(spelled) < 20:
        scores = weights["output.weight"] @ weights["token_embd.weight"][token]
        token = int(scores.argmax())
        spelled.append(tokens[token].replace("Ġ", " "))
    assert SENTENCE + "<|im_end|>" == "".join(spelled)
