"""The table of `judge_attempt`, row by row."""

from typing import Any

import pytest

from modelcascade.api.reasons import RequestReason, Warning_
from modelcascade.routing.attempts import Answer, VerdictKind
from modelcascade.routing.judge import judge_attempt
from routing.builders import answer, attempt, facts, routes

ACCEPT, ESCALATE, REFUSE = VerdictKind.ACCEPT, VerdictKind.ESCALATE, VerdictKind.REFUSE
R = RequestReason
SURE, UNSURE = answer(logprobs=(-0.01,)), answer(logprobs=(-3.0,))
JUST = answer(logprobs=(-0.35667494393873245,))  # ln 0.7
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "required": ["a"]}}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "required": ["a"]}}}


def call(arguments: str, name: str = "add") -> Answer:
    """An answer that calls a tool."""
    function = {"name": name, "arguments": arguments}
    return answer("", logprobs=(-9.0,), tool_calls=[{"id": "1", "type": "function", "function": function}])


@pytest.mark.parametrize(
    ("rules", "fields", "given", "kind", "reason", "confidence"),
    [
        pytest.param({}, {}, SURE, ACCEPT, R.ACCEPTED, 0.99, id="sure"),
        pytest.param({}, {}, JUST, ACCEPT, R.ACCEPTED, 0.7, id="just at the threshold"),
        pytest.param({}, {}, UNSURE, ESCALATE, R.LOW_CONFIDENCE, 0.05, id="unsure"),
        pytest.param({"minConfidencePercent": 0}, {}, UNSURE, ACCEPT, R.ACCEPTED, 0.05, id="0 accepts what passes"),
        pytest.param(
            {"minConfidencePercent": 0}, {}, answer(logprobs=()), ACCEPT, R.ACCEPTED, None, id="0, no logprobs"
        ),
        pytest.param(
            {"minConfidencePercent": 0}, {}, answer(finish_reason="length"), ESCALATE, R.TRUNCATED, 0.0, id="0, cut off"
        ),
        pytest.param(
            {"minConfidencePercent": 100},
            {},
            answer(logprobs=(0.0,)),
            ESCALATE,
            R.LOW_CONFIDENCE,
            1.0,
            id="100 accepts none",
        ),
        pytest.param(
            {"minConfidencePercent": 100},
            {"response_format": SCHEMA},
            answer('{"a": 1}'),
            ESCALATE,
            R.LOW_CONFIDENCE,
            None,
            id="100 accepts no schema either",
        ),
        pytest.param({}, {}, answer(finish_reason="length"), ESCALATE, R.TRUNCATED, 0.0, id="cut off"),
        pytest.param({}, {}, answer(oversized=True), ESCALATE, R.TRUNCATED, 0.0, id="more than the buffer"),
        pytest.param(
            {}, {"response_format": SCHEMA}, answer('{"a": 1}'), ACCEPT, R.SCHEMA_VALID, None, id="valid schema"
        ),
        pytest.param(
            {}, {"response_format": SCHEMA}, answer("{}"), ESCALATE, R.SCHEMA_INVALID, 0.0, id="invalid schema"
        ),
        pytest.param(
            {}, {"response_format": SCHEMA}, answer("yes"), ESCALATE, R.SCHEMA_INVALID, 0.0, id="no JSON at all"
        ),
        pytest.param(
            {},
            {"response_format": {"type": "json_object"}},
            answer('{"b":1}'),
            ACCEPT,
            R.SCHEMA_VALID,
            None,
            id="JSON object",
        ),
        pytest.param(
            {},
            {"response_format": {"type": "json_object"}},
            answer("[1]"),
            ESCALATE,
            R.SCHEMA_INVALID,
            0.0,
            id="JSON array",
        ),
        pytest.param({}, {"tools": TOOLS}, call('{"a": 1}'), ACCEPT, R.SCHEMA_VALID, None, id="valid tool call"),
        pytest.param({}, {"tools": TOOLS}, call("{}"), ESCALATE, R.SCHEMA_INVALID, 0.0, id="argument missing"),
        pytest.param({}, {"tools": TOOLS}, call("{a:1}"), ESCALATE, R.SCHEMA_INVALID, 0.0, id="arguments are no JSON"),
        pytest.param(
            {}, {"tools": TOOLS}, call('{"a":1}', "rm"), ESCALATE, R.SCHEMA_INVALID, 0.0, id="a tool not offered"
        ),
        pytest.param(
            {}, {"tools": TOOLS}, SURE, ACCEPT, R.ACCEPTED, 0.99, id="text in place of a call, by its logprobs"
        ),
        pytest.param(
            {},
            {"tools": TOOLS, "tool_choice": "required"},
            SURE,
            ESCALATE,
            R.SCHEMA_INVALID,
            0.0,
            id="a call was required",
        ),
        pytest.param({"method": "None"}, {}, UNSURE, ACCEPT, R.UNVERIFIED, None, id="no verification"),
        pytest.param(
            {"method": "None"},
            {},
            answer(finish_reason="length"),
            ESCALATE,
            R.TRUNCATED,
            0.0,
            id="no verification, cut off",
        ),
        pytest.param({}, {}, answer(logprobs=()), ESCALATE, R.VERIFIER_ERROR, None, id="no logprobs: escalate"),
        pytest.param(
            {"onFailure": "Accept"}, {}, answer(logprobs=()), ACCEPT, R.VERIFIER_ERROR, None, id="no logprobs: accept"
        ),
        pytest.param(
            {"onFailure": "Reject"}, {}, answer(logprobs=()), REFUSE, R.VERIFIER_ERROR, None, id="no logprobs: reject"
        ),
    ],
)
def test_verdicts(
    *,
    rules: dict[str, Any],
    fields: dict[str, Any],
    given: Answer,
    kind: VerdictKind,
    reason: RequestReason,
    confidence: float | None,
) -> None:
    """Kind, reason and number are those of the row."""
    known = routes(verification=rules)
    verdict = judge_attempt(known, facts(known, **fields), attempt(given=given))
    assert (verdict.kind, verdict.reason) == (kind, reason)
    assert verdict.confidence == (None if confidence is None else pytest.approx(confidence, abs=0.01))


@pytest.mark.parametrize(
    ("fields", "given", "reason", "warnings"),
    [
        pytest.param({}, UNSURE, R.FINAL_TIER, (), id="nothing above"),
        pytest.param({"model": "assist/small"}, UNSURE, R.UNVERIFIED, (), id="pinned"),
        pytest.param(
            {"response_format": SCHEMA},
            answer("no"),
            R.FINAL_TIER,
            (Warning_.BEST_EFFORT,),
            id="the last one misses the schema",
        ),
    ],
)
def test_a_commitment_is_accepted(
    fields: dict[str, Any], given: Answer, reason: RequestReason, warnings: tuple[Warning_, ...]
) -> None:
    """The last tier, a pinned one or a PreRoute stream is accepted whatever its logprobs say."""
    known = routes()
    verdict = judge_attempt(known, facts(known, **fields), attempt(given=given, commit=True))
    assert (verdict.kind, verdict.reason, verdict.warnings) == (ACCEPT, reason, warnings)


def test_an_answer_that_was_not_verified_says_so() -> None:
    """`onFailure: Accept` gives the answer with a warning."""
    known = routes(verification={"onFailure": "Accept"})
    verdict = judge_attempt(known, facts(known), attempt(given=answer(logprobs=())))
    assert verdict.warnings == (Warning_.UNVERIFIED,)


def test_an_invalid_schema_is_never_a_best_effort() -> None:
    """What does not fit the schema is kept from the client even when all bounds are reached."""
    known = routes()
    verdict = judge_attempt(known, facts(known, response_format=SCHEMA), attempt(given=answer("{}")))
    assert verdict.releasable is False


def test_an_attempt_without_an_answer_cannot_be_judged() -> None:
    """A failure has no verdict; to ask for one is a mistake of the caller."""
    known = routes()
    with pytest.raises(ValueError, match="with an answer"):
        judge_attempt(known, facts(known), attempt())
