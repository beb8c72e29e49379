"""
The daemons of the node: started, recorded, recognised again, stopped.

A process id alone proves nothing: ids are reused. A record therefore holds the start time from /proc and the
program, and only a process that still matches all three is ever signalled.
"""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from devcluster.console import ScriptError, say, wait_until

__all__ = ["ProcessBook", "ProcessRecord", "describe_process", "stop_process"]

_PROC = Path("/proc")
_START_TIME_FIELD = 19  # counted from the state field, which follows the program's name in brackets (proc(5))


@dataclass(frozen=True)
class ProcessRecord:
    """One process, so exactly that a reused id is not taken for it."""

    pid: int
    start_ticks: int
    program: str

    @property
    def alive(self) -> bool:
        return describe_process(self.pid) == self


def describe_process(pid: int) -> ProcessRecord | None:
    """The record of a living process, `None` for none, a zombie, or one that may not be read."""
    try:
        after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        program = str((_PROC / str(pid) / "exe").readlink())
    except OSError:
        return None
    if after_name[0] == "Z":
        return None
    return ProcessRecord(pid, int(after_name[_START_TIME_FIELD]), program.removesuffix(" (deleted)"))


def stop_process(record: ProcessRecord, *, patience_s: float = 10) -> None:
    """Ask the process to end, then end it. Does nothing when it is not that process any more."""
    for number, seconds in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 10.0)):
        if not record.alive:
            return
        os.kill(record.pid, number)
        try:
            wait_until(
                f"{record.program} ({record.pid}) to end",
                lambda: not record.alive,
                timeout_s=seconds,
                advice="See ps.",
            )
        except ScriptError:
            if number == signal.SIGKILL:
                raise


class ProcessBook:
    """The daemons that these scripts started, by name, kept in a file beside the cluster."""

    def __init__(self, file: Path, logs: Path) -> None:
        self._file = file
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def records(self) -> dict[str, ProcessRecord]:
        if not self._file.exists():
            return {}
        return {name: ProcessRecord(**entry) for name, entry in json.loads(self._file.read_text()).items()}

    def alive(self, name: str) -> bool:
        record = self.records().get(name)
        return record is not None and record.alive

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> bool:
        """Start the daemon unless it runs. `True` when it was started now."""
        if self.alive(name):
            return False
        with self.log_of(name).open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=None if env is None else dict(env),
                start_new_session=True,
            )
        self._children[name] = child
        record = describe_process(child.pid)
        if record is None:
            self._reap(name)
            raise ScriptError(f"{name} ended at once; its log: {self.log_of(name)}")
        self._write({**self.records(), name: record})
        return True

    def check_alive(self, name: str) -> None:
        """Raise with the log's last lines when the daemon has ended."""
        if not self.alive(name):
            self._reap(name)
            log = self.log_of(name)
            last = "\n  ".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""
            raise ScriptError(f"{name} ended. Its log: {log}\n  {last}")

    def stop(self, name: str, *, patience_s: float = 10) -> None:
        records = self.records()
        record = records.pop(name, None)
        if record is None:
            return
        if record.alive:
            say(f"stopping {name} ({record.pid})")
            stop_process(record, patience_s=patience_s)
            self._reap(name)
        self._write(records)

    def _reap(self, name: str) -> None:
        """Take the exit code of our own child, which ends a moment after its /proc entry says so."""
        child = self._children.pop(name, None)
        if child is not None:
            child.wait(timeout=10)

    def _write(self, records: Mapping[str, ProcessRecord]) -> None:
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(json.dumps({name: asdict(record) for name, record in records.items()}, indent=1))
        unfinished.replace(self._file)
