"""
The one place where failures of the API server and of the way to it become our exceptions.

    409 Conflict · 403 Forbidden · 404, 410 NotFound · 400, 405, 406, 413, 415, 422 Invalid · anything else Unreachable

401 is Unreachable: credentials are re-read and the same request may pass a moment later.
"""

from collections.abc import Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client.exceptions import ApiException, OpenApiException
from kubernetes.aio.config import ConfigException

from modelcascade.errors import (
    ClusterConflictError,
    ClusterError,
    ClusterForbiddenError,
    ClusterInvalidError,
    ClusterNotFoundError,
    ClusterUnreachableError,
)

__all__ = ["TRANSPORT_ERRORS", "error_from_answer", "error_from_exception"]

TRANSPORT_ERRORS = (aiohttp.ClientError, OSError, OpenApiException, ConfigException)
"""All that a request or the reading of credentials may raise; TimeoutError is an OSError."""

_BY_STATUS: Mapping[int, type[ClusterError]] = {
    400: ClusterInvalidError,
    403: ClusterForbiddenError,
    404: ClusterNotFoundError,
    405: ClusterInvalidError,
    406: ClusterInvalidError,
    409: ClusterConflictError,
    410: ClusterNotFoundError,
    413: ClusterInvalidError,
    415: ClusterInvalidError,
    422: ClusterInvalidError,
}


def error_from_answer(status: int, body: Any, *, what: str, retry_after: str | None = None) -> ClusterError:
    """
    The exception for an answer of 400 or above.

    Args:
        status: the HTTP status.
        body: the parsed `Status` object, or whatever came instead.
        what: verb and path, for answers without a sentence of their own.
        retry_after: the header's text; seconds, as the API server sends it.
    """
    sentence = body.get("message") if isinstance(body, Mapping) else None
    message = str(sentence) if sentence else f"{what}: the API server answered {status}"
    details = body.get("details") if isinstance(body, Mapping) else None
    wait_s = _seconds(retry_after)
    if wait_s is None and isinstance(details, Mapping):
        wait_s = _seconds(details.get("retryAfterSeconds"))
    return _BY_STATUS.get(status, ClusterUnreachableError)(message, status=status, retry_after_s=wait_s)


def error_from_exception(error: BaseException, *, what: str) -> ClusterError:
    """The exception for a request that got no answer, or for credentials that could not be read."""
    if isinstance(error, ApiException) and error.status:
        return error_from_answer(int(error.status), error.data, what=what)
    if isinstance(error, TimeoutError):
        return ClusterUnreachableError(f"{what}: no answer in time")
    text = str(error) or type(error).__name__
    return ClusterUnreachableError(f"{what}: {text}")


def _seconds(value: object) -> float | None:
    try:
        return max(0.0, float(str(value))) if value is not None else None
    except ValueError:  # an HTTP date, which the API server never sends
        return None
