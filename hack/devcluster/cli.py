"""The verbs of `python3 hack/cluster.py`. What other programs read goes to standard output, all else to standard error."""

import argparse
from collections.abc import Callable, Sequence

from devcluster.console import ScriptError, say
from devcluster.layout import Layout
from devcluster.node import bring_up
from devcluster.prerequisites import check_machine, install_packages
from devcluster.teardown import tear_down
from devcluster.tools import build_tools

__all__ = ["main"]


def run_tools(layout: Layout) -> None:
    install_packages()
    build_tools(layout)


def run_up(layout: Layout) -> None:
    check_machine()
    run_tools(layout)
    bring_up(layout)


def run_down(layout: Layout) -> None:
    check_machine()
    tear_down(layout)


_VERBS: dict[str, tuple[Callable[[Layout], None], str]] = {
    "tools": (run_tools, "install packages and build the programs of a node"),
    "up": (run_up, "a Ready node"),
    "down": (run_down, "remove it"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 1 when it could not be done, with what to do on standard error."""
    parser = argparse.ArgumentParser(prog="hack/cluster.py", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, (_, description) in _VERBS.items():
        verbs.add_parser(name, help=description)
    chosen = parser.parse_args(arguments).verb
    try:
        _VERBS[chosen][0](Layout.from_environment())
    except ScriptError as error:
        say(f"error: {error}")
        return 1
    return 0
