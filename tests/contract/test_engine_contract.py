"""
What the router needs of an engine, held against the fake and a real llama-server with the tiny model.

`MODELCASCADE_LLAMA_SERVER=http://127.0.0.1:8081` names a running one, with a better model, instead.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from fakes.fake_engine import FakeEngine, Reply, running_engine
from modelcascade.router.upstream import Failure, HttpUpstream
from modelcascade.routing.answers import parse_answer
from modelcascade.routing.attempts import Answer, Outcome
from support.llama_server import running_llama_server

REAL = "MODELCASCADE_LLAMA_SERVER"
BODY = {"model": "m", "messages": [{"role": "user", "content": "Say one word."}], "max_tokens": 8, "temperature": 0}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def llama_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a real engine."""
    named = os.environ.get(REAL)
    if named:
        yield named.rstrip("/")
        return
    with running_llama_server(tmp_path_factory.mktemp("engine")) as url:
        yield url


@pytest.fixture(params=["fake", "llama-server"])
async def engine_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The base URL of an engine."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "fake":
            engine = await stack.enter_async_context(running_engine(FakeEngine(Reply(text="one word more"))))
            yield engine.url
            return
        yield request.getfixturevalue("llama_server_url")


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    """The router's own client."""
    opened = HttpUpstream.open()
    yield opened
    await opened.close()


def chat_url(base: str) -> URL:
    """The one path that is called."""
    return URL(f"{base}/v1/chat/completions")


async def ask(upstream: HttpUpstream, base: str, **fields: Any) -> Answer:
    """One plain answer."""
    received = await upstream.ask(chat_url(base), orjson.dumps(BODY | fields), 120)
    assert isinstance(received, bytes), received
    found = parse_answer(received)
    assert isinstance(found, Answer), found
    return found


async def test_a_plain_answer(engine_url: str, upstream: HttpUpstream) -> None:
    """Content, a known finish reason and usage."""
    found = await ask(upstream, engine_url)
    assert found.message["content"]
    assert found.finish_reason in ("stop", "length")
    assert found.usage is not None
    assert found.usage["completion_tokens"] > 0


async def test_logprobs_of_each_token(engine_url: str, upstream: HttpUpstream) -> None:
    """Asked without streaming, each token has a usable logprob, and there are none unasked."""
    found = await ask(upstream, engine_url, logprobs=True)
    assert found.token_logprobs
    assert all(value <= 0 for value in found.token_logprobs)
    assert (await ask(upstream, engine_url)).token_logprobs == ()


async def test_a_stream_has_tokens_a_finish_and_usage(engine_url: str, upstream: HttpUpstream) -> None:
    """The first event may have no text, the last one may have no choice; between them come tokens and a finish."""
    body = BODY | {"stream": True, "stream_options": {"include_usage": True}}
    live = await upstream.stream(chat_url(engine_url), orjson.dumps(body), 120)
    assert not isinstance(live, Failure), live
    events = []
    while (found := await live.next_events()) is not None:
        assert not isinstance(found, Failure), found
        events += found
    live.close()
    assert "".join(delta.get("content", "") for delta, _, _, _ in events)
    assert [finish for _, finish, _, _ in events if finish] in (["stop"], ["length"])
    assert [usage for _, _, _, usage in events if usage]


async def test_the_dialect_of_a_stream(engine_url: str) -> None:
    """On the wire: `data:` lines, a role first, `[DONE]` last, and before it a chunk without choices."""
    body = BODY | {"stream": True, "stream_options": {"include_usage": True}}
    async with aiohttp.ClientSession() as session, session.post(chat_url(engine_url), json=body) as response:
        assert response.content_type == "text/event-stream"
        lines = [line for line in (await response.text()).split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    first, last = orjson.loads(lines[0][6:]), orjson.loads(lines[-2][6:])
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert (last["choices"], last["usage"]["completion_tokens"] > 0) == ([], True)


async def test_tools_with_logprobs_without_streaming(engine_url: str, upstream: HttpUpstream) -> None:
    """The combination that verification needs is served without streaming."""
    found = await ask(upstream, engine_url, tools=[TOOL], logprobs=True)
    assert found.finish_reason in ("stop", "length", "tool_calls")


async def test_nonsense_is_a_4xx(engine_url: str, upstream: HttpUpstream) -> None:
    """A request that the engine cannot take is a failure with a status, not an answer."""
    if "127.0.0.1" in engine_url and os.environ.get(REAL, "").rstrip("/") != engine_url:
        async with running_engine(FakeEngine(Reply(status=400))) as refusing:
            found = await upstream.ask(chat_url(refusing.url), orjson.dumps({"messages": 5}), 30)
    else:
        found = await upstream.ask(chat_url(engine_url), orjson.dumps({"messages": 5}), 30)
    assert isinstance(found, Failure)
    assert found.outcome in (Outcome.REJECTED, Outcome.BROKEN)
