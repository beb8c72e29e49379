"""The client that users have: OpenAI's own library, talking to the router."""

import openai
import pytest

from router.harness import UNSURE, Reply, StartRouter


async def test_a_plain_answer(start_router: StartRouter) -> None:
    """The library reads the answer and its usage."""
    router = await start_router()
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="unused") as client:
        found = await client.chat.completions.create(model="assist", messages=[{"role": "user", "content": "hello"}])
    assert (found.choices[0].message.content, found.model) == ("from small", "small-model")
    assert found.usage is not None
    assert found.usage.total_tokens == 9


async def test_a_stream(start_router: StartRouter) -> None:
    """The library reads a buffered stream and a passed-on one, with usage at the end."""
    router = await start_router()
    router.small.script.append(Reply(text="from small"))
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    texts = []
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="unused") as client:
        for _ in range(2):
            stream = await client.chat.completions.create(
                model="auto",
                messages=[{"role": "user", "content": "hello"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
            texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
            assert chunks[-1].usage is not None
    assert texts == ["from small", "from specialist"]


async def test_errors_are_the_librarys_own(start_router: StartRouter) -> None:
    """A bad field and an unknown model become the library's exceptions, with our code and the field."""
    router = await start_router()
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="unused", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as bad:
            await client.chat.completions.create(
                model="assist", messages=[{"role": "user", "content": "x"}], extra_body={"grammar": "x"}
            )
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "x"}])
        models = [model.id async for model in client.models.list()]
    assert (bad.value.code, bad.value.param) == ("invalid_request", "grammar")
    assert unknown.value.code == "model_not_found"
    assert models == ["assist", "assist/small", "assist/specialist"]


async def test_what_would_cost_again_is_not_repeated(start_router: StartRouter) -> None:
    """The library obeys `x-should-retry: false`: an exhausted cascade is paid once."""
    router = await start_router(escalation={"maxEscalations": 0, "onExhausted": "Reject"})
    router.small.reply = Reply(text="a guess", logprob=UNSURE)
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="unused", max_retries=2) as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="assist", messages=[{"role": "user", "content": "x"}])
    assert len(router.small.bodies) == 1


async def test_an_error_inside_a_stream_is_raised(start_router: StartRouter) -> None:
    """After the first token a failure reaches the library as its error."""
    router = await start_router(tiers=("small",))
    router.small.reply = Reply(text="one two", cut_after=1)
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="unused", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="assist", messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass
