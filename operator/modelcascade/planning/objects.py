"""What a plan is made of, and what every child object carries in its metadata."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.meta import API_VERSION
from modelcascade.planning.names import APPLIED_HASH_ANNOTATION, INSPECT_CONTAINER, ObjectKey
from modelcascade.planning.render import render_object

__all__ = ["PlanDefaults", "PlannedObject", "Rank", "build_object", "inspect_image", "with_inspect_image"]

_HASH_LENGTH = 16


class Rank(IntEnum):
    """The order of creation: what a pod needs comes before the pod."""

    ACCESS = 0
    ROUTES = 1
    SERVICE = 2
    WORKLOAD = 3
    BUDGET = 4


@dataclass(frozen=True)
class PlanDefaults:
    """What the platform decides, from the chart's values."""

    operator_image: str
    """The image of this program: router and `inspect` run from it."""

    llama_cpp_image: str
    router_cluster_role: str = "modelcascade-router"
    image_pull_policy: str = "IfNotPresent"


@dataclass(frozen=True)
class PlannedObject:
    """One object that should exist."""

    rank: int
    tier: str | None
    """The tier that it serves; `None` for what serves the whole cascade."""

    body: dict[str, Any]
    create: bool = True
    """False: kept as planned where it exists, and never created (a suspended tier's Deployment)."""

    @property
    def key(self) -> ObjectKey:
        """Kind and name."""
        return ObjectKey(self.body["kind"], self.body["metadata"]["name"])

    @property
    def applied_hash(self) -> str:
        """The hash that a live object carries when exactly this was applied to it."""
        return str(self.body["metadata"]["annotations"][APPLIED_HASH_ANNOTATION])


def build_object(
    template: str, cascade: ModelCascade, rank: Rank, *, tier: str | None = None, create: bool = True, **values: object
) -> PlannedObject:
    """Render one child with the cascade as its controller, and stamp it with its hash."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": "ModelCascade",
        "name": cascade.metadata.name,
        "uid": cascade.metadata.uid,
        "controller": True,
        # true would need a right on the cascade's finalizers, for an order of deletion that nobody needs
        "blockOwnerDeletion": False,
    }
    body = render_object(template, namespace=cascade.metadata.namespace, owner=owner, **values)
    body["metadata"]["annotations"] = {APPLIED_HASH_ANNOTATION: _hash_of(body)}
    return PlannedObject(rank=rank, tier=tier, body=body, create=create)


def _hash_of(body: Mapping[str, Any]) -> str:
    """
    A short hash of the manifest, the image of `inspect` left out.

    That image is the operator's own: an upgrade of the operator must not restart engines (see `diff`).
    """
    text = json.dumps(with_inspect_image(body, None), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def _init_containers(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    template = (body.get("spec") or {}).get("template") or {}
    return list((template.get("spec") or {}).get("initContainers") or ())


def inspect_image(body: Mapping[str, Any]) -> str | None:
    """Image of the `inspect` init container; `None` when the object has none."""
    images = (one.get("image") for one in _init_containers(body) if one.get("name") == INSPECT_CONTAINER)
    return next(images, None)


def with_inspect_image(body: Mapping[str, Any], image: str | None) -> dict[str, Any]:
    """The same object with another image of `inspect`; unchanged when it has no such container."""
    if inspect_image(body) is None:
        return dict(body)
    spec = body["spec"]
    pod = spec["template"]["spec"]
    containers = [
        one | {"image": image} if one.get("name") == INSPECT_CONTAINER else one for one in _init_containers(body)
    ]
    template = spec["template"] | {"spec": pod | {"initContainers": containers}}
    return {**body, "spec": spec | {"template": template}}
