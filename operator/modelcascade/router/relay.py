"""
Answers on their way to a client that streams.

Tokens reach the client only from a step after which no other tier can answer. Until then nothing is sent, or only
heartbeats; from then on a failure is one error event, and the stream ends without `[DONE]`.
"""

import asyncio
from typing import Any

from aiohttp import web

from modelcascade.api.reasons import ErrorCode
from modelcascade.router.cascade import Committed
from modelcascade.router.errors import error_event
from modelcascade.router.exchange import Exchange
from modelcascade.router.sse import DONE, ChunkFrame, answer_chunks
from modelcascade.router.upstream import Failure
from modelcascade.routing.attempts import Answer, Outcome
from modelcascade.routing.facts import RequestFacts
from modelcascade.routing.steps import AnswerWith, Fail

__all__ = ["begin_stream", "relay_answer", "relay_failure", "relay_stream"]

HEARTBEAT = b": waiting\n\n"


async def begin_stream(exchange: Exchange, request: web.BaseRequest) -> web.StreamResponse:
    """Send status 200 and the headers known now."""
    headers = exchange.headers()
    headers["Content-Type"] = "text/event-stream; charset=utf-8"
    headers["Cache-Control"] = "no-cache"
    headers["X-Accel-Buffering"] = "no"
    response = web.StreamResponse(headers=headers)
    if exchange.state.draining:
        response.force_close()
    await response.prepare(request)
    return response


def _frame(exchange: Exchange) -> ChunkFrame:
    return ChunkFrame(exchange.request_id, int(exchange.started_at.timestamp()), exchange.model or "")


async def relay_answer(exchange: Exchange, facts: RequestFacts, step: AnswerWith, response: web.StreamResponse) -> None:
    """Stream a whole, accepted answer."""
    answer = step.attempt.answer
    if answer is None:
        msg = "an accepted attempt has an answer"
        raise ValueError(msg)
    frame = _frame(exchange)
    parts = [
        answer_chunks(frame, answer, logprobs=facts.chat.logprobs),
        frame.finish(answer.finish_reason, exchange.facts_for_stream()),
    ]
    if facts.chat.include_usage and answer.usage is not None:
        parts.append(frame.usage(answer.usage))
    exchange.first_token_s = exchange.elapsed_s()
    await response.write(b"".join((*parts, DONE)))
    await response.write_eof()


async def relay_failure(exchange: Exchange, failure: Fail, response: web.StreamResponse) -> None:
    """One error in a stream that has begun."""
    await response.write(error_event(failure.status, failure.code, failure.message, exchange.request_id))
    response.force_close()
    await response.write_eof()


class _Relay:
    """Collects what an engine's events mean, and makes ours of them."""

    def __init__(self, exchange: Exchange, facts: RequestFacts) -> None:
        self._exchange = exchange
        self._chat = facts.chat
        self._frame = _frame(exchange)
        self.finish_reason: str | None = None
        self.usage: dict[str, int] | None = None
        self._begun = False

    def take(
        self, events: list[tuple[dict[str, Any], str | None, dict[str, Any] | None, dict[str, int] | None]]
    ) -> bytes:
        """Our events for these."""
        parts = []
        if not self._begun:
            self._begun = True
            parts.append(self._frame.event({"role": "assistant", "content": ""}))
        for delta, finish, logprobs, usage in events:
            if delta and self.finish_reason is None:
                parts.append(self._frame.event(delta, logprobs if self._chat.logprobs else None))
            if finish is not None and self.finish_reason is None:
                self.finish_reason = finish
                parts.append(self._frame.finish(finish, self._exchange.facts_for_stream()))
            if usage is not None:
                self.usage = usage
        return b"".join(parts)

    def end(self) -> bytes:
        """Usage when it was asked, and the end mark."""
        wanted = self._chat.include_usage and self.usage is not None
        return (self._frame.usage(self.usage) if wanted and self.usage is not None else b"") + DONE

    def answer(self) -> Answer:
        """What is known of the answer for the record; its text is not kept."""
        return Answer({}, self.finish_reason or "stop", None, (), self.usage)


async def relay_stream(
    exchange: Exchange, facts: RequestFacts, committed: Committed, response: web.StreamResponse
) -> Fail | None:
    """Stream an engine's answer as it comes; the failure that ended it early, or `None`."""
    relay = _Relay(exchange, facts)
    outcome: Outcome | None = None
    exchange.first_token_s = exchange.elapsed_s()
    try:
        async with asyncio.timeout(max(0.0, facts.deadline_s - exchange.elapsed_s())):
            while True:
                events = await committed.live.next_events()
                if events is None:
                    outcome = Outcome.OK
                    break
                if isinstance(events, Failure):
                    outcome = events.outcome
                    break
                ours = relay.take(events)
                if ours:
                    await response.write(ours)
            if outcome is Outcome.OK:
                await response.write(relay.end())
                await response.write_eof()
                return None
    except TimeoutError:
        outcome = Outcome.TIMED_OUT
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not exchange.state.aborting or task is None:
            raise
        task.uncancel()  # the router stops; the client is told
        stopping = Fail(503, ErrorCode.OVERLOADED, exchange.reason, "The router is going away; try again.")
        await relay_failure(exchange, stopping, response)
        return stopping
    finally:
        committed.leave(exchange, outcome, relay.answer())
    late = exchange.elapsed_s() >= facts.deadline_s
    code = ErrorCode.DEADLINE_EXCEEDED if late else ErrorCode.UPSTREAM_ERROR
    message = "The deadline passed inside the answer." if late else "The answer broke off."
    failure = Fail(504 if late else 502, code, exchange.reason, message)
    await relay_failure(exchange, failure, response)
    return failure
