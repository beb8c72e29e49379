"""The operator as a process, against a small API server: it starts, works, rests, and ends as it should."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controller.stories import DEFAULTS, KEY, cascade_body
from fakes.fake_api_server import FakeApiServer, Fault, serve_api, write_kubeconfig
from fakes.fake_cluster import FakeCluster
from modelcascade.clock import monotonic_s
from modelcascade.controller.handlers import WATCHED
from modelcascade.controller.run import parse_arguments

PLURALS = {resource.plural for resource in WATCHED}
END_WITHIN_S = 5


class Process:
    """One running operator."""

    def __init__(self, process: asyncio.subprocess.Process, healthz: int, metrics: int) -> None:
        self._process = process
        self._healthz = healthz
        self._metrics = metrics
        self._lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._lines.append(line.decode())

    @property
    def log(self) -> str:
        """All that it has said."""
        return "".join(self._lines)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def end(self, within_s: float = END_WITHIN_S) -> tuple[int, float]:
        """Its exit code, and the seconds until it came."""
        start = monotonic_s()
        code = await asyncio.wait_for(self._process.wait(), within_s)
        await self._reading
        return code, monotonic_s() - start

    async def health(self) -> int:
        """The status of /healthz; 0 when nobody answers."""
        return (await _get(f"http://127.0.0.1:{self._healthz}/healthz"))[0]

    async def metrics(self) -> str:
        """The text of /metrics."""
        return (await _get(f"http://127.0.0.1:{self._metrics}/metrics"))[1]


async def _get(url: str) -> tuple[int, str]:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientError:
        return 0, ""


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """A server with one cascade."""
    cluster = FakeCluster()
    cluster.put(cascade_body())
    async with serve_api(cluster) as server:
        yield server


@pytest.fixture
def start(api: FakeApiServer, tmp_path: Path, unused_tcp_port_factory: Any) -> Any:
    """Starts an operator, and kills it at the end if it still runs."""

    @asynccontextmanager
    async def run(*arguments: str) -> AsyncIterator[Process]:
        healthz, metrics = unused_tcp_port_factory(), unused_tcp_port_factory()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modelcascade", "operator", "--log-format", "plain"),
            *("--kubeconfig", str(write_kubeconfig(tmp_path / "kubeconfig", api.url))),
            *("--operator-image", DEFAULTS.operator_image, "--llama-cpp-image", DEFAULTS.llama_cpp_image),
            *("--healthz-port", str(healthz), "--metrics-port", str(metrics)),
            *arguments,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
        )
        running = Process(process, healthz, metrics)
        try:
            yield running
        except BaseException:
            sys.stderr.write(running.log)
            raise
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return run


async def until_watching(api: FakeApiServer) -> None:
    """Wait until every kind is watched."""
    await api.wait_for("a watch on every kind", lambda: api.open_watches() == PLURALS, within_s=20)


async def test_it_creates_reports_and_rests(api: FakeApiServer, start: Any) -> None:
    """A cascade becomes its children; then ten resyncs write nothing, and SIGTERM ends the process with 0."""
    async with start("--resync-seconds", "0.3") as operator:
        await until_watching(api)
        await api.wait_for("the router", lambda: api.cluster.bodies("Deployment", "ns"))
        await api.wait_for("the status", lambda: "status" in api.cluster.body("ModelCascade", *KEY))
        assert await operator.health() == 200
        await api.wait_for("rest", quiet(api), within_s=20)
        written = list(api.cluster.writes)
        before = await rounds(operator)
        while await rounds(operator) < before + 10:  # noqa: ASYNC110 - a figure of another process
            await asyncio.sleep(0.1)
        assert api.cluster.writes == written
        assert 'modelcascade_operator_writes_total{kind="Deployment",verb="apply"} 3.0' in await operator.metrics()
        operator.send(signal.SIGTERM)
        code, seconds = await operator.end()
    assert (code, "Traceback" in operator.log) == (0, False)
    assert seconds < END_WITHIN_S
    body = api.cluster.body("ModelCascade", *KEY)
    assert not {"annotations", "finalizers"} & set(body["metadata"]), "kopf left a trace on the user's object"


def quiet(api: FakeApiServer) -> Any:
    """True once nothing was written for two seconds."""
    seen = (0, monotonic_s())

    def check() -> bool:
        nonlocal seen
        if len(api.cluster.writes) != seen[0]:
            seen = (len(api.cluster.writes), monotonic_s())
        return monotonic_s() - seen[1] > 2

    return check


async def rounds(operator: Process) -> float:
    """How many rounds have ended as done."""
    lines = (await operator.metrics()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("modelcascade_operator_reconciles_total"))


async def test_b_an_error_in_a_watch_ends_the_process(api: FakeApiServer, start: Any) -> None:
    """(b) After an ERROR 500 in a watch the process ends with 1 within 5 s, and names the watcher (O6)."""
    async with start() as operator:
        await until_watching(api)
        api.break_watches("pods", {"kind": "Status", "code": 500, "message": "made up"})
        code, seconds = await operator.end()
    assert code == 1
    assert seconds < END_WITHIN_S
    assert "watcher for pods.v1" in operator.log.lower()


async def test_a_crd_that_goes_away_ends_the_process(api: FakeApiServer, start: Any) -> None:
    """When the CRD is deleted the process ends with 1; the next one waits for it, as another test shows (O21)."""
    async with start() as operator:
        await until_watching(api)
        api.cluster.served.discard("ModelCascade")
        api.break_watches("modelcascades", {"kind": "Status", "code": 410, "message": "gone"})
        code, _ = await operator.end()
    assert code == 1
    assert "watcher for modelcascades" in operator.log.lower()


async def test_it_watches_only_the_namespaces_that_it_is_given(api: FakeApiServer, start: Any) -> None:
    """With --namespace every list and watch names one, nothing is asked of the whole cluster, the probe is green."""
    async with start("--namespace", "ns", "--namespace", "other") as operator:
        await until_watching(api)
        await api.wait_for("the children", lambda: api.cluster.bodies("Deployment", "ns"), within_s=20)
        assert await operator.health() == 200
        operator.send(signal.SIGTERM)
        await operator.end()
    asked = {path.split("?")[0] for method, path in api.requests if method == "GET"}
    discovery = {path for path in asked if path in {"/api", "/apis"} or path.rstrip("/").count("/") < 4}
    assert all("/namespaces/ns/" in path or "/namespaces/other/" in path for path in asked - discovery)
    assert any(path.endswith("/namespaces/other/modelcascades") for path in asked)


async def test_it_waits_for_its_crd(api: FakeApiServer, start: Any) -> None:
    """Without the CRD it says once what to do, stays healthy, and begins when the CRD is there (O21)."""
    api.cluster.served.discard("ModelCascade")
    async with start() as operator:
        asked = "/apis/modelcascade.dev/v1alpha1"
        await api.wait_for(
            "three looks", lambda: len([1 for _, path in api.requests if path == asked]) >= 3, within_s=20
        )
        assert operator.log.count("waiting for the API") == 1
        assert "apply crds/" in operator.log
        assert await operator.health() == 200
        api.cluster.served.add("ModelCascade")
        await until_watching(api)
        operator.send(signal.SIGTERM)
        code, _ = await operator.end()
    assert code == 0


async def test_it_can_be_stopped_while_it_waits(api: FakeApiServer, start: Any) -> None:
    """SIGTERM before anything is served ends it with 0."""
    api.faults.append(Fault("GET", "/apis", 503))
    async with start() as operator:
        await api.wait_for("the first look", lambda: api.requests, within_s=20)
        await api.wait_for("the word", lambda: "does not answer" in operator.log, within_s=20)
        operator.send(signal.SIGTERM)
        code, _ = await operator.end()
    assert code == 0


async def test_no_cluster_is_one_line(start: Any, tmp_path: Path) -> None:
    """Without credentials it ends with 1 and one sentence, not with a traceback."""
    async with start("--kubeconfig", str(tmp_path / "absent")) as operator:
        code, _ = await operator.end(within_s=20)
    assert (code, "Traceback" in operator.log) == (1, False)
    assert "no kubeconfig at" in operator.log


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--resync-seconds", "0"], id="no resync"),
        pytest.param(["--log-level", "loud"], id="unknown level"),
        pytest.param(["--frobnicate"], id="unknown option"),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is a usage line and exit code 2."""
    images = ["--operator-image", "o", "--llama-cpp-image", "l"]
    with pytest.raises(SystemExit) as ended:
        parse_arguments([*images, *arguments])
    assert ended.value.code == 2
    assert "usage: modelcascade operator" in capsys.readouterr().err


def test_options() -> None:
    """Namespaces may be repeated; what is left out has the documented default."""
    images = ["--operator-image", "o", "--llama-cpp-image", "l"]
    options = parse_arguments([*images, "--namespace", "b", "--namespace", "a", "--namespace", "b"])
    assert options.namespaces == ("a", "b")
    assert (options.resync_s, options.healthz_port, options.metrics_port) == (60, 8080, 9090)
    assert options.defaults.router_cluster_role == "modelcascade-router"
    assert parse_arguments(images).namespaces == ()
