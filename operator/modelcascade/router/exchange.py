"""One request as the router sees it: what was tried, how long it took, and what is told about it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from modelcascade import clock
from modelcascade.api.documents import DecisionRecord, DecisionStep, Routes
from modelcascade.api.reasons import ErrorCode, RequestReason, Warning_
from modelcascade.api.telemetry import RouterMetric
from modelcascade.router.protocol import new_request_id
from modelcascade.router.state import RouterState
from modelcascade.routing.attempts import Attempt, Cause, Outcome
from modelcascade.routing.facts import RequestFacts
from modelcascade.routing.steps import AnswerWith, CallTier, Step

__all__ = ["Exchange"]

_SOURCES = {Cause.START: "External", Cause.ESCALATION: "Escalation", Cause.FALLBACK: "Fallback"}


class Exchange:
    """The life of one request; its methods only note and tell, they decide nothing."""

    __slots__ = (
        "attempts",
        "client_request_id",
        "confidence",
        "debug",
        "escalations",
        "facts",
        "fallbacks",
        "first_token_s",
        "model",
        "prompt_bytes",
        "reason",
        "request_id",
        "routes",
        "started_at",
        "started_s",
        "state",
        "stream",
        "tier",
        "waited_s",
        "warnings",
    )

    def __init__(self, state: RouterState) -> None:
        self.state = state
        self.routes: Routes | None = state.routes
        self.request_id = new_request_id()
        self.client_request_id: str | None = None
        self.started_s = clock.monotonic_s()
        self.started_at: datetime = clock.now()
        self.debug = False
        self.stream = False
        self.prompt_bytes = 0
        self.facts: RequestFacts | None = None
        self.attempts: list[Attempt] = []
        self.waited_s = 0.0
        """Time that passed in engines, in pauses before a retry, and at the client while a stream was sent."""

        self.first_token_s: float | None = None
        self.escalations = 0
        self.fallbacks = 0
        self.reason = RequestReason.REFUSED
        self.tier: str | None = None
        self.model: str | None = None
        self.confidence: float | None = None
        self.warnings: tuple[Warning_, ...] = ()

    def elapsed_s(self) -> float:
        """Since the request came."""
        return clock.monotonic_s() - self.started_s

    # ------------------------------------------------------------------ notes

    def note_step(self, step: Step) -> None:
        """Count what a step means: demand, escalation, fallback, judgement."""
        meters, last = self.state.meters, self.attempts[-1] if self.attempts else None
        judged = last is not None and last.verdict is not None and not last.commit
        if isinstance(step, CallTier):
            name = step.tier.name
            self.reason = step.reason
            match step.cause:
                case Cause.START:
                    meters.count(RouterMetric.DEMAND, name, _SOURCES[Cause.START])
                case Cause.RETRY:
                    self.state.fleet.budget.note_retry()
                case Cause.ESCALATION if last is not None:
                    self.escalations += 1
                    meters.count(RouterMetric.DEMAND, name, _SOURCES[Cause.ESCALATION])
                    meters.count(RouterMetric.ESCALATIONS, last.tier, name, step.reason)
                    meters.count(RouterMetric.JUDGED, last.tier, name)
                case _:
                    self._note_fallback(step, last)
        elif (
            isinstance(step, AnswerWith) and judged and last is not None and step.reason is not RequestReason.EXHAUSTED
        ):
            meters.count(RouterMetric.JUDGED, last.tier, "")

    def _note_fallback(self, step: CallTier, last: Attempt | None) -> None:
        meters, name = self.state.meters, step.tier.name
        self.fallbacks += 1
        wanted = last.tier if last is not None else self.facts.candidates[0].name if self.facts is not None else ""
        if last is None:
            meters.count(RouterMetric.DEMAND, wanted, _SOURCES[Cause.START])
        spilled = step.reason is RequestReason.TIER_OVERLOADED
        meters.count(RouterMetric.DEMAND, name, "Spill" if spilled else _SOURCES[Cause.FALLBACK])
        meters.count(RouterMetric.FALLBACKS, wanted, name, step.reason)

    def note_attempt(self, attempt: Attempt) -> None:
        """Keep one call that has ended, and count it."""
        self.attempts.append(attempt)
        self.waited_s += attempt.duration_s
        meters = self.state.meters
        meters.count(RouterMetric.ATTEMPTS, attempt.tier, "Generate", attempt.outcome)
        answer = attempt.answer
        if answer is not None and answer.usage is not None:
            meters.count(RouterMetric.TOKENS, attempt.tier, "input", by=answer.usage["prompt_tokens"])
            meters.count(RouterMetric.TOKENS, attempt.tier, "output", by=answer.usage["completion_tokens"])
        if attempt.verdict is not None and attempt.verdict.confidence is not None:
            meters.observe(RouterMetric.CONFIDENCE, attempt.tier, value=attempt.verdict.confidence)

    def choose(self, attempt: Attempt, reason: RequestReason, warnings: tuple[Warning_, ...]) -> None:
        """This attempt's answer goes to the client."""
        self.tier, self.reason, self.warnings = attempt.tier, reason, warnings
        self.confidence = attempt.verdict.confidence if attempt.verdict is not None else None
        self.model = self._served_name(attempt.tier)

    def _served_name(self, tier: str) -> str:
        candidates = self.facts.candidates if self.facts is not None else ()
        return next((known.served_name for known in candidates if known.name == tier), tier)

    # ------------------------------------------------------------------ told to the client

    def headers(self) -> dict[str, str]:
        """The decision headers, as far as they are known now."""
        headers = {
            "x-request-id": self.request_id,
            "x-modelcascade-request-id": self.request_id,
            "x-modelcascade-escalations": str(self.escalations),
            "x-modelcascade-reason": self.reason.value,
            "Server": "modelcascade",
        }
        if self.routes is not None:
            headers["x-modelcascade-cascade"] = self.routes.cascade
        if self.tier is not None:
            headers["x-modelcascade-tier"] = self.tier
        if self.model is not None:
            headers["x-modelcascade-model"] = self.model
        if self.confidence is not None:
            headers["x-modelcascade-confidence"] = f"{self.confidence:.3f}"
        if self.warnings:
            headers["x-modelcascade-warnings"] = ",".join(self.warnings)
        if self.debug:
            headers["x-modelcascade-overhead-ms"] = f"{1000 * (self.elapsed_s() - self.waited_s):.3f}"
            headers["x-modelcascade-trace"] = orjson.dumps([_traced(attempt) for attempt in self.attempts]).decode()
        return headers

    def facts_for_stream(self) -> dict[str, Any]:
        """What a finish chunk says beside the headers, which may have gone out before it was known."""
        told: dict[str, Any] = {
            "request_id": self.request_id,
            "tier": self.tier,
            "escalations": self.escalations,
            "reason": self.reason,
        }
        if self.confidence is not None:
            told["confidence"] = round(self.confidence, 3)
        if self.warnings:
            told["warnings"] = list(self.warnings)
        return told

    # ------------------------------------------------------------------ told to the operators

    def finish(self, status: int, code: ErrorCode | None) -> None:
        """Count the response and write its record, after the response was handed over."""
        total_s = self.elapsed_s()
        if code is ErrorCode.CLIENT_CLOSED:
            self.state.meters.count(RouterMetric.CLIENT_CANCELLED, self.attempts[-1].tier if self.attempts else "")
        asyncio.get_running_loop().call_soon(self._finish, status, code, total_s)

    def _finish(self, status: int, code: ErrorCode | None, total_s: float) -> None:
        meters = self.state.meters
        meters.count(RouterMetric.RESPONSES, self.tier or "", code.value if code else str(status), self.reason)
        overhead_s = max(0.0, total_s - self.waited_s)
        meters.observe(RouterMetric.OVERHEAD, value=overhead_s)
        if self.tier is not None and code is None:
            meters.observe(RouterMetric.E2E, self.tier, value=total_s)
            meters.observe(RouterMetric.TTFT, self.tier, value=self.first_token_s or total_s)
        if self.routes is None or self.routes.decision_log == "None":
            return
        self.state.decisions.add(
            DecisionRecord(
                time=self.started_at,
                request_id=self.request_id,
                client_request_id=self.client_request_id,
                cascade=self.routes.cascade,
                generation=self.routes.generation,
                stream=self.stream,
                status=status,
                code=code,
                tier=self.tier,
                escalations=self.escalations,
                fallbacks=self.fallbacks,
                reason=self.reason,
                confidence=self.confidence,
                warnings=self.warnings,
                prompt_bytes=self.prompt_bytes,
                steps=_recorded(self.attempts),
                milliseconds=round(1000 * total_s, 3),
                overhead_milliseconds=round(1000 * overhead_s, 3),
            )
        )


def _traced(attempt: Attempt) -> dict[str, Any]:
    verdict = attempt.verdict
    return {
        "tier": attempt.tier,
        "reason": attempt.reason,
        "outcome": attempt.outcome,
        "confidence": None if verdict is None or verdict.confidence is None else round(verdict.confidence, 3),
        "threshold": None if verdict is None else verdict.threshold,
        "ms": round(1000 * attempt.duration_s, 1),
    }


def _recorded(attempts: Sequence[Attempt]) -> tuple[DecisionStep, ...]:
    steps = []
    for attempt in attempts:
        verdict, answer = attempt.verdict, attempt.answer
        usage = answer.usage if answer is not None else None
        steps.append(
            DecisionStep(
                tier=attempt.tier,
                purpose="Generate",
                outcome=attempt.outcome if attempt.outcome is not Outcome.OK else "ok",
                reason=attempt.reason,
                confidence=None if verdict is None else verdict.confidence,
                threshold=None if verdict is None else verdict.threshold,
                prompt_tokens=None if usage is None else usage["prompt_tokens"],
                completion_tokens=None if usage is None else usage["completion_tokens"],
                milliseconds=round(1000 * attempt.duration_s, 3),
            )
        )
    return tuple(steps)
