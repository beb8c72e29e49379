"""A Deployment and what belongs to it: the first check that fails."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from modelcascade.api.reasons import ConditionReason
from modelcascade.planning.diff import Conflict
from modelcascade.planning.names import ObjectKey
from modelcascade.planning.plan import plan_cascade
from modelcascade.status.snapshot import ApplyError
from modelcascade.status.workload import Workload, assess_workload, desired_replicas, ready_replicas
from support.cascades import DEFAULTS, accepted, cascade_body

PLANNED = tuple(one for one in plan_cascade(accepted(cascade_body()), DEFAULTS).objects if one.tier == "small")
DEPLOYMENT = ObjectKey("Deployment", "assist-small")
SERVICE = ObjectKey("Service", "assist-small")
REASON = ConditionReason
READY = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
STARTING = READY | {"readyReplicas": 0}


def workload(status: dict[str, Any], *, replicas: int | None = None, **fields: Any) -> Workload:
    """The small tier with its objects as planned, and this status of its Deployment."""
    children = {one.key: copy.deepcopy(one.body) for one in PLANNED}
    children[DEPLOYMENT]["metadata"]["generation"] = 2
    children[DEPLOYMENT]["status"] = status
    if replicas is not None:
        children[DEPLOYMENT]["spec"]["replicas"] = replicas
    whole = Workload(what="Tier small", cascade="assist", deployment=DEPLOYMENT, children=children, planned=PLANNED)
    return replace(whole, **fields)


def without(key: ObjectKey) -> Workload:
    """One object is missing."""
    found = workload(READY)
    return replace(found, children={one: body for one, body in found.children.items() if one != key})


def outdated(key: ObjectKey) -> Workload:
    """One object was applied by an older plan."""
    found = workload(READY)
    found.children[key]["metadata"]["annotations"]["modelcascade.dev/applied-hash"] = "0"
    return found


def failure(message: str | None) -> dict[str, Any]:
    """The controller cannot create pods."""
    return STARTING | {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]}


def stuck(status: str = "False", reason: str = "ProgressDeadlineExceeded") -> dict[str, Any]:
    """No progress in time."""
    return STARTING | {"conditions": [{"type": "Progressing", "status": status, "reason": reason}]}


def pod(name: str, *, template: str = "1", exit_code: int | None = None, **metadata: Any) -> dict[str, Any]:
    """A pod that starts, or whose engine has ended."""
    state = {"running": {}} if exit_code is None else {"terminated": {"exitCode": exit_code}}
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod-template-hash": template},
            **metadata,
        },
        "status": {"containerStatuses": [{"name": "engine", "ready": False, "state": state}]},
    }


NOT_OURS = Conflict(DEPLOYMENT, "is controlled by ReplicaSet web (uid 1)", "small")
NOBODYS = Conflict(SERVICE, "has no controller", "small")
REFUSED = ApplyError(DEPLOYMENT, "exceeded quota: pods", ConditionReason.QUOTA_EXCEEDED)
OLD_POD = pod("old", template="0", exit_code=1, creationTimestamp="2025-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        pytest.param(workload(READY), None, "", id="ready"),
        pytest.param(workload(READY, planned=()), None, "", id="ready, and nothing planned"),
        pytest.param(workload(READY, replicas=3), None, "", id="one of three is ready"),
        pytest.param(
            workload(READY, conflicts=(NOT_OURS,)),
            REASON.NAME_CONFLICT,
            "Deployment/assist-small is controlled by ReplicaSet web (uid 1) and was not touched. "
            "Delete or rename it, or choose another name.",
            id="somebody else's",
        ),
        pytest.param(
            workload(READY, conflicts=(NOBODYS,)),
            REASON.NAME_CONFLICT,
            "or annotate it modelcascade.dev/adopt: assist to hand it over",
            id="nobody's",
        ),
        pytest.param(
            workload(READY, apply_errors=(REFUSED,)), REASON.QUOTA_EXCEEDED, "was refused: exceeded quota", id="refused"
        ),
        pytest.param(
            without(DEPLOYMENT), REASON.PROGRESSING, "Deployment/assist-small does not exist yet", id="no Deployment"
        ),
        pytest.param(without(SERVICE), REASON.PROGRESSING, "Service/assist-small is being brought", id="no Service"),
        pytest.param(
            outdated(DEPLOYMENT), REASON.PROGRESSING, "Deployment/assist-small is being", id="older Deployment"
        ),
        pytest.param(outdated(SERVICE), REASON.PROGRESSING, "Service/assist-small is being", id="older Service"),
        pytest.param(workload({}, replicas=0, zero_by_policy=True), None, "", id="at zero by policy"),
        pytest.param(workload(STARTING, replicas=0), REASON.STARTING, "has no ready pod yet", id="at zero otherwise"),
        pytest.param(workload(failure("exceeded quota: x")), REASON.QUOTA_EXCEEDED, "Raise the quota", id="quota"),
        pytest.param(
            workload(failure('violates PodSecurity "restricted"')),
            REASON.POD_SECURITY_REJECTED,
            "restricted",
            id="security",
        ),
        pytest.param(workload(failure("denied by webhook")), REASON.POD_REJECTED, "denied by webhook", id="webhook"),
        pytest.param(workload(failure(None)), REASON.POD_REJECTED, "no reason given", id="refused without a word"),
        pytest.param(
            workload(STARTING, pods=(pod("a"), pod("b", exit_code=1))),
            REASON.CONTAINER_CRASHED,
            "pod b",
            id="the pod that fails, not the one that starts",
        ),
        pytest.param(
            workload(READY | {"replicas": 2}, pods=(OLD_POD, pod("a"))), REASON.ROLLING_OUT, "older pods", id="rollout"
        ),
        pytest.param(
            workload(READY | {"observedGeneration": 1}), REASON.ROLLING_OUT, "are being replaced", id="not seen yet"
        ),
        pytest.param(
            workload(READY | {"replicas": 2}, pods=(pod("a", exit_code=1),)),
            REASON.CONTAINER_CRASHED,
            "pod a",
            id="rollout that fails",
        ),
        pytest.param(
            workload(STARTING, pods=(pod("a", exit_code=1, deletionTimestamp="x"), pod("b"))),
            REASON.STARTING,
            "pod b has started",
            id="a pod on its way out says nothing",
        ),
        pytest.param(
            workload(stuck()), REASON.PROGRESS_DEADLINE_EXCEEDED, "did not become ready in time", id="deadline"
        ),
        pytest.param(workload(stuck(reason="Other")), REASON.STARTING, "no ready pod", id="another reason"),
        pytest.param(workload(stuck(status="True")), REASON.STARTING, "no ready pod", id="progress"),
        pytest.param(workload({}), REASON.STARTING, "no ready pod yet", id="no status yet"),
    ],
)
def test_the_first_check_that_fails(found: Workload, reason: ConditionReason | None, words: str) -> None:
    """Each row of the table in `assess_workload`."""
    fault = assess_workload(found)
    assert reason == (fault.reason if fault else None)
    assert words in (fault.message if fault else "")


def test_the_models_image_is_told_from_the_others() -> None:
    """A failed pull of the model is about the model, not about our images."""
    image = PLANNED[-1].body["spec"]["template"]["spec"]["volumes"][0]["image"]["reference"]
    wait = {"waiting": {"reason": "ErrImagePull", "message": f"{image}: not found"}}
    broken = pod("a") | {"status": {"initContainerStatuses": [{"name": "inspect", "state": wait}]}}
    fault = assess_workload(workload(STARTING, pods=(broken,)))
    assert fault is not None
    assert REASON.MODEL_NOT_FOUND == fault.reason


def test_replicas_as_the_api_server_means_them() -> None:
    """An absent number is the default 1 in the spec and 0 in the status; 0 is 0."""
    assert (1, 0, 0) == (desired_replicas({}), desired_replicas({"spec": {"replicas": 0}}), ready_replicas({}))
