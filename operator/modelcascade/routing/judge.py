"""
Is this answer good enough? The first matching row wins.

| # | when | verdict | confidence |
| --- | --- | --- | --- |
| 1 | pinned tier, or PreRoute stream | accept, `unverified` | - |
| 2 | the call was a commitment: no tier above may still be asked | accept, `final_tier` | - |
| 3 | cut off: finish reason `length`, or larger than the buffer | escalate, `truncated` | 0 |
| 4 | a schema or tool was asked and the answer does not fit | escalate, `schema_invalid`, not releasable | 0 |
| 5 | method None | accept, `unverified` | - |
| 6 | threshold 100 | escalate, `low_confidence` | as measured |
| 7 | usable logprobs, 100 x confidence at or above the threshold, or threshold 0 | accept, `accepted` | measured |
| 8 | usable logprobs, below | escalate, `low_confidence` | measured |
| 9 | none usable, but a valid answer to a requested schema or tool | accept, `schema_valid` | - |
| 10 | none usable, threshold 0 | accept, `accepted` | - |
| 11 | none usable, `onFailure` Escalate, Accept, Reject | escalate, accept (warning), refuse: `verifier_error` | - |

Logprobs of constrained answers (a JSON schema, a tool call) are not usable: engines report those of the
unconstrained model.
"""

from modelcascade.api.documents import Routes
from modelcascade.api.reasons import RequestReason, Warning_
from modelcascade.routing.attempts import Answer, Attempt, Verdict, VerdictKind
from modelcascade.routing.chat import ChatRequest, Problem
from modelcascade.routing.confidence import lowest_tenth_confidence
from modelcascade.routing.facts import RequestFacts
from modelcascade.routing.schema_check import SchemaFit, check_fit
from modelcascade.routing.strict_json import parse_strict

__all__ = ["check_structure", "judge_attempt"]

EVERYTHING, NOTHING = 0, 100


def _arguments_fit(arguments: str, schema: dict[str, object] | None) -> bool:
    value = parse_strict(arguments.encode("utf-8", "replace") or b"{}")
    if isinstance(value, Problem) or not isinstance(value, dict):
        return False
    return schema is None or check_fit(value, schema) is not SchemaFit.MISFITS


def _tool_calls_fit(chat: ChatRequest, answer: Answer) -> bool:
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") for tool in chat.tools}
    for call in answer.message["tool_calls"]:
        function = call["function"]
        if function["name"] not in schemas or not _arguments_fit(function["arguments"], schemas[function["name"]]):
            return False
    return True


def _content_fits(chat: ChatRequest, answer: Answer) -> bool:
    form = chat.response_format
    if form is None:
        return True
    value = parse_strict((answer.message.get("content") or "").encode("utf-8", "replace"))
    if isinstance(value, Problem):
        return False
    if form["type"] == "json_object":
        return isinstance(value, dict)
    return check_fit(value, form["json_schema"]["schema"]) is not SchemaFit.MISFITS


def check_structure(chat: ChatRequest, answer: Answer) -> bool:
    """Whether the answer has the form that was asked: a schema, valid tool arguments, a tool call at all."""
    if answer.message.get("tool_calls"):
        return _tool_calls_fit(chat, answer)
    if chat.needs_tool:
        return False
    return _content_fits(chat, answer)


def _judge_unmeasured(routes: Routes, *, structured: bool) -> Verdict:
    rules = routes.verification
    if structured:
        return Verdict(VerdictKind.ACCEPT, RequestReason.SCHEMA_VALID)
    if rules.min_confidence_percent == EVERYTHING:
        return Verdict(VerdictKind.ACCEPT, RequestReason.ACCEPTED, None, 0.0)
    match rules.on_failure:
        case "Escalate":
            return Verdict(VerdictKind.ESCALATE, RequestReason.VERIFIER_ERROR)
        case "Accept":
            return Verdict(VerdictKind.ACCEPT, RequestReason.VERIFIER_ERROR, warnings=(Warning_.UNVERIFIED,))
        case "Reject":
            return Verdict(VerdictKind.REFUSE, RequestReason.VERIFIER_ERROR, releasable=False)


def judge_attempt(routes: Routes, facts: RequestFacts, attempt: Attempt) -> Verdict:
    """The verdict on an attempt that has an answer; see the table above."""
    answer = attempt.answer
    if answer is None:
        msg = "only an attempt with an answer can be judged"
        raise ValueError(msg)
    chat, rules = facts.chat, routes.verification
    if attempt.commit:
        bare = facts.pinned or facts.streamed_at_once
        fits = check_structure(chat, answer)
        return Verdict(
            VerdictKind.ACCEPT,
            RequestReason.UNVERIFIED if bare else RequestReason.FINAL_TIER,
            warnings=() if fits else (Warning_.BEST_EFFORT,),
        )
    threshold = rules.min_confidence_percent / 100 if rules.method == "Confidence" else None
    if answer.oversized or answer.finish_reason == "length":
        return Verdict(VerdictKind.ESCALATE, RequestReason.TRUNCATED, 0.0, threshold)
    if not check_structure(chat, answer):
        return Verdict(VerdictKind.ESCALATE, RequestReason.SCHEMA_INVALID, 0.0, threshold, releasable=False)
    if rules.method == "None":
        return Verdict(VerdictKind.ACCEPT, RequestReason.UNVERIFIED)
    structured = chat.constrained or bool(answer.message.get("tool_calls"))
    confidence = None if structured else lowest_tenth_confidence(answer.token_logprobs)
    if rules.min_confidence_percent == NOTHING:
        return Verdict(VerdictKind.ESCALATE, RequestReason.LOW_CONFIDENCE, confidence, 1.0)
    if confidence is None:
        return _judge_unmeasured(routes, structured=structured)
    if 100 * confidence >= rules.min_confidence_percent:
        return Verdict(VerdictKind.ACCEPT, RequestReason.ACCEPTED, confidence, threshold)
    return Verdict(VerdictKind.ESCALATE, RequestReason.LOW_CONFIDENCE, confidence, threshold)
