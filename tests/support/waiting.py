"""Waits with a deadline that say what they waited for; nothing in the tests sleeps and hopes."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["eventually", "let_pass"]

T = TypeVar("T")


def eventually(probe: Callable[[], T | None], *, within_s: float, what: str, every_s: float = 0.1) -> T:
    """The first truthy value of `probe`; fails after `within_s` with the last value seen."""
    deadline = time.perf_counter() + within_s
    while True:
        value = probe()
        if value:
            return value
        if time.perf_counter() > deadline:
            raise AssertionError(f"after {within_s:g} s still not: {what} (last seen: {value!r})")
        threading.Event().wait(every_s)


def let_pass(seconds: float) -> None:
    """An observation window: the time is what is measured over, not a guess at when something is done."""
    threading.Event().wait(seconds)
