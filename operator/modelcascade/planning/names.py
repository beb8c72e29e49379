"""
Every name, label, selector and annotation of a child object; nowhere else is one made up.

| child | name |
| --- | --- |
| a tier's Deployment and headless Service | `CASCADE-TIER` |
| the router's Deployment, ServiceAccount, RoleBinding and PodDisruptionBudget | `CASCADE-router` |
| the router's Service | `CASCADE` |
| the router's configuration | ConfigMap `CASCADE-routes` |

A cascade's name has 40 characters at most and a tier's 20, so every name fits the 63 of a Service. The reserved
tier names of the API keep `CASCADE-router` and its like free.
"""

from dataclasses import dataclass

from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.tiers import Tier

__all__ = [
    "ADOPT_ANNOTATION",
    "APPLIED_HASH_ANNOTATION",
    "CASCADE_LABEL",
    "CHILD_SELECTOR",
    "COMPONENT_LABEL",
    "ENGINE_CONTAINER",
    "INSPECT_CONTAINER",
    "ROLE_LABEL",
    "ROUTER_CONTAINER",
    "TIER_LABEL",
    "UID_LABEL",
    "Component",
    "ObjectKey",
    "cascade_selector",
    "deployment_key",
    "router_labels",
    "router_name",
    "router_selector",
    "router_service_name",
    "routes_name",
    "tier_labels",
    "tier_name",
    "tier_selector",
]

PREFIX = "modelcascade.dev/"
CASCADE_LABEL = f"{PREFIX}cascade"
TIER_LABEL = f"{PREFIX}tier"
ROLE_LABEL = f"{PREFIX}role"
UID_LABEL = f"{PREFIX}cascade-uid"
COMPONENT_LABEL = "app.kubernetes.io/component"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"

CHILD_SELECTOR = f"{MANAGED_BY_LABEL}=modelcascade"
"""What the API server filters the operator's watches by: our objects, and nobody else's."""

APPLIED_HASH_ANNOTATION = f"{PREFIX}applied-hash"
"""Hash of the manifest that was applied last; on the object, never in a pod template."""

ADOPT_ANNOTATION = f"{PREFIX}adopt"
"""Set by a person on an object without controller, naming the cascade that may take it over."""

ENGINE_CONTAINER = "engine"
INSPECT_CONTAINER = "inspect"
ROUTER_CONTAINER = "router"


class Component:
    """Values of the component label."""

    ENGINE = "engine"
    ROUTER = "router"


@dataclass(frozen=True, order=True)
class ObjectKey:
    """A child object; the namespace is always the cascade's own."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def deployment_key(cascade: str, tier: str | None) -> ObjectKey:
    """The Deployment of a tier, or of the router when `tier` is None; by bare names, for a spec that cannot be read."""
    return ObjectKey("Deployment", f"{cascade}-{Component.ROUTER if tier is None else tier}")


def tier_name(cascade: ModelCascade, tier: Tier) -> str:
    """Deployment and headless Service of a local tier."""
    return deployment_key(cascade.metadata.name, tier.name).name


def router_name(cascade: ModelCascade) -> str:
    """Deployment, ServiceAccount, RoleBinding and PodDisruptionBudget of the router."""
    return deployment_key(cascade.metadata.name, None).name


def router_service_name(cascade: ModelCascade) -> str:
    """The Service that clients call."""
    return cascade.metadata.name


def routes_name(cascade: ModelCascade) -> str:
    """The ConfigMap that the router watches."""
    return f"{cascade.metadata.name}-routes"


def _labels(cascade: ModelCascade, name: str, component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": cascade.metadata.name,
        COMPONENT_LABEL: component,
        MANAGED_BY_LABEL: "modelcascade",
        "app.kubernetes.io/part-of": "modelcascade",
        CASCADE_LABEL: cascade.metadata.name,
        UID_LABEL: cascade.metadata.uid,
    }


def router_labels(cascade: ModelCascade) -> dict[str, str]:
    """Labels of everything that belongs to the router."""
    return _labels(cascade, "modelcascade-router", Component.ROUTER)


def tier_labels(cascade: ModelCascade, tier: Tier) -> dict[str, str]:
    """Labels of everything that belongs to one tier; the role cannot change under one name, so pods keep theirs."""
    own = {TIER_LABEL: tier.name, ROLE_LABEL: str(tier.role)}
    return _labels(cascade, "modelcascade-engine", Component.ENGINE) | own


def router_selector(cascade: ModelCascade) -> dict[str, str]:
    """Selects the router's pods: by uid, so that nobody's labels put foreign pods behind our Service."""
    return {UID_LABEL: cascade.metadata.uid, COMPONENT_LABEL: Component.ROUTER}


def tier_selector(cascade: ModelCascade, tier: Tier) -> dict[str, str]:
    """Selects one tier's pods, by uid as the router's."""
    return {UID_LABEL: cascade.metadata.uid, COMPONENT_LABEL: Component.ENGINE, TIER_LABEL: tier.name}


def cascade_selector(uid: str) -> str:
    """Label selector text for every child of the cascade with this uid."""
    return f"{CHILD_SELECTOR},{UID_LABEL}={uid}"
