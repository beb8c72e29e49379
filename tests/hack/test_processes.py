"""Only processes that the scripts started, and that are still the same, are ever signalled."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster.console import ScriptError
from devcluster.processes import ProcessBook, describe_process, stop_process

FOREVER = ["/bin/sleep", "600"]


def ask_until_it_ends(book: ProcessBook, name: str) -> None:
    """What a wait for a daemon does; the test's own time limit bounds it."""
    while True:
        book.check_alive(name)


@pytest.fixture
def book(tmp_path: Path) -> ProcessBook:
    """An empty book in a folder of its own."""
    return ProcessBook(tmp_path / "processes.json", tmp_path)


def test_a_started_daemon_is_found_again_and_stopped(tmp_path: Path, book: ProcessBook) -> None:
    """A second reader of the file sees the daemon; after stop neither process nor record is left."""
    assert book.start("one", FOREVER)
    again = ProcessBook(tmp_path / "processes.json", tmp_path)
    assert again.alive("one")
    record = again.records()["one"]
    book.stop("one")
    assert ({}, False) == (again.records(), record.alive)


def test_starting_twice_is_starting_once(book: ProcessBook) -> None:
    """The second start of a running daemon changes nothing."""
    book.start("one", FOREVER)
    first = book.records()
    try:
        assert not book.start("one", FOREVER)
        assert first == book.records()
    finally:
        book.stop("one")


@pytest.mark.parametrize(
    "difference",
    [
        pytest.param({"start_ticks": 1}, id="the id was reused by a younger process"),
        pytest.param({"program": "/usr/bin/other"}, id="the id belongs to another program"),
    ],
)
def test_a_reused_id_is_not_signalled(difference: dict[str, int | str]) -> None:
    """A record whose start time or program differs is dead: stopping it leaves the living process alone."""
    with subprocess.Popen(FOREVER) as child:
        try:
            record = describe_process(child.pid)
            assert record is not None
            stranger = replace(record, **difference)  # type: ignore[arg-type] # the table mixes two field types
            assert not stranger.alive
            stop_process(stranger)
            assert record.alive
        finally:
            child.kill()


def test_a_daemon_that_ended_is_named_with_its_log(tmp_path: Path, book: ProcessBook) -> None:
    """Whoever waits for a dead daemon is told at once, with its last words."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    book.start("short", ["/bin/sh", "-c", 'read line < "$0"; echo "port in use"; exit 1', pipe])
    pipe.write_text("end now\n")
    with pytest.raises(ScriptError, match=r"(?s)short ended.*short\.log"):
        ask_until_it_ends(book, "short")
