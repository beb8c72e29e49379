"""The work queue: no key is lost, none is worked on twice at once, failures come back."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelcascade.controller.queue import SPACING_S, Backlog, WorkQueue
from modelcascade.controller.retry import delay_for
from modelcascade.errors import (
    ClusterConflictError,
    ClusterForbiddenError,
    ClusterInvalidError,
    ClusterNotFoundError,
    ClusterUnreachableError,
)

KEYS = st.sampled_from("abc")


class BacklogMachine(RuleBasedStateMachine):
    """Any order of add, take, finish and time, against what must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog: Backlog[str] = Backlog()
        self.now = 0.0
        self.taken: set[str] = set()
        self.owed: dict[str, float] = {}
        """Keys that were added and not taken since, with the time of the oldest such add."""

        self.started: dict[str, float] = {}

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        """Something changed."""
        self.backlog.add(key, self.now)
        self.owed.setdefault(key, self.now)

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @rule()
    def take(self) -> None:
        """A worker asks for work."""
        key = self.backlog.take(self.now)
        if key is None:
            assert all(key in self.taken or self.now - since < SPACING_S for key, since in self.owed.items()), (
                "an idle worker although a key was added long ago"
            )
            return
        assert key not in self.taken, "two workers on one key"
        assert self.now - self.started.get(key, -SPACING_S) >= SPACING_S - 1e-9, "one key started too often"
        self.started[key] = self.now
        self.taken.add(key)
        self.owed.pop(key, None)

    @precondition(lambda self: self.taken)
    @rule(first=st.booleans(), delay=st.none() | st.floats(0, 300), failed=st.booleans())
    def finish(self, *, first: bool, delay: float | None, failed: bool) -> None:
        """A worker is done, or failed."""
        key = min(self.taken) if first else max(self.taken)
        self.taken.remove(key)
        self.backlog.finish(key, self.now, again_in=delay, failed=failed)
        if key in self.owed:
            self.owed[key] = self.now
        elif delay is not None:
            self.due(key, delay)

    def due(self, key: str, delay: float) -> None:
        """A key that was asked for again has a due time."""
        assert self.backlog.next_due() is not None, f"{key} is forgotten, although it was to come back in {delay} s"

    @invariant()
    def an_end_is_reached(self) -> None:
        """What is owed is waiting, being worked on, or has a due time: nothing is lost."""
        for key in self.owed:
            known = key in self.taken or len(self.backlog) or self.backlog.next_due() is not None
            assert known, f"{key} was added and is nowhere"


TestBacklog = BacklogMachine.TestCase
TestBacklog.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_change_during_the_work_brings_it_back() -> None:
    """A key that is added while it is worked on comes back after the spacing, and only once."""
    backlog: Backlog[str] = Backlog()
    backlog.add("a", 0)
    assert backlog.take(0) == "a"
    backlog.add("a", 0.1)
    backlog.add("a", 0.2)
    assert backlog.take(0.3) is None
    backlog.finish("a", 0.3)
    assert (backlog.take(0.5), backlog.next_due()) == (None, SPACING_S)
    assert backlog.take(SPACING_S) == "a"
    backlog.finish("a", 1.1)
    assert (backlog.take(5), backlog.next_due()) == (None, None)


def test_a_change_cuts_a_back_off_short() -> None:
    """A key in a long back-off is taken as soon as something about it changes."""
    backlog: Backlog[str] = Backlog()
    backlog.add("a", 0)
    backlog.take(0)
    backlog.finish("a", 1, again_in=300, failed=True)
    assert backlog.take(100) is None
    backlog.add("a", 100)
    assert backlog.take(100) == "a"


def test_a_failing_key_that_keeps_changing_is_no_tight_loop() -> None:
    """A change during a failed run is tried after the spacing, not at once."""
    backlog: Backlog[str] = Backlog()
    backlog.add("a", 0)
    backlog.take(0)
    backlog.add("a", 0.5)
    backlog.finish("a", 30, again_in=300, failed=True)
    assert backlog.take(30.5) is None
    assert backlog.take(30 + SPACING_S) == "a"


@pytest.mark.parametrize(
    ("error", "first", "longest"),
    [
        (ClusterConflictError("c"), 0.2, 30),
        (ClusterUnreachableError("u"), 1, 60),
        (TimeoutError(), 1, 60),
        (ClusterForbiddenError("f"), 5, 300),
        (ClusterInvalidError("i"), 15, 300),
        (ClusterNotFoundError("n"), 1, 300),
        (ValueError("a mistake of ours"), 1, 300),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_delays(error: Exception, first: float, longest: float) -> None:
    """Each kind of failure has its first and its longest delay; the jitter halves at most."""
    assert delay_for(error, 1, 1.0) == first
    assert delay_for(error, 1, 0.0) == first / 2
    assert delay_for(error, 100_000, 1.0) == longest


@given(st.integers(1, 50), st.floats(0, 1), st.floats(0, 1000))
def test_a_named_wait_is_kept(failures: int, fraction: float, named: float) -> None:
    """Retry-After is never undercut."""
    assert delay_for(ClusterUnreachableError("busy", retry_after_s=named), failures, fraction) >= named


async def run_until(queue: WorkQueue[str], is_true: Callable[[], object], what: str) -> None:
    """Run the queue until something is true."""
    running = asyncio.create_task(queue.run())
    try:
        async with asyncio.timeout(10):
            while not is_true():  # noqa: ASYNC110 - what is waited for is the queue's own state
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"waited 10 s for: {what}") from None
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_one_bad_key_does_not_stop_the_others() -> None:
    """A key that fails comes back, while the others are worked on; the failure is told."""
    seen: list[str] = []
    told: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)
        if key == "bad" and seen.count("bad") < 3:
            raise ClusterConflictError("not now")

    queue = WorkQueue(work, on_error=lambda key, _error: told.append(key), spacing_s=0)
    for key in ("bad", "good", "fine"):
        queue.add(key)
    await run_until(queue, lambda: seen.count("bad") == 3, "the third try")
    assert {"good", "fine"} <= set(seen)
    assert told == ["bad", "bad"]


async def test_keys_run_beside_each_other_within_the_bound() -> None:
    """As many keys as workers run at once, never one key twice."""
    running: set[str] = set()
    most = 0
    done: list[str] = []

    async def work(key: str) -> None:
        nonlocal most
        assert key not in running
        running.add(key)
        most = max(most, len(running))
        for _ in range(5):
            await asyncio.sleep(0)
            queue.add(key) if done.count(key) < 2 else None
        running.remove(key)
        done.append(key)

    queue = WorkQueue(work, concurrency=3, spacing_s=0)
    for number in range(6):
        queue.add(str(number))
    await run_until(queue, lambda: len(done) >= 12 and queue.is_idle, "all keys twice")
    assert most == 3


async def test_a_run_that_hangs_is_ended() -> None:
    """A run that takes too long is cut and counts as a failure."""
    told: list[BaseException] = []

    async def work(_key: str) -> None:
        await asyncio.Event().wait()

    queue = WorkQueue(work, on_error=lambda _key, error: told.append(error), timeout_s=0.01)
    queue.add("a")
    await run_until(queue, lambda: told, "the failure")
    assert isinstance(told[0], TimeoutError)


async def test_looking_again_without_an_event() -> None:
    """A run that asks to look again is repeated after that time."""
    runs = 0

    async def work(_key: str) -> float:
        nonlocal runs
        runs += 1
        return 0.001

    queue = WorkQueue(work, spacing_s=0)
    queue.add("a")
    await run_until(queue, lambda: runs >= 3, "three runs")
