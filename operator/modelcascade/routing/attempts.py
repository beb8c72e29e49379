"""What one call to one tier brought, as a value: an answer and its verdict, or the kind of failure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from modelcascade.api.reasons import RequestReason, Warning_

__all__ = ["OUTCOME_REASON", "RETRIABLE", "Answer", "Attempt", "Cause", "Outcome", "Verdict", "VerdictKind"]


class Cause(StrEnum):
    """Why a tier is called. Escalation is about quality, fallback about failure; never in one counter."""

    START = "start"
    ESCALATION = "escalation"
    FALLBACK = "fallback"
    RETRY = "retry"


class Outcome(StrEnum):
    """How a call ended."""

    OK = "ok"
    CONNECT_FAILED = "connect_failed"
    UNAVAILABLE = "unavailable"  # 502, 503, 504
    OVERLOADED = "overloaded"  # 429
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105 - a token of text
    TIMED_OUT = "timed_out"  # the attempt's own time, or the pause between two tokens before the first was sent on
    REJECTED = "rejected"  # other 4xx: this engine will not take this request
    BROKEN = "broken"  # connection lost, other 5xx, or an answer that is no answer
    NO_ENDPOINT = "no_endpoint"  # between the decision and the call the last one went away
    CLIENT_LEFT = "client_left"  # inside the stream
    FULL = "full"  # between the decision and the call the last slot was taken


RETRIABLE = frozenset(
    {Outcome.CONNECT_FAILED, Outcome.UNAVAILABLE, Outcome.OVERLOADED, Outcome.FIRST_TOKEN_TIMEOUT, Outcome.NO_ENDPOINT}
)
"""Failures after which another endpoint of the same tier may do better (routing.md 5.3)."""

OUTCOME_REASON = {
    Outcome.OK: RequestReason.ACCEPTED,
    Outcome.CONNECT_FAILED: RequestReason.UPSTREAM_ERROR,
    Outcome.UNAVAILABLE: RequestReason.UPSTREAM_ERROR,
    Outcome.OVERLOADED: RequestReason.TIER_OVERLOADED,
    Outcome.FIRST_TOKEN_TIMEOUT: RequestReason.TIMEOUT,
    Outcome.TIMED_OUT: RequestReason.TIMEOUT,
    Outcome.REJECTED: RequestReason.UPSTREAM_ERROR,
    Outcome.BROKEN: RequestReason.UPSTREAM_ERROR,
    Outcome.NO_ENDPOINT: RequestReason.TIER_UNAVAILABLE,
    Outcome.CLIENT_LEFT: RequestReason.UPSTREAM_ERROR,
    Outcome.FULL: RequestReason.TIER_OVERLOADED,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer of an engine, cleaned by `parse_answer`; its message goes to the client unaltered."""

    message: dict[str, Any]
    finish_reason: str
    logprobs: dict[str, Any] | None
    """As the engine gave them, for a client that asked."""

    token_logprobs: tuple[float, ...]
    """Natural logarithms, at most 0; empty when the engine gave none that can be used."""

    usage: dict[str, int] | None
    oversized: bool = False
    """The text is larger than an answer that is still to be judged may be."""


class VerdictKind(StrEnum):
    """What the judgement says."""

    ACCEPT = "accept"
    ESCALATE = "escalate"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one answer."""

    kind: VerdictKind
    reason: RequestReason
    confidence: float | None = None
    """0-1; `None` when the answer has no usable logprobs, or was not to be verified."""

    threshold: float | None = None
    """0-1; `None` when nothing was compared."""

    warnings: tuple[Warning_, ...] = ()
    releasable: bool = True
    """It may go to the client as a best effort; never true for an invalid schema or tool call."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to one tier for one request."""

    tier: str
    rank: int
    cause: Cause
    reason: RequestReason
    """Why the tier was called."""

    commit: bool
    outcome: Outcome
    endpoint: str | None = None
    answer: Answer | None = None
    verdict: Verdict | None = None
    duration_s: float = 0.0
    retry_after_s: float | None = None
    status: int | None = None
    """The HTTP status of a failure, when there was one."""
