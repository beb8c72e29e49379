"""The objects of one local tier: a Deployment and a headless Service."""

from typing import Any

from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.local import Local, Placement
from modelcascade.api.v1alpha1.tiers import Tier
from modelcascade.planning import names
from modelcascade.planning.engines import llama_cpp
from modelcascade.planning.engines.spec import PORT
from modelcascade.planning.objects import PlanDefaults, PlannedObject, Rank, build_object
from modelcascade.planning.quantities import canonical_quantity
from modelcascade.planning.sources import ModelMount, mount_source

__all__ = ["build_tier_objects"]

_TOPOLOGY_KEYS = {"Node": "kubernetes.io/hostname", "Zone": "topology.kubernetes.io/zone"}


def build_tier_objects(
    cascade: ModelCascade, tier: Tier, local: Local, defaults: PlanDefaults
) -> tuple[PlannedObject, ...]:
    """
    Service and Deployment of a tier.

    The pod template holds nothing of the rest of the cascade, so that an edit elsewhere restarts no engine. A
    suspended tier's Deployment is never created, and kept where it is: /scale has brought it to zero.
    """
    mount = mount_source(local.model.source)
    engine = llama_cpp.build_tier(tier, local, model_path=mount.path, default_image=defaults.llama_cpp_image)
    placement = local.placement or Placement()
    labels = names.tier_labels(cascade, tier)
    selector = names.tier_selector(cascade, tier)
    name = names.tier_name(cascade, tier)
    service = build_object(
        "tier_service.yaml.j2", cascade, Rank.SERVICE, tier=tier.name, name=name, labels=labels, selector=selector
    )
    deployment = build_object(
        "tier_deployment.yaml.j2",
        cascade,
        Rank.WORKLOAD,
        tier=tier.name,
        create=tier.state != "Suspended",
        name=name,
        selector=selector,
        labels=placement.labels | labels,
        pod_labels=placement.labels | labels,
        pod_annotations=placement.annotations | _scrape_annotations(),
        rollout=_rollout(local),
        placement=_placement(cascade, placement, selector),
        engine=engine,
        inspect={"image": defaults.operator_image, "args": _inspect_args(local, mount)},
        image_pull_policy=defaults.image_pull_policy,
        resources=_resources(local),
        model_volume=mount.volume,
    )
    return (service, deployment)


def _scrape_annotations() -> dict[str, str]:
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": "/metrics"}


def _rollout(local: Local) -> dict[str, int]:
    """
    A CPU tier starts the new pod first. A GPU tier stops the old one first.

    GPUs are usually all in use: a surge pod would wait for ever, and the edit with it. Meanwhile the router asks the
    next tier.
    """
    if local.accelerator is None:
        return {"maxSurge": 1, "maxUnavailable": 0}
    return {"maxSurge": 0, "maxUnavailable": 1}


def _inspect_args(local: Local, mount: ModelMount) -> list[str]:
    args = ["inspect", "--path", mount.folder, "--format", local.quantization.format]
    if mount.file is None:
        args += ["--link", mount.path]
    else:
        args += ["--file", mount.file]
    if local.quantization.variant is not None:
        args += ["--variant", local.quantization.variant]
    return args


def _resources(local: Local) -> dict[str, dict[str, str]]:
    """Memory as request and limit, CPU as request alone (a limit would throttle in the middle of a token)."""
    memory = canonical_quantity(local.resources.memory or "0")
    requests = {"cpu": canonical_quantity(local.resources.cpu or "0"), "memory": memory}
    limits = {"memory": memory}
    if local.resources.ephemeral_storage is not None:
        requests["ephemeral-storage"] = limits["ephemeral-storage"] = canonical_quantity(
            local.resources.ephemeral_storage
        )
    if local.accelerator is not None:
        requests[local.accelerator.resource] = limits[local.accelerator.resource] = str(local.accelerator.count)
    return {"requests": requests, "limits": limits}


def _placement(cascade: ModelCascade, placement: Placement, selector: dict[str, str]) -> dict[str, Any]:
    """The fields of the pod's spec that say where it may run; absent ones are left out."""
    fields: dict[str, Any] = {
        "nodeSelector": placement.node_selector,
        "tolerations": [one.model_dump(by_alias=True, exclude_none=True) for one in placement.tolerations],
        "runtimeClassName": placement.runtime_class_name,
        "priorityClassName": placement.priority_class_name,
        "imagePullSecrets": [{"name": secret.name} for secret in cascade.spec.image_pull_secrets],
    }
    if placement.topology_spread != "None":
        fields["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": _TOPOLOGY_KEYS[placement.topology_spread],
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
        ]
    return {name: value for name, value in fields.items() if value}
