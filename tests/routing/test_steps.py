"""The table of `next_step`, row by row."""

from typing import Any

import pytest

from modelcascade.api.reasons import ErrorCode, RequestReason, Warning_
from modelcascade.routing.attempts import Attempt, Cause, Outcome, VerdictKind
from modelcascade.routing.fleet import FleetView
from modelcascade.routing.steps import AnswerWith, CallTier, Fail, best_attempt, next_step
from routing.builders import facts, failed, fleet, judged, routes

R, C, O = RequestReason, Cause, Outcome  # noqa: E741 - a table
ACCEPT, ESCALATE, REFUSE = VerdictKind.ACCEPT, VerdictKind.ESCALATE, VerdictKind.REFUSE
BOTH = fleet("small", "top")
THREE = ("small", "middle", "top")

low = judged("small", ESCALATE, R.LOW_CONFIDENCE, 0.4)
down = failed("small", O.CONNECT_FAILED)


@pytest.mark.parametrize(
    ("names", "given", "attempts", "view", "expected"),
    [
        pytest.param((), {}, [], BOTH, ("small", C.START, R.START, False), id="start at the lowest"),
        pytest.param(("small",), {}, [], BOTH, ("small", C.START, R.START, True), id="one tier commits"),
        pytest.param((), {"model": "assist/small"}, [], BOTH, ("small", C.START, R.POLICY, True), id="pinned commits"),
        pytest.param(
            (), {}, [], fleet("top"), ("top", C.FALLBACK, R.TIER_UNAVAILABLE, True), id="the lowest has no endpoint"
        ),
        pytest.param(
            (),
            {},
            [],
            fleet("top", full=("small",)),
            ("top", C.FALLBACK, R.TIER_OVERLOADED, True),
            id="the lowest is busy",
        ),
        pytest.param((), {}, [low], BOTH, ("top", C.ESCALATION, R.LOW_CONFIDENCE, True), id="escalate by rank"),
        pytest.param(
            THREE, {}, [low], fleet(*THREE), ("middle", C.ESCALATION, R.LOW_CONFIDENCE, False), id="escalate by one"
        ),
        pytest.param(
            THREE,
            {},
            [low],
            fleet("small", "top"),
            ("top", C.ESCALATION, R.LOW_CONFIDENCE, True),
            id="over one that is down",
        ),
        pytest.param((), {}, [down], BOTH, ("top", C.FALLBACK, R.UPSTREAM_ERROR, True), id="one endpoint: fall back"),
        pytest.param(
            (),
            {},
            [down],
            fleet("top", twice=("small",)),
            ("small", C.RETRY, R.UPSTREAM_ERROR, False),
            id="another endpoint: retry",
        ),
        pytest.param(
            (),
            {},
            [down],
            fleet("top", twice=("small",), may_retry=False),
            ("top", C.FALLBACK, R.UPSTREAM_ERROR, True),
            id="no retry beyond the budget",
        ),
        pytest.param(
            (),
            {},
            [down, failed("small", O.CONNECT_FAILED, cause=C.RETRY, endpoint="http://small-2")],
            fleet("top", twice=("small",)),
            ("top", C.FALLBACK, R.UPSTREAM_ERROR, True),
            id="two attempts a tier at most",
        ),
        *[
            pytest.param((), {}, [failed("small", outcome)], fleet("top", twice=("small",)), expected, id=outcome.value)
            for outcome, expected in {
                O.UNAVAILABLE: ("small", C.RETRY, R.UPSTREAM_ERROR, False),
                O.OVERLOADED: ("small", C.RETRY, R.TIER_OVERLOADED, False),
                O.FIRST_TOKEN_TIMEOUT: ("small", C.RETRY, R.TIMEOUT, False),
                O.TIMED_OUT: ("top", C.FALLBACK, R.TIMEOUT, True),
                O.REJECTED: ("top", C.FALLBACK, R.UPSTREAM_ERROR, True),
                O.BROKEN: ("top", C.FALLBACK, R.UPSTREAM_ERROR, True),
            }.items()
        ],
        pytest.param(
            (),
            {},
            [failed("top", O.BROKEN)],
            BOTH,
            ("small", C.FALLBACK, R.UPSTREAM_ERROR, True),
            id="an untried lower one",
        ),
    ],
)
def test_calls(
    names: tuple[str, ...],
    given: dict[str, Any],
    attempts: list[Attempt],
    view: FleetView,
    expected: tuple[str, Cause, RequestReason, bool],
) -> None:
    """The tier, the cause, the reason and whether it is a commitment."""
    known = routes(*names)
    step = next_step(known, facts(known, **given), attempts, view, 1.0)
    assert isinstance(step, CallTier)
    assert (step.tier.name, step.cause, step.reason, step.commit) == expected


@pytest.mark.parametrize(
    ("rules", "attempts", "view", "tier", "reason", "warnings"),
    [
        pytest.param({}, [judged("small", ACCEPT, R.ACCEPTED, 0.9)], BOTH, "small", R.ACCEPTED, (), id="accepted"),
        pytest.param(
            {"maxEscalations": 0},
            [low],
            BOTH,
            "small",
            R.EXHAUSTED,
            (Warning_.BEST_EFFORT,),
            id="no escalation allowed",
        ),
        pytest.param(
            {}, [low], fleet("small"), "small", R.EXHAUSTED, (Warning_.BEST_EFFORT,), id="nothing above is up"
        ),
        pytest.param(
            {},
            [low, failed("top", O.BROKEN, cause=C.ESCALATION)],
            BOTH,
            "small",
            R.EXHAUSTED,
            (Warning_.BEST_EFFORT,),
            id="what is above fails",
        ),
    ],
)
def test_answers(
    *,
    rules: dict[str, Any],
    attempts: list[Attempt],
    view: FleetView,
    tier: str,
    reason: RequestReason,
    warnings: tuple[Warning_, ...],
) -> None:
    """The accepted answer, or at a bound the best one with a warning."""
    known = routes(escalation=rules)
    step = next_step(known, facts(known), attempts, view, 1.0)
    assert isinstance(step, AnswerWith)
    assert (step.attempt.tier, step.reason, step.warnings) == (tier, reason, warnings)


REJECT = {"onExhausted": "Reject"}
invalid = judged("small", ESCALATE, R.SCHEMA_INVALID, 0.0, releasable=False)


@pytest.mark.parametrize(
    ("rules", "attempts", "view", "status", "code", "reason"),
    [
        pytest.param({}, [], fleet(), 503, ErrorCode.NO_READY_TIER, R.TIER_UNAVAILABLE, id="nothing is up"),
        pytest.param({}, [], fleet(full=("top",)), 503, ErrorCode.OVERLOADED, R.TIER_OVERLOADED, id="all are busy"),
        pytest.param(
            {},
            [judged("small", REFUSE, R.VERIFIER_ERROR)],
            BOTH,
            502,
            ErrorCode.UPSTREAM_ERROR,
            R.VERIFIER_ERROR,
            id="not judged",
        ),
        pytest.param(
            REJECT | {"maxEscalations": 0},
            [low],
            BOTH,
            502,
            ErrorCode.ESCALATION_EXHAUSTED,
            R.LOW_CONFIDENCE,
            id="bound, Reject",
        ),
        pytest.param(
            REJECT, [low], fleet("small"), 503, ErrorCode.NO_READY_TIER, R.TIER_UNAVAILABLE, id="not up, Reject"
        ),
        pytest.param(
            {"maxEscalations": 0},
            [invalid],
            BOTH,
            502,
            ErrorCode.ESCALATION_EXHAUSTED,
            R.SCHEMA_INVALID,
            id="an invalid schema is no best effort",
        ),
        pytest.param(
            {},
            [down, failed("top", O.BROKEN)],
            BOTH,
            502,
            ErrorCode.UPSTREAM_ERROR,
            R.UPSTREAM_ERROR,
            id="all failed: one error",
        ),
        pytest.param(
            {},
            [failed("small", O.OVERLOADED), failed("top", O.FULL)],
            BOTH,
            503,
            ErrorCode.OVERLOADED,
            R.TIER_OVERLOADED,
            id="429 is passed on when nothing else is left",
        ),
        pytest.param(
            {},
            [failed("small", O.REJECTED), failed("top", O.REJECTED)],
            BOTH,
            400,
            ErrorCode.INVALID_REQUEST,
            R.UPSTREAM_ERROR,
            id="all engines call it invalid",
        ),
        pytest.param(
            {},
            [failed("small", O.NO_ENDPOINT), failed("top", O.NO_ENDPOINT)],
            fleet(),
            503,
            ErrorCode.NO_READY_TIER,
            R.TIER_UNAVAILABLE,
            id="they went away meanwhile",
        ),
    ],
)
def test_failures(
    *,
    rules: dict[str, Any],
    attempts: list[Attempt],
    view: FleetView,
    status: int,
    code: ErrorCode,
    reason: RequestReason,
) -> None:
    """Exactly one honest error, by what was the cause."""
    known = routes(escalation=rules)
    step = next_step(known, facts(known), attempts, view, 1.0)
    assert isinstance(step, Fail)
    assert (step.status, step.code, step.reason) == (status, code, reason)
    assert (step.retry_after_s is not None) == (status == 503)


@pytest.mark.parametrize(
    ("rules", "attempts", "expected"),
    [
        pytest.param({}, [low], AnswerWith, id="the best answer so far"),
        pytest.param({}, [down], Fail, id="none so far"),
        pytest.param(REJECT, [low], Fail, id="one that is to be rejected"),
    ],
)
def test_deadline(rules: dict[str, Any], attempts: list[Attempt], expected: type) -> None:
    """At the deadline: the best answer where there is one and it may be given, else 504."""
    known = routes(escalation={"deadlineSeconds": 10} | rules)
    step = next_step(known, facts(known), attempts, BOTH, 10.0)
    assert isinstance(step, expected)
    if isinstance(step, Fail):
        assert (step.status, step.code) == (504, ErrorCode.DEADLINE_EXCEEDED)


@pytest.mark.parametrize(
    ("attempts", "view", "expected"),
    [
        pytest.param([], BOTH, 30.0, id="half, while another could be asked"),
        pytest.param([], fleet("small"), 60.0, id="all, when the other is down"),
        pytest.param([low], BOTH, 60.0, id="all, at the last"),
    ],
)
def test_an_attempt_leaves_time_for_the_next(attempts: list[Attempt], view: FleetView, expected: float) -> None:
    """A silent tier never uses up the time of the one that could help."""
    known = routes(escalation={"deadlineSeconds": 70})
    step = next_step(known, facts(known), attempts, view, 10.0)
    assert isinstance(step, CallTier)
    assert step.timeout_s == expected


def test_an_accepted_answer_is_given_at_the_deadline_too() -> None:
    """What has passed is not thrown away because the clock ran out while it came."""
    known = routes(escalation={"deadlineSeconds": 10, "onExhausted": "Reject"})
    accepted = judged("small", ACCEPT, R.ACCEPTED, 0.9)
    assert next_step(known, facts(known), [accepted], BOTH, 10.5) == AnswerWith(accepted, R.ACCEPTED)


def test_the_best_answer_is_the_surest() -> None:
    """Highest confidence, then the later; one without a number only when there is no other."""
    sure = judged("middle", ESCALATE, R.LOW_CONFIDENCE, 0.6)
    unknown = judged("top", ESCALATE, R.VERIFIER_ERROR)
    assert best_attempt([low, sure, unknown]) is sure
    assert best_attempt([low, judged("middle", ESCALATE, R.LOW_CONFIDENCE, 0.4)]) is not low
    assert best_attempt([unknown]) is unknown
    assert best_attempt([down]) is None


def test_a_preroute_stream_commits_at_the_first_tier() -> None:
    """PreRoute with streaming never escalates, so its first call is a commitment; a plain request is verified."""
    known = routes(streaming="PreRoute")
    streamed = next_step(known, facts(known, stream=True), [], BOTH, 0.0)
    plain = next_step(known, facts(known), [], BOTH, 0.0)
    assert isinstance(streamed, CallTier)
    assert isinstance(plain, CallTier)
    assert (streamed.commit, plain.commit) == (True, False)
