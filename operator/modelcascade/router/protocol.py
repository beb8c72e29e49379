"""
The listening side: aiohttp's low-level server with the deadlines and limits that it lacks.

Measured with aiohttp 3.14: silent, partial and trickled connections stay open (its keep-alive timer ends only idle
ones), parse errors quote the client's bytes, and there is no cap on connections. Here a request line with headers must
arrive within `HEADERS_S`, errors have the public shape, and connections are capped as a whole and for each source.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from modelcascade.api.reasons import ErrorCode, RequestReason
from modelcascade.router.errors import to_openai_error

__all__ = ["HEADERS_S", "Limits", "RouterServer", "new_request_id"]

import secrets
from dataclasses import dataclass

logger = logging.getLogger(__name__)

HEADERS_S = 10.0
_BAD_REQUEST, _HEADERS_TOO_LARGE = 400, 431


def new_request_id() -> str:
    """An id that cannot be guessed; a client's own is never used as one."""
    return f"req_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listening server allows; only tests pass other values."""

    headers_s: float = HEADERS_S
    keep_alive_s: float = 75.0
    field_bytes: int = 8_190
    header_fields: int = 100
    connections: int = 10_000
    connections_of_one_source: int = 1_000


def _plain_error(status: int, code: ErrorCode, message: str) -> web.Response:
    request_id = new_request_id()
    response = web.Response(
        status=status,
        body=to_openai_error(status, code, message, None, request_id),
        content_type="application/json",
        headers={
            "x-request-id": request_id,
            "x-modelcascade-request-id": request_id,
            "x-modelcascade-escalations": "0",
            "x-modelcascade-reason": RequestReason.ROUTER_ERROR
            if code is ErrorCode.INTERNAL
            else RequestReason.REFUSED,
            "Server": "modelcascade",
        },
    )
    response.force_close()
    return response


class _Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ("_headers_s", "_headers_timer", "_seen")

    def __init__(self, manager: "RouterServer", *, headers_s: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._headers_s = headers_s
        self._headers_timer: asyncio.TimerHandle | None = None
        self._seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._request_count != self._seen:  # a whole head has come
            self._seen = self._request_count
            self._disarm()
        elif data and self._headers_timer is None and self._current_request is None:
            self._arm()  # the first bytes of the next head on a kept connection

    def _arm(self) -> None:
        self._headers_timer = asyncio.get_running_loop().call_later(self._headers_s, self._headers_late)

    def _disarm(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _headers_late(self) -> None:
        self._headers_timer = None
        if self.transport is None or self._current_request is not None:
            return
        request_id = new_request_id()
        message = f"The request's headers did not arrive within {self._headers_s:g} s."
        body = to_openai_error(408, ErrorCode.RECEIVE_TIMEOUT, message, None, request_id)
        head = (
            "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\nx-request-id: {request_id}\r\nx-modelcascade-request-id: {request_id}\r\n"
            f"x-modelcascade-escalations: 0\r\nx-modelcascade-reason: {RequestReason.REFUSED}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the client's bytes
    ) -> web.StreamResponse:
        """A request that is no HTTP, or a defect of ours: the public shape, without a trace for the client."""
        if status == _BAD_REQUEST:
            logger.debug("request refused by the parser", extra={"error": type(exc).__name__})
            if isinstance(exc, LineTooLong) or "Too many" in str(exc):
                return _plain_error(
                    _HEADERS_TOO_LARGE, ErrorCode.HEADERS_TOO_LARGE, "The request line or a header is too large."
                )
            return _plain_error(_BAD_REQUEST, ErrorCode.INVALID_REQUEST, "The request is not valid HTTP/1.1.")
        logger.error("unhandled error in a request", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun")
        return _plain_error(500, ErrorCode.INTERNAL, "The router failed on this request.")


class RouterServer(web.Server):
    """Makes a connection's protocol, and counts connections."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], limits: Limits | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._sources: Counter[str] = Counter()
        super().__init__(
            handler,
            handler_cancellation=True,  # a client that leaves frees its upstream
            access_log=None,
            keepalive_timeout=self._limits.keep_alive_s,
            max_line_size=self._limits.field_bytes,
            max_field_size=self._limits.field_bytes,
            max_headers=self._limits.header_fields,
            auto_decompress=False,
            lingering_time=1.0,
        )

    def __call__(self) -> web.RequestHandler:
        """The protocol of one new connection."""
        return _Protocol(self, headers_s=self._limits.headers_s, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count it, or close it when there are too many."""
        super().connection_made(handler, transport)
        source = _source(transport)
        self._sources[source] += 1
        limits = self._limits
        if len(self.connections) > limits.connections or self._sources[source] > limits.connections_of_one_source:
            logger.warning("connection closed: too many", extra={"source": source, "count": self._sources[source]})
            transport.close()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget it."""
        transport = self._connections.get(handler)
        if transport is not None:
            source = _source(transport)
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]
        super().connection_lost(handler, exc)


def _source(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""
