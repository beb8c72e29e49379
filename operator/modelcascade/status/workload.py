"""Why one Deployment and what belongs to it does not do its work: the ordered checks of a tier and of the router."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelcascade.api.reasons import ConditionReason
from modelcascade.planning.diff import Conflict
from modelcascade.planning.names import ADOPT_ANNOTATION, APPLIED_HASH_ANNOTATION, ObjectKey
from modelcascade.planning.objects import PlannedObject
from modelcascade.status.fault import Fault
from modelcascade.status.pods import find_pod_fault, is_deleted, newest_generation
from modelcascade.status.snapshot import ApplyError

__all__ = ["Workload", "assess_workload", "desired_replicas", "ready_replicas"]

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Workload:
    """A tier, or the router, as it was planned and as it was seen."""

    what: str
    """Subject of the messages, such as `Tier small`."""

    cascade: str
    deployment: ObjectKey
    children: Mapping[ObjectKey, Body]
    planned: tuple[PlannedObject, ...] = ()
    """What should exist; empty when the spec cannot be planned, and then nothing is out of date."""

    pods: tuple[Body, ...] = ()
    events: tuple[Body, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    apply_errors: tuple[ApplyError, ...] = ()
    zero_by_policy: bool = False
    """Whether having no replica is what is wanted."""

    @property
    def live(self) -> Body | None:
        """The Deployment."""
        return self.children.get(self.deployment)


def assess_workload(workload: Workload) -> Fault | None:
    """
    The first check that fails; `None` when there is a ready pod and nothing is of an older generation.

    | check | reason |
    | --- | --- |
    | an object of a needed name is somebody else's | NameConflict |
    | an object was refused | the API server's |
    | an object is missing, or was not applied as planned yet | Progressing |
    | ready and complete, or at zero by policy | (none) |
    | the controller cannot create pods | QuotaExceeded, PodSecurityRejected, PodRejected |
    | a pod of the newest generation fails | the pod's |
    | no progress within the deadline | ProgressDeadlineExceeded |
    | pods of an older generation are left | RollingOut |
    | nothing of this, and no ready pod | Starting |
    """
    live = workload.live
    refused = _refused(workload)
    if refused is not None:
        return refused
    if live is None:
        return Fault(
            ConditionReason.PROGRESSING, f"{workload.what}: {workload.deployment} does not exist yet; it is being made."
        )
    if desired_replicas(live) == 0 and workload.zero_by_policy:
        return None
    is_complete = not _has_older_pods(live)
    if ready_replicas(live) and is_complete:
        return None
    pods = _pods_fault(workload)
    return (
        _creation_fault(workload, live)
        or (pods if pods is not None and not pods.is_progress else None)
        or _deadline_fault(workload, live)
        or (_rolling_out(workload) if not is_complete and _has_pods(live) else None)
        or pods
        or Fault(ConditionReason.STARTING, f"{workload.what}: {workload.deployment} has no ready pod yet.")
    )


def desired_replicas(deployment: Body) -> int:
    """What is asked of the Deployment; the API server's default is 1."""
    found = (deployment.get("spec") or {}).get("replicas")
    return 1 if found is None else int(found)


def ready_replicas(deployment: Body) -> int:
    """How many of its pods are ready."""
    return int((deployment.get("status") or {}).get("readyReplicas") or 0)


def _refused(workload: Workload) -> Fault | None:
    for conflict in workload.conflicts:
        way_out = (
            f", or annotate it {ADOPT_ANNOTATION}: {workload.cascade} to hand it over"
            if conflict.owner == "has no controller"
            else ""
        )
        return Fault(
            ConditionReason.NAME_CONFLICT,
            f"{workload.what}: {conflict.key} {conflict.owner} and was not touched. "
            f"Delete or rename it, or choose another name{way_out}.",
        )
    for error in workload.apply_errors:
        return Fault(error.reason, f"{workload.what}: {error.key} was refused: {error.sentence}")
    for planned in workload.planned:
        live = workload.children.get(planned.key)
        is_missing_deployment = live is None and planned.key == workload.deployment  # has its own sentence
        if not is_missing_deployment and not _is_applied(planned, live):
            return Fault(ConditionReason.PROGRESSING, f"{workload.what}: {planned.key} is being brought up to date.")
    return None


def _is_applied(planned: PlannedObject, live: Body | None) -> bool:
    """
    Whether the last thing applied is this plan's.

    The hash alone: what a webhook changed afterwards is no older generation, and must not keep a cascade from Ready.
    """
    annotations = ((live or {}).get("metadata") or {}).get("annotations") or {}
    return bool(annotations.get(APPLIED_HASH_ANNOTATION) == planned.applied_hash)


def _has_older_pods(live: Body) -> bool:
    status = live.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int((live.get("metadata") or {}).get("generation") or 0):
        return True
    return int(status.get("replicas") or 0) > int(status.get("updatedReplicas") or 0)


def _has_pods(live: Body) -> bool:
    """A Deployment that was just made has nothing to replace."""
    return bool((live.get("status") or {}).get("replicas"))


def _condition(live: Body, kind: str) -> Body:
    conditions: Sequence[Body] = (live.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})


def _creation_fault(workload: Workload, live: Body) -> Fault | None:
    condition = _condition(live, "ReplicaFailure")
    if condition.get("status") != "True":
        return None
    message = condition.get("message") or condition.get("reason") or "no reason given"
    if "exceeded quota" in message:
        reason, step = ConditionReason.QUOTA_EXCEEDED, "Raise the quota, or ask for less."
    elif "violates PodSecurity" in message:
        reason, step = ConditionReason.POD_SECURITY_REJECTED, "Allow these fields in the namespace, or change them."
    else:
        reason, step = ConditionReason.POD_REJECTED, "See what refuses it."
    return Fault(reason, f"{workload.what}: pods of {workload.deployment} are refused: {message}. {step}")


def _pods_fault(workload: Workload) -> Fault | None:
    """The first failing pod of the newest generation; one that merely starts counts only when no other fails."""
    pods = newest_generation([pod for pod in workload.pods if not is_deleted(pod)])
    model = _model_image(workload.live or {})
    faults = [find_pod_fault(pod, what=workload.what, model=model, events=workload.events) for pod in reversed(pods)]
    found = [fault for fault in faults if fault is not None]
    return next((fault for fault in found if not fault.is_progress), found[0] if found else None)


def _model_image(live: Body) -> str | None:
    template = (live.get("spec") or {}).get("template") or {}
    volumes = (template.get("spec") or {}).get("volumes") or ()
    return next((volume["image"].get("reference") for volume in volumes if "image" in volume), None)


def _deadline_fault(workload: Workload, live: Body) -> Fault | None:
    condition = _condition(live, "Progressing")
    if condition.get("status") != "False" or condition.get("reason") != "ProgressDeadlineExceeded":
        return None
    return Fault(
        ConditionReason.PROGRESS_DEADLINE_EXCEEDED,
        f"{workload.what}: new pods of {workload.deployment} did not become ready in time. "
        f"See kubectl describe deployment {workload.deployment.name}.",
    )


def _rolling_out(workload: Workload) -> Fault:
    return Fault(
        ConditionReason.ROLLING_OUT, f"{workload.what}: older pods of {workload.deployment} are being replaced."
    )
