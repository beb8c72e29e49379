"""A router in the test's own loop, on real sockets, in front of fake engines."""

import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from fakes.fake_engine import FakeEngine, Reply, running_engine
from modelcascade.api.telemetry import ROUTER_METRICS
from modelcascade.meters import Meters
from modelcascade.router.app import build_app
from modelcascade.router.decision_log import DecisionLog
from modelcascade.router.protocol import Limits
from modelcascade.router.state import RouterLimits, RouterState
from modelcascade.router.upstream import HttpUpstream, Times
from router.harness import SURE, Running, StartRouter


@pytest.fixture
async def start_router() -> AsyncIterator[StartRouter]:
    """Start a router; tiers are `small` and `specialist` unless `tiers` says otherwise."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            *,
            tiers: tuple[str, ...] = ("small", "specialist"),
            engines_a_tier: int = 1,
            tier_fields: dict[str, Any] | None = None,
            limits: RouterLimits | None = None,
            connection_limits: Limits | None = None,
            times: Times | None = None,
            **routes: Any,
        ) -> Running:
            engines: dict[str, FakeEngine] = {}
            documents = []
            for rank, tier in enumerate(tiers):
                urls = []
                for n in range(engines_a_tier):
                    engine = await stack.enter_async_context(running_engine())
                    engine.reply = Reply(text=f"from {tier}", logprob=SURE)
                    engines[tier if n == 0 else f"{tier}-{n}"] = engine
                    urls.append(engine.url)
                documents.append(
                    {
                        "name": tier,
                        "role": "Small" if rank == 0 else "Specialist",
                        "rank": rank,
                        "urls": urls,
                        "servedName": f"{tier}-model",
                        **(tier_fields or {}),
                    }
                )
            sink = io.BytesIO()
            upstream = HttpUpstream.open(times)
            stack.push_async_callback(upstream.close)
            state = RouterState(upstream, Meters(ROUTER_METRICS), DecisionLog(sink), limits=limits or RouterLimits())
            problem = state.offer_routes(orjson.dumps({"cascade": "assist", "tiers": documents, **routes}))
            assert problem is None
            runner = web.ServerRunner(build_app(state, connection_limits), shutdown_timeout=0.05)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Running(f"http://127.0.0.1:{site.port}", site.port, state, session, engines, sink)

        yield start
