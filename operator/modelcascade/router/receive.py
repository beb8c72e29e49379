"""From the socket to a bounded body: what must not even be parsed is refused here."""

import asyncio

from aiohttp import web

from modelcascade.api.reasons import ErrorCode
from modelcascade.router.exchange import Exchange
from modelcascade.routing.chat import Problem

__all__ = ["read_body", "read_headers"]

_PREFIX = b"x-modelcascade-"
_DEBUG = b"x-modelcascade-debug"
MAX_CLIENT_ID = 128


def _refuse(message: str, param: str | None = None) -> Problem:
    return Problem(400, ErrorCode.INVALID_REQUEST, message, param)


def read_headers(exchange: Exchange, request: web.BaseRequest, limit: int) -> Problem | None:
    """Take from the headers what we read, and refuse what we must not let pass; nothing is passed on."""
    size = 0
    framing = 0
    for raw_name, value in request.raw_headers:
        size += len(raw_name) + len(value) + 4
        name = raw_name.lower()
        if name.startswith(_PREFIX):
            if name != _DEBUG:
                shown = name.decode("ascii", "replace")[:64]
                return _refuse(f"The header {shown} is not served by this version.", shown)
            exchange.debug = value.lower() == b"true"
        elif name == b"content-encoding":
            if value.lower() != b"identity":
                return _refuse("The body must not be compressed.", "content-encoding")
        elif name in (b"content-length", b"transfer-encoding"):
            framing += 1
        elif name == b"x-request-id":
            exchange.client_request_id = value.decode("ascii", "replace")[:MAX_CLIENT_ID]
    if framing > 1:
        return _refuse("The request frames its body twice.")
    if size > limit:
        return Problem(431, ErrorCode.HEADERS_TOO_LARGE, f"The headers are larger than {limit} bytes.")
    return None


def _too_large(limit: int) -> Problem:
    return Problem(413, ErrorCode.REQUEST_TOO_LARGE, f"The body is larger than {limit} bytes.")


async def read_body(request: web.BaseRequest, limit: int, within_s: float) -> bytes | Problem:
    """
    The whole body, or why not; never more than `limit` bytes and one read are held.

    Raises:
        ConnectionError: the client left.
    """
    length = request.content_length
    if length is not None and length > limit:
        return _too_large(limit)
    content = request.content
    if content.is_eof():  # the usual case: it came with the head
        body = content.read_nowait(-1)
        return body if len(body) <= limit else _too_large(limit)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    received = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while True:
                part = await content.readany()
                if not part:
                    return bytes(received)
                received += part
                if len(received) > limit:
                    return _too_large(limit)
    except TimeoutError:
        message = f"The body did not arrive within {within_s:g} s."
        return Problem(408, ErrorCode.RECEIVE_TIMEOUT, message)
