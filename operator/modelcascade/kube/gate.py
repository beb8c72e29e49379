"""
The gate that every write to the API server passes: a token bucket, and a count by verb and kind.

It is also the place where an own Lease comes in once two operator replicas are supported.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

__all__ = ["Bucket", "WriteGate", "take_token"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket as a value."""

    rate_per_s: float
    burst: float
    tokens: float
    """May be negative: that many callers wait already."""

    at_s: float
    """The moment that `tokens` belongs to, on the monotonic clock."""


def take_token(bucket: Bucket, now_s: float) -> tuple[Bucket, float]:
    """
    Take one token; also the seconds until it may be used.

    Each caller's wait includes that of those before it, so that the order is kept without a queue.
    """
    tokens = min(bucket.burst, bucket.tokens + max(0.0, now_s - bucket.at_s) * bucket.rate_per_s) - 1.0
    wait_s = max(0.0, -tokens / bucket.rate_per_s)
    return replace(bucket, tokens=tokens, at_s=now_s), wait_s


class WriteGate:
    """
    Lets writes through at a bounded rate.

    Args:
        monotonic_s: the clock.
        sleep: waits so many seconds.
        count: told verb and kind of each write that passes.
        rate_per_s: writes a second in the long run.
        burst: writes that may pass at once after a pause.
    """

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        count: Callable[[str, str], None],
        *,
        rate_per_s: float = 20.0,
        burst: float = 60.0,
    ) -> None:
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._count = count
        self._bucket = Bucket(rate_per_s, burst, burst, monotonic_s())

    async def pass_write(self, verb: str, kind: str) -> None:
        """Return when the write may be sent."""
        self._bucket, wait_s = take_token(self._bucket, self._monotonic_s())
        if wait_s > 0:
            await self._sleep(wait_s)
        self._count(verb, kind)
