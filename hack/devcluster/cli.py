"""
The verbs of the development cluster.

Standard output is for what other programs read; everything else goes to standard error.
"""

import argparse
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from devcluster import others
from devcluster.console import ScriptError, say
from devcluster.images import load_images, load_pause_image, model_references
from devcluster.layout import Layout
from devcluster.node import bring_up
from devcluster.prerequisites import check_machine, install_packages
from devcluster.status import status_lines
from devcluster.store import image_references
from devcluster.teardown import tear_down
from devcluster.tools import build_tools

__all__ = ["main"]

_LOCK_DEADLINE_S = 30 * 60
"""A cold build of all programs takes about ten minutes, all images two."""

_Verb = Callable[[Layout], None]


def _tools(layout: Layout) -> None:
    install_packages()
    build_tools(layout)


def _local_up(layout: Layout) -> None:
    check_machine()
    _tools(layout)
    with _alone(layout):
        bring_up(layout)
        load_pause_image(layout)
    say(f"kubeconfig: {layout.kubeconfig}")
    say(f"programs:   {layout.bin} (kubectl, helm, ctr)   logs: {layout.log}")


def _local_images(layout: Layout) -> None:
    check_machine()
    with _alone(layout):
        load_images(layout)


def _local_down(layout: Layout) -> None:
    check_machine()
    with _alone(layout):
        tear_down(layout)


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Two calls at once would start everything twice: the second waits for the first."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another call of these scripts to finish …")
            _wait_for(lock)
        yield


def _wait_for(lock: IO[str]) -> None:
    deadline = time.monotonic() + _LOCK_DEADLINE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ScriptError(
                    f"another call holds {lock.name} for more than {_LOCK_DEADLINE_S // 60} min: see who with fuser"
                ) from None
            time.sleep(1)
        else:
            return


def _print_status(layout: Layout) -> None:
    print("\n".join(status_lines(layout)))


def _print_model_references(layout: Layout) -> None:
    for name, reference in model_references(layout).items():
        print(f"{name}={reference}")


def _print_image_references(layout: Layout) -> None:
    for name, reference in image_references(layout).items():
        print(f"{name}={reference}")


def _print_kubeconfig(layout: Layout) -> None:
    print(others.current_kubeconfig() if _provider() == "current" else layout.kubeconfig)


def _provider() -> str:
    return os.environ.get("CLUSTER") or "local"


_PROVIDERS: Mapping[str, Mapping[str, _Verb]] = {
    "local": {"up": _local_up, "images": _local_images, "down": _local_down},
    "current": {"up": others.current_up, "images": others.current_images, "down": others.current_down},
    "kind": {"up": others.kind_up, "images": others.kind_images, "down": others.kind_down},
}
_EVERYWHERE: Mapping[str, _Verb] = {
    "tools": _tools,
    "status": _print_status,
    "kubeconfig": _print_kubeconfig,
    "model-refs": _print_model_references,
    "image-refs": _print_image_references,
}
_HELP = {
    "up": "a Ready node with DNS, volumes and the pause image; builds the tools first",
    "down": "remove the cluster and all that it made; the caches stay",
    "images": "make our, the engine's and the models' images and put them into the node",
    "tools": "install packages and build the programs of a node",
    "status": "what runs, and where its logs are",
    "kubeconfig": "print the path of the kubeconfig, and nothing else",
    "model-refs": "print NAME=IMAGE@sha256:DIGEST for each model image, and nothing else",
    "image-refs": "the same for all images",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb for the provider that CLUSTER names; 1 when it could not be done, with what to do."""
    parser = argparse.ArgumentParser(prog="hack/cluster.py", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, description in _HELP.items():
        verbs.add_parser(name, help=description)
    chosen = parser.parse_args(arguments).verb
    provider = _provider()
    if provider not in _PROVIDERS:
        say(f"error: CLUSTER={provider} is unknown; one of: {', '.join(_PROVIDERS)}")
        return 2
    try:
        {**_EVERYWHERE, **_PROVIDERS[provider]}[chosen](Layout.from_environment())
    except ScriptError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        return 130
    return 0
