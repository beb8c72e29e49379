"""The only file that reads the time; everything else takes it as an argument."""

import time
from datetime import UTC, datetime

__all__ = ["monotonic_s", "now"]


def now() -> datetime:
    """Wall-clock time in UTC: for status timestamps and records, never for durations."""
    return datetime.now(UTC)  # noqa: TID251 - the one place


def monotonic_s() -> float:
    """Seconds on the monotonic clock: for durations and deadlines."""
    return time.monotonic()  # noqa: TID251 - the one place
