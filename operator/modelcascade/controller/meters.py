"""The operator's own metrics; see docs/concepts/reconcile.md for what each tells."""

import asyncio

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["Meters", "measure_loop_lag", "serve_metrics"]

_LAG_INTERVAL_S = 5.0


class Meters:
    """All collectors of one operator process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "modelcascade_operator_reconciles",
            "Rounds by how they ended.",
            ["result"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "modelcascade_operator_reconcile_seconds",
            "Duration of one round.",
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
            registry=self.registry,
        )
        self.writes = Counter(
            "modelcascade_operator_writes",
            "Writes to the API server.",
            ["verb", "kind"],
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "modelcascade_operator_queue_depth", "Cascades that wait for a round.", registry=self.registry
        )
        self.loop_lag_seconds = Gauge(
            "modelcascade_operator_loop_lag_seconds",
            "How much later than asked the event loop woke up last.",
            registry=self.registry,
        )

    def count_write(self, verb: str, kind: str) -> None:
        """One write passed the gate."""
        self.writes.labels(verb, kind).inc()


async def serve_metrics(meters: Meters, port: int) -> web.AppRunner:
    """Serve /metrics until the runner is cleaned up."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(meters.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

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
        meters.loop_lag_seconds.set(max(0.0, loop.time() - asked))
