"""The loop of one request: ask `next_step`, carry the step out, remember what came of it, until it ends."""

import asyncio
import logging
from dataclasses import dataclass, replace

from modelcascade import clock
from modelcascade.api.documents import Routes
from modelcascade.api.reasons import RequestReason
from modelcascade.router.endpoints import Endpoint
from modelcascade.router.exchange import Exchange
from modelcascade.router.upstream import Failure, LiveStream
from modelcascade.routing.answers import parse_answer
from modelcascade.routing.attempts import Answer, Attempt, Outcome
from modelcascade.routing.facts import RequestFacts
from modelcascade.routing.judge import judge_attempt
from modelcascade.routing.steps import AnswerWith, CallTier, Fail, next_step
from modelcascade.routing.upstream_body import build_upstream_body

__all__ = ["Committed", "Ended", "call_tier", "run_cascade"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Committed:
    """A stream whose first token is there; from here on no other tier can answer. Whoever gets it must `leave` it."""

    attempt: Attempt
    """As far as it is known: no usage yet."""

    reason: RequestReason
    live: LiveStream
    endpoint: Endpoint
    started_s: float
    first_token_in_s: float

    def leave(self, exchange: Exchange, outcome: Outcome | None, answer: Answer | None) -> None:
        """Close the stream, free the slot, keep the attempt."""
        self.live.close()
        now_s = clock.monotonic_s()
        exchange.state.fleet.release(self.endpoint, outcome, now_s, None)
        attempt = replace(
            self.attempt, outcome=outcome or Outcome.CLIENT_LEFT, answer=answer, duration_s=now_s - self.started_s
        )
        exchange.waited_s -= self.first_token_in_s  # is in the attempt's own time
        exchange.note_attempt(attempt)


Ended = AnswerWith | Fail | Committed


def _attempt(step: CallTier, endpoint: Endpoint | None, result: Failure | Answer, duration_s: float) -> Attempt:
    failure = result if isinstance(result, Failure) else None
    return Attempt(
        tier=step.tier.name,
        rank=step.tier.rank,
        cause=step.cause,
        reason=step.reason,
        commit=step.commit,
        outcome=Outcome.OK if failure is None else failure.outcome,
        endpoint=None if endpoint is None else endpoint.address,
        answer=result if isinstance(result, Answer) else None,
        duration_s=duration_s,
        retry_after_s=None if failure is None else failure.retry_after_s,
        status=None if failure is None else failure.status,
    )


def _read_body(exchange: Exchange, tier: str, body: bytes) -> Answer | Failure:
    parsed = parse_answer(body)
    if isinstance(parsed, Answer):
        return parsed
    logger.warning("odd answer", extra={"request_id": exchange.request_id, "tier": tier, "problem": parsed})
    return Failure(Outcome.BROKEN)


async def call_tier(exchange: Exchange, facts: RequestFacts, step: CallTier) -> Attempt | Committed:
    """One call, whose end is a value; cancelled, it cuts the engine's connection and frees the slot."""
    fleet = exchange.state.fleet
    if step.delay_s:
        await asyncio.sleep(step.delay_s)
        exchange.waited_s += step.delay_s
    started_s = clock.monotonic_s()
    tier, chat = step.tier, facts.chat
    endpoint = fleet.take(tier.name, step.avoid, started_s)
    if endpoint is None:
        gone = Outcome.FULL if fleet.view(started_s).tier(tier.name).full else Outcome.NO_ENDPOINT
        return _attempt(step, None, Failure(gone), 0.0)
    # llama-server refuses logprobs with tools and streaming together; then the router streams the whole answer itself.
    stream = step.commit and chat.stream and not (chat.tools and chat.logprobs)
    body = build_upstream_body(
        chat,
        tier.served_name,
        stream=stream,
        verify=not step.commit,
        max_tokens=None if chat.max_tokens is None else min(chat.max_tokens, tier.context_length),
    )
    outcome: Outcome | None = None
    retry_after_s: float | None = None
    kept = False
    try:
        if stream:
            live = await exchange.state.upstream.stream(endpoint.url, body, step.timeout_s)
            if not isinstance(live, Failure):
                kept = True
                bare = facts.pinned or facts.streamed_at_once
                reason = RequestReason.UNVERIFIED if bare else RequestReason.FINAL_TIER
                attempt = _attempt(step, endpoint, Failure(Outcome.OK), 0.0)
                first_token_in_s = clock.monotonic_s() - started_s
                exchange.waited_s += first_token_in_s
                return Committed(attempt, reason, live, endpoint, started_s, first_token_in_s)
            result: Failure | Answer = live
        else:
            received = await exchange.state.upstream.ask(endpoint.url, body, step.timeout_s)
            result = received if isinstance(received, Failure) else _read_body(exchange, tier.name, received)
        if isinstance(result, Failure):
            outcome, retry_after_s = result.outcome, result.retry_after_s
        else:
            outcome = Outcome.OK
    finally:
        if not kept:
            fleet.release(endpoint, outcome, clock.monotonic_s(), retry_after_s)
    return _attempt(step, endpoint, result, clock.monotonic_s() - started_s)


async def run_cascade(exchange: Exchange, routes: Routes, facts: RequestFacts) -> Ended:
    """From the first step to the end, or to the first token of a stream that is a commitment."""
    fleet = exchange.state.fleet
    fleet.budget.note_request(exchange.started_s)
    while True:
        now_s = clock.monotonic_s()
        step = next_step(routes, facts, exchange.attempts, fleet.view(now_s), now_s - exchange.started_s)
        exchange.note_step(step)
        if not isinstance(step, CallTier):
            return step
        result = await call_tier(exchange, facts, step)
        if isinstance(result, Committed):
            return result
        if result.answer is not None:
            result = replace(result, verdict=judge_attempt(routes, facts, result))
        exchange.note_attempt(result)
