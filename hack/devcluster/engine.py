"""The llama-server image, from Debian testing. Testing moves: the version is checked and a change is refused."""

import re
from pathlib import Path

from devcluster.console import ScriptError
from devcluster.debian import DebianBase, base_layer, run_inside
from devcluster.layout import Layout
from devcluster.oci import Image

__all__ = ["LLAMA_SERVER_VERSION", "check_llama_server", "engine_image"]

LLAMA_SERVER_VERSION = "0.7.0"


def check_llama_server(tree: Path) -> None:
    """
    Raise unless the unpacked llama-server starts and is the version that the project was tested with.

    A new version is adopted by changing LLAMA_SERVER_VERSION after the engine tests pass with it.
    """
    shown = run_inside(tree, "/usr/bin/llama-server", "--version")
    found = re.search(r"version:?\s+(\d+\.\d+\.\d+)", shown)
    if found is None or found[1] != LLAMA_SERVER_VERSION:
        raise ScriptError(
            f"Debian testing's llama-server says {shown.strip()!r}, expected version {LLAMA_SERVER_VERSION}. "
            "Engine flags and answers may differ: run the engine tests, then change LLAMA_SERVER_VERSION."
        )


_BASE = DebianBase(
    name="llama-server",
    suite="testing",
    packages=("llama.cpp-tools", "llama.cpp-tools-extra"),
    prepare=check_llama_server,
)


def engine_image(layout: Layout) -> Image:
    """Run as uid 65532; writes nothing; port and model come as arguments."""
    return Image(
        layers=(base_layer(layout, _BASE),),
        settings={
            "User": "65532:65532",
            "Entrypoint": ["/usr/bin/llama-server"],
            "Env": ["PATH=/usr/bin", "HOME=/tmp"],
            "Labels": {"modelcascade.dev/engine-version": LLAMA_SERVER_VERSION},
        },
    )
