"""
The work queue: one worker per key at a time, duplicates merge, failures come back later.

`Backlog` is the whole logic as a plain object that is told the time; `WorkQueue` runs it with workers.

    add ──► waiting ──► taken ──► done
     │                    │ add meanwhile ──► dirty ──► like a fresh add, once done
     │                    └ failed, or asked to look again ──► delayed ──► waiting when due, sooner by `add`
     └─ worked on a moment ago ──► delayed until the spacing is over
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from modelcascade.controller.retry import delay_for
from modelcascade.errors import ClusterError

__all__ = ["SPACING_S", "Backlog", "WorkQueue"]

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

SPACING_S = 1.0
"""One key is started at most once in so many seconds: a cascade edited 100 times a second costs no more."""


class Backlog(Generic[K]):
    """Which keys wait, which are being worked on, and which come back when; all times in seconds of one clock."""

    def __init__(self, spacing_s: float = SPACING_S) -> None:
        self._spacing_s = spacing_s
        self._waiting: dict[K, None] = {}  # a dict keeps the order and merges duplicates
        self._taken: set[K] = set()
        self._dirty: set[K] = set()
        self._due: dict[K, float] = {}
        self._started: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is being worked on; delayed keys may exist."""
        return not self._waiting and not self._taken

    def add(self, key: K, now: float) -> None:
        """The key needs work: now, after the spacing, or again once its present work is done."""
        if key in self._taken:
            self._dirty.add(key)
        elif key not in self._waiting:
            allowed = self._allowed(key, now)
            if allowed > now:
                self._due[key] = min(allowed, self._due.get(key, allowed))
            else:
                self._due.pop(key, None)
                self._waiting[key] = None

    def take(self, now: float) -> K | None:
        """The next key, which nobody else gets until `finish`; None when none waits."""
        for key in [key for key, due in self._due.items() if due <= now]:
            del self._due[key]
            self._waiting[key] = None
        if not self._waiting:
            return None
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._taken.add(key)
        recent = {other: at for other, at in self._started.items() if at + self._spacing_s > now}
        self._started = {**recent, key: now}
        return key

    def finish(self, key: K, now: float, *, again_in: float | None = None, failed: bool = False) -> None:
        """
        The work on a key ended.

        Args:
            key: the key that was taken.
            now: the time.
            again_in: seconds after which it comes back, unless an `add` brings it sooner.
            failed: whether `again_in` is a back-off, which a change during the work must not turn into a tight loop.
        """
        self._taken.remove(key)
        if again_in is not None:
            self._due[key] = max(now + again_in, self._allowed(key, now))
        if key in self._dirty:
            self._dirty.remove(key)
            if failed and again_in is not None:
                self._due[key] = max(now + min(again_in, self._spacing_s), self._allowed(key, now))
            else:
                self.add(key, now)

    def _allowed(self, key: K, now: float) -> float:
        return max(now, self._started.get(key, now - self._spacing_s) + self._spacing_s)

    def next_due(self) -> float | None:
        """When the first delayed key comes back."""
        return min(self._due.values(), default=None)


class WorkQueue(Generic[K]):
    """
    Runs `work` for each key that was added.

    Args:
        work: handles one key; returns seconds after which to look again, or None. It may raise.
        on_error: told the key and the failure that will be retried.
        concurrency: how many keys at once.
        timeout_s: how long one run may take.
        spacing_s: see `SPACING_S`.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        *,
        on_error: Callable[[K, Exception], None] | None = None,
        concurrency: int = 4,
        timeout_s: float = 60.0,
        spacing_s: float = SPACING_S,
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._backlog: Backlog[K] = Backlog(spacing_s)
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._backlog)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is being worked on."""
        return self._backlog.is_idle

    def add(self, key: K) -> None:
        """The key needs work; returns at once, from the event loop's thread only."""
        self._backlog.add(key, asyncio.get_running_loop().time())
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._concurrency):
                group.create_task(self._worker(), name=f"reconcile worker {number}")

    async def _worker(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            key = await self._next()
            again_in: float | None = None
            failed = False
            try:
                async with asyncio.timeout(self._timeout_s):
                    again_in = await self._work(key)
                self._failures.pop(key, None)
            except Exception as error:  # noqa: BLE001 - the outermost loop: one key's failure must not stop the others
                failed = True
                again_in = self._delay_after(key, error)
            finally:
                self._backlog.finish(key, loop.time(), again_in=again_in, failed=failed)
                self._changed.set()

    def _delay_after(self, key: K, error: Exception) -> float:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        delay = delay_for(error, failures, random.random())  # noqa: S311 - jitter
        logger.warning(
            "reconcile failed, will retry",
            extra={
                "key": "/".join(map(str, key)) if isinstance(key, tuple) else str(key),
                "reason": str(error) or type(error).__name__,
                "failures": failures,
                "retry_in_s": round(delay, 1),
            },
            # The server's own sentence is enough; anything else is a mistake of ours and needs its place.
            exc_info=None if isinstance(error, ClusterError | TimeoutError) else error,
        )
        if self._on_error is not None:
            self._on_error(key, error)
        return delay

    async def _next(self) -> K:
        loop = asyncio.get_running_loop()
        while True:
            key = self._backlog.take(loop.time())
            if key is not None:
                return key
            self._changed.clear()
            due = self._backlog.next_due()
            try:
                async with asyncio.timeout_at(due):
                    await self._changed.wait()
            except TimeoutError:
                continue
