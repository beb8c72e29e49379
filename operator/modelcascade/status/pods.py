"""
Why a pod does not run, from its own status; and what `modelcascade inspect` reported in it.

The texts hold nothing that changes from one retry to the next (counters, back-off times), so that a pod that keeps
failing in the same way causes no write.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelcascade.api.documents import Inspection, parse_inspection
from modelcascade.api.reasons import ConditionReason
from modelcascade.planning.names import INSPECT_CONTAINER
from modelcascade.status.fault import Fault

__all__ = ["INSPECTION_REASON", "find_inspection", "find_pod_fault", "is_deleted", "newest_generation"]

Body = Mapping[str, Any]

_PULL_REASONS = frozenset(
    {
        "ErrImageInspect",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_CREATE_REASONS = frozenset({"CreateContainerError", "RunContainerError", "StartError"})
_BACK_OFF = re.compile(r'Back-off pulling image "[^"]*"(: \w+: )?')
_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "[^"]*" not found')
_MISSING_CONFIG = re.compile(r'(secret|configmap)s? "[^"]*" not found|references non-existent (secret|config) key')
_MOUNT_EVENTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
_IMAGE_VOLUME = "image volume"
_OOM = "OOMKilled"

INSPECTION_REASON: Mapping[str, ConditionReason] = {
    "FileNotFound": ConditionReason.MODEL_FILE_NOT_FOUND,
    "FileAmbiguous": ConditionReason.MODEL_FILE_AMBIGUOUS,
    "NotGGUF": ConditionReason.MODEL_UNREADABLE,
    "Truncated": ConditionReason.MODEL_UNREADABLE,
    "FormatMismatch": ConditionReason.FORMAT_MISMATCH,
    "VariantMismatch": ConditionReason.VARIANT_MISMATCH,
}
"""Outcome of an inspection that starts no engine → reason of the condition."""


def is_deleted(pod: Body) -> bool:
    """Whether the pod is on its way out."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def newest_generation(pods: Sequence[Body]) -> tuple[Body, ...]:
    """The pods of the newest template, newest first; a rollout is judged by them, whatever the old ones do."""
    ordered = sorted(
        pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]), reverse=True
    )
    return tuple(pod for pod in ordered if _template(pod) == _template(ordered[0]))


def find_inspection(pods: Sequence[Body]) -> Inspection | None:
    """The newest report of the pods, which come newest first; `None` while there is none."""
    for pod in pods:
        for status in _of(pod, "initContainerStatuses"):
            if status.get("name") == INSPECT_CONTAINER:
                report = parse_inspection((_end_of(status) or {}).get("message") or "")
                if isinstance(report, Inspection):
                    return report
    return None


def find_pod_fault(pod: Body, *, what: str, model: str | None, events: Sequence[Body]) -> Fault | None:
    """
    The first check that fails, in the order in which a pod starts.

    | check | reason |
    | --- | --- |
    | no node | Unschedulable, or ModelNotFound when the claim is missing |
    | ended as a whole (evicted, refused by the kubelet) | PodRejected |
    | image | ImagePullFailed, or ModelNotFound when it is the model's |
    | Secret, ConfigMap, volume | ConfigMissing, VolumeFailed |
    | inspection | its own reasons, or InspectionUnreadable |
    | engine or router | OutOfMemory, ContainerCrashed |
    | nothing of this, and not ready | Starting |

    Args:
        pod: the pod.
        what: subject of the message, such as `Tier small`.
        model: reference of the model's image volume, to tell it from the other images.
        events: Events of any pods.
    """
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _unschedulable(pod, what, condition.get("message") or condition.get("reason") or "no reason given")
    if status.get("phase") == "Failed":
        detail = ": ".join(part for part in (status.get("reason"), status.get("message")) if part)
        return Fault(
            ConditionReason.POD_REJECTED,
            f"{what}: pod {_name(pod)} ended: {detail or 'no reason given'}. See kubectl describe pod {_name(pod)}.",
        )
    for container in (*_of(pod, "initContainerStatuses"), *_of(pod, "containerStatuses")):
        fault = _container_fault(pod, container, what, model)
        if fault is not None:
            return fault
    if _is_ready(pod):
        return None
    return _event_fault(pod, what, events) or Fault(
        ConditionReason.STARTING, f"{what}: pod {_name(pod)} has started and is not ready yet."
    )


def _unschedulable(pod: Body, what: str, message: str) -> Fault:
    if _MISSING_CLAIM.search(message):
        return Fault(
            ConditionReason.MODEL_NOT_FOUND, f"{what}: {message} Create the claim, or correct model.source.uri."
        )
    return Fault(
        ConditionReason.UNSCHEDULABLE,
        f"{what}: no node takes pod {_name(pod)}: {message} Lower its requests, change its placement, or add a node.",
    )


def _container_fault(pod: Body, container: Body, what: str, model: str | None) -> Fault | None:
    name = container.get("name")
    where = f"container {name} of pod {_name(pod)}"
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason") or "", waiting.get("message") or ""
    if reason in _PULL_REASONS:
        return _pull_fault(container, what, where, model, f"{_BACK_OFF.sub('', message) or reason}")
    if reason == "CreateContainerConfigError":
        return Fault(ConditionReason.CONFIG_MISSING, f"{what}: {where} cannot be set up: {message}.")
    if reason in _CREATE_REASONS and _IMAGE_VOLUME in message.lower():
        return Fault(ConditionReason.VOLUME_FAILED, f"{what}: {where} cannot mount the model's image: {message}.")
    if reason in _CREATE_REASONS:
        return Fault(ConditionReason.CONTAINER_CRASHED, f"{what}: {where} cannot be started: {message}.")
    end = _end_of(container)
    if end is None or not end.get("exitCode") or container.get("ready"):
        return None
    if name == INSPECT_CONTAINER:
        return _inspection_fault(end, what, where)
    return _crash_fault(pod, container, end, what, where)


def _pull_fault(container: Body, what: str, where: str, model: str | None, detail: str) -> Fault:
    if model is not None and model in detail:
        return Fault(
            ConditionReason.MODEL_NOT_FOUND,
            f"{what}: the model's image {model} cannot be pulled: {detail}. "
            "Check model.source.uri and imagePullSecrets.",
        )
    return Fault(
        ConditionReason.IMAGE_PULL_FAILED,
        f"{what}: the image of {where}, {container.get('image')}, cannot be pulled: {detail}. "
        "Check its name and imagePullSecrets.",
    )


def _inspection_fault(end: Body, what: str, where: str) -> Fault:
    report = parse_inspection(end.get("message") or "")
    if isinstance(report, Inspection) and report.outcome in INSPECTION_REASON:
        return Fault(INSPECTION_REASON[report.outcome], f"{what}: {report.message}")
    return Fault(
        ConditionReason.INSPECTION_UNREADABLE,
        f"{what}: {where} ended with exit code {end['exitCode']} and left no readable report. "
        "The operator's image may be of another version: see the container's log.",
    )


def _crash_fault(pod: Body, container: Body, end: Body, what: str, where: str) -> Fault:
    name = container["name"]
    if end.get("reason") == _OOM:
        limits = [
            ((one.get("resources") or {}).get("limits") or {}).get("memory")
            for one in (pod.get("spec") or {}).get("containers") or ()
            if one.get("name") == name
        ]
        limit = f" of {limits[0]}" if limits and limits[0] else ""
        return Fault(
            ConditionReason.OUT_OF_MEMORY,
            f"{what}: {where} was killed at its memory limit{limit}. Raise resources.memory, or lower "
            "model.contextLength or engine.parallel.",
        )
    return Fault(
        ConditionReason.CONTAINER_CRASHED,
        f"{what}: {where} ended with exit code {end['exitCode']}. "
        f"Read why: kubectl logs {_name(pod)} -c {name} --previous",
    )


def _event_fault(pod: Body, what: str, events: Sequence[Body]) -> Fault | None:
    """A mount that fails stands in no status; the newest warning of the pod tells it."""
    own = [event for event in events if event.get("type") == "Warning" and _is_about(event, pod)]
    mounts = [event for event in own if event.get("reason") in _MOUNT_EVENTS]
    if not mounts:
        return None
    # kubelet alternates between the cause and "timed out": the cause is the one to show
    message = _text(max(mounts, key=lambda event: (_MISSING_CONFIG.search(_text(event)) is not None, _time_of(event))))
    reason = ConditionReason.CONFIG_MISSING if _MISSING_CONFIG.search(message) else ConditionReason.VOLUME_FAILED
    return Fault(reason, f"{what}: pod {_name(pod)} cannot mount a volume: {message}")


def _is_about(event: Body, pod: Body) -> bool:
    about = event.get("involvedObject") or {}
    return about.get("name") == _name(pod)


def _time_of(event: Body) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _text(event: Body) -> str:
    return str(event.get("message") or "no reason given")


def _name(pod: Body) -> str:
    return str(pod["metadata"]["name"])


def _template(pod: Body) -> str | None:
    found: str | None = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    return found


def _of(pod: Body, kind: str) -> Iterator[Body]:
    yield from (pod.get("status") or {}).get(kind) or ()


def _is_ready(pod: Body) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _end_of(container: Body) -> Body | None:
    """How the container last ended; also while it runs again or waits for that."""
    for state in ("state", "lastState"):
        end: Body | None = (container.get(state) or {}).get("terminated")
        if end is not None:
            return end
    return None
