"""Why a pod does not run: each fault of a pod has its own reason, and a message with the next step."""

from typing import Any

import pytest

from modelcascade.api.documents import Inspection
from modelcascade.api.reasons import ConditionReason
from modelcascade.status.pods import find_inspection, find_pod_fault, newest_generation
from support.cascades import DIGEST

MODEL = f"registry.example/m@{DIGEST}"
OK = Inspection(outcome="Ok", message="m.gguf holds GGUF Q4_K_M, as declared.", found_format="GGUF")


def pod(**status: Any) -> dict[str, Any]:
    """A pod `p` with this status."""
    return {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "engine", "resources": {"limits": {"memory": "1Gi"}}}]},
        "status": status,
    }


def waiting(reason: str, message: str = "", name: str = "engine", **more: Any) -> dict[str, Any]:
    """A pod with one waiting container."""
    container = {"name": name, "image": "i:1", "state": {"waiting": {"reason": reason, "message": message}}, **more}
    return pod(**{"initContainerStatuses" if name == "inspect" else "containerStatuses": [container]})


def ended(code: int, message: str = "", reason: str = "Error", name: str = "inspect", **more: Any) -> dict[str, Any]:
    """A pod with one container that has ended."""
    end = {"exitCode": code, "reason": reason, "message": message}
    container = {"name": name, "state": {"terminated": end}, **more}
    return pod(**{"initContainerStatuses" if name == "inspect" else "containerStatuses": [container]})


def unscheduled(message: str | None) -> dict[str, Any]:
    """A pod without a node."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(conditions=[{"type": "Initialized", "status": "True"}, condition])


def report(outcome: str) -> str:
    """A termination message."""
    return Inspection.model_validate({"outcome": outcome, "message": f"It is {outcome}."}).model_dump_json(
        by_alias=True
    )


def mount_event(message: str, reason: str = "FailedMount", name: str = "p", **more: Any) -> dict[str, Any]:
    """A warning about a pod."""
    return {"type": "Warning", "reason": reason, "message": message, "involvedObject": {"name": name}, **more}


CRASHED: dict[str, Any] = {"lastState": {"terminated": {"exitCode": 1}}}
NO_NODE = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
REASON = ConditionReason

CASES = [
    pytest.param(unscheduled(NO_NODE), REASON.UNSCHEDULABLE, f"no node takes pod p: {NO_NODE}", id="no node"),
    pytest.param(unscheduled(None), REASON.UNSCHEDULABLE, "Unschedulable", id="no node, no message"),
    pytest.param(
        pod(conditions=[{"type": "PodScheduled", "status": "False"}]),
        REASON.UNSCHEDULABLE,
        "no reason given",
        id="bare",
    ),
    pytest.param(
        unscheduled('persistentvolumeclaim "models" not found'),
        REASON.MODEL_NOT_FOUND,
        'persistentvolumeclaim "models" not found Create the claim',
        id="claim missing",
    ),
    pytest.param(
        pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
        REASON.POD_REJECTED,
        "pod p ended: Evicted: The node was low",
        id="evicted",
    ),
    pytest.param(pod(phase="Failed"), REASON.POD_REJECTED, "no reason given", id="failed without a word"),
    pytest.param(
        waiting("ErrImagePull", "not found: i:1"),
        REASON.IMAGE_PULL_FAILED,
        "i:1, cannot be pulled: not found",
        id="pull",
    ),
    pytest.param(
        waiting("ImagePullBackOff", 'Back-off pulling image "i:1": ErrImagePull: not found: i:1'),
        REASON.IMAGE_PULL_FAILED,
        "cannot be pulled: not found: i:1.",
        id="pull, between two tries: the same words",
    ),
    pytest.param(
        waiting("ImagePullBackOff", 'Back-off pulling image "i:1"'),
        REASON.IMAGE_PULL_FAILED,
        "cannot be pulled: ImagePullBackOff.",
        id="pull, without a cause",
    ),
    pytest.param(waiting("InvalidImageName", "bad"), REASON.IMAGE_PULL_FAILED, "bad", id="image name"),
    pytest.param(waiting("ErrImageNeverPull", "absent"), REASON.IMAGE_PULL_FAILED, "absent", id="never pulled"),
    pytest.param(
        waiting("ErrImagePull", f'failed to pull image "{MODEL}": 404', name="inspect"),
        REASON.MODEL_NOT_FOUND,
        f"the model's image {MODEL} cannot be pulled",
        id="the model's image",
    ),
    pytest.param(
        waiting("CreateContainerConfigError", 'secret "x" not found'), REASON.CONFIG_MISSING, 'secret "x"', id="config"
    ),
    pytest.param(
        waiting("CreateContainerError", "failed to mount image volume"),
        REASON.VOLUME_FAILED,
        "mount",
        id="image volume",
    ),
    pytest.param(
        waiting("RunContainerError", 'exec: "modelcascade": not found', name="inspect"),
        REASON.CONTAINER_CRASHED,
        "container inspect of pod p cannot be started: exec",
        id="cannot start",
    ),
    pytest.param(
        ended(1, report("FileNotFound")), REASON.MODEL_FILE_NOT_FOUND, "Tier small: It is FileNotFound.", id="no file"
    ),
    pytest.param(ended(1, report("FileAmbiguous")), REASON.MODEL_FILE_AMBIGUOUS, "FileAmbiguous", id="many files"),
    pytest.param(ended(1, report("NotGGUF")), REASON.MODEL_UNREADABLE, "NotGGUF", id="no GGUF"),
    pytest.param(ended(1, report("Truncated")), REASON.MODEL_UNREADABLE, "Truncated", id="cut off"),
    pytest.param(ended(1, report("FormatMismatch")), REASON.FORMAT_MISMATCH, "FormatMismatch", id="format"),
    pytest.param(ended(1, report("VariantMismatch")), REASON.VARIANT_MISMATCH, "VariantMismatch", id="variant"),
    pytest.param(
        waiting(
            "CrashLoopBackOff",
            name="inspect",
            lastState={"terminated": {"exitCode": 1, "message": report("VariantMismatch")}},
        ),
        REASON.VARIANT_MISMATCH,
        "VariantMismatch",
        id="variant, between two tries",
    ),
    pytest.param(ended(2, "usage: …"), REASON.INSPECTION_UNREADABLE, "exit code 2", id="no report"),
    pytest.param(ended(1, report("Ok")), REASON.INSPECTION_UNREADABLE, "exit code 1", id="Ok, yet failed"),
    pytest.param(
        ended(1, name="engine"), REASON.CONTAINER_CRASHED, "kubectl logs p -c engine --previous", id="engine ended"
    ),
    pytest.param(
        waiting("CrashLoopBackOff", "back-off 40s restarting", **CRASHED),
        REASON.CONTAINER_CRASHED,
        "container engine of pod p ended with exit code 1.",
        id="crash loop, without the time of the back-off",
    ),
    pytest.param(
        pod(containerStatuses=[{"name": "engine", "state": {"running": {}}, "ready": False, **CRASHED}]),
        REASON.CONTAINER_CRASHED,
        "ended with exit code 1",
        id="runs again, not ready",
    ),
    pytest.param(
        ended(137, reason="OOMKilled", name="engine"), REASON.OUT_OF_MEMORY, "memory limit of 1Gi. Raise", id="memory"
    ),
    pytest.param(
        ended(137, reason="OOMKilled", name="router"), REASON.OUT_OF_MEMORY, "memory limit. Raise", id="limit unknown"
    ),
    pytest.param(
        waiting("ContainerCreating"), REASON.STARTING, "pod p has started and is not ready yet", id="creating"
    ),
    pytest.param(pod(), REASON.STARTING, "not ready yet", id="no status yet"),
    pytest.param({"metadata": {"name": "p"}}, REASON.STARTING, "not ready yet", id="no status at all"),
]


@pytest.mark.parametrize(("found", "reason", "words"), CASES)
def test_each_fault_has_its_reason(found: dict[str, Any], reason: ConditionReason, words: str) -> None:
    """The reason is closed, the message has the object, the cause and a step."""
    fault = find_pod_fault(found, what="Tier small", model=MODEL, events=())
    assert fault is not None
    assert (reason, True, True) == (fault.reason, words in fault.message, fault.message.startswith("Tier small: ")), (
        fault.message
    )


def test_a_pod_that_is_ready_has_no_fault() -> None:
    """Also when it crashed before: what was is not what is."""
    ready = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}]
    containers = [{"name": "engine", "state": {"running": {}}, "ready": True, **CRASHED}]
    inits = [{"name": "inspect", "ready": True, "state": {"terminated": {"exitCode": 0}}}]
    found = pod(conditions=ready, containerStatuses=containers, initContainerStatuses=inits)
    assert find_pod_fault(found, what="Router", model=None, events=()) is None


@pytest.mark.parametrize(
    ("events", "reason", "words"),
    [
        pytest.param([mount_event("timed out")], REASON.VOLUME_FAILED, "cannot mount a volume: timed out", id="mount"),
        pytest.param([mount_event('secret "x" not found')], REASON.CONFIG_MISSING, 'secret "x" not found', id="secret"),
        pytest.param(
            [
                mount_event('configmap "x" not found', lastTimestamp="2026-01-01T00:00:00Z"),
                mount_event("timed out", lastTimestamp="2026-01-01T00:01:00Z"),
            ],
            REASON.CONFIG_MISSING,
            'configmap "x" not found',
            id="the cause, not the time-out that follows",
        ),
        pytest.param(
            [
                mount_event("old", eventTime="2026-01-01T00:00:00Z"),
                mount_event("new", eventTime="2026-01-01T00:01:00Z"),
            ],
            REASON.VOLUME_FAILED,
            "new",
            id="the newest",
        ),
        pytest.param([mount_event("", name="p")], REASON.VOLUME_FAILED, "no reason given", id="no message"),
        pytest.param([mount_event("x", name="other")], REASON.STARTING, "not ready yet", id="another pod's"),
        pytest.param([{"type": "Warning", "reason": "FailedMount"}], REASON.STARTING, "not ready yet", id="nobody's"),
        pytest.param([mount_event("x", reason="Unhealthy")], REASON.STARTING, "not ready yet", id="another warning"),
        pytest.param([mount_event("x") | {"type": "Normal"}], REASON.STARTING, "not ready yet", id="no warning"),
    ],
)
def test_a_mount_that_fails_is_told_by_its_event(
    events: list[dict[str, Any]], reason: ConditionReason, words: str
) -> None:
    """The pod's status says only ContainerCreating."""
    fault = find_pod_fault(waiting("ContainerCreating"), what="Tier small", model=None, events=events)
    assert fault is not None
    assert (reason, True) == (fault.reason, words in fault.message)


def named(name: str, time: str, template: str | None) -> dict[str, Any]:
    """A pod of a template."""
    labels = {} if template is None else {"labels": {"pod-template-hash": template}}
    return {"metadata": {"name": name, "creationTimestamp": time, **labels}}


def test_only_the_newest_template_counts() -> None:
    """A rollout is judged by its new pods, newest first; old ones still serve, and prove nothing."""
    pods = [named("a", "1", "old"), named("b", "2", "new"), named("c", "3", "new"), named("d", "1", None)]
    assert ["c", "b"] == [one["metadata"]["name"] for one in newest_generation(pods)]
    assert () == newest_generation([])


def test_the_newest_report_counts() -> None:
    """Pods without a report, and containers of other names, are passed over."""
    other = {"name": "other", "state": {"terminated": {"exitCode": 0, "message": OK.model_dump_json(by_alias=True)}}}
    pods = [
        pod(),
        pod(initContainerStatuses=[other]),
        pod(initContainerStatuses=[{"name": "inspect", "state": {"running": {}}}]),
        ended(0, "rubbish"),
        ended(0, OK.model_dump_json(by_alias=True)),
        ended(1, report("NotGGUF")),
    ]
    assert OK == find_inspection(pods)
    assert find_inspection(pods[:4]) is None
