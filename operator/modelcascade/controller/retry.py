"""
The one place where a failure becomes a delay until the key comes back.

| failure | first delay | longest |
| --- | --- | --- |
| conflict: somebody wrote in between | 0.2 s | 30 s |
| unreachable: no answer, 429, 5xx | 1 s, or what the server named | 60 s |
| forbidden: RBAC, quota, a namespace that ends | 5 s | 300 s |
| invalid: the server refuses the object | 15 s | 300 s |
| anything else: a mistake of ours | 1 s | 300 s |

An edit of the cascade or of a child comes at once, whatever the delay.
"""

from modelcascade.errors import (
    ClusterConflictError,
    ClusterForbiddenError,
    ClusterInvalidError,
    ClusterUnreachableError,
)

__all__ = ["delay_for"]

_MAX_EXPONENT = 16


def delay_for(error: BaseException, failures: int, fraction: float) -> float:
    """
    Seconds until the key is tried again.

    Args:
        error: what happened.
        failures: how many times in a row, from 1.
        fraction: 0-1, from the caller's random source; the delay is between half and the whole of its step.
    """
    first_s, longest_s = _bounds(error)
    step = min(longest_s, first_s * 2.0 ** min(failures - 1, _MAX_EXPONENT))
    delay = step * (0.5 + 0.5 * fraction)
    named_s = error.retry_after_s if isinstance(error, ClusterUnreachableError) else None
    return delay if named_s is None else max(delay, named_s)


def _bounds(error: BaseException) -> tuple[float, float]:
    match error:
        case ClusterConflictError():
            return 0.2, 30.0
        case ClusterUnreachableError() | TimeoutError():
            return 1.0, 60.0
        case ClusterForbiddenError():
            return 5.0, 300.0
        case ClusterInvalidError():
            return 15.0, 300.0
        case _:
            return 1.0, 300.0
