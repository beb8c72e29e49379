"""Streams: what is not verified is not sent, and what is sent is never taken back."""

import asyncio

import orjson
import pytest

from modelcascade.router.state import RouterLimits
from modelcascade.router.upstream import Times
from router.harness import UNSURE, Reply, StartRouter, text_of, until

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":  1}'}}
TOOL = {"type": "function", "function": {"name": "add"}}


async def test_a_verified_answer_is_streamed_by_the_router(start_router: StartRouter) -> None:
    """The small tier is asked without streaming; its accepted answer goes out as role, content, finish, end."""
    router = await start_router()
    response, events = await router.stream(stream_options={"include_usage": True})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["x-modelcascade-tier"] == "small"
    assert router.small.bodies[0]["stream"] is False
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert text_of(events) == "from small"
    finish, usage, end = events[-3:]
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert finish["modelcascade"] == {
        "request_id": response.headers["x-request-id"],
        "tier": "small",
        "escalations": 0,
        "reason": "accepted",
        "confidence": 0.99,
    }
    assert (usage["choices"], usage["usage"]["total_tokens"], end) == ([], 9, "[DONE]")
    assert {event["object"] for event in events[:-1]} == {"chat.completion.chunk"}
    assert {event["model"] for event in events[:-1]} == {"small-model"}


async def test_nothing_of_a_rejected_answer_is_streamed(start_router: StartRouter) -> None:
    """I6: after an escalation the stream holds the specialist's words alone, passed on as they come."""
    router = await start_router()
    router.small.reply = Reply(text="a canary guess", logprob=UNSURE)
    response, events = await router.stream()
    assert text_of(events) == "from specialist"
    assert b"canary" not in orjson.dumps(events)
    assert router.specialist.bodies[0]["stream"] is True
    assert response.headers["x-modelcascade-escalations"] == "1"
    assert events[-2]["modelcascade"]["reason"] == "final_tier"
    assert "usage" not in orjson.dumps(events).decode()
    assert events[-1] == "[DONE]"


async def test_usage_of_the_last_tier_comes_when_asked(start_router: StartRouter) -> None:
    """An engine's last chunk without choices becomes the usage chunk, without what the engine adds."""
    router = await start_router(tiers=("small",))
    _, events = await router.stream(stream_options={"include_usage": True})
    assert events[-2]["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert "timings" not in events[-2]


async def test_the_last_tier_streams_as_it_comes(start_router: StartRouter) -> None:
    """The first tokens are at the client while the engine is still at work."""
    router = await start_router(tiers=("small",))
    router.small.reply = Reply(text="one two three", stall_after=1)
    body = {"model": "assist", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with router.session.post(f"{router.url}/v1/chat/completions", json=body) as response:
        async with asyncio.timeout(5):
            received = b""
            while b'"one"' not in received:
                received += await response.content.readany()
    assert b"[DONE]" not in received


async def test_preroute_streams_the_first_tier(start_router: StartRouter) -> None:
    """Under PreRoute the small tier streams at once and is not verified."""
    router = await start_router(streaming="PreRoute")
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    response, events = await router.stream()
    assert text_of(events) == "a guess"
    assert response.headers["x-modelcascade-reason"] == "unverified"
    assert router.small.bodies[0]["stream"] is True


async def test_preroute_falls_back_before_the_first_token(start_router: StartRouter) -> None:
    """Before the first token a failure moves on; the client sees one stream."""
    router = await start_router(streaming="PreRoute")
    router.small.reply = Reply(text="never seen", cut_after=0)
    response, events = await router.stream()
    assert text_of(events) == "from specialist"
    assert response.headers["x-modelcascade-escalations"] == "0"
    assert (await router.records())[0]["fallbacks"] == 1


@pytest.mark.parametrize("after", [1, 2])
async def test_after_the_first_token_a_failure_is_one_error_event(start_router: StartRouter, after: int) -> None:
    """R4: what came is kept, one error event follows, no end mark, no other tier."""
    router = await start_router(streaming="PreRoute")
    router.small.reply = Reply(text="one two three", cut_after=after)
    response, events = await router.stream()
    assert response.status == 200
    assert text_of(events) == " ".join(["one", "two"][:after])
    assert events[-1]["error"]["code"] == "upstream_error"
    assert events[-1]["error"]["request_id"] == response.headers["x-request-id"]
    assert "[DONE]" not in events
    assert router.specialist.bodies == []
    assert (await router.records())[0]["code"] == "upstream_error"


async def test_a_first_event_that_is_an_error_is_no_200(start_router: StartRouter) -> None:
    """R3: an error inside a 200 stream is a failure of the attempt, and with no other tier a proper status."""
    router = await start_router(tiers=("small",))
    router.small.reply = Reply(first_event=b'{"error":{"message":"no"}}')
    response, _ = await router.stream()
    assert response.status == 502
    assert (await response.json())["error"]["code"] == "upstream_error"


async def test_a_stall_inside_the_stream_ends_it(start_router: StartRouter) -> None:
    """R5: when no token comes for the idle time, the stream ends with an error event."""
    router = await start_router(tiers=("small",), times=Times(idle_s=0.1))
    router.small.reply = Reply(text="one two", stall_after=1)
    _, events = await router.stream()
    assert text_of(events) == "one"
    assert events[-1]["error"]["code"] == "upstream_error"


async def test_a_silent_engine_is_left_at_the_first_token_time(start_router: StartRouter) -> None:
    """R2: an engine that says nothing is left, and the client sees only the good answer."""
    router = await start_router(streaming="PreRoute", times=Times(first_token_s=0.1))
    router.small.reply = Reply(text="never", hold=asyncio.Event())
    _, events = await router.stream()
    assert text_of(events) == "from specialist"
    assert (await router.records())[0]["steps"][0]["outcome"] == "first_token_timeout"


async def test_the_deadline_ends_a_stream(start_router: StartRouter) -> None:
    """A stream that goes on beyond the deadline ends with that error."""
    router = await start_router(tiers=("small",), escalation={"deadlineSeconds": 1})
    router.small.reply = Reply(text="one two", stall_after=1)
    _, events = await router.stream()
    assert events[-1]["error"]["code"] == "deadline_exceeded"


async def test_a_long_wait_brings_heartbeats(start_router: StartRouter) -> None:
    """While an answer is being verified the client gets comments; the facts follow in the finish chunk."""
    router = await start_router(limits=RouterLimits(heartbeat_s=0.02))
    gate = asyncio.Event()
    router.small.reply = Reply(text="late", hold=gate)
    body = {"model": "assist", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with router.session.post(f"{router.url}/v1/chat/completions", json=body) as response:
        assert (response.status, "x-modelcascade-tier" in response.headers) == (200, False)
        assert await response.content.readline() == b": waiting\n"
        gate.set()
        rest = await response.text()
    assert '"late"' in rest
    assert '"tier":"small"' in rest
    assert rest.endswith("data: [DONE]\n\n")


async def test_a_failure_after_heartbeats_is_in_the_stream(start_router: StartRouter) -> None:
    """Once status 200 is out, an error is an event without an end mark."""
    router = await start_router(tiers=("small", "specialist"), limits=RouterLimits(heartbeat_s=0.02))
    gate = asyncio.Event()
    router.small.reply = Reply(status=500, hold=gate)
    router.specialist.reply = Reply(status=500)
    body = {"model": "assist", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with router.session.post(f"{router.url}/v1/chat/completions", json=body) as response:
        await response.content.readline()
        gate.set()
        rest = await response.text()
    assert '"code":"upstream_error"' in rest
    assert "[DONE]" not in rest


async def test_tool_calls_are_streamed_whole(start_router: StartRouter) -> None:
    """A buffered tool call goes out in one piece with its index, unaltered."""
    router = await start_router()
    router.small.reply = Reply(text="", tool_calls=(CALL,))
    _, events = await router.stream(tools=[TOOL])
    calls = [
        event["choices"][0]["delta"]["tool_calls"]
        for event in events[:-1]
        if "tool_calls" in event["choices"][0]["delta"]
    ]
    assert calls == [[{"index": 0, **CALL}]]
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"


async def test_logprobs_with_tools_are_asked_without_streaming(start_router: StartRouter) -> None:
    """llama-server refuses logprobs with tools and streaming together, so the router streams the answer itself."""
    router = await start_router(tiers=("small",))
    _, events = await router.stream(tools=[TOOL], logprobs=True)
    assert router.small.bodies[0]["stream"] is False
    assert text_of(events) == "from small"
    assert any("logprobs" in event["choices"][0] for event in events[:-1])


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(first_event=b"{not json"), id="an event that is no JSON"),
        pytest.param(Reply(first_event=b"x" * 1_100_000), id="an event that is too large"),
        pytest.param(Reply(body=b'{"choices":[]}'), id="no stream at all"),
        pytest.param(Reply(status=503), id="503"),
        pytest.param(Reply(drop=True), id="connection lost"),
    ],
)
async def test_a_stream_that_is_none_is_left_by_fallback(start_router: StartRouter, reply: Reply) -> None:
    """R44: before the first token, whatever is no stream of a chat is a failure of the attempt."""
    router = await start_router(streaming="PreRoute")
    router.small.reply = reply
    _, events = await router.stream()
    assert text_of(events) == "from specialist"
    assert (await router.records())[0]["fallbacks"] == 1


async def test_streamed_tool_calls_pass_unaltered(start_router: StartRouter) -> None:
    """I11: the last tier's tool call reaches the client as the engine sent it."""
    router = await start_router(tiers=("small",))
    router.small.reply = Reply(text="", tool_calls=(CALL,))
    _, events = await router.stream(tools=[TOOL])
    calls = [
        event["choices"][0]["delta"]["tool_calls"]
        for event in events[:-1]
        if "tool_calls" in event["choices"][0]["delta"]
    ]
    assert calls == [[{"index": 0, **CALL}]]


async def test_a_client_that_leaves_at_a_heartbeat_frees_the_engine(start_router: StartRouter) -> None:
    """A client that goes while it is kept waiting takes its engine call along."""
    router = await start_router(limits=RouterLimits(heartbeat_s=0.02))
    router.small.reply = Reply(hold=asyncio.Event())
    body = {"model": "assist", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with router.session.post(f"{router.url}/v1/chat/completions", json=body) as response:
        await response.content.readline()
        response.close()
    await until(lambda: router.small.left == 1, "the engine's client to leave", engine=router.small, within_s=1)
    assert (await router.records())[0]["code"] == "client_closed"


async def test_a_stop_after_a_heartbeat_is_told(start_router: StartRouter) -> None:
    """R31: status 200 is out and no answer yet; the end of the grace is an error event, not a silent close."""
    router = await start_router(limits=RouterLimits(heartbeat_s=0.02))
    router.small.reply = Reply(hold=asyncio.Event())
    body = {"model": "assist", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with router.session.post(f"{router.url}/v1/chat/completions", json=body) as response:
        await response.content.readline()
        router.state.draining = router.state.aborting = True
        for task in set(router.state.tasks):
            task.cancel()
        rest = await response.text()
    assert '"code":"overloaded"' in rest
    assert "[DONE]" not in rest
    assert (await router.records())[0]["code"] == "overloaded"


async def test_a_stop_inside_a_stream_is_told(start_router: StartRouter) -> None:
    """R31: at the end of the grace a stream ends with an error event; a waiting request gets a proper 503."""
    router = await start_router(tiers=("small",))
    router.small.script.extend([Reply(text="one two", stall_after=1), Reply(hold=asyncio.Event())])
    body = {"model": "assist", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with router.session.post(f"{router.url}/v1/chat/completions", json=body) as response:
        await response.content.readany()
        waiting = asyncio.ensure_future(router.chat())
        await until(lambda: router.small.running == 2, "both requests at the engine", engine=router.small)
        router.state.draining = router.state.aborting = True
        for task in set(router.state.tasks):
            task.cancel()
        rest = await response.text()
    plain = await waiting
    assert '"code":"overloaded"' in rest
    assert (plain.status, plain.headers["Connection"], (await plain.json())["error"]["code"]) == (
        503,
        "close",
        "overloaded",
    )
