"""The exact objects that should exist for a cascade."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelcascade.api.documents import Routes
from modelcascade.api.problems import Problem
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.planning.diff import Changes, diff_objects
from modelcascade.planning.names import ObjectKey
from modelcascade.planning.objects import PlanDefaults, PlannedObject
from modelcascade.planning.router import build_router
from modelcascade.planning.routes import build_routes
from modelcascade.planning.tiers import build_tier_objects

__all__ = ["CascadePlan", "PlanDefaults", "PlannedObject", "diff_plan", "find_missing_images", "plan_cascade"]


@dataclass(frozen=True)
class CascadePlan:
    """All objects of one cascade, in the order in which they are to be applied."""

    objects: tuple[PlannedObject, ...]
    routes: Routes


def find_missing_images(cascade: ModelCascade, defaults: PlanDefaults) -> tuple[Problem, ...]:
    """Tiers that name no engine image where the platform has none either; nothing can be planned for them."""
    return tuple(
        Problem(
            f"spec.tiers[{index}].local.engine.image",
            "this cluster has no default engine image: name one with its digest, "
            "or have the platform set engines.llamaCpp.image in the chart",
        )
        for index, tier in enumerate(cascade.spec.tiers)
        if tier.local is not None and tier.local.engine.image is None and not defaults.llama_cpp_image
    )


def plan_cascade(cascade: ModelCascade, defaults: PlanDefaults) -> CascadePlan:
    """
    Plan a cascade that `find_unsupported` and `find_missing_images` have nothing against.

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
