"""
Calls to engines. What comes back is a value: a whole body, a stream that has its first token, or a failure.

Never: an engine's error as a 200, a redirect followed, a compressed body unpacked, a client's header passed on.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol, Self

import aiohttp
import orjson
from yarl import URL

from modelcascade.router.sse import EventTooLargeError, SseParser, read_delta
from modelcascade.routing.answers import read_error
from modelcascade.routing.attempts import Outcome

__all__ = ["Failure", "HttpUpstream", "LiveStream", "Times", "Upstream"]

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_STREAM_BYTES = 64 * 1024 * 1024
_OK, _TOO_MANY, _FIRST_SERVER_ERROR = 200, 429, 500
_PASSING = frozenset({502, 503, 504})
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "modelcascade-router"}


@dataclass(frozen=True, slots=True)
class Times:
    """Limits of one call, in seconds (routing.md 5.3); the total comes with each call."""

    connect_s: float = 2.0
    first_token_s: float = 20.0
    idle_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that brought no answer."""

    outcome: Outcome
    status: int | None = None
    retry_after_s: float | None = None


Event = tuple[dict[str, Any], str | None, dict[str, Any] | None, dict[str, int] | None]
"""Delta, finish reason, logprobs, usage."""


class LiveStream(Protocol):
    """An engine's stream from its first token on."""

    async def next_events(self) -> list[Event] | Failure | None:
        """What has come, a failure, or `None` at the proper end."""
        ...

    def close(self) -> None:
        """Leave the stream; an engine that is still at work stops."""
        ...


class Upstream(Protocol):
    """The router's way to engines."""

    async def ask(self, url: URL, body: bytes, timeout_s: float) -> bytes | Failure:
        """The body of a 200, or the failure."""
        ...

    async def stream(self, url: URL, body: bytes, timeout_s: float) -> LiveStream | Failure:
        """A stream whose first token is there, or the failure."""
        ...


def _status_failure(status: int, retry_after: str | None) -> Failure:
    if status == _TOO_MANY:
        seconds = (
            float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else None
        )
        return Failure(Outcome.OVERLOADED, status, seconds)
    if status in _PASSING:
        return Failure(Outcome.UNAVAILABLE, status)
    if status >= _FIRST_SERVER_ERROR or status < 400:  # noqa: PLR2004 - redirects and odd successes
        return Failure(Outcome.BROKEN, status)
    return Failure(Outcome.REJECTED, status)


def _error_failure(error: aiohttp.ClientError | TimeoutError | OSError) -> Failure:
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Failure(Outcome.CONNECT_FAILED)
    if isinstance(error, TimeoutError):
        return Failure(Outcome.TIMED_OUT)
    return Failure(Outcome.BROKEN)


class _HttpStream:
    def __init__(self, response: aiohttp.ClientResponse, times: Times) -> None:
        self._response = response
        self._times = times
        self._parser = SseParser()
        self._size = 0
        self._finished = False
        self._ready: deque[Event] = deque()
        self._ended = False
        self.has_first = False
        """The first token, or a finish without one, has come."""

    async def wait_for_first(self) -> Failure | None:
        """Read until the first token, or a finish without one; the caller bounds the time."""
        while True:
            events = await self._read()
            if isinstance(events, Failure):
                return events
            if events is None:
                return Failure(Outcome.BROKEN)
            self._ready.extend(events)
            if any(delta or finish for delta, finish, _, _ in events):
                self.has_first = True
                return None

    async def next_events(self) -> list[Event] | Failure | None:
        """What has come since; waits for a token, not only for bytes."""
        if self._ready:
            events = list(self._ready)
            self._ready.clear()
            return events
        try:
            async with asyncio.timeout(self._times.idle_s):
                while True:
                    events_now = await self._read()
                    if events_now is None:
                        return None if self._finished else Failure(Outcome.BROKEN)
                    if isinstance(events_now, Failure) or events_now:
                        return events_now
        except TimeoutError:
            return Failure(Outcome.TIMED_OUT)
        except (aiohttp.ClientError, OSError) as error:
            return _error_failure(error)

    async def _read(self) -> list[Event] | Failure | None:
        if self._ended:
            return None
        received = await self._response.content.readany()
        if not received:
            return None
        self._size += len(received)
        if self._size > MAX_STREAM_BYTES:
            return Failure(Outcome.BROKEN)
        events = []
        try:
            payloads = self._parser.feed(received)
        except EventTooLargeError:
            return Failure(Outcome.BROKEN)
        for payload in payloads:
            if payload == b"[DONE]":
                self._ended = True
                break
            try:
                value = orjson.loads(payload)
            except orjson.JSONDecodeError:
                return Failure(Outcome.BROKEN)
            if read_error(value):
                return Failure(Outcome.BROKEN)
            event = read_delta(value)
            if any(event):
                self._finished = self._finished or event[1] is not None
                events.append(event)
        return events

    def close(self) -> None:
        """Give the connection back when the stream is whole, else cut it."""
        if self._ended and self._finished:
            self._response.release()
        else:
            self._response.close()


class HttpUpstream:
    """Engines over HTTP, through one pool of connections."""

    def __init__(self, session: aiohttp.ClientSession, times: Times) -> None:
        self._session = session
        self._times = times
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=times.connect_s)

    @classmethod
    def open(cls, times: Times | None = None) -> Self:
        """An upstream with its own pool; close it."""
        connector = aiohttp.TCPConnector(
            limit=0,  # the endpoints' slots are the limit
            keepalive_timeout=4.0,  # below llama-server's own 5 s, so that a kept connection is still open
            use_dns_cache=True,
            ttl_dns_cache=10,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=_HEADERS,
            trust_env=False,
        )
        return cls(session, times or Times())

    async def close(self) -> None:
        """Close the pool."""
        await self._session.close()

    async def _post(self, url: URL, body: bytes) -> aiohttp.ClientResponse:
        return await self._session.post(url, data=body, timeout=self._timeout, allow_redirects=False)

    async def ask(self, url: URL, body: bytes, timeout_s: float) -> bytes | Failure:
        """The body of a 200, or the failure; the connection is cut when this is cancelled."""
        try:
            async with asyncio.timeout(timeout_s), await self._post(url, body) as response:
                if response.status != _OK:
                    return _status_failure(response.status, response.headers.get("Retry-After"))
                if "Content-Encoding" in response.headers:
                    response.close()
                    return Failure(Outcome.BROKEN)
                received = bytearray()
                async for part in response.content.iter_any():
                    received += part
                    if len(received) > MAX_BODY_BYTES:
                        response.close()
                        return Failure(Outcome.BROKEN)
                return bytes(received)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _error_failure(error)

    async def stream(self, url: URL, body: bytes, timeout_s: float) -> LiveStream | Failure:
        """A stream whose first token is there, or the failure."""
        live: _HttpStream | None = None
        failure: Failure | None = None
        try:
            async with asyncio.timeout(min(timeout_s, self._times.first_token_s)):
                response = await self._post(url, body)
                live = _HttpStream(response, self._times)
                if response.status != _OK:
                    failure = _status_failure(response.status, response.headers.get("Retry-After"))
                elif "Content-Encoding" in response.headers or response.content_type != "text/event-stream":
                    failure = Failure(Outcome.BROKEN)
                else:
                    failure = await live.wait_for_first()
        except TimeoutError as error:
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            late = Outcome.TIMED_OUT if timeout_s < self._times.first_token_s else Outcome.FIRST_TOKEN_TIMEOUT
            failure = Failure(Outcome.CONNECT_FAILED if connecting else late)
        except (aiohttp.ClientError, OSError) as error:
            failure = _error_failure(error)
        finally:
            if live is not None and (failure is not None or not live.has_first):
                live.close()
        return live if failure is None and live is not None else failure or Failure(Outcome.BROKEN)
