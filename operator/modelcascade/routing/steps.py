"""
What to do next for a request: call a tier, answer, or fail. The first matching row wins.

| # | when | step |
| --- | --- | --- |
| 1 | the last verdict is accept | `Answer`, also at the deadline: it is here |
| 2 | the deadline has passed | best answer when `onExhausted` is BestAnswer and there is one; else `Fail(504)` |
| 3 | nothing was called yet | the lowest allowed tier: `start`, `policy` if pinned, or why lower ones were skipped |
| 4 | nothing was called, no tier is allowed | `Fail(503)`: `overloaded` when one is only busy, else `no_ready_tier` |
| 5 | the last verdict is refuse | `Fail(502)` |
| 6 | the last call failed and may be retried | the same tier, another endpoint, after a pause |
| 7 | the last call failed | **fallback**: next higher allowed tier; else, with no answer yet, an untried lower one |
| 8 | the last verdict is escalate, a bound is reached | row 10 with `Fail(502 escalation_exhausted)` |
| 9 | the last verdict is escalate, a higher tier is allowed | **escalation** to it |
| 10 | nothing is left | BestAnswer and an answer: `Answer(best, exhausted, best_effort)`; else the honest failure |

A tier is *allowed* when it is a candidate of the request, was not called before, and has an endpoint that may take a
request now. A call is a *commitment* when no candidate above it is left to ask: only such a call may be streamed to
the client as it comes. At `maxEscalations` with a higher tier unasked, the answer is still judged.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from modelcascade.api.documents import Routes, RouteTier
from modelcascade.api.reasons import ErrorCode, RequestReason, Warning_
from modelcascade.routing.attempts import OUTCOME_REASON, RETRIABLE, Attempt, Cause, Outcome, VerdictKind
from modelcascade.routing.facts import RequestFacts
from modelcascade.routing.fleet import FleetView

__all__ = [
    "MAX_ATTEMPTS_A_TIER",
    "AnswerWith",
    "CallTier",
    "Fail",
    "Step",
    "best_attempt",
    "next_step",
    "retry_delay_s",
]

MAX_ATTEMPTS_A_TIER = 2
RETRY_DELAY_S = (0.05, 0.5)
MAX_RETRY_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class CallTier:
    """Call one endpoint of a tier."""

    tier: RouteTier
    cause: Cause
    reason: RequestReason
    commit: bool
    timeout_s: float
    """The most that this attempt may take; half of the rest while another tier could still be asked."""

    delay_s: float = 0.0
    avoid: tuple[str, ...] = ()
    """Endpoints that this request has tried."""


@dataclass(frozen=True, slots=True)
class AnswerWith:
    """Give the client this attempt's answer."""

    attempt: Attempt
    reason: RequestReason
    warnings: tuple[Warning_, ...] = ()


@dataclass(frozen=True, slots=True)
class Fail:
    """Give the client exactly one honest error."""

    status: int
    code: ErrorCode
    reason: RequestReason
    message: str
    retry_after_s: float | None = None


Step = CallTier | AnswerWith | Fail


def retry_delay_s(request_id: str, attempts: int) -> float:
    """Full jitter of 50-500 ms as a keyed hash of the request, so that a replay waits as long."""
    drawn = hashlib.blake2b(f"{request_id}:{attempts}".encode(), digest_size=4, key=b"retry").digest()
    low, high = RETRY_DELAY_S
    return low + (high - low) * int.from_bytes(drawn, "big") / 2**32


def best_attempt(attempts: Sequence[Attempt]) -> Attempt | None:
    """The releasable answer of the highest confidence; among equals the later; one without a number comes last."""
    best: tuple[float, int] | None = None
    for position, attempt in enumerate(attempts):
        verdict = attempt.verdict
        if verdict is not None and verdict.releasable:
            score = (-1.0 if verdict.confidence is None else verdict.confidence, position)
            best = score if best is None else max(best, score)
    return None if best is None else attempts[best[1]]


def _untried(facts: RequestFacts, attempts: Sequence[Attempt]) -> list[RouteTier]:
    tried = {attempt.tier for attempt in attempts}
    return [tier for tier in facts.candidates if tier.name not in tried]


def _call(
    tier: RouteTier,
    facts: RequestFacts,
    attempts: Sequence[Attempt],
    fleet: FleetView,
    *,
    left_s: float,
    cause: Cause,
    reason: RequestReason,
) -> CallTier:
    others = [other for other in _untried(facts, attempts) if other.name != tier.name]
    commit = facts.pinned or facts.streamed_at_once or not any(other.rank > tier.rank for other in others)
    askable = any(fleet.tier(other.name).free for other in others)
    avoid = tuple(attempt.endpoint for attempt in attempts if attempt.endpoint is not None)
    return CallTier(tier, cause, reason, commit, left_s / 2 if askable else left_s, avoid=avoid)


def _skipped_reason(tier: RouteTier, fleet: FleetView) -> RequestReason:
    return RequestReason.TIER_OVERLOADED if fleet.tier(tier.name).full else RequestReason.TIER_UNAVAILABLE


def _unready(tiers: Sequence[RouteTier], fleet: FleetView) -> Fail:
    busy = [view for view in (fleet.tier(tier.name) for tier in tiers) if view.full]
    if busy:
        wait_s = min(MAX_RETRY_AFTER_S, max(1.0, min(view.retry_in_s for view in busy)))
        message = "Every tier that may answer is busy. Try again after the time in Retry-After."
        return Fail(503, ErrorCode.OVERLOADED, RequestReason.TIER_OVERLOADED, message, wait_s)
    names = ", ".join(tier.name for tier in tiers)
    message = f"No tier that may answer has a ready endpoint (asked for: {names})."
    return Fail(503, ErrorCode.NO_READY_TIER, RequestReason.TIER_UNAVAILABLE, message, 5.0)


def _failure(attempts: Sequence[Attempt]) -> Fail:
    last = attempts[-1]
    reason = OUTCOME_REASON[last.outcome]
    outcomes = {attempt.outcome for attempt in attempts if attempt.answer is None}
    names = ", ".join(dict.fromkeys(attempt.tier for attempt in attempts))
    if outcomes <= {Outcome.OVERLOADED, Outcome.FULL}:
        asked_s = [attempt.retry_after_s for attempt in attempts if attempt.retry_after_s is not None]
        wait_s = min(MAX_RETRY_AFTER_S, max(1.0, *asked_s)) if asked_s else 1.0
        return Fail(503, ErrorCode.OVERLOADED, reason, f"Every tier that may answer is busy ({names}).", wait_s)
    if outcomes == {Outcome.NO_ENDPOINT}:
        return Fail(503, ErrorCode.NO_READY_TIER, reason, f"No ready endpoint is left ({names}).", 5.0)
    if outcomes == {Outcome.REJECTED}:
        message = f"Every tier that was asked refuses this request as invalid (HTTP {last.status}; {names})."
        return Fail(400, ErrorCode.INVALID_REQUEST, reason, message)
    return Fail(502, ErrorCode.UPSTREAM_ERROR, reason, f"No tier gave an answer ({names}).")


def _stop(routes: Routes, attempts: Sequence[Attempt], failure: Fail) -> Step:
    if routes.escalation.on_exhausted == "BestAnswer":
        best = best_attempt(attempts)
        if best is not None:
            return AnswerWith(best, RequestReason.EXHAUSTED, (Warning_.BEST_EFFORT,))
    return failure


def _first_step(facts: RequestFacts, fleet: FleetView, left_s: float) -> Step:
    skipped: RouteTier | None = None
    for tier in facts.candidates:
        if fleet.tier(tier.name).free:
            if skipped is not None:
                return _call(
                    tier, facts, (), fleet, left_s=left_s, cause=Cause.FALLBACK, reason=_skipped_reason(skipped, fleet)
                )
            reason = RequestReason.POLICY if facts.pinned else RequestReason.START
            return _call(tier, facts, (), fleet, left_s=left_s, cause=Cause.START, reason=reason)
        skipped = skipped or tier
    return _unready(facts.candidates, fleet)


def _after_failure(
    routes: Routes, facts: RequestFacts, attempts: Sequence[Attempt], fleet: FleetView, left_s: float
) -> Step:
    last = attempts[-1]
    reason = OUTCOME_REASON[last.outcome]
    here = [attempt for attempt in attempts if attempt.tier == last.tier]
    if last.outcome in RETRIABLE and len(here) < MAX_ATTEMPTS_A_TIER and fleet.may_retry:
        tried = {attempt.endpoint for attempt in here}
        delay_s = retry_delay_s(facts.request_id, len(attempts))
        if delay_s < left_s and any(address not in tried for address in fleet.tier(last.tier).free):
            tier = next(tier for tier in facts.candidates if tier.name == last.tier)
            call = _call(tier, facts, attempts, fleet, left_s=left_s - delay_s, cause=Cause.RETRY, reason=reason)
            return CallTier(tier, call.cause, reason, call.commit, call.timeout_s, delay_s, call.avoid)
    untried = [tier for tier in _untried(facts, attempts) if fleet.tier(tier.name).free]
    higher = [tier for tier in untried if tier.rank > last.rank]
    answered = any(attempt.answer is not None for attempt in attempts)
    lower = [] if answered else [tier for tier in reversed(untried) if tier.rank < last.rank]
    for tier in (*higher, *lower):
        return _call(tier, facts, attempts, fleet, left_s=left_s, cause=Cause.FALLBACK, reason=reason)
    return _stop(routes, attempts, _failure(attempts))


def _after_rejection(
    routes: Routes, facts: RequestFacts, attempts: Sequence[Attempt], fleet: FleetView, left_s: float
) -> Step:
    last = attempts[-1]
    reason = last.verdict.reason if last.verdict is not None else RequestReason.VERIFIER_ERROR
    escalations = sum(attempt.cause is Cause.ESCALATION for attempt in attempts)
    bound = routes.escalation.max_escalations
    if bound is not None and escalations >= bound:
        message = "The answer did not pass verification, and no further escalation is allowed."
        return _stop(routes, attempts, Fail(502, ErrorCode.ESCALATION_EXHAUSTED, reason, message))
    higher = [tier for tier in _untried(facts, attempts) if tier.rank > last.rank]
    for tier in higher:
        if fleet.tier(tier.name).free:
            return _call(tier, facts, attempts, fleet, left_s=left_s, cause=Cause.ESCALATION, reason=reason)
    return _stop(routes, attempts, _unready(higher or facts.candidates, fleet))


def next_step(
    routes: Routes, facts: RequestFacts, attempts: Sequence[Attempt], fleet: FleetView, elapsed_s: float
) -> Step:
    """
    The next step; equal inputs give equal steps.

    Args:
        routes: the document that was in force when the request came.
        attempts: everything called so far, each with its verdict when it has an answer.
        fleet: the endpoints now.
        elapsed_s: since the request was received.
    """
    verdict = attempts[-1].verdict if attempts else None
    if verdict is not None and verdict.kind is VerdictKind.ACCEPT:
        return AnswerWith(attempts[-1], verdict.reason, verdict.warnings)
    left_s = facts.deadline_s - elapsed_s
    if left_s <= 0:
        message = f"The deadline of {facts.deadline_s:g} s has passed without an answer."
        return _stop(routes, attempts, Fail(504, ErrorCode.DEADLINE_EXCEEDED, RequestReason.TIMEOUT, message))
    if not attempts:
        return _first_step(facts, fleet, left_s)
    if verdict is None:
        return _after_failure(routes, facts, attempts, fleet, left_s)
    if verdict.kind is VerdictKind.REFUSE:
        message = "The answer cannot be verified, and such answers are to be rejected."
        return Fail(502, ErrorCode.UPSTREAM_ERROR, verdict.reason, message)
    return _after_rejection(routes, facts, attempts, fleet, left_s)
