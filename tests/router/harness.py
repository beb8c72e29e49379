"""A router in the test's own loop, on real sockets, in front of fake engines: what tests need to drive it."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest

from fakes.fake_engine import FakeEngine, Reply
from modelcascade.router.state import RouterState

__all__ = ["SURE", "UNSURE", "FakeEngine", "Reply", "Running", "StartRouter", "text_of", "until"]

SURE, UNSURE = -0.01, -3.0
"""Token logprobs above and below the default threshold of 70 %."""


@dataclass
class Running:
    """A router that listens, its engines by tier, and what it wrote."""

    url: str
    port: int
    state: RouterState
    session: aiohttp.ClientSession
    engines: dict[str, FakeEngine]
    sink: io.BytesIO = field(default_factory=io.BytesIO)

    @property
    def small(self) -> FakeEngine:
        """The first tier's engine."""
        return self.engines["small"]

    @property
    def specialist(self) -> FakeEngine:
        """The second tier's engine."""
        return self.engines["specialist"]

    async def chat(self, headers: dict[str, str] | None = None, **fields: Any) -> aiohttp.ClientResponse:
        """POST one chat request; the whole response is read."""
        body = {"model": "assist", "messages": [{"role": "user", "content": "hello"}], **fields}
        response = await self.session.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)
        await response.read()
        return response

    async def stream(self, **fields: Any) -> tuple[aiohttp.ClientResponse, list[Any]]:
        """POST one streaming request; its events, `[DONE]` as a string."""
        response = await self.chat(stream=True, **fields)
        lines = (await response.text()).split("\n\n")
        payloads = [line[6:] for line in lines if line.startswith("data: ")]
        return response, [payload if payload == "[DONE]" else orjson.loads(payload) for payload in payloads]

    async def records(self) -> list[dict[str, Any]]:
        """The decision records so far."""
        await asyncio.sleep(0)
        self.state.decisions.flush()
        return [orjson.loads(line)["decision"] for line in self.sink.getvalue().splitlines()]

    def metric(self, sample: str) -> float:
        """The value of one sample, as it is exposed; 0 when it is not."""
        for line in self.state.expose(0.0).decode().splitlines():
            if line.startswith(f"{sample} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


def text_of(events: list[Any]) -> str:
    """The content of a stream's chunks."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        if isinstance(event, dict)
        for choice in event.get("choices", [])
    )


async def until(condition: Callable[[], bool], what: str, *, engine: FakeEngine, within_s: float = 5.0) -> None:
    """Wait for an engine to see something; the failure says what was waited for."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():
                engine.changed.clear()
                await engine.changed.wait()
    except TimeoutError:
        pytest.fail(f"waited {within_s} s for: {what}")


StartRouter = Callable[..., Awaitable[Running]]
