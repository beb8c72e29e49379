"""The router of a cascade: its workload, its address, its rights and its configuration."""

from modelcascade.api.documents import Routes
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.planning import names
from modelcascade.planning.engines.spec import PORT
from modelcascade.planning.objects import PlanDefaults, PlannedObject, Rank, build_object
from modelcascade.planning.quantities import canonical_quantity

__all__ = ["METRICS_PORT", "ROUTES_KEY", "build_router"]

METRICS_PORT = 9090
ROUTES_KEY = "routes.json"
_CPU = "50m"
_MEMORY = "256Mi"
_BUDGET_FROM = 2
_GRACE_S = 100
"""Of the pod; why not longer: docs/adr/0004-grace-periods.md."""

_PRE_STOP_S = 5
"""Until no proxy sends new connections here; it counts towards the grace."""


def build_router(cascade: ModelCascade, routes: Routes, defaults: PlanDefaults) -> tuple[PlannedObject, ...]:
    """
    Everything between the client and the tiers.

    The routes are in a ConfigMap that the router watches; the Deployment knows only its name, so that an edit of the
    routing is in force within seconds and restarts nothing.
    """
    name = names.router_name(cascade)
    labels = names.router_labels(cascade)
    selector = names.router_selector(cascade)
    replicas = cascade.spec.router.replicas
    objects = [
        build_object("router_account.yaml.j2", cascade, Rank.ACCESS, name=name, labels=labels),
        build_object(
            "router_binding.yaml.j2",
            cascade,
            Rank.ACCESS,
            name=name,
            labels=labels,
            cluster_role=defaults.router_cluster_role,
        ),
        build_object(
            "routes.yaml.j2",
            cascade,
            Rank.ROUTES,
            name=names.routes_name(cascade),
            labels=labels,
            routes=routes.model_dump_json(by_alias=True, exclude_none=True),
        ),
        build_object(
            "router_service.yaml.j2",
            cascade,
            Rank.SERVICE,
            name=names.router_service_name(cascade),
            labels=labels,
            selector=selector,
        ),
        build_object(
            "router_deployment.yaml.j2",
            cascade,
            Rank.WORKLOAD,
            name=name,
            labels=labels,
            selector=selector,
            replicas=replicas,
            grace_s=_GRACE_S,
            pre_stop_s=_PRE_STOP_S,
            service_account=name,
            image=defaults.operator_image,
            image_pull_policy=defaults.image_pull_policy,
            image_pull_secrets=[{"name": secret.name} for secret in cascade.spec.image_pull_secrets],
            args=_arguments(cascade),
            resources=_resources(cascade),
        ),
    ]
    if replicas >= _BUDGET_FROM:
        objects.append(
            build_object("router_budget.yaml.j2", cascade, Rank.BUDGET, name=name, labels=labels, selector=selector)
        )
    return tuple(objects)


def _arguments(cascade: ModelCascade) -> list[str]:
    return [
        "router",
        *("--cascade", cascade.metadata.name),
        *("--namespace", cascade.metadata.namespace),
        *("--routes-configmap", names.routes_name(cascade)),
        *("--port", str(PORT)),
        *("--metrics-port", str(METRICS_PORT)),
        *("--grace-seconds", str(_GRACE_S - _PRE_STOP_S)),
    ]


def _resources(cascade: ModelCascade) -> dict[str, dict[str, str]]:
    asked = cascade.spec.router.resources
    cpu = canonical_quantity((asked and asked.cpu) or _CPU)
    memory = canonical_quantity((asked and asked.memory) or _MEMORY)
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}
