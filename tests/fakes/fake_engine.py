"""
An engine that does what a test says: an OpenAI-compatible HTTP server on loopback with scripted replies.

It speaks llama-server's dialect (a first chunk with `content: null`, a last one without choices, `timings`), which
`tests/contract/test_engine_contract.py` holds it to. It can also answer late, break off, stall, or answer nonsense.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

__all__ = ["FakeEngine", "Reply", "running_engine"]


@dataclass(frozen=True)
class Reply:
    """What one request gets."""

    text: str = "forty-two"
    logprob: float | None = -0.01
    """Of each token; `None`: no logprobs, even when they are asked."""

    logprobs: tuple[float, ...] = ()
    """One for each token in its turn, in place of `logprob`."""

    finish_reason: str = "stop"
    tool_calls: tuple[dict[str, Any], ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """Sent in place of an answer."""

    delay_s: float = 0.0
    """Before the first byte."""

    hold: asyncio.Event | None = None
    """Before the first byte, wait for this; the client may leave meanwhile."""

    cut_after: int | None = None
    """Streaming: close the connection after so many tokens."""

    stall_after: int | None = None
    """Streaming: after so many tokens say nothing more."""

    first_event: bytes | None = None
    """Streaming: the payload of an event before all others."""

    drop: bool = False
    """Close the connection without an answer."""


@dataclass
class FakeEngine:
    """Replies in the order of `script`; when that is used up, `reply` for ever."""

    reply: Reply = field(default_factory=Reply)
    script: deque[Reply] = field(default_factory=deque)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """The parsed body of each request that came."""

    raw_headers: list[dict[str, str]] = field(default_factory=list)
    left: int = 0
    """Requests whose client went away before the end."""

    running: int = 0
    peak: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a request begins or ends."""

    url: str = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        body = orjson.loads(await request.read())
        self.bodies.append(body)
        self.raw_headers.append(dict(request.headers))
        reply = self.script.popleft() if self.script else self.reply
        self.running += 1
        self.peak = max(self.peak, self.running)
        self.changed.set()
        try:
            return await self._answer(request, body, reply)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise
        finally:
            self.running -= 1
            self.changed.set()

    async def _answer(self, request: web.BaseRequest, body: dict[str, Any], reply: Reply) -> web.StreamResponse:
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.hold is not None:
            await reply.hold.wait()
        if reply.drop:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError
        if reply.body is not None or reply.status != 200:
            error = {"error": {"message": "the fake was told to fail", "code": reply.status}}
            content = reply.body if reply.body is not None else orjson.dumps(error)
            headers = {"Content-Type": "application/json", **dict(reply.headers)}
            return web.Response(status=reply.status, body=content, headers=headers)
        if body.get("stream"):
            return await self._stream(request, body, reply)
        return web.Response(body=orjson.dumps(_completion(body, reply)), content_type="application/json")

    async def _stream(self, request: web.BaseRequest, body: dict[str, Any], reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if reply.first_event is not None:
            await response.write(b"data: " + reply.first_event + b"\n\n")
        await response.write(_chunk(body, {"role": "assistant", "content": None}))
        tokens = _tokens(reply)
        for n, token in enumerate(tokens):
            if n == reply.cut_after and request.transport is not None:
                request.transport.abort()
                raise ConnectionResetError
            if n == reply.stall_after:
                await asyncio.Event().wait()
            await response.write(_chunk(body, {"content": token}, logprobs=_logprobs(body, reply, n, token)))
        for n, call in enumerate(reply.tool_calls):
            await response.write(_chunk(body, {"tool_calls": [{"index": n, **call}]}))
        await response.write(_chunk(body, {}, finish="tool_calls" if reply.tool_calls else reply.finish_reason))
        if body.get("stream_options", {}).get("include_usage"):
            last = {"choices": [], "usage": _usage(reply), "timings": {"predicted_ms": 1.0}}
            await response.write(b"data: " + orjson.dumps({**_head(body, "chat.completion.chunk"), **last}) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-fake", "object": kind, "created": 1, "model": body.get("model", "")}


def _tokens(reply: Reply) -> list[str]:
    words = reply.text.split(" ")
    return [word if n == 0 else f" {word}" for n, word in enumerate(words)] if reply.text else []


def _usage(reply: Reply) -> dict[str, int]:
    count = len(_tokens(reply))
    return {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}


def _entry(reply: Reply, n: int, token: str) -> dict[str, Any]:
    value = reply.logprobs[n] if n < len(reply.logprobs) else reply.logprob
    return {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}


def _logprobs(body: dict[str, Any], reply: Reply, n: int, token: str) -> dict[str, Any] | None:
    asked = body.get("logprobs") and reply.logprob is not None
    return {"content": [_entry(reply, n, token)]} if asked else None


def _chunk(
    body: dict[str, Any], delta: dict[str, Any], *, finish: str | None = None, logprobs: dict[str, Any] | None = None
) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
    if logprobs is not None:
        choice["logprobs"] = logprobs
    return b"data: " + orjson.dumps({**_head(body, "chat.completion.chunk"), "choices": [choice]}) + b"\n\n"


def _completion(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = list(reply.tool_calls)
    choice: dict[str, Any] = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls" if reply.tool_calls else reply.finish_reason,
    }
    if body.get("logprobs") and reply.logprob is not None:
        choice["logprobs"] = {"content": [_entry(reply, n, token) for n, token in enumerate(_tokens(reply))]}
    return {
        **_head(body, "chat.completion"),
        "choices": [choice],
        "usage": _usage(reply),
        "timings": {"predicted_ms": 1.0},
    }


@contextlib.asynccontextmanager
async def running_engine(engine: FakeEngine | None = None, *, port: int = 0) -> AsyncIterator[FakeEngine]:
    """The engine on a free loopback port; `url` is its base."""
    engine = engine or FakeEngine()
    runner = web.ServerRunner(web.Server(engine.handle, handler_cancellation=True), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    engine.url = f"http://127.0.0.1:{site.port}"
    try:
        yield engine
    finally:
        await runner.cleanup()
