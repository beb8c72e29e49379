"""Every failure of the layer below becomes one of ours."""

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
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
from modelcascade.kube.failures import TRANSPORT_ERRORS, error_from_answer, error_from_exception


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ClusterInvalidError),
        (401, ClusterUnreachableError),
        (403, ClusterForbiddenError),
        (404, ClusterNotFoundError),
        (405, ClusterInvalidError),
        (406, ClusterInvalidError),
        (408, ClusterUnreachableError),
        (409, ClusterConflictError),
        (410, ClusterNotFoundError),
        (413, ClusterInvalidError),
        (415, ClusterInvalidError),
        (418, ClusterUnreachableError),
        (422, ClusterInvalidError),
        (429, ClusterUnreachableError),
        (500, ClusterUnreachableError),
        (503, ClusterUnreachableError),
        (504, ClusterUnreachableError),
    ],
)
def test_each_status(status: int, expected: type[ClusterError]) -> None:
    """The status decides the class; the message is the server's."""
    error = error_from_answer(status, {"message": "the sentence"}, what="GET /x")
    assert (type(error), str(error), error.status) == (expected, "the sentence", status)
    raised = error_from_exception(ApiException(status=status, data={"message": "the sentence"}), what="GET /x")
    assert (type(raised), str(raised)) == (expected, "the sentence")


def subclasses(root: type[BaseException]) -> Iterator[type[BaseException]]:
    """The class and all below it."""
    yield root
    for child in root.__subclasses__():
        yield from subclasses(child)


@pytest.mark.parametrize(
    "kind",
    sorted(
        {kind for root in (aiohttp.ClientError, OpenApiException, ConfigException) for kind in subclasses(root)}
        | {TimeoutError, ConnectionResetError, BrokenPipeError},
        key=str,
    ),
    ids=str,
)
def test_each_exception_below(kind: type[BaseException]) -> None:
    """Everything that the HTTP library and the client may raise is caught and mapped."""
    assert issubclass(kind, TRANSPORT_ERRORS)
    # Most of them want a live connection to be made, and to be printed; their class is what is mapped.
    stand_in: Any = type("StandIn", (kind,), {"__str__": lambda _self: "told", "status": None})
    error = error_from_exception(stand_in.__new__(stand_in), what="GET /x")
    assert isinstance(error, ClusterUnreachableError)
    assert str(error).startswith("GET /x")


@pytest.mark.parametrize(
    ("header", "details", "expected"),
    [
        (None, None, None),
        ("3", None, 3.0),
        (None, {"retryAfterSeconds": 5}, 5.0),
        ("3", {"retryAfterSeconds": 5}, 3.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None, None),
    ],
)
def test_retry_after(header: str | None, details: dict[str, object] | None, expected: float | None) -> None:
    """The named wait comes from the header, else from the body; a date is ignored."""
    error = error_from_answer(429, {"message": "m", "details": details}, what="GET /x", retry_after=header)
    assert error.retry_after_s == expected


def test_an_answer_that_is_no_status() -> None:
    """Without a sentence of the server the message says what was asked and what came."""
    assert str(error_from_answer(502, "<html>", what="GET /x")) == "GET /x: the API server answered 502"
