"""The process `modelcascade router`: starts with one file, says what is wrong, stops without losing a request."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from fakes.fake_engine import FakeEngine, Reply, running_engine
from router.harness import until

BODY = {"model": "assist", "messages": [{"role": "user", "content": "x"}]}


def write_routes(folder: Path, url: str) -> Path:
    """A routes file with one tier."""
    path = folder / "routes.yaml"
    tier = f"{{name: small, role: Small, rank: 0, servedName: m, urls: ['{url}']}}"
    path.write_text(f"cascade: assist\ntiers: [{tier}]\n")
    return path


@dataclass
class Process:
    """A router process and where it listens."""

    process: asyncio.subprocess.Process
    url: str
    metrics_url: str


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start router processes; they are killed at the end."""
    async with AsyncExitStack() as stack:

        async def started(url: str, *arguments: str) -> Process:
            path = write_routes(tmp_path, url)
            command = ["-m", "modelcascade", "router", "--routes", str(path), "--port", "0", "--metrics-port", "0"]
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )

            async def end() -> None:
                if process.returncode is None:
                    process.kill()
                await process.communicate()

            stack.push_async_callback(end)
            assert process.stderr is not None
            async with asyncio.timeout(20):
                while True:
                    line = json.loads(await process.stderr.readline())
                    if line["message"] == "listening":
                        break
            return Process(process, f"http://127.0.0.1:{line['port']}", f"http://127.0.0.1:{line['metrics_port']}")

        yield started


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the router to its end."""
    command = [sys.executable, "-m", "modelcascade", "router", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        pytest.param((), "give --routes FILE, or all of --cascade", id="nothing"),
        pytest.param(("--cascade", "a"), "give --routes FILE, or all of --cascade", id="half"),
        pytest.param(("--routes", "x", "--cascade", "a"), "cannot stand beside", id="both"),
        pytest.param(("--routes", "/nowhere/routes.yaml"), "/nowhere/routes.yaml: there is no such file", id="no file"),
    ],
)
def test_a_start_that_cannot_be(arguments: tuple[str, ...], word: str) -> None:
    """Exit code 2 and one sentence, no traceback."""
    found = run(*arguments)
    assert found.returncode == 2
    assert word in found.stderr
    assert "Traceback" not in found.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    """The message names the port and the flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = run("--routes", str(write_routes(tmp_path, "http://h")), "--port", str(port), "--metrics-port", "0")
    assert found.returncode == 2
    assert f"port {port} is in use; choose another with --port" in found.stderr


async def test_it_answers_counts_and_records(start: Start) -> None:
    """One request: an answer, a metrics page on its own port, a decision line on standard output, exit code 0."""
    async with running_engine(FakeEngine(Reply(text="hi"))) as engine, aiohttp.ClientSession() as session:
        router = await start(engine.url)
        async with session.post(f"{router.url}/v1/chat/completions", json=BODY) as response:
            assert response.status == 200
            request_id = response.headers["x-request-id"]
        async with session.get(f"{router.metrics_url}/metrics") as response:
            text = await response.text()
        assert re.search(
            r'modelcascade_router_responses_total\{code="200",reason="final_tier",tier="small"\} 1\.0', text
        )
        router.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            output, _ = await router.process.communicate()
    assert router.process.returncode == 0
    assert json.loads(output)["decision"]["requestId"] == request_id


async def test_sigterm_finishes_what_is_in_hand(start: Start) -> None:
    """R29: after SIGTERM no new connection is taken, and the request in hand gets its answer."""
    gate = asyncio.Event()
    async with running_engine(FakeEngine(Reply(text="late", hold=gate))) as engine, aiohttp.ClientSession() as session:
        router = await start(engine.url)
        asking = asyncio.ensure_future(session.post(f"{router.url}/v1/chat/completions", json=BODY))
        await until(lambda: engine.running == 1, "the request at the engine", engine=engine)
        router.process.send_signal(signal.SIGTERM)
        assert router.process.stderr is not None
        async with asyncio.timeout(5):
            assert json.loads(await router.process.stderr.readline())["message"] == "stopping"
        gate.set()
        async with asyncio.timeout(5):
            response = await asking
            assert (response.status, response.headers["Connection"]) == (200, "close")
            await response.read()
            assert await router.process.wait() == 0


async def test_a_request_on_a_kept_connection_is_finished_too(start: Start) -> None:
    """R29: what arrives after SIGTERM on a connection that was open before gets its answer within the grace."""
    gates = asyncio.Event(), asyncio.Event()
    engine = FakeEngine(Reply(text="ok"))
    engine.script.extend([Reply(text="warm"), Reply(text="first", hold=gates[0]), Reply(text="second", hold=gates[1])])
    async with running_engine(engine), aiohttp.ClientSession() as one, aiohttp.ClientSession() as two:
        router = await start(engine.url, "--grace-seconds", "30")
        url = f"{router.url}/v1/chat/completions"
        async with two.post(url, json=BODY) as warm:  # this connection is kept
            await warm.read()
        first = asyncio.ensure_future(one.post(url, json=BODY))
        await until(lambda: engine.running == 1, "the first request at the engine", engine=engine)
        router.process.send_signal(signal.SIGTERM)
        assert router.process.stderr is not None
        async with asyncio.timeout(5):
            assert json.loads(await router.process.stderr.readline())["message"] == "stopping"
        second = asyncio.ensure_future(two.post(url, json=BODY))
        await until(lambda: engine.running == 2, "the second request at the engine", engine=engine)
        gates[0].set()
        async with asyncio.timeout(5):
            assert (await first).status == 200
        gates[1].set()
        async with asyncio.timeout(5):
            assert (await second).status == 200
            assert await router.process.wait() == 0


async def test_at_the_end_of_the_grace_a_stream_is_told(start: Start) -> None:
    """R31: a stream that is longer than the grace ends with an error event."""
    reply = Reply(text="one two", stall_after=1)
    async with running_engine(FakeEngine(reply)) as engine, aiohttp.ClientSession() as session:
        router = await start(engine.url, "--grace-seconds", "5.2")
        async with session.post(f"{router.url}/v1/chat/completions", json=BODY | {"stream": True}) as response:
            await response.content.readany()
            router.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                rest = await response.text()
        assert '"code":"overloaded"' in rest
        assert "[DONE]" not in rest
        async with asyncio.timeout(10):
            assert await router.process.wait() == 0


def test_a_router_outside_a_cluster_loads_no_cluster_library() -> None:
    """The process loads neither kopf nor the Kubernetes client before it needs them."""
    code = "import sys, modelcascade.router.run; print(sorted({'kopf', 'kubernetes'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert found.stdout.strip() == "[]"
