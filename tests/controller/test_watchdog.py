"""
The defences (a) and (c) against a watch that dies, with the real kopf and a small API server; (b) is in test_run.py.

These tests lean on private names of kopf (task names, a logger): they must be run on every update of it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import pytest

from fakes.fake_api_server import FakeApiServer, Fault, serve_api, write_kubeconfig
from fakes.fake_cluster import FakeCluster
from modelcascade.clock import monotonic_s
from modelcascade.controller.handlers import WATCHED, build_registry, build_settings
from modelcascade.controller.watchdog import (
    ORCHESTRATOR_LOGGER,
    EndlessBackoffs,
    WatcherDeath,
    WatchProbe,
    watcher_names,
)
from modelcascade.kube.connect import connect
from modelcascade.kube.indexes import CascadeKey, Indexes
from modelcascade.kube.watch import MAX_BACKOFF_S
from modelcascade.planning.names import CHILD_SELECTOR, UID_LABEL

PLURALS = {resource.plural for resource in WATCHED}


def cascade(name: str) -> dict[str, Any]:
    """A cascade, as far as kopf looks at it."""
    return {
        "apiVersion": "modelcascade.dev/v1alpha1",
        "kind": "ModelCascade",
        "metadata": {"namespace": "ns", "name": name},
        "spec": {"tiers": []},
    }


class QuickBackoffs(EndlessBackoffs):
    """The endless sequence, without its waits."""

    def __iter__(self) -> Any:
        """See `EndlessBackoffs`."""
        return (delay / 1000 for delay in super().__iter__())


class Watching:
    """kopf with our handlers, beside the test."""

    def __init__(self, api: FakeApiServer) -> None:
        self.api = api
        self.keys: list[CascadeKey] = []
        self.indexes: Indexes | None = None
        self.deaths: list[str] = []
        self.task: asyncio.Task[None]
        self.url = ""

    async def health(self) -> int:
        """The status of /healthz."""
        async with aiohttp.ClientSession() as session, session.get(self.url) as answer:
            return answer.status


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """A server with one cascade."""
    cluster = FakeCluster()
    cluster.put(cascade("one"))
    async with serve_api(cluster) as server:
        yield server


@pytest.fixture
def watch(api: FakeApiServer, tmp_path: Path, unused_tcp_port: int) -> Callable[[], "asyncio.Future[Watching]"]:
    """Start kopf as the operator does."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Watching]:
        watching = Watching(api)
        watching.url = f"http://127.0.0.1:{unused_tcp_port}/healthz"
        handler = WatcherDeath(watching.deaths.append)
        logging.getLogger(ORCHESTRATOR_LOGGER).addHandler(handler)
        settings = build_settings()
        settings.networking.error_backoffs = QuickBackoffs()
        settings.watching.reconnect_backoff = 0.001
        probe = WatchProbe(watcher_names(WATCHED, ()), monotonic_s, grace_s=0)

        def on_start(indexes: Indexes) -> None:
            watching.indexes = indexes

        async with await connect(str(write_kubeconfig(tmp_path / "k", api.url))) as connection:
            watching.task = asyncio.create_task(
                kopf.operator(
                    registry=build_registry(connection, watching.keys.append, on_start, probe.check),
                    settings=settings,
                    standalone=True,
                    clusterwide=True,
                    liveness_endpoint=watching.url,
                )
            )
            try:
                await api.wait_for("a watch on every kind", lambda: api.open_watches() == PLURALS)
                yield watching
            finally:
                logging.getLogger(ORCHESTRATOR_LOGGER).removeHandler(handler)
                watching.task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await watching.task

    return start  # type: ignore[return-value]  # the decorator's type is of no use to a reader


async def test_events_become_keys_and_nothing_is_written(api: FakeApiServer, watch: Any) -> None:
    """A cascade and its children bring its key and stand in the indexes; kopf writes nothing to any object."""
    async with watch() as watching:
        await api.wait_for("the first key", lambda: watching.keys)
        uid = api.cluster.body("ModelCascade", "ns", "one")["metadata"]["uid"]
        watching.keys.clear()
        child = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "namespace": "ns",
                "name": "one",
                "labels": {"app.kubernetes.io/managed-by": "modelcascade", UID_LABEL: uid},
                "ownerReferences": [{"kind": "ModelCascade", "name": "one", "uid": uid, "controller": True}],
            },
            "spec": {},
        }
        api.cluster.put(child)
        await api.wait_for("the child's key", lambda: CascadeKey("ns", "one") in watching.keys)
        assert watching.indexes is not None
        assert [body["kind"] for body in watching.indexes.children["ns", uid]] == ["Service"]
        api.cluster.put({**child, "metadata": {"namespace": "ns", "name": "foreign"}})
        watching.keys.clear()
        api.cluster.remove("Service", "ns", "one")
        await api.wait_for("the key after the deletion", lambda: watching.keys)
        assert ("ns", uid) not in watching.indexes.children
        body = api.cluster.body("ModelCascade", "ns", "one")
    assert api.cluster.writes == []
    assert set(body["metadata"]) == {"namespace", "name", "uid", "resourceVersion", "creationTimestamp", "generation"}
    assert {method for method, _ in api.requests} == {"GET"}


async def test_children_are_filtered_by_the_server(api: FakeApiServer, watch: Any) -> None:
    """Every list and watch but that of cascades carries our label selector."""
    async with watch():
        pass
    for plural in PLURALS - {"modelcascades"}:
        asked = [path for _, path in api.requests if f"/{plural}?" in path]
        assert len(asked) >= 2
        assert all(CHILD_SELECTOR.replace("=", "%3D") in path or CHILD_SELECTOR in path for path in asked), asked


async def refused(api: FakeApiServer, number: int) -> None:
    """Wait for this many requests in all."""
    await api.wait_for(f"{number} requests", lambda: len(api.requests) > number)


async def test_a_an_outage_of_any_length_is_outlasted(api: FakeApiServer, watch: Any) -> None:
    """(a) A watch that is refused more often than kopf's own list of retries is long goes on afterwards."""
    async with watch() as watching:
        faults = [Fault("GET", "/modelcascades", status) for status in (503, 403)]
        for fault in faults:
            before = len(api.requests)
            api.faults.append(fault)
            api.break_watches("modelcascades", None)
            await refused(api, before + 20)
            api.faults.remove(fault)
            watching.keys.clear()
            api.cluster.put(cascade(f"after-{fault.status}"))
            await api.wait_for("the change", lambda: watching.keys)
        assert not watching.deaths
        assert not watching.task.done()
        assert await watching.health() == 200


async def test_a_rotated_token_is_no_death(api: FakeApiServer, watch: Any, tmp_path: Path) -> None:
    """When the old token is refused kopf gets the new one from the file, and goes on."""
    async with watch() as watching:
        write_kubeconfig(tmp_path / "k", api.url, "new")
        api.token = "new"  # noqa: S105 - no secret
        for plural in PLURALS:
            api.break_watches(plural, None)
        await api.wait_for("new watches", lambda: api.open_watches() == PLURALS)
        watching.keys.clear()
        api.cluster.put(cascade("after"))
        await api.wait_for("the change", lambda: watching.keys)
        assert not watching.deaths


async def test_an_expired_version_is_no_death(api: FakeApiServer, watch: Any) -> None:
    """An ERROR 410 lists again, and nobody is told of a death."""
    async with watch() as watching:
        before = len([1 for _, path in api.requests if "/pods?" in path and "watch=" not in path])
        api.break_watches("pods", {"kind": "Status", "code": 410, "message": "too old"})
        await api.wait_for(
            "another list",
            lambda: len([1 for _, path in api.requests if "/pods?" in path and "watch=" not in path]) > before,
        )
        assert not watching.deaths
        assert await watching.health() == 200


async def test_c_a_watcher_that_is_gone_fails_the_probe(watch: Any) -> None:
    """(c) Without a live task for one of our kinds /healthz answers 500 at once."""
    async with watch() as watching:
        (pods,) = (task for task in asyncio.all_tasks() if task.get_name() == "watcher for pods.v1@None")
        pods.cancel()
        await asyncio.wait([pods])
        assert await watching.health() == 500


async def test_the_probe_waits_for_the_start() -> None:
    """Until all watchers have been alive once there is a grace; then none, and never after it has passed."""
    now = 0.0
    probe = WatchProbe(frozenset({"watcher for x"}), lambda: now, grace_s=10)
    assert probe.check() == "starting"
    now = 11
    with pytest.raises(RuntimeError, match="no live watcher for x"):
        probe.check()
    now = 0
    task = asyncio.create_task(asyncio.Event().wait(), name="watcher for x")
    assert probe.check() == "alive"
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(RuntimeError, match="must be restarted"):
        probe.check()


def test_backoffs_never_end() -> None:
    """The delays go on for ever, stay under a minute, and start anew for each request."""
    delays = EndlessBackoffs()
    first = list(islice(delays, 1000))
    assert len(first) == 1000
    assert max(first) <= MAX_BACKOFF_S
    assert next(iter(delays)) <= 1


def test_names_of_watchers() -> None:
    """The names are kopf's: plural, version, group, and the namespace or None."""
    assert "watcher for deployments.v1.apps@None" in watcher_names(WATCHED, ())
    assert "watcher for pods.v1@a" in watcher_names(WATCHED, ("a", "b"))
    assert len(watcher_names(WATCHED, ("a", "b"))) == 2 * len(WATCHED)
