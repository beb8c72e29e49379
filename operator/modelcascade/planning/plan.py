"""The exact objects that should exist for a cascade."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelcascade.api.documents import Routes
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.planning.diff import Changes, diff_objects
from modelcascade.planning.names import ObjectKey
from modelcascade.planning.objects import PlanDefaults, PlannedObject
from modelcascade.planning.router import build_router
from modelcascade.planning.routes import build_routes
from modelcascade.planning.tiers import build_tier_objects

__all__ = ["CascadePlan", "PlanDefaults", "PlannedObject", "diff_plan", "plan_cascade"]


@dataclass(frozen=True)
class CascadePlan:
    """All objects of one cascade, in the order in which they are to be applied."""

    objects: tuple[PlannedObject, ...]
    routes: Routes


def plan_cascade(cascade: ModelCascade, defaults: PlanDefaults) -> CascadePlan:
    """
    Plan a cascade that `find_unsupported` has nothing against.

    Deterministic, and free of replicas: a tier's number is the scaling's, written through /scale.
    """
    routes = build_routes(cascade)
    objects = list(build_router(cascade, routes, defaults))
    for tier in cascade.spec.tiers:
        if tier.local is not None:
            objects += build_tier_objects(cascade, tier, tier.local, defaults)
    objects.sort(key=lambda one: (one.rank, one.key))
    return CascadePlan(objects=tuple(objects), routes=routes)


def diff_plan(plan: CascadePlan, children: Mapping[ObjectKey, Mapping[str, Any]], *, owner_uid: str) -> Changes:
    """What must change for the plan to hold; see `diff.diff_objects` for the table."""
    return diff_objects(plan.objects, children, owner_uid=owner_uid)
