"""
The exception tree: the outside world failing. Expected outcomes are values with a reason, never exceptions.

    ModelcascadeError
    └── ClusterError    Conflict · Forbidden · NotFound · Invalid · Unreachable
"""

__all__ = [
    "ClusterConflictError",
    "ClusterError",
    "ClusterForbiddenError",
    "ClusterInvalidError",
    "ClusterNotFoundError",
    "ClusterUnreachableError",
    "ModelcascadeError",
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
