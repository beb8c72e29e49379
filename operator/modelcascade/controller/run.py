"""
`modelcascade operator`: kopf's watches, the work queue and the resync in one event loop.

    kopf event ──┐
    resync ──────┼──► WorkQueue ──► reconcile_cascade ──► KubeCluster ──► WriteGate ──► API server
    back-off ────┘

The process ends with 0 on SIGTERM or SIGINT, and with 1 when kopf ends for any other reason: a restart lists everything
again, and that is the cure for a watch that died.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import kopf
import uvloop
from aiohttp import web

from modelcascade import clock
from modelcascade.api.telemetry import OPERATOR_METRICS, OperatorMetric
from modelcascade.controller.handlers import WATCHED, build_registry, build_settings
from modelcascade.controller.memory import Memory
from modelcascade.controller.meters import measure_loop_lag, serve, serve_metrics
from modelcascade.controller.queue import WorkQueue
from modelcascade.controller.reconcile import Outcome, reconcile_cascade
from modelcascade.controller.watchdog import (
    ORCHESTRATOR_LOGGER,
    WatcherDeath,
    WatchProbe,
    watcher_names,
)
from modelcascade.errors import ClusterError
from modelcascade.kube.cluster import Cluster, KubeCluster
from modelcascade.kube.connect import Connection, connect
from modelcascade.kube.gate import WriteGate
from modelcascade.kube.indexes import CascadeKey, Indexes
from modelcascade.kube.watch import backoff_s
from modelcascade.logs import set_up_logging
from modelcascade.meters import Meters
from modelcascade.planning.objects import PlanDefaults

__all__ = ["Operator", "Options", "parse_arguments", "run_operator"]

logger = logging.getLogger(__name__)

_KIND = "ModelCascade"
_NO_CRD = "the CRD modelcascades.modelcascade.dev is missing: apply crds/, or install the chart with crds.enabled"
_LONGEST_END_S = 3.0
_LONGEST_KIND_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    namespaces: tuple[str, ...]
    """Empty: all."""

    resync_s: float
    defaults: PlanDefaults
    healthz_port: int
    metrics_port: int
    kubeconfig: str | None
    log_format: str
    log_level: str


def run_operator(arguments: Sequence[str]) -> int:
    """The process; its exit code."""
    options = parse_arguments(arguments)
    set_up_logging("json" if options.log_format == "json" else "plain", options.log_level)
    # kopf tells each event at info; what it has to say to an operator comes as a warning.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").addFilter(_without_settings)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Operator(options).run())


def _without_settings(record: logging.LogRecord) -> bool:
    """Take kopf's own bulk out of its records: all of its settings stand in each of them."""
    for name in ("settings", "k8s_skip"):
        record.__dict__.pop(name, None)
    return True


def parse_arguments(arguments: Sequence[str]) -> Options:
    """The options; exits with 2 and a usage line on a mistake."""
    parser = argparse.ArgumentParser(
        prog="modelcascade operator", description="Watch ModelCascade objects and keep their tiers and router in place."
    )
    parser.add_argument(
        "--namespace", action="append", default=[], help="watch this namespace; may be repeated (default: all)"
    )
    parser.add_argument(
        "--resync-seconds", type=float, default=60.0, help="look at every cascade this often (default: 60)"
    )
    parser.add_argument(
        "--operator-image", required=True, help="image of this program, for routers and model inspection"
    )
    parser.add_argument("--llama-cpp-image", required=True, help="engine image of tiers with engine LlamaCpp")
    parser.add_argument(
        "--router-cluster-role", default="modelcascade-router", help="ClusterRole that routers are bound to"
    )
    parser.add_argument("--image-pull-policy", default="IfNotPresent", choices=("Always", "IfNotPresent", "Never"))
    parser.add_argument("--healthz-port", type=int, default=8080, help="port of /healthz (default: 8080)")
    parser.add_argument("--metrics-port", type=int, default=9090, help="port of /metrics (default: 9090)")
    parser.add_argument("--log-format", choices=("json", "plain"), default="json")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--kubeconfig", help="default: the pod's ServiceAccount, else KUBECONFIG or ~/.kube/config")
    parsed = parser.parse_args(list(arguments))
    if parsed.resync_seconds <= 0:
        parser.error("--resync-seconds must be positive")
    return Options(
        namespaces=tuple(sorted(set(parsed.namespace))),
        resync_s=parsed.resync_seconds,
        defaults=PlanDefaults(
            operator_image=parsed.operator_image,
            llama_cpp_image=parsed.llama_cpp_image,
            router_cluster_role=parsed.router_cluster_role,
            image_pull_policy=parsed.image_pull_policy,
        ),
        healthz_port=parsed.healthz_port,
        metrics_port=parsed.metrics_port,
        kubeconfig=parsed.kubeconfig,
        log_format=parsed.log_format,
        log_level=parsed.log_level,
    )


class Operator:
    """One operator process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._meters = Meters(OPERATOR_METRICS)
        self._memory = Memory()
        self._indexes: Indexes | None = None
        self._queue: WorkQueue[CascadeKey] = WorkQueue(self._work, on_error=self._count_error)
        self._cluster: Cluster | None = None

    async def run(self) -> int:
        """Run until a signal or a death; the exit code."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)  # kopf takes them over while it runs
        metrics = await serve_metrics(self._meters, self._options.metrics_port, lambda: len(self._queue))
        try:
            connection = await connect(self._options.kubeconfig)
        except ClusterError as error:
            logger.error("no way to the cluster", extra={"reason": str(error)})  # noqa: TRY400 - the sentence is enough
            await metrics.cleanup()
            return 1
        async with connection:
            gate = WriteGate(clock.monotonic_s, asyncio.sleep, self._count_write)
            self._cluster = KubeCluster(connection, gate)
            try:
                if not await self._until_served(self._cluster, stop):
                    return 0
                return await self._operate(connection)
            finally:
                await metrics.cleanup()

    async def _until_served(self, cluster: Cluster, stop: asyncio.Event) -> bool:
        """Wait until the API server knows our kind; False when a signal came first."""
        async with _alive(self._options.healthz_port):
            failures = 0
            told = ""
            while not stop.is_set():
                try:
                    if await cluster.is_served(_KIND):
                        return True
                    trouble = reason = _NO_CRD
                except ClusterError as error:
                    trouble, reason = type(error).__name__, f"the API server does not answer: {error}"
                if trouble != told:  # one line for each kind of trouble, not one for each look
                    logger.warning("waiting for the API", extra={"reason": reason})
                    told = trouble
                failures += 1
                wait_s = min(_LONGEST_KIND_WAIT_S, backoff_s(failures, fraction=0.5))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await stop.wait()
        return False

    async def _operate(self, connection: Connection) -> int:
        # Our own tasks start before kopf, which takes every later task for its own and waits for it at the end.
        death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        own = [
            asyncio.create_task(self._queue.run(), name="work queue"),
            asyncio.create_task(self._resync(), name="resync"),
            asyncio.create_task(measure_loop_lag(self._meters), name="loop lag"),
        ]
        with _listening_for_death(death):
            operator = asyncio.create_task(self._kopf(connection), name="kopf")
            parts: list[asyncio.Future[Any]] = [operator, death, *own]
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            code = 0 if operator in done and not operator.cancelled() and operator.exception() is None else 1
            if death.done():
                code = 1
            if code:
                causes = [str(task.exception()) for task in (operator, *own) if task in done and task.exception()]
                reason = death.result() if death.done() else "; ".join(causes) or "a task ended"
                logger.error("stopping: a part that must never end has ended", extra={"reason": reason})
            else:
                logger.info("stopped")
            for task in (operator, *own):
                task.cancel()
            await asyncio.wait([operator, *own], timeout=_LONGEST_END_S)
        return code

    async def _kopf(self, connection: Connection) -> None:
        options = self._options
        probe = WatchProbe(watcher_names(WATCHED, options.namespaces), clock.monotonic_s)
        await kopf.operator(
            registry=build_registry(connection, self._queue.add, self._start, probe.check),
            settings=build_settings(),
            standalone=True,
            clusterwide=not options.namespaces,
            namespaces=options.namespaces,
            liveness_endpoint=f"http://0.0.0.0:{options.healthz_port}/healthz",
        )

    def _start(self, indexes: Indexes) -> None:
        self._indexes = indexes
        logger.info("watching", extra={"namespaces": ",".join(self._options.namespaces) or "all"})

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._options.resync_s)
            for namespace, name in list(self._indexes.cascades if self._indexes else ()):
                self._queue.add(CascadeKey(namespace, name))

    async def _work(self, key: CascadeKey) -> float | None:
        if self._cluster is None or self._indexes is None:
            raise RuntimeError("a key was queued before the watches began")
        start_s = clock.monotonic_s()
        try:
            outcome: Outcome = await reconcile_cascade(
                self._cluster, self._indexes, self._memory, key, defaults=self._options.defaults, now=clock.now()
            )
        finally:
            self._meters.observe(OperatorMetric.RECONCILE_SECONDS, value=clock.monotonic_s() - start_s)
        if outcome.error is not None:
            raise outcome.error
        self._meters.count(OperatorMetric.RECONCILES, outcome.result)
        return outcome.look_again_s

    def _count_error(self, _key: CascadeKey, error: Exception) -> None:
        self._meters.count(OperatorMetric.RECONCILES, type(error).__name__)

    def _count_write(self, verb: str, kind: str) -> None:
        self._meters.count(OperatorMetric.WRITES, verb, kind)


@contextlib.asynccontextmanager
async def _alive(port: int) -> AsyncIterator[None]:
    """Answer /healthz while kopf does not run yet: waiting for the CRD is no reason for a restart."""

    async def handle(_request: web.Request) -> web.Response:
        return web.json_response({"watchers": "waiting for the API"})

    app = web.Application()
    app.add_routes([web.get("/healthz", handle)])
    runner = await serve(app, port)
    try:
        yield
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def _listening_for_death(death: "asyncio.Future[str]") -> Iterator[None]:
    def on_death(message: str) -> None:
        if not death.done():
            death.set_result(message)

    handler = WatcherDeath(on_death)
    orchestrator = logging.getLogger(ORCHESTRATOR_LOGGER)
    orchestrator.addHandler(handler)
    try:
        yield
    finally:
        orchestrator.removeHandler(handler)
