"""Each tier of a cascade, and its router, as they are seen: what facts and the status's table are made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelcascade.api.documents import Inspection
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.status import CascadeStatus, TierReplicas, TierStatus
from modelcascade.planning.names import COMPONENT_LABEL, TIER_LABEL, Component, ObjectKey, deployment_key
from modelcascade.planning.plan import CascadePlan
from modelcascade.planning.sources import model_reference
from modelcascade.status.fault import Fault
from modelcascade.status.pods import find_inspection, newest_generation
from modelcascade.status.snapshot import Snapshot
from modelcascade.status.workload import Workload, assess_workload, desired_replicas, ready_replicas

__all__ = ["TierView", "router_of", "tiers_of"]

_SUSPENDED = "Suspended"


@dataclass(frozen=True)
class TierView:
    """One local tier."""

    what: str
    is_active: bool
    is_at_zero: bool
    """No replica is asked for, and that is what is wanted."""

    fault: Fault | None
    inspection: Inspection | None
    status: TierStatus


@dataclass(frozen=True)
class _Wanted:
    """What is known of a tier from the spec, or from the last status when the spec cannot be planned."""

    name: str
    is_active: bool
    may_be_zero: bool
    model: str | None


def tiers_of(
    spec: ModelCascade | None, plan: CascadePlan | None, snapshot: Snapshot, previous: CascadeStatus
) -> tuple[TierView, ...]:
    """The local tiers of the spec, or those of the last status when there is no spec to go by."""
    if spec is None:
        wanted = [
            _Wanted(tier.name, tier.endpoint_health != _SUSPENDED, may_be_zero=False, model=tier.model)
            for tier in previous.tiers
        ]
    else:
        wanted = [
            _Wanted(
                tier.name,
                tier.state == "Active",
                may_be_zero=tier.scaling_or_default.mode == "External" or tier.scaling_or_default.min_replicas == 0,
                model=model_reference(tier.local.model.source),
            )
            for tier in spec.spec.tiers
            if tier.local is not None
        ]
    return tuple(_view(tier, plan, snapshot) for tier in wanted)


def router_of(plan: CascadePlan | None, snapshot: Snapshot) -> Fault | None:
    """The first check of the router that fails."""
    cascade = str(snapshot.cascade["metadata"]["name"])
    return assess_workload(
        Workload(
            what="Router",
            cascade=cascade,
            deployment=deployment_key(cascade, None),
            children=snapshot.children,
            planned=() if plan is None else tuple(one for one in plan.objects if one.tier is None),
            pods=tuple(pod for pod in snapshot.pods if _labels(pod).get(COMPONENT_LABEL) == Component.ROUTER),
            events=snapshot.events,
            conflicts=tuple(one for one in snapshot.conflicts if one.tier is None),
            apply_errors=tuple(one for one in snapshot.apply_errors if _tier_of(plan, one.key) is None),
        )
    )


def _view(tier: _Wanted, plan: CascadePlan | None, snapshot: Snapshot) -> TierView:
    cascade = str(snapshot.cascade["metadata"]["name"])
    pods = tuple(pod for pod in snapshot.pods if _labels(pod).get(TIER_LABEL) == tier.name)
    workload = Workload(
        what=f"Tier {tier.name}",
        cascade=cascade,
        deployment=deployment_key(cascade, tier.name),
        children=snapshot.children,
        planned=() if plan is None else tuple(one for one in plan.objects if one.tier == tier.name),
        pods=pods,
        events=snapshot.events,
        conflicts=tuple(one for one in snapshot.conflicts if one.tier == tier.name),
        apply_errors=tuple(one for one in snapshot.apply_errors if _tier_of(plan, one.key) == tier.name),
        zero_by_policy=tier.may_be_zero,
    )
    inspection = find_inspection(newest_generation(pods))
    live = workload.live
    return TierView(
        what=workload.what,
        is_active=tier.is_active,
        is_at_zero=live is not None and desired_replicas(live) == 0 and tier.may_be_zero,
        fault=assess_workload(workload),
        inspection=inspection,
        status=TierStatus(
            name=tier.name,
            replicas=_replicas(live),
            model=tier.model,
            quantization=_found_quantization(inspection),
            endpoint_health=_health(tier, live),
        ),
    )


def _replicas(live: Mapping[str, Any] | None) -> TierReplicas | None:
    return None if live is None else TierReplicas(desired=desired_replicas(live), ready=ready_replicas(live))


def _health(tier: _Wanted, live: Mapping[str, Any] | None) -> Literal["Healthy", "Unhealthy", "Suspended", "Unknown"]:
    if not tier.is_active:
        return "Suspended"
    if live is None:
        return "Unknown"
    return "Healthy" if ready_replicas(live) else "Unhealthy"


def _found_quantization(inspection: Inspection | None) -> str | None:
    if inspection is None or inspection.found_format is None:
        return None
    return " ".join(part for part in (inspection.found_format, inspection.found_variant) if part)[:64]


def _labels(body: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = body["metadata"].get("labels") or {}
    return found


def _tier_of(plan: CascadePlan | None, key: ObjectKey) -> str | None:
    """The tier that an object serves; `None` for the router's, and for what is not planned any more."""
    return None if plan is None else next((one.tier for one in plan.objects if one.key == key), None)
