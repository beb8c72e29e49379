"""
What every script here shares: speaking to the person, running programs, waiting with a deadline.

A wait never hangs: it ends with what it waited for and which log to read.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["ScriptError", "Stopwatch", "run", "say", "succeeds", "wait_until"]

_POLL_SECONDS = 0.2
_ERROR_LINES = 15


class ScriptError(Exception):
    """Something that a person has to know or do: the message says what failed and the next step."""


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start


def say(message: str) -> None:
    """One line for the person, at once. On standard error: standard output is for what other programs read."""
    print(message, file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_s: float = 900,
    advice: str = "",
) -> str:
    """
    The standard output of a program that has to succeed.

    Args:
        env: replaces the whole environment when given.
        advice: what to do when it fails; put behind the program's own last lines.

    Raises:
        ScriptError: not found, not finished in time, or an exit code other than zero.
    """
    words = [str(word) for word in command]
    shown = shlex.join(words)
    try:
        done = subprocess.run(
            words, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError as error:
        raise ScriptError(f"{words[0]}: not found. {advice}".strip()) from error
    except subprocess.TimeoutExpired as error:
        raise ScriptError(f"not finished after {timeout_s:.0f} s: {shown}. {advice}".strip()) from error
    if done.returncode != 0:
        last_lines = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-_ERROR_LINES:])
        raise ScriptError(f"failed with code {done.returncode}: {shown}\n  {last_lines}\n{advice}".rstrip())
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout_s: float = 20) -> bool:
    """Whether the program exists and ends with zero in time; its output is thrown away."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def wait_until(what: str, ready: Callable[[], bool], *, timeout_s: float, advice: str) -> None:
    """
    Return when `ready()` is true.

    Raises:
        ScriptError: after `timeout_s`, with `what` and `advice` (usually the log to read).
    """
    watch = Stopwatch()
    while not ready():
        if watch.seconds > timeout_s:
            raise ScriptError(f"waited {timeout_s:.0f} s for {what}, in vain. {advice}")
        time.sleep(_POLL_SECONDS)
