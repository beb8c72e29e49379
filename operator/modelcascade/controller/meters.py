"""Serving the operator's metrics, and measuring how late its event loop is."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from modelcascade.api.telemetry import OperatorMetric
from modelcascade.meters import Meters

__all__ = ["measure_loop_lag", "serve", "serve_metrics"]

_LAG_INTERVAL_S = 5.0


async def serve_metrics(meters: Meters, port: int, queue_depth: Callable[[], int]) -> web.AppRunner:
    """Serve /metrics until the runner is cleaned up."""

    async def handle(_request: web.Request) -> web.Response:
        meters.put(OperatorMetric.QUEUE_DEPTH, value=queue_depth())
        return web.Response(body=meters.expose(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/metrics", handle)])
    return await serve(app, port)


async def serve(app: web.Application, port: int) -> web.AppRunner:
    """Serve an app on all interfaces until the runner is cleaned up."""
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner


async def measure_loop_lag(meters: Meters) -> None:
    """Keep the loop-lag gauge current until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time() + _LAG_INTERVAL_S
        await asyncio.sleep(_LAG_INTERVAL_S)
        meters.put(OperatorMetric.LOOP_LAG, value=max(0.0, loop.time() - asked))
