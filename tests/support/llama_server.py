"""
The real llama-server, for tests that start it or ask its argument parser.

In this order: `MODELCASCADE_LLAMA_SERVER_BIN`, the PATH, and the engine layer that `make images` left in the cache.
"""

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from devcluster.layout import Layout

__all__ = ["LlamaServer", "find_llama_server"]

_LIBRARIES = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class LlamaServer:
    """How to start it: the program with its first arguments, and what the environment needs."""

    command: tuple[str, ...]
    environment: dict[str, str]


def find_llama_server(scratch: Path) -> LlamaServer:
    """The first one at hand; skips the test, aloud, when there is none."""
    named = os.environ.get("MODELCASCADE_LLAMA_SERVER_BIN") or shutil.which("llama-server")
    if named:
        return LlamaServer((named,), {})
    layers = sorted((Layout.from_environment().cache / "layers").glob("llama-server-*.tar"))
    if not layers:
        pytest.skip(
            "no llama-server at hand (MODELCASCADE_LLAMA_SERVER_BIN, PATH, `make images`): "
            "its command lines were NOT checked by the real parser"
        )
    with tarfile.open(layers[-1]) as layer:
        wanted = [
            member
            for member in layer.getmembers()
            if member.name.lstrip("./").startswith((_LIBRARIES, "usr/bin/llama-server"))
        ]
        layer.extractall(scratch, wanted, filter="data")
    libraries = scratch / _LIBRARIES
    loader = libraries / "ld-linux-x86-64.so.2"
    search = f"{libraries}:{libraries / 'llama'}"
    backend = libraries / "ggml" / "backends0" / "libggml-cpu-x64.so"  # runs on every x86-64
    return LlamaServer(
        (str(loader), "--library-path", search, str(scratch / "usr/bin/llama-server")),
        {"GGML_BACKEND_PATH": str(backend)},
    )
