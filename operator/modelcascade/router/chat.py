"""`POST /v1/chat/completions`: parse, let `routing` decide, call, answer, tell."""

import asyncio
import logging

import orjson
from aiohttp import web

from modelcascade.api.documents import Routes
from modelcascade.api.reasons import ErrorCode, RequestReason
from modelcascade.router.cascade import Committed, Ended, run_cascade
from modelcascade.router.errors import error_headers, to_openai_error
from modelcascade.router.exchange import Exchange
from modelcascade.router.receive import read_body, read_headers
from modelcascade.router.relay import HEARTBEAT, begin_stream, relay_answer, relay_failure, relay_stream
from modelcascade.router.state import RouterState
from modelcascade.routing.chat import ChatRequest, Problem
from modelcascade.routing.facts import RequestFacts, classify_request
from modelcascade.routing.steps import AnswerWith, Fail
from modelcascade.routing.wire import parse_chat

__all__ = ["handle_chat", "problem_response"]

logger = logging.getLogger(__name__)

_NO_ROUTES = Fail(
    503, ErrorCode.NO_READY_TIER, RequestReason.TIER_UNAVAILABLE, "The router has no routes yet; try again soon.", 5.0
)
_STOPPING = Fail(503, ErrorCode.OVERLOADED, RequestReason.TIER_UNAVAILABLE, "The router is going away; try again.", 1.0)
_DEFECT = Fail(
    500,
    ErrorCode.INTERNAL,
    RequestReason.ROUTER_ERROR,
    "The router failed on this request. Its log has more under the request id.",
    None,
)


def problem_response(exchange: Exchange, problem: Problem, allow: str | None = None) -> web.Response:
    """A refused request; `allow` is the method that a path has."""
    response = web.Response(
        status=problem.status,
        body=to_openai_error(problem.status, problem.code, problem.message, problem.param, exchange.request_id),
        content_type="application/json",
        headers=exchange.headers() | ({"Allow": allow} if allow is not None else {}),
    )
    if problem.status in (408, 413, 431) or exchange.state.draining:
        response.force_close()
    exchange.finish(problem.status, problem.code)
    return response


def _failure_response(exchange: Exchange, failure: Fail) -> web.Response:
    exchange.reason = failure.reason
    response = web.Response(
        status=failure.status,
        body=to_openai_error(failure.status, failure.code, failure.message, None, exchange.request_id),
        content_type="application/json",
        headers=exchange.headers() | error_headers(failure.code, failure.retry_after_s),
    )
    if exchange.state.draining:
        response.force_close()
    exchange.finish(failure.status, failure.code)
    return response


def _answer_response(exchange: Exchange, facts: RequestFacts, step: AnswerWith) -> web.Response:
    exchange.choose(step.attempt, step.reason, step.warnings)
    answer = step.attempt.answer
    if answer is None:
        msg = "an accepted attempt has an answer"
        raise ValueError(msg)
    choice = {
        "index": 0,
        "message": answer.message,
        "logprobs": answer.logprobs if facts.chat.logprobs else None,
        "finish_reason": answer.finish_reason,
    }
    body = {
        "id": f"chatcmpl-{exchange.request_id}",
        "object": "chat.completion",
        "created": int(exchange.started_at.timestamp()),
        "model": exchange.model,
        "choices": [choice],
    }
    if answer.usage is not None:
        body["usage"] = answer.usage
    response = web.Response(body=orjson.dumps(body), content_type="application/json", headers=exchange.headers())
    if exchange.state.draining:
        response.force_close()
    exchange.finish(200, None)
    return response


async def _run_with_heartbeat(
    exchange: Exchange, routes: Routes, facts: RequestFacts, request: web.BaseRequest
) -> tuple[Ended, web.StreamResponse | None]:
    """The cascade's end; a client that waits long gets a comment now and then, and with the first one status 200."""
    response: web.StreamResponse | None = None
    running = asyncio.ensure_future(run_cascade(exchange, routes, facts))
    try:
        while True:
            done, _ = await asyncio.wait({running}, timeout=exchange.state.limits.heartbeat_s)
            if done:
                return running.result(), response
            if response is None:
                response = await begin_stream(exchange, request)
            await response.write(HEARTBEAT)
    except BaseException as error:
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled() and running.exception() is None:
            ended = running.result()
            if isinstance(ended, Committed):  # it came just as the client left
                ended.leave(exchange, None, None)
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and exchange.state.aborting and response and task is not None:
            task.uncancel()
            return _STOPPING, response  # the heartbeat has begun the stream: it ends with an error event
        raise


async def _stream(
    exchange: Exchange, routes: Routes, facts: RequestFacts, request: web.BaseRequest
) -> web.StreamResponse:
    ended, response = await _run_with_heartbeat(exchange, routes, facts, request)
    match ended:
        case Fail():
            if response is None:
                return _failure_response(exchange, ended)
            exchange.reason = ended.reason
            await relay_failure(exchange, ended, response)
            exchange.finish(200, ended.code)
            return response
        case AnswerWith():
            exchange.choose(ended.attempt, ended.reason, ended.warnings)
            response = response or await begin_stream(exchange, request)
            await relay_answer(exchange, facts, ended, response)
            exchange.finish(200, None)
            return response
        case Committed():
            exchange.choose(ended.attempt, ended.reason, ())
            return await _stream_committed(exchange, facts, ended, request, response)


async def _stream_committed(
    exchange: Exchange,
    facts: RequestFacts,
    committed: Committed,
    request: web.BaseRequest,
    response: web.StreamResponse | None,
) -> web.StreamResponse:
    if response is None:
        try:
            response = await begin_stream(exchange, request)
        except BaseException:
            committed.leave(exchange, None, None)
            raise
    failure = await relay_stream(exchange, facts, committed, response)
    exchange.finish(200, failure.code if failure is not None else None)
    return response


async def _parse(state: RouterState, body: bytes) -> ChatRequest | Problem:
    # Long texts cost little, many objects (schemas of tools, above all) cost much: both go where they hold up nobody.
    if len(body) > state.limits.thread_bytes or body.count(b"{") > state.limits.thread_objects:
        return await asyncio.to_thread(parse_chat, body)
    return parse_chat(body)


async def _answer(exchange: Exchange, request: web.BaseRequest) -> web.StreamResponse:
    state = exchange.state
    refused = read_headers(exchange, request, state.limits.header_bytes)
    if refused is not None:
        return problem_response(exchange, refused)
    body = await read_body(request, state.limits.body_bytes, state.limits.body_s)
    if isinstance(body, Problem):
        return problem_response(exchange, body)
    exchange.prompt_bytes = len(body)
    chat = await _parse(state, body)
    if isinstance(chat, Problem):
        return problem_response(exchange, chat)
    exchange.stream = chat.stream
    routes = exchange.routes
    if routes is None:
        return _failure_response(exchange, _NO_ROUTES)
    facts = classify_request(chat, routes, exchange.request_id)
    if isinstance(facts, Problem):
        return problem_response(exchange, facts)
    exchange.facts = facts
    if chat.stream:
        return await _stream(exchange, routes, facts, request)
    ended = await run_cascade(exchange, routes, facts)
    match ended:
        case AnswerWith():
            return _answer_response(exchange, facts, ended)
        case Fail():
            return _failure_response(exchange, ended)
        case Committed():
            msg = "only a streaming request is answered by a stream"
            raise ValueError(msg)


async def handle_chat(state: RouterState, request: web.BaseRequest) -> web.StreamResponse:
    """One chat request; whatever happens, exactly one response and one record."""
    exchange = Exchange(state)
    task = asyncio.current_task()
    if task is not None:
        state.tasks.add(task)
    try:
        return await _answer(exchange, request)
    except asyncio.CancelledError:
        if state.aborting and task is not None and request.writer.output_size == 0:
            task.uncancel()
            return _failure_response(exchange, _STOPPING)
        exchange.finish(499, ErrorCode.CLIENT_CLOSED)
        raise
    except ConnectionError:
        exchange.finish(499, ErrorCode.CLIENT_CLOSED)
        raise
    except Exception:  # the outermost frame of a request: logged with its traceback, counted, told
        logger.exception("unhandled error in a request", extra={"request_id": exchange.request_id})
        if request.writer.output_size > 0:
            exchange.reason = RequestReason.ROUTER_ERROR
            exchange.finish(500, ErrorCode.INTERNAL)
            raise ConnectionError("the response has begun") from None
        return _failure_response(exchange, _DEFECT)
    finally:
        if task is not None:
            state.tasks.discard(task)
