"""Engines that fail: the client sees only the good answer, or one honest error."""

import asyncio
from typing import Any

import aiohttp
import pytest

from modelcascade.router.endpoints import RETRY_WINDOW_S, RetryBudget
from modelcascade.router.upstream import Times
from router.harness import UNSURE, Reply, Running, StartRouter, until


async def kill(router: Running, tier: str) -> None:
    """Make a tier's address refuse connections."""
    router.state.fleet.set_tier(tier, ["http://127.0.0.1:1"], 4)
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        pytest.param(Reply(status=500), "broken", id="500"),
        pytest.param(Reply(status=503), "unavailable", id="503"),
        pytest.param(Reply(status=429, headers=(("Retry-After", "1"),)), "overloaded", id="429"),
        pytest.param(Reply(status=400), "rejected", id="400"),
        pytest.param(Reply(status=302, headers=(("Location", "http://127.0.0.1:1/"),)), "broken", id="a redirect"),
        pytest.param(Reply(body=b'{"error":{"message":"no"}}'), "broken", id="an error with status 200"),
        pytest.param(Reply(body=b"<html>"), "broken", id="no JSON"),
        pytest.param(Reply(body=b"{}", headers=(("Content-Encoding", "gzip"),)), "broken", id="compressed"),
        pytest.param(Reply(drop=True), "broken", id="connection lost"),
    ],
)
async def test_a_failing_tier_is_left_by_fallback(start_router: StartRouter, reply: Reply, outcome: str) -> None:
    """Whatever the small tier does instead of answering, the next tier answers, and it counts as a fallback."""
    router = await start_router()
    router.small.reply = reply
    response = await router.chat()
    assert response.status == 200
    assert response.headers["x-modelcascade-tier"] == "specialist"
    assert response.headers["x-modelcascade-escalations"] == "0"
    (record,) = await router.records()
    assert (record["fallbacks"], record["steps"][0]["outcome"]) == (1, outcome)


async def test_a_tier_that_refuses_connections_is_left(start_router: StartRouter) -> None:
    """R1: an engine that is gone costs no more than the connect."""
    router = await start_router()
    await kill(router, "small")
    response = await router.chat()
    assert response.headers["x-modelcascade-tier"] == "specialist"
    assert (await router.records())[0]["steps"][0]["outcome"] == "connect_failed"


async def test_all_tiers_down_is_one_error(start_router: StartRouter) -> None:
    """I8: one honest error, with the headers that say what was tried."""
    router = await start_router()
    for engine in router.engines.values():
        engine.reply = Reply(status=500)
    response = await router.chat()
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (502, "upstream_error")
    assert response.headers["x-modelcascade-reason"] == "upstream_error"
    assert response.headers["x-modelcascade-cascade"] == "assist"
    assert "x-modelcascade-tier" not in response.headers


async def test_no_endpoint_is_503_with_retry_after(start_router: StartRouter) -> None:
    """With no ready endpoint the answer is immediate and says when to come back."""
    router = await start_router(tiers=("small",))
    router.state.fleet.set_tier("small", [], 4)
    response = await router.chat()
    assert (response.status, (await response.json())["error"]["code"]) == (503, "no_ready_tier")
    assert 1 <= int(response.headers["Retry-After"]) <= 30


async def test_engines_that_all_call_it_invalid(start_router: StartRouter) -> None:
    """A request that every engine refuses as invalid is the client's, and is not repeated."""
    router = await start_router()
    for engine in router.engines.values():
        engine.reply = Reply(status=400)
    response = await router.chat()
    assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_request")


async def test_another_endpoint_is_tried(start_router: StartRouter) -> None:
    """R1: with two endpoints a connect error is retried at the other one, in the same tier."""
    router = await start_router(tiers=("small",), engines_a_tier=2)
    for engine in router.engines.values():
        engine.script.append(Reply(status=503))
    router.engines["small-1"].script.clear()
    response = await router.chat()
    assert (response.status, response.headers["x-modelcascade-tier"]) == (200, "small")
    record = (await router.records())[0]
    assert [step["outcome"] for step in record["steps"]] in (["ok"], ["unavailable", "ok"])


async def test_the_retry_budget_bounds_attempts(start_router: StartRouter) -> None:
    """R10: when everything fails, attempts stay within 1.2 times the requests."""
    router = await start_router(tiers=("small",), engines_a_tier=2)
    for engine in router.engines.values():
        engine.reply = Reply(status=503)
    requests = 20
    await asyncio.gather(*(router.chat() for _ in range(requests)))
    attempts = sum(len(engine.bodies) for engine in router.engines.values())
    assert requests * 0.5 <= attempts <= 1.2 * requests


async def test_an_endpoint_that_keeps_failing_is_ejected(start_router: StartRouter) -> None:
    """R8: after five failures in a row an endpoint gets nothing more for a while; its neighbour serves."""
    router = await start_router(tiers=("small",), engines_a_tier=2)
    router.small.reply = Reply(status=500)
    for _ in range(20):
        await router.chat()
    assert len(router.small.bodies) == 5
    assert router.metric('modelcascade_router_endpoints{state="ejected",tier="small"}') == 1


async def test_busy_endpoints_are_told_at_once(start_router: StartRouter) -> None:
    """R27: over twice the slots of every tier the answer is 503 with Retry-After, and no queue grows."""
    router = await start_router(tiers=("small",), tier_fields={"parallel": 1})
    gate = asyncio.Event()
    router.small.reply = Reply(hold=gate)
    held = [asyncio.ensure_future(router.chat()) for _ in range(2)]
    await until(lambda: router.small.running == 2, "two requests at the engine", engine=router.small)
    response = await router.chat()
    assert (response.status, (await response.json())["error"]["code"]) == (503, "overloaded")
    assert response.headers["x-modelcascade-reason"] == "tier_overloaded"
    assert 1 <= int(response.headers["Retry-After"]) <= 30
    gate.set()
    assert [answer.status for answer in await asyncio.gather(*held)] == [200, 200]
    assert router.small.peak == 2


async def test_a_busy_tier_spills_upwards(start_router: StartRouter) -> None:
    """While the small tier is full the next one takes over, and it is counted as spill."""
    router = await start_router(tier_fields={"parallel": 1})
    gate = asyncio.Event()
    router.small.reply = Reply(hold=gate)
    held = [asyncio.ensure_future(router.chat()) for _ in range(2)]
    await until(lambda: router.small.running == 2, "two requests at the engine", engine=router.small)
    response = await router.chat()
    gate.set()
    await asyncio.gather(*held)
    assert response.headers["x-modelcascade-tier"] == "specialist"
    assert router.metric('modelcascade_router_demand_total{source="Spill",tier="specialist"}') == 1


async def test_a_429_cools_the_endpoint(start_router: StartRouter) -> None:
    """R7: an engine that asks for a pause gets one."""
    router = await start_router()
    router.small.script.append(Reply(status=429, headers=(("Retry-After", "20"),)))
    await router.chat()
    response = await router.chat()
    assert response.headers["x-modelcascade-tier"] == "specialist"
    assert len(router.small.bodies) == 1


async def test_the_deadline_gives_the_best_answer(start_router: StartRouter) -> None:
    """At the deadline an answer in hand is given as a best effort."""
    router = await start_router(escalation={"deadlineSeconds": 1})
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    router.specialist.reply = Reply(hold=asyncio.Event())
    response = await router.chat()
    assert (await response.json())["choices"][0]["message"]["content"] == "a guess"
    assert response.headers["x-modelcascade-warnings"] == "best_effort"


async def test_the_deadline_without_an_answer_is_504(start_router: StartRouter) -> None:
    """Nothing in hand at the deadline: 504, not to be repeated."""
    router = await start_router(tiers=("small",), escalation={"deadlineSeconds": 1})
    router.small.reply = Reply(hold=asyncio.Event())
    response = await router.chat()
    assert (response.status, (await response.json())["error"]["code"]) == (504, "deadline_exceeded")
    assert response.headers["x-should-retry"] == "false"


async def test_a_silent_tier_leaves_time_for_the_next(start_router: StartRouter) -> None:
    """Half of the deadline goes to a silent small tier, and the specialist still answers in time."""
    router = await start_router(escalation={"deadlineSeconds": 1})
    router.small.reply = Reply(hold=asyncio.Event())
    response = await router.chat()
    assert (response.status, response.headers["x-modelcascade-tier"]) == (200, "specialist")


@pytest.mark.parametrize(
    ("tiers", "fields", "reply"),
    [
        pytest.param(("small", "specialist"), {}, Reply(hold=asyncio.Event()), id="plain"),
        pytest.param(("small",), {"stream": True}, Reply(hold=asyncio.Event()), id="before the first token"),
        pytest.param(("small",), {"stream": True}, Reply(text="a b", stall_after=1), id="inside the stream"),
        pytest.param(("small", "specialist"), {"stream": True}, Reply(hold=asyncio.Event()), id="while buffering"),
    ],
)
async def test_a_client_that_leaves_frees_the_engine(
    start_router: StartRouter, tiers: tuple[str, ...], fields: dict[str, Any], reply: Reply
) -> None:
    """R6: in all windows the engine's connection is cut within a second, the slot is free, and it is counted."""
    router = await start_router(tiers=tiers)
    router.small.reply = reply
    body = {"model": "assist", "messages": [{"role": "user", "content": "x"}], **fields}
    async with aiohttp.ClientSession() as session:
        asking = asyncio.ensure_future(session.post(f"{router.url}/v1/chat/completions", json=body))
        await until(lambda: router.small.running == 1, "the request at the engine", engine=router.small)
        if reply.stall_after is not None:
            response = await asking
            await response.content.readany()
            response.close()
        else:
            asking.cancel()
    await until(lambda: router.small.left == 1, "the engine's client to leave", engine=router.small, within_s=1)
    assert sum(endpoint.in_flight for endpoint in router.state.fleet.tiers["small"]) == 0
    (record,) = await router.records()
    assert (record["status"] if not record.get("tier") else 499, record["code"]) == (499, "client_closed")


async def test_connecting_has_its_own_time(start_router: StartRouter) -> None:
    """An address that swallows packets is left at the connect time, not at the deadline."""
    router = await start_router(times=Times(connect_s=0.1))
    router.state.fleet.set_tier("small", ["http://10.255.255.1:9"], 4)
    async with asyncio.timeout(5):
        response = await router.chat()
    assert response.headers["x-modelcascade-tier"] == "specialist"


def test_the_retry_budget_recovers_with_time() -> None:
    """A fifth of the recent requests, and one in every window where there is hardly any traffic."""
    budget = RetryBudget()
    assert budget.allows(0)
    budget.note_retry()
    assert not budget.allows(1)
    assert budget.allows(RETRY_WINDOW_S)
    for _ in range(100):
        budget.note_request(RETRY_WINDOW_S)
    used = 0
    while budget.allows(RETRY_WINDOW_S):
        budget.note_retry()
        used += 1
    assert used in (19, 20)
    assert budget.allows(86_400)
