"""
The process `modelcascade router`: in a cluster from a ConfigMap, anywhere else from a file.

Exit codes: 0 after a stop that was asked for, 2 when it cannot start; the sentence says what to do.
"""

import argparse
import asyncio
import contextlib
import errno
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path

import uvloop
from aiohttp import web

from modelcascade.api.documents import DocumentProblem
from modelcascade.api.telemetry import ROUTER_METRICS
from modelcascade.errors import ClusterError
from modelcascade.logs import set_up_logging
from modelcascade.meters import Meters
from modelcascade.router.app import build_app, build_metrics_app
from modelcascade.router.decision_log import DecisionLog
from modelcascade.router.routes_file import RoutesFile, read_routes_file
from modelcascade.router.state import RouterState
from modelcascade.router.upstream import HttpUpstream

__all__ = ["run_router"]

logger = logging.getLogger(__name__)

LAST_SECONDS = 5.0
"""Before the grace ends, open requests get an error, so that clients hear it from us and not from a reset."""


class _StartError(Exception):
    pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelcascade router",
        description="Answer the OpenAI API for one cascade: small tiers first, escalation where they fall short.",
        epilog="Outside a cluster give --routes; in one, the operator starts it with the other three.",
    )
    parser.add_argument("--routes", type=Path, metavar="FILE", help="routes document (YAML or JSON); re-read on change")
    parser.add_argument("--cascade", metavar="NAME", help="the ModelCascade that is served")
    parser.add_argument("--namespace", metavar="NAME", help="its namespace")
    parser.add_argument("--routes-configmap", metavar="NAME", help="the ConfigMap that holds routes.json")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: the pod's ServiceAccount")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1 with --routes, else all)")
    parser.add_argument("--port", type=int, default=8080, help="the API and the probes (default 8080)")
    parser.add_argument("--metrics-port", type=int, default=9090, help="GET /metrics (default 9090; 0: any free one)")
    parser.add_argument(
        "--grace-seconds",
        type=float,
        default=95.0,
        help="after SIGTERM, how long open requests may go on (default 95)",
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser


def _check(options: argparse.Namespace) -> None:
    in_cluster = (options.cascade, options.namespace, options.routes_configmap)
    if options.routes is None and None in in_cluster:
        raise _StartError("give --routes FILE, or all of --cascade, --namespace, --routes-configmap")
    if options.routes is not None and any(in_cluster):
        raise _StartError("--routes cannot stand beside --cascade, --namespace or --routes-configmap")


@contextlib.asynccontextmanager
async def _followers(options: argparse.Namespace, state: RouterState) -> AsyncIterator[list[asyncio.Task[None]]]:
    """The tasks that keep routes and endpoints fresh."""
    async with contextlib.AsyncExitStack() as stack:
        work: list[Coroutine[object, object, None]]
        if options.routes is not None:
            file = RoutesFile(state, options.routes)
            document = read_routes_file(options.routes)
            problem = document if isinstance(document, DocumentProblem) else state.offer_routes(document)
            if problem is not None:
                raise _StartError(problem.message)
            work = [file.follow()]
        else:
            # Only in a cluster: the client library costs a second and 40 MiB.
            from modelcascade.kube.connect import connect  # noqa: PLC0415
            from modelcascade.router.watch import watch_endpoints, watch_routes  # noqa: PLC0415

            connection = await stack.enter_async_context(await connect(options.kubeconfig))
            work = [
                watch_routes(state, connection, options.namespace, options.routes_configmap),
                watch_endpoints(state, connection, options.namespace, options.cascade),
            ]
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(runner: web.ServerRunner, host: str | None, port: int, flag: str) -> int:
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _StartError(f"port {port} is in use; choose another with {flag}") from error
        raise _StartError(f"cannot listen on {host or 'all addresses'} port {port}: {error.strerror}") from error
    return site.port


async def _drain(state: RouterState, runner: web.ServerRunner, grace_s: float) -> None:
    """Not ready, no new connections, finish what is in hand, and tell what cannot finish."""
    state.draining = True
    logger.info("stopping", extra={"requests": len(state.tasks), "grace_s": grace_s})
    for site in list(runner.sites):
        await site.stop()
    loop = asyncio.get_running_loop()
    cut_at_s = loop.time() + grace_s - LAST_SECONDS
    # Again and again: kept connections may bring requests until their next response closes them.
    while state.tasks and (left_s := cut_at_s - loop.time()) > 0:
        await asyncio.wait(set(state.tasks), timeout=left_s)
    if state.tasks:
        logger.warning("cutting requests at the end of the grace", extra={"requests": len(state.tasks)})
        state.aborting = True
        left = set(state.tasks)
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=LAST_SECONDS / 2)


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    upstream = HttpUpstream.open()
    decisions = DecisionLog(sys.stdout.buffer)
    state = RouterState(upstream, Meters(ROUTER_METRICS), decisions)
    host = options.host or ("127.0.0.1" if options.routes is not None else None)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(upstream.close)
        stack.callback(decisions.flush)
        followers = await stack.enter_async_context(_followers(options, state))
        api = web.ServerRunner(build_app(state), shutdown_timeout=LAST_SECONDS / 2)
        metrics = web.ServerRunner(build_metrics_app(state), shutdown_timeout=1.0)
        stack.push_async_callback(metrics.cleanup)
        stack.push_async_callback(api.cleanup)
        metrics_port = await _listen(metrics, host, options.metrics_port, "--metrics-port")
        port = await _listen(api, host, options.port, "--port")
        # What is loaded now stays; without it a full collection walks all of it and holds up requests.
        gc.collect()
        gc.freeze()
        logger.info("listening", extra={"host": host or "*", "port": port, "metrics_port": metrics_port})
        stopping = asyncio.ensure_future(stop.wait())
        done, _ = await asyncio.wait({stopping, *followers}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for follower in done - {stopping}:
            follower.result()  # a follower never ends by itself, so this raises what ended it
        await _drain(state, api, options.grace_seconds)


def run_router(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    options = _parser().parse_args(arguments)
    set_up_logging("plain" if sys.stderr.isatty() else "json", options.log_level)
    try:
        _check(options)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options))
    except (_StartError, ClusterError) as error:
        sys.stderr.write(f"modelcascade router: {error}\n")
        return 2
    return 0
