"""
The exception tree: the outside world failing. Expected outcomes are values with a reason, never exceptions.

    ModelcascadeError
    ├── ClusterError    Conflict · Forbidden · NotFound · Invalid · Unreachable
    └── UpstreamError   Timeout · Overloaded · Rejected · Broken
"""

__all__ = [
    "ClusterConflictError",
    "ClusterError",
    "ClusterForbiddenError",
    "ClusterInvalidError",
    "ClusterNotFoundError",
    "ClusterUnreachableError",
    "ModelcascadeError",
    "UpstreamBrokenError",
    "UpstreamError",
    "UpstreamOverloadedError",
    "UpstreamRejectedError",
    "UpstreamTimeoutError",
]


class ModelcascadeError(Exception):
    """The root: catch it only in a process's outermost loop."""


class ClusterError(ModelcascadeError):
    """The API server did not do what was asked; `message` is the server's own sentence."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class ClusterConflictError(ClusterError):
    """409: somebody wrote in between, or a field belongs to another manager."""


class ClusterForbiddenError(ClusterError):
    """403: RBAC, quota, Pod Security or a terminating namespace; the message says which."""


class ClusterNotFoundError(ClusterError):
    """404: the object, or its kind, does not exist."""


class ClusterInvalidError(ClusterError):
    """400 or 422: the server refuses the object itself; trying the same again cannot help."""


class ClusterUnreachableError(ClusterError):
    """No answer, 429 or 5xx: try again later, after `retry_after_s` when the server named it."""


class UpstreamError(ModelcascadeError):
    """An engine or API did not answer as it should."""


class UpstreamTimeoutError(UpstreamError):
    """Nothing came in time."""


class UpstreamOverloadedError(UpstreamError):
    """429 or 503: busy."""


class UpstreamRejectedError(UpstreamError):
    """4xx: this request will not be accepted by this upstream."""


class UpstreamBrokenError(UpstreamError):
    """Connection lost, 5xx, or an answer that is no answer."""
