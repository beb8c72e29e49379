"""
The real llama-server, for tests that start it or ask its argument parser.

In this order: `MODELCASCADE_LLAMA_SERVER_BIN`, the PATH, and the engine layer that `make images` left in the cache.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devcluster.layout import Layout
from support.waiting import eventually

__all__ = ["LlamaServer", "find_llama_server", "running_llama_server"]

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


@contextlib.contextmanager
def running_llama_server(scratch: Path) -> Iterator[str]:
    """The base URL of a real engine on loopback with the tiny model of `make images`; skips aloud without them."""
    server = find_llama_server(scratch)
    models = sorted(Layout.from_environment().models.glob("*/tiny-random-*.gguf"))
    if not models:
        pytest.skip("no tiny model in the cache (`make images`): the REAL engine did not answer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = ("-m", str(models[-1]), "--host", "127.0.0.1", "--port", str(port), "-c", "2048", "-np", "1", "-t", "1")
    with (scratch / "llama-server.log").open("wb") as log:
        process = subprocess.Popen(
            [*server.command, *options, "--no-ui", "--sse-ping-interval", "1"],
            env=os.environ | server.environment,
            stdout=log,
            stderr=log,
        )
        try:
            eventually(lambda: _is_healthy(url), within_s=30, what=f"llama-server answers, see {log.name}")
            yield url
        finally:
            process.kill()  # it does not drain, and may wait half a minute on a gentle word
            process.wait(timeout=10)


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:  # noqa: S310 - loopback, by http
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
