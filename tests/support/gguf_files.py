"""Small GGUF files, written by the upstream package."""

from pathlib import Path

import gguf
import numpy as np

__all__ = ["write_gguf"]


def write_gguf(
    path: Path, *, file_type: int | None = 15, shards: int = 1, shard: int = 0, architecture: str = "llama"
) -> Path:
    """
    A file with two layers' worth of figures and two tensors, 768 bytes of data.

    Args:
        path: where to write; folders are made.
        file_type: number of the variant, 15 for Q4_K_M; absent in the file when None.
        shards: how many files the model claims to have.
        shard: which of them this is, from 0.
        architecture: `general.architecture`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_token_list(["a", "b", "c"])
    writer.add_token_scores([0.0, 1.0, 2.0])
    if file_type is not None:
        writer.add_file_type(file_type)
    if shards > 1:
        writer.add_uint16("split.count", shards)
        writer.add_uint16("split.no", shard)
    writer.add_tensor("output_norm.weight", np.zeros(64, dtype=np.float32))
    writer.add_tensor("output.weight", np.zeros((16, 16), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
