"""The surface: exact paths, exact methods, and nothing else; the metrics page is on its own port."""

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from modelcascade import clock
from modelcascade.api.reasons import ErrorCode
from modelcascade.router.chat import handle_chat, problem_response
from modelcascade.router.exchange import Exchange
from modelcascade.router.protocol import Limits, RouterServer
from modelcascade.router.receive import read_headers
from modelcascade.router.state import RouterState
from modelcascade.routing.chat import Problem
from modelcascade.routing.facts import model_names

__all__ = ["build_app", "build_metrics_app"]

_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _refuse(state: RouterState, problem: Problem, allow: str | None = None) -> web.Response:
    return problem_response(Exchange(state), problem, allow)


def _models(state: RouterState, request: web.BaseRequest) -> web.Response:
    exchange = Exchange(state)
    refused = read_headers(exchange, request, state.limits.header_bytes)
    if refused is not None:
        return problem_response(exchange, refused)
    routes = state.routes
    if routes is None:
        return problem_response(exchange, Problem(503, ErrorCode.NO_READY_TIER, "The router has no routes yet."))
    entries = [
        {"id": name, "object": "model", "created": 0, "owned_by": "modelcascade"} for name in model_names(routes)
    ]
    headers = {"x-request-id": exchange.request_id, "x-modelcascade-cascade": routes.cascade, "Server": "modelcascade"}
    body = orjson.dumps({"object": "list", "data": entries})
    return web.Response(body=body, content_type="application/json", headers=headers)


def _probe(good: bool, word: str) -> web.Response:  # noqa: FBT001 - the probe's one fact
    return web.Response(status=200 if good else 503, text=word, headers={"Server": "modelcascade"})


def build_app(state: RouterState, limits: Limits | None = None) -> RouterServer:
    """The server of the OpenAI API and the probes; call it inside a running loop."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        # The raw path: what a proxy in front has checked is what we match.
        path = request.raw_path.partition("?")[0]
        method = request.method
        match path:
            case "/v1/chat/completions":
                if method == "POST":
                    return await handle_chat(state, request)
                allow = "POST"
            case "/v1/models":
                if method == "GET":
                    return _models(state, request)
                allow = "GET"
            case "/healthz":
                if method in ("GET", "HEAD"):
                    return _probe(good=True, word="ok\n")
                allow = "GET, HEAD"
            case "/readyz":
                if method in ("GET", "HEAD"):
                    return _probe(good=state.ready, word="ready\n" if state.ready else "not ready\n")
                allow = "GET, HEAD"
            case _:
                return _refuse(state, Problem(404, ErrorCode.NOT_FOUND, "There is nothing at this path."))
        return _refuse(state, Problem(405, ErrorCode.METHOD_NOT_ALLOWED, f"This path has only {allow}."), allow)

    return RouterServer(handle, limits)


def build_metrics_app(state: RouterState) -> RouterServer:
    """The server of `/metrics`."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path.partition("?")[0] != "/metrics" or request.method != "GET":
            return _refuse(state, Problem(404, ErrorCode.NOT_FOUND, "Only GET /metrics is here."))
        return web.Response(
            body=state.expose(clock.monotonic_s()),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Server": "modelcascade"},
        )

    return RouterServer(handle)
