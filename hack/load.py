"""
What the router adds: the same request straight to an instant engine and through the router, in turns, in one run.

    .venv/bin/python hack/load.py [--requests 2000] [--rounds 3] [--streaming] [--threads 1]

The engine, the router and this client are three processes. The engine answers at once with a canned completion that
has token logprobs, so the router verifies it. Prints p50 and p99 of both ways, of the difference, and the ratio.
"""

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

__all__ = ["Added", "main", "measure_added"]

WARM_UP = 50
_TOKENS = 16


@dataclass(frozen=True)
class Added:
    """Milliseconds; `added_*` is the routed percentile less the direct one."""

    direct_p50: float
    direct_p99: float
    routed_p50: float
    routed_p99: float
    requests_a_second: float
    """Through the router, all threads together, the direct requests' time left out."""

    @property
    def added_p50(self) -> float:
        """What the router adds at the median."""
        return self.routed_p50 - self.direct_p50

    @property
    def added_p99(self) -> float:
        """What the router adds at the 99th percentile."""
        return self.routed_p99 - self.direct_p99


def _completion() -> bytes:
    entry = {"token": "word", "logprob": -0.01, "bytes": [119], "top_logprobs": []}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "word " * _TOKENS},
        "finish_reason": "stop",
        "logprobs": {"content": [entry] * _TOKENS},
    }
    usage = {"prompt_tokens": 20, "completion_tokens": _TOKENS, "total_tokens": 20 + _TOKENS}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return orjson.dumps(body)


def _stream() -> bytes:
    events = [{"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}] * _TOKENS
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def _response(body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _InstantEngine(asyncio.Protocol):
    """As little of HTTP as a benchmark needs: one request at a time, with Content-Length."""

    plain = _response(_completion(), "application/json")
    streamed = _response(_stream(), "text/event-stream")

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._received += data
        while True:
            head, mark, rest = self._received.partition(b"\r\n\r\n")
            if not mark or self._transport is None:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(rest) < length:
                return
            body, self._received = rest[:length], rest[length:]
            self._transport.write(self.streamed if b'"stream":true' in body else self.plain)


async def _serve_engine() -> None:
    server = await asyncio.get_running_loop().create_server(_InstantEngine, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


class _Client:
    """One kept connection."""

    def __init__(self, port: int, body: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body

    def ask(self) -> float:
        """One request; milliseconds until its last byte."""
        started = time.perf_counter()
        self._socket.sendall(self._request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            message = f"not answered: {head[:200]!r} {body[:300]!r}"
            raise RuntimeError(message)
        lowered = head.lower()
        if b"content-length:" in lowered:
            length = int(lowered.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            while len(body) < length:
                body += self._receive()
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._receive()
        return (time.perf_counter() - started) * 1000

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _receive(self) -> bytes:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError("the connection was closed")
        return received


@contextlib.contextmanager
def _process(arguments: Sequence[str], stdout: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, *arguments], text=True, stdout=stdout)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError("the router did not start")
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError("waited 10 s for the router to listen")


@contextlib.contextmanager
def _router(engine_port: int) -> Iterator[int]:
    port = _free_port()
    tier = {"name": "small", "role": "Small", "rank": 0, "urls": [f"http://127.0.0.1:{engine_port}"], "servedName": "m"}
    top = tier | {"name": "top", "role": "Specialist", "rank": 1}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "routes.json"
        path.write_bytes(orjson.dumps({"cascade": "load", "tiers": [tier | {"parallel": 64}, top]}))
        arguments = ["-m", "modelcascade", "router", "--routes", str(path), "--port", str(port), "--metrics-port", "0"]
        with _process([*arguments, "--log-level", "warning"], stdout=subprocess.DEVNULL) as process:
            _wait_for(port, process)
            yield port


def _measure(engine_port: int, router_port: int, body: bytes, requests: int) -> tuple[list[float], list[float]]:
    with (
        contextlib.closing(_Client(engine_port, body)) as direct,
        contextlib.closing(_Client(router_port, body)) as routed,
    ):
        for _ in range(WARM_UP):
            direct.ask()
            routed.ask()
        # In turns, so that whatever else the machine does falls on both alike.
        pairs = [(direct.ask(), routed.ask()) for _ in range(requests)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def measure_added(requests: int = 2000, *, streaming: bool = False, threads: int = 1) -> Added:
    """Run all three processes and compare; milliseconds."""
    message = {"role": "user", "content": "Write one sentence about the sea, and then a second one about ships."}
    # A stream is measured on the last tier, where it is passed on as it comes.
    model = "load/top" if streaming else "load"
    body = orjson.dumps({"model": model, "messages": [message], "temperature": 0.2, "stream": streaming})
    with _process([str(Path(__file__)), "--engine"], stdout=subprocess.PIPE) as engine:
        if engine.stdout is None:
            raise RuntimeError("the engine has no output")
        engine_port = int(engine.stdout.readline())
        with _router(engine_port) as router_port:
            if threads == 1:
                found = [_measure(engine_port, router_port, body, requests)]
            else:
                found = []
                share = requests // threads

                def run() -> None:
                    found.append(_measure(engine_port, router_port, body, share))

                running = [threading.Thread(target=run) for _ in range(threads)]
                for thread in running:
                    thread.start()
                for thread in running:
                    thread.join()
    direct = [value for pair in found for value in pair[0]]
    routed = [value for pair in found for value in pair[1]]
    rate = 1000 * len(routed) * threads / sum(routed)
    return Added(
        _percentile(direct, 50), _percentile(direct, 99), _percentile(routed, 50), _percentile(routed, 99), rate
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the router adds to an instant engine's latency.")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streaming", action="store_true")
    parser.add_argument("--engine", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve_engine())
        return 0
    print("round  direct p50  p99     routed p50  p99     added p50  p99     ratio  req/s   (ms)")
    for number in range(1, options.rounds + 1):
        added = measure_added(options.requests, streaming=options.streaming, threads=options.threads)
        print(
            f"{number:5}  {added.direct_p50:10.3f}  {added.direct_p99:6.3f}  {added.routed_p50:10.3f}"
            f"  {added.routed_p99:6.3f}  {added.added_p50:9.3f}  {added.added_p99:6.3f}"
            f"  {added.routed_p50 / added.direct_p50:5.1f}  {added.requests_a_second:5.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
