"""The small parts of the reconcile: which pods need their Events read, which Events are told, what is remembered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.stories import KEY
from modelcascade.controller.events import events_for
from modelcascade.controller.memory import Memory
from modelcascade.controller.reconcile import stuck_pods
from modelcascade.planning.names import ObjectKey
from modelcascade.status.snapshot import Snapshot

NOW = datetime(2026, 11, 24, 8, 0, 30, tzinfo=UTC)


def pod(*waiting: str | None, age_s: float = 30, node: str | None = "n", **metadata: Any) -> dict[str, Any]:
    """A pod whose containers wait for these reasons; None runs."""
    states: list[dict[str, Any]] = [
        {"running": {"startedAt": "t"}} if reason is None else {"waiting": {"reason": reason}} for reason in waiting
    ]
    created = (NOW - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": created, **metadata},
        "spec": {"nodeName": node} if node else {},
        "status": {"containerStatuses": [{"name": str(number), "state": s} for number, s in enumerate(states)]},
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(pod("ContainerCreating"), True, id="waits without a reason of its own"),
        pytest.param(pod("PodInitializing", "ContainerCreating"), True, id="all of them"),
        pytest.param(pod("ContainerCreating", age_s=4), False, id="too young"),
        pytest.param(pod("ContainerCreating", node=None), False, id="no node: the scheduler's condition says why"),
        pytest.param(pod("ImagePullBackOff"), False, id="the status says why"),
        pytest.param(pod("PodInitializing", "CrashLoopBackOff"), False, id="one of them says why"),
        pytest.param(pod("PodInitializing", None), False, id="an init container is at work"),
        pytest.param(pod(None), False, id="runs"),
        pytest.param(pod("ContainerCreating", deletionTimestamp="t"), False, id="on its way out"),
        pytest.param(pod(), False, id="no status yet"),
    ],
)
def test_whose_events_are_read(body: dict[str, Any], *, expected: bool) -> None:
    """Events are read live only for a pod that does not start and does not say why."""
    assert bool(stuck_pods((body,), NOW)) is expected


def test_a_crowd_of_stuck_pods_costs_little() -> None:
    """However many pods are stuck, the Events of three are read."""
    assert len(stuck_pods((pod("ContainerCreating"),) * 50, NOW)) == 3


def condition(kind: str, status: str, reason: str = "Valid") -> dict[str, str]:
    """A condition."""
    return {"type": kind, "status": status, "reason": reason, "message": "the message"}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param([], [condition("Accepted", "True")], [("Valid", "Normal")], id="first verdict"),
        pytest.param([], [condition("Ready", "False", "Starting")], [("Starting", "Normal")], id="under way"),
        pytest.param([], [condition("Ready", "Unknown")], [], id="nothing known"),
        pytest.param([condition("Ready", "True")], [condition("Ready", "True", "Other")], [], id="same status"),
        pytest.param(
            [condition("Ready", "True")],
            [condition("Ready", "False", "OutOfMemory")],
            [("OutOfMemory", "Warning")],
            id="broke",
        ),
        pytest.param([], [condition("TiersReady", "False")], [], id="a part: Ready says it"),
    ],
)
def test_what_is_told(before: list[Any], after: list[Any], told: list[tuple[str, str]]) -> None:
    """Main conditions whose status moved are told, progress as Normal and trouble as Warning."""
    cascade = {
        "apiVersion": "modelcascade.dev/v1alpha1",
        "kind": "ModelCascade",
        "metadata": {"name": "code", "namespace": "ns", "uid": "u", "resourceVersion": "7"},
    }
    events = events_for(cascade, {"conditions": before}, {"conditions": after}, NOW)
    assert [(event["reason"], event["type"]) for event in events] == told
    assert all(event["regarding"]["uid"] == "u" and len(event["note"]) <= 1024 for event in events)


def body(version: str, uid: str = "u") -> dict[str, Any]:
    """An object at a version."""
    return {"kind": "ModelCascade", "metadata": {"name": "code", "uid": uid, "resourceVersion": version}}


@pytest.mark.parametrize(
    ("cached", "wait_s", "expected"),
    [
        pytest.param(body("9"), 0, "10", id="the cache is behind"),
        pytest.param(body("10"), 0, "10", id="the cache has caught up"),
        pytest.param(body("11"), 0, "11", id="the cache is ahead"),
        pytest.param(body("9", uid="other"), 0, "9", id="another object of that name"),
        pytest.param(body("9"), 31, "9", id="the watch never told: believe it"),
        pytest.param(body("abc"), 0, "10", id="versions that are no numbers count as older"),
    ],
)
def test_the_newest_is_used(cached: dict[str, Any], wait_s: float, expected: str) -> None:
    """Our own write is used until the cache shows it, or half a minute has passed."""
    memory = Memory()
    child = ObjectKey("Service", "code")
    for name in (child, ObjectKey("ModelCascade", "code")):
        memory.remember_write(KEY, name, body("10"), NOW)
    snapshot = Snapshot(cascade=cached, children={child: cached})
    fresh = memory.freshen(KEY, snapshot, NOW + timedelta(seconds=wait_s))
    assert fresh.cascade["metadata"]["resourceVersion"] == expected
    assert fresh.children[child]["metadata"]["resourceVersion"] == expected


def test_events_of_one_cascade_are_bounded() -> None:
    """Ten at once, then two a minute; another cascade has its own share."""
    memory = Memory()
    assert [memory.may_record(KEY, 0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert memory.may_record(KEY._replace(name="other"), 0)
    assert [memory.may_record(KEY, 30), memory.may_record(KEY, 31)] == [True, False]


def test_a_cascade_that_is_gone_is_forgotten() -> None:
    """Nothing of it stays behind, and others keep theirs."""
    memory = Memory()
    other = KEY._replace(name="other")
    for key in (KEY, other):
        memory.remember_write(key, ObjectKey("Service", "s"), body("10"), NOW)
        memory.may_record(key, 0)
    memory.forget(KEY)
    child = {ObjectKey("Service", "s"): body("9")}
    assert memory.freshen(KEY, Snapshot(cascade=body("9"), children=child), NOW).children == child
    kept = memory.freshen(other, Snapshot(cascade=body("9"), children=child), NOW).children
    assert kept[ObjectKey("Service", "s")]["metadata"]["resourceVersion"] == "10"
