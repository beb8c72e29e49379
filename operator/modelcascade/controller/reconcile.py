"""
One round for one cascade: from what is seen to what should be, level-triggered and safe to cut anywhere.

    gather ─► parse ─► plan ─► diff ─► apply (in rank order) ─► scale ─► prune ─► assess ─► patch status if it differs

A spec that breaks a rule, or asks for what is not served yet, stops after `parse`: its children stay as they are.
Every write is idempotent, and the next round starts from what is seen, so a crash after any of them changes nothing
in the end. Written are only: our children, their /scale, the cascade's status, and Events.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from modelcascade.api.parse import SpecProblems, parse_cascade
from modelcascade.api.unsupported import find_unsupported
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.status import CascadeStatus
from modelcascade.controller.changes import carry_out
from modelcascade.controller.events import events_for
from modelcascade.controller.memory import Memory, Reading
from modelcascade.errors import ClusterConflictError, ClusterError, ClusterNotFoundError
from modelcascade.kube.cluster import Cluster
from modelcascade.kube.gather import gather_snapshot
from modelcascade.kube.indexes import CascadeKey, Indexes
from modelcascade.planning.names import ObjectKey
from modelcascade.planning.objects import PlanDefaults
from modelcascade.planning.plan import find_missing_images, plan_cascade
from modelcascade.status.assess import assess_cascade
from modelcascade.status.snapshot import Snapshot

__all__ = ["Outcome", "reconcile_cascade", "stuck_pods"]

logger = logging.getLogger(__name__)

_SLOW_START = timedelta(seconds=5)
_LOOK_AGAIN_S = 15.0
_LOOK_AGAIN_SOON_S = 1.0
_MOST_STUCK_PODS = 3
_NO_PROGRESS = frozenset({"ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a round ended."""

    result: Literal["done", "gone", "refused", "partial", "outdated", "terminating"]
    look_again_s: float | None = None
    """Seconds after which to look again although no event may come."""

    error: ClusterError | None = None
    """What kept a `partial` round from being done; it wants a back-off."""


async def reconcile_cascade(
    cluster: Cluster,
    indexes: Indexes,
    memory: Memory,
    key: CascadeKey,
    *,
    defaults: PlanDefaults,
    now: datetime,
) -> Outcome:
    """
    One round.

    Args:
        cluster: where to write, and to read live before a create and a delete.
        indexes: the watch caches.
        memory: what the rounds before left.
        key: which cascade.
        defaults: images and names that the platform chose.
        now: wall-clock time, for status.

    Raises:
        ClusterUnreachableError: the API server is away; nothing can be said.
        ClusterError: the status could not be written.
    """
    snapshot = gather_snapshot(indexes, key)
    if snapshot is None:
        memory.forget(key)
        return Outcome("gone")
    if snapshot.cascade["metadata"].get("deletionTimestamp"):
        return Outcome("gone")  # owner references clean up
    snapshot = memory.freshen(key, snapshot, now)
    reading = _read_spec(memory, key, snapshot.cascade, defaults)
    parsed, plan = reading.parsed, reading.plan
    error: ClusterError | None = None
    if isinstance(parsed, ModelCascade) and plan is not None:
        effects = await carry_out(cluster, memory, key, cascade=parsed, plan=plan, snapshot=snapshot, now=now)
        if effects.is_terminating:
            return Outcome("terminating")
        snapshot = effects.snapshot
        error = effects.error
    stuck = stuck_pods(snapshot.pods, now)
    snapshot = replace(snapshot, events=await _read_events(cluster, key, stuck))
    status = assess_cascade(parsed, plan, snapshot, reading.unsupported, now)
    match await _report(cluster, memory, key, snapshot, status=status, now=now):
        case "gone":
            memory.forget(key)
            return Outcome("gone")
        case "outdated":
            return Outcome("outdated", _LOOK_AGAIN_SOON_S, error)
    look_again_s = _LOOK_AGAIN_S if stuck else None
    if error is not None:
        return Outcome("partial", look_again_s, error)
    return Outcome("done" if plan is not None else "refused", look_again_s)


def stuck_pods(pods: tuple[Mapping[str, Any], ...], now: datetime) -> tuple[Mapping[str, Any], ...]:
    """
    Pods whose own status does not say why they do not start, so that their Events must be read.

    That is a pod with a node, older than 5 s, with a container that waits without a reason of its own; a failed
    pull, a crash or a missing node stands in the status itself.
    """
    stuck = [pod for pod in pods if _waits_silently(pod) and _age(pod, now) > _SLOW_START]
    return tuple(stuck[:_MOST_STUCK_PODS])


def _waits_silently(pod: Mapping[str, Any]) -> bool:
    if not pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
        return False
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waiting = [((container.get("state") or {}).get("waiting") or {}).get("reason") for container in containers]
    if any(reason not in _NO_PROGRESS for reason in waiting if reason):
        return False
    running = any("running" in (container.get("state") or {}) for container in containers)
    return any(waiting) and not running


def _age(pod: Mapping[str, Any], now: datetime) -> timedelta:
    return now - datetime.fromisoformat(str(pod["metadata"]["creationTimestamp"]))


def _read_spec(memory: Memory, key: CascadeKey, cascade: Mapping[str, Any], defaults: PlanDefaults) -> Reading:
    """Parse and plan, or what came of it when this generation was read before: the same spec means the same."""
    reading = memory.recall_reading(key, cascade)
    if reading is None:
        parsed = parse_cascade(cascade)
        if isinstance(parsed, SpecProblems):
            reading = Reading(parsed)
        elif unsupported := (find_unsupported(parsed) or find_missing_images(parsed, defaults)):
            reading = Reading(parsed, unsupported)
        else:
            reading = Reading(parsed, (), plan_cascade(parsed, defaults))
        memory.keep_reading(key, cascade, reading)
    return reading


async def _read_events(
    cluster: Cluster, key: CascadeKey, pods: tuple[Mapping[str, Any], ...]
) -> tuple[Mapping[str, Any], ...]:
    events: list[Mapping[str, Any]] = []
    for pod in pods:
        events += await cluster.list_events(key.namespace, str(pod["metadata"]["uid"]))
    return tuple(events)


async def _report(
    cluster: Cluster, memory: Memory, key: CascadeKey, snapshot: Snapshot, *, status: CascadeStatus, now: datetime
) -> Literal["told", "gone", "outdated"]:
    """Write the status when it differs, and Events for what changed."""
    before = snapshot.cascade.get("status") or {}
    after = status.model_dump(by_alias=True, exclude_none=True, mode="json")
    if before == after:
        return "told"
    kind = str(snapshot.cascade["kind"])
    name = ObjectKey(kind, key.name)
    version = str(snapshot.cascade["metadata"]["resourceVersion"])
    try:
        written = await cluster.patch_status(key.namespace, key.name, resource_version=version, status=after)
    except ClusterNotFoundError:
        return "gone"
    except ClusterConflictError:
        # Edited while we looked. The next round starts from what it is now, even if the watch never tells us.
        live = await cluster.get(kind, key.namespace, key.name)
        if live is None:
            return "gone"
        memory.remember_write(key, name, live, now)
        return "outdated"
    memory.remember_write(key, name, written, now)
    for event in events_for(snapshot.cascade, before, after, now):
        if not memory.may_record(key, now.timestamp()):
            break
        try:
            await cluster.record_event(event)
        except ClusterError as error:  # an Event is a courtesy: its loss must not hold up the round
            logger.info(
                "event not recorded", extra={"namespace": key.namespace, "cascade": key.name, "reason": str(error)}
            )
    return "told"
