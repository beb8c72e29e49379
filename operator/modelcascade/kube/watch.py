"""
List and watch one kind for ever: the full list first, then each change; it ends only when it is cancelled.

    list ──► RESET ──► watch ──► ADDED · MODIFIED · DELETED ──► (stream ends) ──► watch from the last version
      ▲                                                   └──► 410, or an ERROR in the stream ──► list again
      └── after a failure: a jittered back-off that doubles up to a minute and never gives up

A consumer replaces all that it knows by a RESET: whatever was missed while the API server was away is in it.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelcascade.errors import ClusterError, ClusterInvalidError, ClusterNotFoundError
from modelcascade.kube.connect import Connection
from modelcascade.kube.resources import Resource

__all__ = ["MAX_BACKOFF_S", "WatchEvent", "WatchTimes", "backoff_s", "watch_objects"]

logger = logging.getLogger(__name__)

MAX_BACKOFF_S = 60.0
_GONE = 410
_PAGE = 500


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A RESET holds the whole list, in `objects`; any other event holds exactly one object."""

    type: Literal["RESET", "ADDED", "MODIFIED", "DELETED"]
    objects: tuple[Mapping[str, Any], ...]

    @property
    def obj(self) -> Mapping[str, Any]:
        """The one object of an event that is no RESET."""
        (only,) = self.objects
        return only


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """
    Durations, in seconds; only tests pass others.

    The API server sends a bookmark each minute, so 75 s of silence mean a broken stream.
    """

    idle: float = 75.0
    server: float = 300.0
    first_backoff: float = 1.0
    short_stream: float = 1.0
    """A stream that ends sooner and brought nothing counts as a failure, so that no tight loop can arise."""


def backoff_s(failures: int, *, first_s: float = 1.0, fraction: float) -> float:
    """
    Seconds to wait after `failures` failures in a row: doubling from `first_s`, at most a minute.

    Args:
        failures: how many in a row, from 1.
        first_s: the longest wait after the first failure.
        fraction: 0-1, from the caller's random source; the wait is between half and the whole of the step.
    """
    step = min(MAX_BACKOFF_S, first_s * 2.0 ** min(failures - 1, 16))
    return step * (0.5 + 0.5 * fraction)


async def watch_objects(
    connection: Connection,
    resource: Resource,
    namespace: str | None,
    *,
    label_selector: str | None = None,
    field_selector: str | None = None,
    times: WatchTimes | None = None,
) -> AsyncGenerator[WatchEvent, None]:
    """
    Events of one kind, for ever.

    Args:
        connection: the API server.
        resource: the kind.
        namespace: None for all namespaces.
        label_selector: applied by the server, so others' objects are never sent.
        field_selector: as `label_selector`, such as `metadata.name=NAME`.
        times: other durations, for tests.
    """
    times = times or WatchTimes()
    selectors = (("labelSelector", label_selector), ("fieldSelector", field_selector))
    query = {name: value for name, value in selectors if value is not None}
    path = resource.path(namespace)
    watch = _Watch(connection, resource, path, query, times)
    failures = 0
    while True:
        wait_s = 0.0
        try:
            async with contextlib.aclosing(watch.events()) as events:
                async for event in events:
                    if event.type != "RESET":  # a list that works beside a watch that fails must not hide the failure
                        failures = _recovered(failures, path)
                    yield event
            if watch.was_alive:
                failures = _recovered(failures, path)
                continue
            reason = "the stream ended at once"
        except ClusterError as error:
            if watch.expire(error) and failures == 0:
                failures = 1  # normal after a long silence: list again at once, but only once in a row
                continue
            reason = str(error)
            wait_s = error.retry_after_s or 0.0
        failures += 1
        wait_s = max(wait_s, backoff_s(failures, first_s=times.first_backoff, fraction=random.random()))  # noqa: S311 - jitter
        logger.warning(
            "watch interrupted, will retry", extra={"path": path, "reason": reason, "retry_in_s": round(wait_s, 1)}
        )
        await asyncio.sleep(wait_s)


class _Watch:
    """The version that was reached, and one pass of list (when there is none) and stream at a time."""

    def __init__(
        self, connection: Connection, resource: Resource, path: str, query: Mapping[str, str], times: WatchTimes
    ) -> None:
        self._connection = connection
        self._resource = resource
        self._path = path
        self._query = query
        self._times = times
        self._version: str | None = None
        self.was_alive = False
        """The last pass brought something, or lasted long enough."""

    def expire(self, error: ClusterError) -> bool:
        """Forget the version when the server does not know it any more; True for the ordinary 410."""
        gone = error.status == _GONE
        if gone or isinstance(error, ClusterNotFoundError | ClusterInvalidError):
            self._version = None  # also when the kind itself went away: it may come back with other versions
        return gone

    async def events(self) -> AsyncGenerator[WatchEvent, None]:
        """One pass; it ends when the stream ends, and raises ClusterError when it breaks."""
        self.was_alive = False
        if self._version is None:
            objects, self._version = await self._list()
            yield WatchEvent("RESET", objects)
        started = asyncio.get_running_loop().time()
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, int(self._times.server))),
        }
        async with self._connection.stream(
            self._path, query=query, idle_s=self._times.idle, total_s=self._times.server + 10
        ) as lines:
            async for line in lines:
                self.was_alive = True
                body = line.get("object") or {}
                match line.get("type"):
                    case "ADDED" | "MODIFIED" | "DELETED" as kind:
                        self._advance(body)
                        yield WatchEvent(kind, (self._named(body),))
                    case "BOOKMARK":
                        self._advance(body)
                    case "ERROR":
                        self._version = None  # whatever it was, a fresh list cures it
                        raise _stream_error(body)
                    case other:
                        logger.debug("unknown watch event", extra={"path": self._path, "type": other})
        if asyncio.get_running_loop().time() - started >= self._times.short_stream:
            self.was_alive = True

    async def _list(self) -> tuple[tuple[Mapping[str, Any], ...], str]:
        # In pages, so that a long list is never one big answer.
        objects: list[Mapping[str, Any]] = []
        page = {"limit": str(_PAGE)}
        while True:
            answer = await self._connection.request("GET", self._path, query={**self._query, **page})
            objects += [self._named(body) for body in answer.get("items") or ()]
            metadata = answer.get("metadata") or {}
            if not metadata.get("continue"):
                return tuple(objects), str(metadata.get("resourceVersion", "0"))
            page["continue"] = metadata["continue"]

    def _named(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        # The items of a list carry neither; those of a watch do.
        return {"apiVersion": self._resource.api_version, "kind": self._resource.kind, **body}

    def _advance(self, body: Mapping[str, Any]) -> None:
        self._version = (body.get("metadata") or {}).get("resourceVersion", self._version)


def _recovered(failures: int, path: str) -> int:
    if failures > 1:
        logger.info("watch recovered", extra={"path": path, "failures": failures})
    return 0


def _stream_error(status: Mapping[str, Any]) -> ClusterError:
    code = status.get("code")
    return ClusterError(
        str(status.get("message") or "the watch reported an error"), status=code if isinstance(code, int) else None
    )
