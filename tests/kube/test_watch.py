"""The endless watch, against a small API server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from fakes.fake_api_server import FakeApiServer, Fault, serve_api, write_kubeconfig
from fakes.fake_cluster import FakeCluster
from modelcascade.kube.connect import Connection, connect
from modelcascade.kube.resources import resource_of
from modelcascade.kube.watch import MAX_BACKOFF_S, WatchEvent, WatchTimes, backoff_s, watch_objects

QUICK = WatchTimes(idle=5, server=5, first_backoff=0.01, short_stream=0.5)
PODS = resource_of("Pod")


def pod(name: str, **labels: str) -> dict[str, object]:
    """A pod, as small as it can be."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "ns", "name": name, "labels": labels},
        "spec": {},
    }


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """A server with one pod."""
    cluster = FakeCluster()
    cluster.put(pod("first", app="mine"))
    async with serve_api(cluster) as server:
        yield server


@pytest.fixture
async def connection(api: FakeApiServer, tmp_path: Path) -> AsyncIterator[Connection]:
    """A connection to it."""
    async with await connect(str(write_kubeconfig(tmp_path / "kubeconfig", api.url))) as connection:
        yield connection


def names(event: WatchEvent) -> list[str]:
    """The names in an event."""
    return [body["metadata"]["name"] for body in event.objects]


async def next_of(events: AsyncIterator[WatchEvent]) -> WatchEvent:
    """The next event, within ten seconds."""
    async with asyncio.timeout(10):
        return await anext(events)


async def test_list_then_changes(api: FakeApiServer, connection: Connection) -> None:
    """The first event is the whole list, then each change comes, with its kind filled in."""
    async with aclosing(watch_objects(connection, PODS, "ns", times=QUICK)) as events:
        first = await next_of(events)
        assert (first.type, names(first)) == ("RESET", ["first"])
        api.cluster.put(pod("second"))
        added = await next_of(events)
        assert (added.type, names(added)) == ("ADDED", ["second"])
        assert (added.obj["apiVersion"], added.obj["kind"]) == ("v1", "Pod")
        api.cluster.remove("Pod", "ns", "first")
        assert (await next_of(events)).type == "DELETED"
    assert first.objects[0]["kind"] == "Pod"


async def test_selectors_are_the_servers_work(api: FakeApiServer, connection: Connection) -> None:
    """Selectors reach list and watch, so that others' objects are never sent."""
    events = watch_objects(
        connection, PODS, "ns", label_selector="app=mine", field_selector="metadata.name=first", times=QUICK
    )
    async with aclosing(events):
        assert names(await next_of(events)) == ["first"]
        api.cluster.put(pod("other"))
        api.cluster.edit("Pod", "ns", "first", lambda body: body["spec"].update(nodeName="n"))
        event = await next_of(events)
        assert (event.type, names(event)) == ("MODIFIED", ["first"])


async def test_a_stream_that_ends_is_resumed(api: FakeApiServer, connection: Connection) -> None:
    """After a normal end the watch goes on from the last version: no list, nothing missed, nothing twice."""
    async with aclosing(watch_objects(connection, PODS, "ns", times=QUICK)) as events:
        await next_of(events)
        pending = asyncio.ensure_future(anext(events))
        await api.wait_for("a watch on pods", lambda: "pods" in api.open_watches())
        api.break_watches("pods", None)
        api.cluster.put(pod("second"))
        event = await asyncio.wait_for(pending, 10)
    assert (event.type, names(event)) == ("ADDED", ["second"])
    assert len([1 for _, path in api.requests if "limit=" in path]) == 1


@pytest.mark.parametrize("code", [410, 500])
async def test_an_error_in_the_stream_lists_again(api: FakeApiServer, connection: Connection, code: int) -> None:
    """After an ERROR in the stream the whole list comes again, whatever its code."""
    async with aclosing(watch_objects(connection, PODS, "ns", times=QUICK)) as events:
        await next_of(events)
        pending = asyncio.ensure_future(anext(events))
        await api.wait_for("a watch on pods", lambda: "pods" in api.open_watches())
        api.cluster.on_change = lambda _change: None  # the change below is missed by the stream
        api.cluster.put(pod("second"))
        api.break_watches("pods", {"kind": "Status", "code": code, "message": "broken"})
        event = await asyncio.wait_for(pending, 10)
    assert (event.type, names(event)) == ("RESET", ["first", "second"])


async def test_a_version_that_the_server_forgot_lists_again(api: FakeApiServer, connection: Connection) -> None:
    """A watch that is refused with 410 begins with a list again."""
    async with aclosing(watch_objects(connection, PODS, "ns", times=QUICK)) as events:
        await next_of(events)
        api.faults.append(Fault("GET", "watch=true", 410))
        pending = asyncio.ensure_future(anext(events))
        event = await asyncio.wait_for(pending, 10)
    assert (event.type, names(event)) == ("RESET", ["first"])


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_an_outage_is_outlasted(api: FakeApiServer, connection: Connection, status: int) -> None:
    """However a list or watch fails, it is tried again until it works."""
    fault = Fault("GET", "/pods", status)
    api.faults.append(fault)
    async with aclosing(watch_objects(connection, PODS, "ns", times=QUICK)) as events:
        pending = asyncio.ensure_future(anext(events))
        await api.wait_for("five tries", lambda: len(api.requests) >= 5)
        assert not pending.done()
        api.faults.remove(fault)
        assert names(await asyncio.wait_for(pending, 10)) == ["first"]


async def test_silence_is_a_broken_stream(api: FakeApiServer, connection: Connection) -> None:
    """A stream without a byte for the idle time is opened anew."""
    times = WatchTimes(idle=0.05, server=5, first_backoff=0.01)
    async with aclosing(watch_objects(connection, PODS, "ns", times=times)) as events:
        await next_of(events)
        pending = asyncio.ensure_future(anext(events))
        await api.wait_for("three watches", lambda: len([1 for _, path in api.requests if "watch=" in path]) >= 3)
        api.cluster.put(pod("second"))
        assert names(await asyncio.wait_for(pending, 10)) == ["second"]


async def test_long_lists_come_in_pages(api: FakeApiServer, connection: Connection) -> None:
    """A list longer than one page is put together again."""
    for number in range(700):
        api.cluster.put(pod(f"pod-{number:03}"))
    async with aclosing(watch_objects(connection, PODS, "ns", times=QUICK)) as events:
        assert len((await next_of(events)).objects) == 701
    assert len([1 for _, path in api.requests if "limit=" in path]) == 2


async def test_a_line_longer_than_a_buffer(api: FakeApiServer, connection: Connection) -> None:
    """An object of half a MiB arrives whole."""
    async with aclosing(watch_objects(connection, PODS, "ns", times=QUICK)) as events:
        await next_of(events)
        big = pod("big")
        big["spec"] = {"text": "x" * 500_000}
        api.cluster.put(big)
        assert len((await next_of(events)).obj["spec"]["text"]) == 500_000


def test_backoff_grows_to_a_minute() -> None:
    """The wait doubles, is jittered downwards by at most half, and never passes a minute."""
    whole = [backoff_s(failures, fraction=1) for failures in range(1, 2000)]
    half = [backoff_s(failures, fraction=0) for failures in range(1, 2000)]
    assert whole[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert max(whole) == MAX_BACKOFF_S
    assert half == [wait / 2 for wait in whole]
