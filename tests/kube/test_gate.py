"""The write gate: a bounded rate, and a count of everything that passes."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from modelcascade.kube.gate import Bucket, WriteGate, take_token


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.5, 50), st.integers(1, 20))
def test_never_faster_than_the_rate(pauses: list[float], rate: float, burst: int) -> None:
    """In any stretch of time at most burst + rate x duration writes are let through, in order."""
    bucket = Bucket(rate, burst, burst, 0.0)
    now = 0.0
    passed: list[float] = []
    for pause in pauses:
        now += pause
        bucket, wait = take_token(bucket, now)
        passed.append(now + wait)
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(passed))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + rate * (passed[last] - passed[first]) + 1 + 1e-6


async def test_writes_are_counted_and_delayed() -> None:
    """After the burst each write waits its turn on the clock that was passed in."""
    now = 0.0
    waits: list[float] = []
    counted: list[tuple[str, str]] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    gate = WriteGate(lambda: now, sleep, lambda *what: counted.append(what), rate_per_s=2, burst=2)
    for _ in range(4):
        await gate.pass_write("apply", "Service")
    assert waits == [0.5, 1.0]
    assert counted == [("apply", "Service")] * 4
