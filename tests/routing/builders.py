"""Small values for the routing tables."""

from typing import Any

import orjson

from modelcascade.api.documents import Routes
from modelcascade.api.reasons import RequestReason
from modelcascade.routing.attempts import Answer, Attempt, Cause, Outcome, Verdict, VerdictKind
from modelcascade.routing.chat import ChatRequest, Problem
from modelcascade.routing.facts import RequestFacts, classify_request
from modelcascade.routing.fleet import FleetView, TierView
from modelcascade.routing.wire import parse_chat

__all__ = ["answer", "attempt", "chat", "facts", "failed", "fleet", "judged", "problem", "routes"]

CHAT = {"model": "assist", "messages": [{"role": "user", "content": "hello"}]}
RANKS = {"small": 0, "middle": 1, "top": 2}


def routes(*names: str, **fields: Any) -> Routes:
    """Routes with these tiers, small and top unless named."""
    tiers = [
        {"name": name, "role": "Small", "rank": RANKS[name], "urls": [f"http://{name}"], "servedName": name}
        for name in names or ("small", "top")
    ]
    return Routes.model_validate({"cascade": "assist", "tiers": tiers, **fields})


def problem(**fields: Any) -> Problem:
    """The problem of a chat request with these fields."""
    found = parse_chat(orjson.dumps(CHAT | fields))
    assert isinstance(found, Problem)
    return found


def chat(**fields: Any) -> ChatRequest:
    """A valid chat request with these fields."""
    parsed = parse_chat(orjson.dumps(CHAT | fields))
    assert isinstance(parsed, ChatRequest), parsed
    return parsed


def facts(given: Routes, **fields: Any) -> RequestFacts:
    """The facts of a chat request with these fields."""
    found = classify_request(chat(**fields), given, "req_1")
    assert isinstance(found, RequestFacts), found
    return found


def answer(
    content: str = "yes",
    *,
    logprobs: tuple[float, ...] = (-0.01,),
    finish_reason: str = "stop",
    tool_calls: list[dict[str, Any]] | None = None,
    oversized: bool = False,
) -> Answer:
    """An engine's answer."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if tool_calls is not None:
        message["tool_calls"] = tool_calls
    return Answer(message, finish_reason, None, logprobs, None, oversized)


def attempt(
    tier: str = "small",
    *,
    cause: Cause = Cause.START,
    outcome: Outcome = Outcome.OK,
    verdict: Verdict | None = None,
    commit: bool = False,
    given: Answer | None = None,
    endpoint: str | None = None,
    retry_after_s: float | None = None,
) -> Attempt:
    """One call to a tier."""
    return Attempt(
        tier=tier,
        rank=RANKS[tier],
        cause=cause,
        reason=RequestReason.START,
        commit=commit,
        outcome=outcome,
        endpoint=endpoint or f"http://{tier}",
        answer=given,
        verdict=verdict,
        retry_after_s=retry_after_s,
        status=400 if outcome is Outcome.REJECTED else None,
    )


def judged(
    tier: str,
    kind: VerdictKind,
    reason: RequestReason,
    confidence: float | None = None,
    *,
    cause: Cause = Cause.START,
    releasable: bool = True,
) -> Attempt:
    """A call with an answer and its verdict."""
    verdict = Verdict(kind, reason, confidence, 0.7, releasable=releasable)
    return attempt(tier, cause=cause, verdict=verdict, given=answer())


def failed(tier: str, outcome: Outcome, *, cause: Cause = Cause.START, endpoint: str | None = None) -> Attempt:
    """A call without an answer."""
    return attempt(tier, cause=cause, outcome=outcome, endpoint=endpoint)


def fleet(*free: str, full: tuple[str, ...] = (), twice: tuple[str, ...] = (), may_retry: bool = True) -> FleetView:
    """Tiers with one free endpoint, with two, or with a busy one."""
    tiers = {name: TierView((f"http://{name}",)) for name in free}
    tiers |= {name: TierView((f"http://{name}", f"http://{name}-2")) for name in twice}
    tiers |= {name: TierView((), 1) for name in full}
    return FleetView(tiers, may_retry)
