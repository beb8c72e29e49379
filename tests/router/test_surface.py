"""The surface and its limits, also for clients that do not play by the rules."""

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import make_mocked_request

from modelcascade.router.exchange import Exchange
from modelcascade.router.protocol import Limits
from modelcascade.router.receive import read_headers
from modelcascade.router.state import RouterLimits
from router.harness import Running, StartRouter

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
BODY = b'{"model":"assist","messages":[{"role":"user","content":"x"}]}'


async def raw(router: Running, sent: bytes, *, within_s: float = 5.0) -> bytes:
    """Send bytes as they are; what comes until the router closes, or its first answer is whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(within_s):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
            )
            return head + await reader.readexactly(length)
    finally:
        writer.close()


def status_and_code(answer: bytes) -> tuple[int, str]:
    """What an error answer says."""
    head, _, body = answer.partition(b"\r\n\r\n")
    error = orjson.loads(body)["error"]
    assert f"x-request-id: {error['request_id']}".encode() in head.lower()
    return int(head.split(b" ", 2)[1]), error["code"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/", 404, "not_found", id="root"),
        pytest.param("POST", "/v1/chat/completions/", 404, "not_found", id="a slash more"),
        pytest.param("POST", "/v1/%63hat/completions", 404, "not_found", id="an escaped path is another path"),
        pytest.param("POST", "/v1/embeddings", 404, "not_found", id="not served"),
        pytest.param("GET", "/metrics", 404, "not_found", id="metrics have their own port"),
        pytest.param("GET", "/v1/chat/completions", 405, "method_not_allowed", id="GET"),
        pytest.param("DELETE", "/v1/models", 405, "method_not_allowed", id="DELETE"),
        pytest.param("POST", "/readyz", 405, "method_not_allowed", id="POST to readiness"),
        pytest.param("POST", "/healthz", 405, "method_not_allowed", id="POST to a probe"),
    ],
)
async def test_anything_else_is_refused(
    start_router: StartRouter, method: str, path: str, status: int, code: str
) -> None:
    """Exact paths and methods; the error has the public shape and the headers."""
    router = await start_router()
    answer = await raw(router, f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    assert status_and_code(answer) == (status, code)
    assert b"x-modelcascade-reason: refused" in answer
    assert (b"Allow: " in answer) == (status == 405)


async def test_models(start_router: StartRouter) -> None:
    """The cascade and each of its tiers are listed."""
    router = await start_router()
    async with router.session.get(f"{router.url}/v1/models") as response:
        body = await response.json()
    assert [entry["id"] for entry in body["data"]] == ["assist", "assist/small", "assist/specialist"]
    assert {entry["object"] for entry in body["data"]} == {"model"}


async def test_models_refuse_what_chat_refuses(start_router: StartRouter) -> None:
    """Our headers are refused here too, and without routes there is nothing to list."""
    router = await start_router()
    async with router.session.get(f"{router.url}/v1/models", headers={"x-modelcascade-tier": "top"}) as response:
        assert response.status == 400
    router.state.routes = None
    async with router.session.get(f"{router.url}/v1/models") as response:
        assert response.status == 503


async def test_probes(start_router: StartRouter) -> None:
    """Alive always; ready with routes and endpoints, and not while stopping."""
    router = await start_router()
    for path, expected in (("healthz", 200), ("readyz", 200)):
        async with router.session.get(f"{router.url}/{path}") as response:
            assert response.status == expected
    router.state.draining = True
    async with router.session.get(f"{router.url}/readyz") as response:
        assert response.status == 503
    router.state.draining = False
    router.state.endpoints_synced = False
    async with router.session.get(f"{router.url}/readyz") as response:
        assert response.status == 503


async def test_before_any_routes(start_router: StartRouter) -> None:
    """Without routes every request gets 503 with Retry-After."""
    router = await start_router()
    router.state.routes = None
    response = await router.chat()
    assert (response.status, (await response.json())["error"]["code"]) == (503, "no_ready_tier")
    assert "Retry-After" in response.headers


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        pytest.param(HEAD + b"Content-Length: 5000000\r\n\r\n", 413, "request_too_large", id="declared too large"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 0x10000 + b"\r\n",
            413,
            "request_too_large",
            id="chunked too large",
        ),
        pytest.param(HEAD + b"X-Big: " + b"x" * 9000 + b"\r\n\r\n", 431, "headers_too_large", id="one large field"),
        pytest.param(
            HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 2000) for n in range(9)) + b"Content-Length: 0\r\n\r\n",
            431,
            "headers_too_large",
            id="many fields, large together",
        ),
        pytest.param(
            HEAD + b"".join(b"X-%d: x\r\n" % n for n in range(200)) + b"\r\n", 431, "headers_too_large", id="200 fields"
        ),
        pytest.param(
            HEAD + b"Content-Length: 61\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
            400,
            "invalid_request",
            id="CL and TE",
        ),
        pytest.param(
            HEAD + b"Content-Length: 61\r\nContent-Length: 61\r\n\r\n" + BODY, 400, "invalid_request", id="CL twice"
        ),
        pytest.param(
            HEAD + b"Content-Length: 61\r\n folded: x\r\n\r\n" + BODY, 400, "invalid_request", id="a folded field"
        ),
        pytest.param(
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 61\r\n\r\n" + BODY,
            400,
            "invalid_request",
            id="compressed",
        ),
        pytest.param(
            HEAD + b"X-ModelCascade-Tier: top\r\nContent-Length: 61\r\n\r\n" + BODY,
            400,
            "invalid_request",
            id="our header",
        ),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400, "invalid_request", id="TLS"),
        pytest.param(HEAD + b"Content-Length: -5\r\n\r\n", 400, "invalid_request", id="negative length"),
        pytest.param(HEAD + b"Content-Length: 0\r\n\r\n", 400, "invalid_request", id="no body"),
    ],
)
async def test_requests_that_must_not_pass(start_router: StartRouter, sent: bytes, status: int, code: str) -> None:
    """Refused in the public shape before any engine is asked, without an echo of the bytes."""
    router = await start_router(
        limits=RouterLimits(body_bytes=0xFFFF) if b"chunked too" in sent else RouterLimits(body_bytes=60_000)
    )
    answer = await raw(router, sent)
    assert status_and_code(answer) == (status, code)
    assert router.small.bodies == []
    assert b"xxxx" not in answer


async def test_double_framing_is_ours_to_refuse_too(start_router: StartRouter) -> None:
    """T11: were the parser to let both framings pass, as others do, the request would still be refused."""
    router = await start_router()
    request = make_mocked_request("POST", "/", {"Content-Length": "5", "Transfer-Encoding": "chunked"})
    found = read_headers(Exchange(router.state), request, 16_384)
    assert found is not None
    assert (found.status, found.message) == (400, "The request frames its body twice.")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"POST /v1/chat/comp", id="partial"),
        pytest.param(HEAD, id="headers without an end"),
    ],
)
async def test_late_headers_are_408(start_router: StartRouter, sent: bytes) -> None:
    """R20: a connection whose headers do not come is answered and closed at the deadline."""
    router = await start_router(connection_limits=Limits(headers_s=0.1))
    assert status_and_code(await raw(router, sent)) == (408, "receive_timeout")


async def test_late_headers_on_a_kept_connection(start_router: StartRouter) -> None:
    """The deadline holds for the second request of a connection too, and an idle one is left alone."""
    router = await start_router(connection_limits=Limits(headers_s=0.2))
    reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(get)
    await reader.readuntil(b"ok\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await reader.read(1)
    writer.write(get[:10])
    async with asyncio.timeout(2):
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_late_body_is_408(start_router: StartRouter) -> None:
    """R20: a body that trickles is refused at its deadline."""
    router = await start_router(limits=RouterLimits(body_s=0.1))
    answer = await raw(router, HEAD + b"Content-Length: 61\r\n\r\n" + BODY[:10])
    assert status_and_code(answer) == (408, "receive_timeout")


async def test_a_body_in_parts_is_read(start_router: StartRouter) -> None:
    """Chunks, and a client that waits for 100 Continue, are fine."""
    router = await start_router()
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:20], BODY[20:])) + b"0\r\n\r\n"
    assert (await raw(router, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + parts)).startswith(b"HTTP/1.1 200 ")
    reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
    writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_one_source_has_a_bounded_number_of_connections(start_router: StartRouter) -> None:
    """Beyond its number a source's connection is closed; when one ends, another may come."""
    router = await start_router(connection_limits=Limits(connections_of_one_source=2))
    first = [await asyncio.open_connection("127.0.0.1", router.port) for _ in range(2)]
    reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
    async with asyncio.timeout(2):
        assert await reader.read() == b""
    writer.close()
    for _, each in first:
        each.close()
        await each.wait_closed()
    async with asyncio.timeout(2):
        while not await raw_or_nothing(router):
            pass


async def raw_or_nothing(router: Running) -> bytes:
    """A health check, or nothing when the connection is closed."""
    try:
        return await raw(router, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def test_a_defect_is_told_without_a_trace(start_router: StartRouter, caplog: pytest.LogCaptureFixture) -> None:
    """An unhandled exception is 500 `internal_error` for the client; its traceback is in the log alone."""
    router = await start_router()

    class Broken:
        async def ask(self, *_: Any) -> bytes:
            raise RuntimeError("canary in a defect")

    router.state.upstream = Broken()  # type: ignore[assignment] # a defect is what is tested
    response = await router.chat()
    text = await response.text()
    assert (response.status, orjson.loads(text)["error"]["code"]) == (500, "internal_error")
    assert "canary" not in text
    assert "canary in a defect" in caplog.text
    record = (await router.records())[0]
    assert record["code"] == "internal_error"
    told = orjson.loads(text)["error"]["request_id"]
    logged = [one.request_id for one in caplog.records if hasattr(one, "request_id")]
    assert [told] == logged
    assert told == record["requestId"] == response.headers["x-request-id"]


async def test_a_large_body_does_not_hold_up_the_probes(start_router: StartRouter) -> None:
    """R41: while a body of a megabyte is parsed, health checks are answered."""
    router = await start_router(limits=RouterLimits(thread_bytes=1000), tier_fields={"contextLength": 1_000_000})
    big = asyncio.ensure_future(router.chat(messages=[{"role": "user", "content": "x" * 1_000_000}]))
    async with router.session.get(f"{router.url}/healthz") as response:
        assert response.status == 200
    assert (await big).status == 200


async def test_many_schemas_do_not_hold_up_the_probes(start_router: StartRouter) -> None:
    """R23, R41: twenty large tools cost their own client time, and hardly any of a health check."""
    router = await start_router(tier_fields={"contextLength": 1_000_000})
    properties = {f"p{n}": {"type": "string", "title": "t"} for n in range(300)}
    tools = [
        {"type": "function", "function": {"name": f"f{n}", "parameters": {"$id": f"{n}", "properties": properties}}}
        for n in range(20)
    ]
    asking = asyncio.ensure_future(router.chat(tools=tools))
    slowest_s, probes = 0.0, 0
    while not asking.done():
        started_s = asyncio.get_running_loop().time()
        async with router.session.get(f"{router.url}/healthz") as response:
            assert response.status == 200
        slowest_s = max(slowest_s, asyncio.get_running_loop().time() - started_s)
        probes += 1
    assert (await asking).status == 200
    assert probes > 3
    assert slowest_s < 0.5  # 0.1 s on a machine of its own


async def test_nothing_of_the_client_is_passed_on(start_router: StartRouter) -> None:
    """R25, R26: an engine sees none of the client's headers."""
    router = await start_router()
    await router.chat(headers={"Authorization": "Bearer canary", "X-Forwarded-For": "canary", "Cookie": "a=canary"})
    sent = router.small.raw_headers[0]
    assert "canary" not in str(sent)
    assert set(sent) <= {"Host", "Content-Type", "Content-Length", "Accept", "Accept-Encoding", "User-Agent"}
