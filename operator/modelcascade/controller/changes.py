"""
From a plan to writes: creates and updates in rank order, replicas through /scale, prunes last.

A cache is only a hint here. What it says is missing is read live before it is created; what is updated carries the
uid that was seen, so that an object of the same name that somebody else has created meanwhile is never touched; what
is deleted is read live first and carries uid and resourceVersion. Reading a stale cache costs a request, not an object.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from modelcascade.api.reasons import ConditionReason
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.controller.memory import Memory
from modelcascade.errors import (
    ClusterConflictError,
    ClusterError,
    ClusterForbiddenError,
    ClusterInvalidError,
    ClusterNotFoundError,
    ClusterUnreachableError,
)
from modelcascade.kube.cluster import Cluster
from modelcascade.kube.indexes import CascadeKey, owner_uid_of
from modelcascade.planning.diff import Conflict
from modelcascade.planning.names import ObjectKey, tier_name
from modelcascade.planning.objects import PlannedObject
from modelcascade.planning.plan import CascadePlan, diff_plan
from modelcascade.scaling.decide import decide_replicas
from modelcascade.status.snapshot import ApplyError, Snapshot

__all__ = ["Effects", "apply_error_reason", "carry_out"]

logger = logging.getLogger(__name__)

_SERVER_ERROR = 500
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Effects:
    """What came of it."""

    snapshot: Snapshot
    """With the objects as the API server returned them, the conflicts, and what could not be written."""

    error: ClusterError | None = None
    """The first failure; the rest of the round was still done."""

    is_terminating: bool = False
    """The namespace is being deleted: nothing more is to be done."""


class _TerminatingError(Exception):
    """The namespace is being deleted."""


async def carry_out(
    cluster: Cluster,
    memory: Memory,
    key: CascadeKey,
    *,
    cascade: ModelCascade,
    plan: CascadePlan,
    snapshot: Snapshot,
    now: datetime,
) -> Effects:
    """
    Make the plan true as far as the API server lets us.

    One object that is refused does not stop the others; an API server that does not answer stops the round.

    Raises:
        ClusterUnreachableError: no answer, or too many requests.
    """
    round_ = _Round(cluster, memory, key, cascade=cascade, plan=plan, snapshot=snapshot, now=now)
    try:
        await round_.run()
    except _TerminatingError:
        logger.info(
            "namespace is being deleted, leaving it alone", extra={"namespace": key.namespace, "cascade": key.name}
        )
        return Effects(snapshot, is_terminating=True)
    changed = replace(
        snapshot,
        children=round_.children,
        conflicts=tuple(round_.conflicts),
        apply_errors=tuple(round_.apply_errors),
    )
    return Effects(changed, round_.error)


class _Round:
    """The writes of one round, and what they returned."""

    def __init__(
        self,
        cluster: Cluster,
        memory: Memory,
        key: CascadeKey,
        *,
        cascade: ModelCascade,
        plan: CascadePlan,
        snapshot: Snapshot,
        now: datetime,
    ) -> None:
        self._cluster = cluster
        self._memory = memory
        self._key = key
        self._cascade = cascade
        self._plan = plan
        self._now = now
        self._uid = cascade.metadata.uid
        self.children: dict[ObjectKey, Mapping[str, Any]] = dict(snapshot.children)
        self.conflicts: list[Conflict] = []
        self.apply_errors: list[ApplyError] = []
        self.error: ClusterError | None = None

    async def run(self) -> None:
        """Apply, scale, prune."""
        await self._read_missing()
        changes = diff_plan(self._plan, self.children, owner_uid=self._uid)
        self.conflicts += changes.conflicts
        for conflict in changes.conflicts:
            self.children.pop(conflict.key, None)  # not ours, so nothing of it may be taken for ours
        for planned in changes.apply:
            await self._apply(planned)
        await self._scale()
        if self.error is None:  # an object that could not be written may still be needed in its old form
            for name in changes.prune:
                await self._prune(name)

    async def _read_missing(self) -> None:
        """Look live for planned objects that the caches do not show: foreign, unlabelled, or just not seen yet."""
        for planned in self._plan.objects:
            if planned.key not in self.children and planned.create:
                live = await self._cluster.get(planned.key.kind, self._key.namespace, planned.key.name)
                if live is not None:
                    self.children[planned.key] = live

    async def _apply(self, planned: PlannedObject) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            before = self.children.get(planned.key)
            if before is not None and self._memory.is_settled(self._key, planned, before):
                return
            try:
                after = await self._cluster.apply(_with_uid(planned.body, before), force=before is not None)
            except ClusterConflictError as error:
                # Deleted, created anew or created by somebody else since we looked: look again, and judge again.
                if attempt == _ATTEMPTS or not await self._reread(planned):
                    self._failed(planned, error)
                    return
                continue
            except (ClusterForbiddenError, ClusterInvalidError, ClusterNotFoundError, ClusterUnreachableError) as error:
                self._failed(planned, error)
                return
            self._applied(planned, before, after)
            return

    async def _reread(self, planned: PlannedObject) -> bool:
        """Refresh one object after a conflict; False when it turned out to be foreign."""
        live = await self._cluster.get(planned.key.kind, self._key.namespace, planned.key.name)
        self.children.pop(planned.key, None)
        if live is None:
            return True
        changes = diff_plan(self._plan, {planned.key: live}, owner_uid=self._uid)
        if changes.conflicts:
            self.conflicts += changes.conflicts
            return False
        self.children[planned.key] = live
        return True

    def _applied(self, planned: PlannedObject, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
        self.children[planned.key] = after
        self._memory.remember_write(self._key, planned.key, after, self._now)
        again = diff_plan(self._plan, {planned.key: after}, owner_uid=self._uid)
        if any(one.key == planned.key for one in again.apply):
            self._memory.settle(self._key, planned, after)
            logger.warning(
                "the API server keeps this object otherwise than it was applied (a webhook?); left as it is",
                extra=self._subject(planned.key),
            )
        logger.info("object applied", extra=self._subject(planned.key) | {"is_new": before is None})

    def _failed(self, planned: PlannedObject, error: ClusterError) -> None:
        if _is_terminating(error):
            raise _TerminatingError
        if isinstance(error, ClusterUnreachableError) and error.status != _SERVER_ERROR:
            raise error
        if any(conflict.key == planned.key for conflict in self.conflicts):
            return  # told as a conflict already, and no retry can help
        self.apply_errors.append(ApplyError(planned.key, str(error), apply_error_reason(error)))
        self.error = self.error or error
        logger.warning("object refused", extra=self._subject(planned.key) | {"reason": str(error)})

    async def _scale(self) -> None:
        for tier in self._cascade.spec.tiers:
            if tier.local is None:
                continue
            name = ObjectKey("Deployment", tier_name(self._cascade, tier))
            live = self.children.get(name)
            if live is None or owner_uid_of(live) != self._uid:
                continue
            current = (live.get("spec") or {}).get("replicas")
            wanted = decide_replicas(tier, current).replicas
            if wanted is None or wanted == current:
                continue
            try:
                scale = await self._cluster.patch_scale(self._key.namespace, name.name, wanted)
            except ClusterNotFoundError:
                continue  # deleted meanwhile; the event brings the next round
            except (ClusterForbiddenError, ClusterInvalidError, ClusterConflictError) as error:
                self.apply_errors.append(ApplyError(name, str(error), apply_error_reason(error)))
                self.error = self.error or error
                continue
            logger.info("tier scaled", extra=self._subject(name) | {"from": current, "to": wanted})
            version = scale["metadata"]["resourceVersion"]
            after = {
                **live,
                "metadata": {**live["metadata"], "resourceVersion": version},
                "spec": {**live["spec"], "replicas": wanted},
            }
            self.children[name] = after
            self._memory.remember_write(self._key, name, after, self._now)

    async def _prune(self, name: ObjectKey) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            live = await self._cluster.get(name.kind, self._key.namespace, name.name)
            if live is None or live["metadata"].get("deletionTimestamp") or owner_uid_of(live) != self._uid:
                break  # gone, going, or not ours
            metadata = live["metadata"]
            try:
                await self._cluster.delete(
                    name.kind,
                    self._key.namespace,
                    name.name,
                    uid=str(metadata["uid"]),
                    resource_version=str(metadata["resourceVersion"]),
                )
            except ClusterConflictError as error:
                if attempt == _ATTEMPTS:
                    self.error = self.error or error
                    return
                continue
            except ClusterForbiddenError as error:
                self.apply_errors.append(ApplyError(name, str(error), apply_error_reason(error)))
                self.error = self.error or error
                return
            logger.info("object deleted", extra=self._subject(name))
            break
        self.children.pop(name, None)

    def _subject(self, name: ObjectKey) -> dict[str, object]:
        return {"namespace": self._key.namespace, "cascade": self._key.name, "object": str(name)}


def apply_error_reason(error: ClusterError) -> ConditionReason:
    """Why an object was refused, in our words."""
    message = str(error)
    if "exceeded quota" in message:
        return ConditionReason.QUOTA_EXCEEDED
    if isinstance(error, ClusterForbiddenError) and ("cannot " in message or "attempting to grant" in message):
        return ConditionReason.API_FORBIDDEN
    return ConditionReason.APPLY_FAILED


def _is_terminating(error: ClusterError) -> bool:
    return isinstance(error, ClusterForbiddenError) and "because it is being terminated" in str(error)


def _with_uid(body: Mapping[str, Any], live: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if live is None:
        return body
    return {**body, "metadata": {**body["metadata"], "uid": str(live["metadata"]["uid"])}}
