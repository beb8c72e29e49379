"""Routes come whole or not at all, from a file and from the API server."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from modelcascade.api.documents import DocumentProblem, Routes, parse_routes
from modelcascade.api.telemetry import ROUTER_METRICS
from modelcascade.kube.watch import WatchEvent
from modelcascade.meters import Meters
from modelcascade.router.decision_log import DecisionLog
from modelcascade.router.routes_file import RoutesFile, read_routes_file
from modelcascade.router.state import RouterState
from modelcascade.router.upstream import HttpUpstream
from modelcascade.router.watch import follow_routes, follow_slices
from router.harness import StartRouter

EXAMPLE = Path(__file__).parents[2] / "manifests/examples/router-laptop/routes.yaml"
TIER = {"name": "small", "role": "Small", "rank": 0, "service": "assist-small", "servedName": "m"}


@pytest.fixture
async def state() -> AsyncIterator[RouterState]:
    """A router's state without a server."""
    upstream = HttpUpstream.open()
    yield RouterState(upstream, Meters(ROUTER_METRICS), DecisionLog(io.BytesIO()))
    await upstream.close()


def test_the_example_is_valid() -> None:
    """The documented example file is read, as YAML and as the same JSON."""
    document = read_routes_file(EXAMPLE)
    assert isinstance(document, bytes)
    routes = parse_routes(document)
    assert isinstance(routes, Routes)
    assert [tier.name for tier in routes.tiers] == ["small", "specialist"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param(None, "there is no such file", id="missing"),
        pytest.param("cascade: [", "neither YAML nor JSON at line 1", id="broken"),
        pytest.param("- a", "must hold a mapping", id="a list"),
        pytest.param("cascade: a\ntiers: []", "tiers: ", id="no tier"),
        pytest.param(
            "cascade: a\ntiers: [{name: s, role: Small, rank: 0, servedName: m}]", "exactly one of", id="no url"
        ),
        pytest.param(
            "cascade: a\ntiers: [{name: s, role: Small, rank: x, servedName: m, urls: [u]}]",
            "tiers.0.rank",
            id="bad field",
        ),
        pytest.param(
            "cascade: a\nverification: {minConfidence: 5}\ntiers: [{name: s, role: Small, rank: 0, servedName: m}]",
            "verification.minConfidence: there is no such field",
            id="a typo",
        ),
        pytest.param(
            "cascade: a\ntiers: [{name: s, role: Small, rank: 0, servedName: m, urls: [u], ranks: 1}]",
            "tiers.0.ranks: there is no such field",
            id="a typo in a tier",
        ),
        pytest.param(
            "cascade: a\ntiers: [{name: s, role: Small, rank: 0, servedName: m, service: x}]",
            "a file needs urls",
            id="service",
        ),
    ],
)
def test_a_bad_file_is_refused_with_a_path(tmp_path: Path, text: str | None, word: str) -> None:
    """The sentence names the file and the field."""
    path = tmp_path / "routes.yaml"
    if text is not None:
        path.write_text(text)
    found = read_routes_file(path)
    assert isinstance(found, DocumentProblem)
    assert str(path) in found.message
    assert word in found.message


async def test_a_changed_file_comes_into_force_and_a_broken_one_does_not(tmp_path: Path, state: RouterState) -> None:
    """R33: an edit is read within a poll; a broken edit is counted, and the last good routes stay."""
    path = tmp_path / "routes.yaml"

    def write(threshold: str) -> None:
        tier = "{name: s, role: Small, rank: 0, servedName: m, urls: ['http://h']}"
        path.write_text(f"cascade: a\ntiers: [{tier}]\nverification: {{minConfidencePercent: {threshold}}}\n")

    def threshold() -> int | None:
        return state.routes.verification.min_confidence_percent if state.routes is not None else None

    write("10")
    file = RoutesFile(state, path)
    document = read_routes_file(path)
    assert isinstance(document, bytes)
    state.offer_routes(document)
    await file.check()
    assert threshold() == 10
    write("20")
    await file.check()
    assert threshold() == 20
    write("one hundred")
    await file.check()
    assert threshold() == 20
    assert b'config_rejected_total{reason="invalid"} 1.0' in state.expose(0)
    write("30")
    await file.check()
    assert threshold() == 30


async def test_new_routes_take_effect_at_the_next_request(start_router: StartRouter) -> None:
    """A new threshold is swapped in whole; hash and generation are exposed."""
    router = await start_router()
    routes = router.state.routes
    assert routes is not None
    document = routes.model_dump(by_alias=True, mode="json", exclude_none=True)
    document |= {"verification": {"minConfidencePercent": 100}, "generation": 9}
    assert router.state.offer_routes(orjson.dumps(document)) is None
    response = await router.chat()
    assert response.headers["x-modelcascade-tier"] == "specialist"
    assert router.metric("modelcascade_router_config_generation") == 9
    assert router.state.expose(0).count(b"config_info{hash=") == 1


def routes_map(text: str | None) -> dict[str, Any]:
    """A ConfigMap with routes."""
    return {"metadata": {"name": "assist-routes"}, "data": {"routes.json": text} if text is not None else {}}


async def events(*given: WatchEvent) -> AsyncIterator[WatchEvent]:
    """A watch that ends."""
    for event in given:
        yield event


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    """One endpoint of a slice."""
    return {"addresses": [address], "conditions": conditions}


def slice_of(name: str, *endpoints: dict[str, Any], service: str = "assist-small", port: int = 8080) -> dict[str, Any]:
    """One EndpointSlice."""
    labels = {"kubernetes.io/service-name": service}
    return {"metadata": {"name": name, "labels": labels}, "ports": [{"port": port}], "endpoints": list(endpoints)}


async def test_the_config_map_is_followed(state: RouterState) -> None:
    """Good routes come into force; a broken one, one without its key, and a deletion leave the last good."""
    good = orjson.dumps({"cascade": "assist", "generation": 3, "tiers": [TIER]}).decode()
    await follow_routes(
        state,
        events(
            WatchEvent("RESET", (routes_map(good),)),
            WatchEvent("MODIFIED", (routes_map("{"),)),
            WatchEvent("MODIFIED", (routes_map(None),)),
            WatchEvent("DELETED", (routes_map(good),)),
        ),
    )
    assert state.routes is not None
    assert state.routes.generation == 3
    assert b'config_rejected_total{reason="invalid"} 3.0' in state.expose(0)


async def test_ready_needs_the_first_list_of_endpoints(state: RouterState) -> None:
    """In a cluster the router is ready when routes and the first slices are in, not when an engine is."""
    good = orjson.dumps({"cascade": "assist", "tiers": [TIER]}).decode()
    await follow_routes(state, events(WatchEvent("RESET", (routes_map(good),))))
    assert state.ready is False
    await follow_slices(state, events(WatchEvent("RESET", ())))
    assert state.ready is True


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([endpoint("10.0.0.1", ready=True)], ["http://10.0.0.1:8080"], id="ready"),
        pytest.param([endpoint("10.0.0.1")], ["http://10.0.0.1:8080"], id="ready is not told"),
        pytest.param([endpoint("10.0.0.1", ready=False)], [], id="not ready"),
        pytest.param([endpoint("10.0.0.1", ready=True, terminating=True)], [], id="terminating"),
        pytest.param([endpoint("fd00::1", ready=True)], ["http://[fd00::1]:8080"], id="IPv6"),
    ],
)
async def test_only_ready_endpoints_get_work(
    state: RouterState, given: list[dict[str, Any]], expected: list[str]
) -> None:
    """R30: new work goes to ready and not terminating."""
    state.offer_routes(orjson.dumps({"cascade": "assist", "tiers": [TIER]}))
    await follow_slices(state, events(WatchEvent("RESET", (slice_of("a", *given),))))
    assert [found.address for found in state.fleet.tiers["small"]] == expected


async def test_slices_add_up_and_go_away(state: RouterState) -> None:
    """Two slices of a Service are one list; a deleted or changed one takes its endpoints along; state survives."""
    state.offer_routes(orjson.dumps({"cascade": "assist", "tiers": [TIER]}))
    one, two = slice_of("a", endpoint("10.0.0.1")), slice_of("b", endpoint("10.0.0.2"))
    await follow_slices(state, events(WatchEvent("RESET", (one,)), WatchEvent("ADDED", (two,))))
    kept = state.fleet.tiers["small"][1]
    kept.failures = 3
    await follow_slices(
        state, events(WatchEvent("RESET", (one, two)), WatchEvent("DELETED", (one,)), WatchEvent("MODIFIED", (two,)))
    )
    assert state.fleet.tiers["small"] == [kept]
    assert kept.failures == 3
    other = slice_of("c", endpoint("10.0.0.3"), service="someone-else")
    await follow_slices(state, events(WatchEvent("RESET", (other,))))
    assert state.fleet.tiers["small"] == []
