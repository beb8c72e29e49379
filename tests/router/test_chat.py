"""A chat request through the router: who answers, what the client is told, and what is recorded."""

from typing import Any

import orjson
import pytest

from router.harness import UNSURE, Reply, StartRouter

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "required": ["a"]}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":  1}'}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "required": ["a"]}}}


async def test_a_sure_small_answer_is_given(start_router: StartRouter) -> None:
    """A small answer at or above the threshold goes to the client, with tier, reason and confidence."""
    router = await start_router()
    response = await router.chat()
    body = await response.json()
    assert (response.status, body["choices"][0]["message"]["content"]) == (200, "from small")
    assert body["model"] == "small-model"
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    told = {name: response.headers[f"x-modelcascade-{name}"] for name in ("tier", "model", "cascade", "reason")}
    assert told == {"tier": "small", "model": "small-model", "cascade": "assist", "reason": "accepted"}
    assert response.headers["x-modelcascade-escalations"] == "0"
    assert response.headers["x-modelcascade-confidence"] == "0.990"
    assert response.headers["x-request-id"] == response.headers["x-modelcascade-request-id"]
    assert "logprobs" not in body["choices"][0] or body["choices"][0]["logprobs"] is None
    assert router.specialist.bodies == []


async def test_an_unsure_answer_is_escalated(start_router: StartRouter) -> None:
    """Below the threshold the next tier answers; the client never sees the small answer."""
    router = await start_router()
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    response = await router.chat()
    body = await response.json()
    assert body["choices"][0]["message"]["content"] == "from specialist"
    assert "a guess" not in await response.text()
    assert response.headers["x-modelcascade-tier"] == "specialist"
    assert response.headers["x-modelcascade-escalations"] == "1"
    assert response.headers["x-modelcascade-reason"] == "final_tier"
    assert "x-modelcascade-confidence" not in response.headers
    assert (router.small.bodies[0]["logprobs"], router.small.bodies[0]["stream"]) == (True, False)
    assert "logprobs" not in router.specialist.bodies[0]
    assert router.specialist.bodies[0]["model"] == "specialist-model"


@pytest.mark.parametrize(("threshold", "tier"), [(0, "small"), (100, "specialist")])
async def test_threshold_bounds(start_router: StartRouter, threshold: int, tier: str) -> None:
    """0 keeps every answer that passes in the small tier, 100 escalates all."""
    router = await start_router(verification={"minConfidencePercent": threshold})
    router.small.reply = Reply(text="x", logprob=UNSURE if threshold == 0 else 0.0)
    response = await router.chat()
    assert response.headers["x-modelcascade-tier"] == tier


async def test_a_pinned_tier_answers_alone(start_router: StartRouter) -> None:
    """`CASCADE/TIER` is neither verified nor escalated."""
    router = await start_router()
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    response = await router.chat(model="assist/small")
    assert (await response.json())["choices"][0]["message"]["content"] == "a guess"
    assert response.headers["x-modelcascade-reason"] == "unverified"
    assert "logprobs" not in router.small.bodies[0]


async def test_a_tool_call_passes_unaltered(start_router: StartRouter) -> None:
    """A valid tool call is accepted without logprobs, byte for byte (I11)."""
    router = await start_router()
    router.small.reply = Reply(text="", tool_calls=(CALL,), logprob=UNSURE)
    response = await router.chat(tools=[TOOL])
    choice = (await response.json())["choices"][0]
    assert (choice["message"]["tool_calls"], choice["finish_reason"]) == ([CALL], "tool_calls")
    assert response.headers["x-modelcascade-reason"] == "schema_valid"


async def test_an_invalid_schema_answer_is_escalated(start_router: StartRouter) -> None:
    """Only the answer that fits the schema reaches the client, as it was written (I11)."""
    router = await start_router()
    router.small.reply = Reply(text='{"b": 1}')
    router.specialist.reply = Reply(text='{"a":   1}')
    response = await router.chat(response_format=SCHEMA)
    assert (await response.json())["choices"][0]["message"]["content"] == '{"a":   1}'
    assert (await router.records())[0]["steps"][1]["reason"] == "schema_invalid"


async def test_logprobs_reach_a_client_that_asks(start_router: StartRouter) -> None:
    """A client's own logprobs are passed on."""
    router = await start_router()
    body = await (await router.chat(logprobs=True)).json()
    assert [entry["logprob"] for entry in body["choices"][0]["logprobs"]["content"]] == [-0.01, -0.01]


async def test_best_answer_at_a_bound(start_router: StartRouter) -> None:
    """With no escalation left the best answer is given, with the warning that it is a best effort."""
    router = await start_router(escalation={"maxEscalations": 0})
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    response = await router.chat()
    assert (await response.json())["choices"][0]["message"]["content"] == "a guess"
    assert response.headers["x-modelcascade-reason"] == "exhausted"
    assert response.headers["x-modelcascade-warnings"] == "best_effort"
    assert response.headers["x-modelcascade-confidence"] == "0.050"


async def test_exhausted_and_rejected(start_router: StartRouter) -> None:
    """Under Reject the client gets one error that its library does not repeat, and none of the answer."""
    router = await start_router(escalation={"maxEscalations": 0, "onExhausted": "Reject"})
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    response = await router.chat()
    error = (await response.json())["error"]
    assert (response.status, error["code"], error["type"]) == (502, "escalation_exhausted", "server_error")
    assert error["request_id"] == response.headers["x-request-id"]
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-modelcascade-reason"] == "low_confidence"
    assert "a guess" not in await response.text()


async def test_one_record_a_request(start_router: StartRouter) -> None:
    """The decision record names each step with its confidence and threshold, and holds no text."""
    router = await start_router(verification={"minConfidencePercent": 60}, generation=7)
    router.small.reply = Reply(text="a canary guess", logprob=UNSURE)
    response = await router.chat(
        headers={"x-request-id": "mine"}, messages=[{"role": "user", "content": "canary question"}]
    )
    (record,) = await router.records()
    assert record["requestId"] == response.headers["x-request-id"]
    assert (record["clientRequestId"], record["generation"], record["cascade"]) == ("mine", 7, "assist")
    assert (record["tier"], record["escalations"], record["fallbacks"], record["status"]) == ("specialist", 1, 0, 200)
    small, specialist = record["steps"]
    assert (small["tier"], small["reason"], small["outcome"], small["threshold"]) == ("small", "start", "ok", 0.6)
    assert small["confidence"] == pytest.approx(0.0498, abs=0.001)
    assert (specialist["reason"], specialist["completionTokens"]) == ("low_confidence", 2)
    assert record["overheadMilliseconds"] <= record["milliseconds"]
    assert b"canary" not in orjson.dumps(record)


async def test_the_decision_log_can_be_off(start_router: StartRouter) -> None:
    """With `decisionLog: None` nothing is written."""
    router = await start_router(decisionLog="None")
    await router.chat()
    assert await router.records() == []


async def test_the_trace_is_told_on_request(start_router: StartRouter) -> None:
    """The debug header brings the steps and the router's own time; without it they are absent."""
    router = await start_router()
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    quiet = await router.chat()
    assert "x-modelcascade-trace" not in quiet.headers
    told = await router.chat(headers={"x-modelcascade-debug": "true"})
    trace: list[dict[str, Any]] = orjson.loads(told.headers["x-modelcascade-trace"])
    assert [(step["tier"], step["reason"]) for step in trace] == [("small", "start"), ("specialist", "low_confidence")]
    assert trace[0]["threshold"] == 0.7
    assert float(told.headers["x-modelcascade-overhead-ms"]) >= 0


async def test_metrics_tell_escalations_from_fallbacks(start_router: StartRouter) -> None:
    """Quality and failure are counted apart, demand by its source, tokens of discarded answers too."""
    router = await start_router()
    router.small.script.extend([Reply(text="a guess", logprob=UNSURE), Reply(status=500)])
    for _ in range(3):
        await router.chat()
    await router.records()
    prefix = "modelcascade_router_"
    assert (
        router.metric(prefix + 'escalations_total{from_tier="small",reason="low_confidence",to_tier="specialist"}') == 1
    )
    assert (
        router.metric(prefix + 'fallbacks_total{from_tier="small",reason="upstream_error",to_tier="specialist"}') == 1
    )
    assert router.metric(prefix + 'judged_total{tier="small",to_tier="specialist"}') == 1
    assert router.metric(prefix + 'judged_total{tier="small",to_tier=""}') == 1
    assert router.metric(prefix + 'demand_total{source="External",tier="small"}') == 3
    assert router.metric(prefix + 'demand_total{source="Escalation",tier="specialist"}') == 1
    assert router.metric(prefix + 'demand_total{source="Fallback",tier="specialist"}') == 1
    assert router.metric(prefix + 'tokens_total{kind="output",tier="small"}') == 4
    assert router.metric(prefix + 'attempts_total{outcome="broken",purpose="Generate",tier="small"}') == 1
    assert router.metric(prefix + 'responses_total{code="200",reason="accepted",tier="small"}') == 1
    assert router.metric(prefix + 'e2e_seconds_count{tier="specialist"}') == 2
    assert router.metric(prefix + "overhead_seconds_count") == 3
    assert router.metric(prefix + 'confidence_count{tier="small"}') == 2
    assert router.metric(prefix + 'endpoints{state="ready",tier="small"}') == 1
    assert router.metric(prefix + 'requests{state="running",tier="small"}') == 0
