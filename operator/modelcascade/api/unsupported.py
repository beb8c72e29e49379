"""
Fields that are valid in the API but that this version does not serve yet: refused with the path, never ignored.

The operator reports them as `Accepted=False` with reason Unsupported, `lint` and `render` as refused. A line goes
away here when the feature comes.
"""

from collections.abc import Iterator

from modelcascade.api.problems import Problem
from modelcascade.api.v1alpha1.cascade import CascadeSpec, ModelCascade
from modelcascade.api.v1alpha1.local import Local, ModelSource
from modelcascade.api.v1alpha1.routing import Routing
from modelcascade.api.v1alpha1.tiers import Scaling, Tier

__all__ = ["find_unsupported"]

_SERVED_SOURCES = ("oci://", "pvc://")
_SERVED_CHECKS = frozenset({"FinishReason", "JSONSchema", "ToolArguments"})


def _yet(path: str, what: str) -> Problem:
    return Problem(path, f"{what} is not served by this version yet")


def _source(source: ModelSource, path: str) -> Iterator[Problem]:
    if not source.uri.startswith(_SERVED_SOURCES):
        yield _yet(f"{path}.uri", f"a source {source.uri.partition('://')[0]}://")
        return
    # They belong to fetched sources: with an image or a claim nothing would read or check them.
    for name, value in (
        ("revision", source.revision),
        ("sha256", source.sha256),
        ("secretKeyRef", source.secret_key_ref),
    ):
        if value is not None:
            yield _yet(f"{path}.{name}", f"{name} with a source {source.uri.partition('://')[0]}://")


def _local(local: Local, path: str) -> Iterator[Problem]:
    yield from _source(local.model.source, f"{path}.model.source")
    if local.engine.type != "LlamaCpp":
        yield _yet(f"{path}.engine.type", f"engine {local.engine.type}")
    if local.model.dimensions is not None:
        yield _yet(f"{path}.model.dimensions", "the memory check")
    if local.accelerator is not None and local.accelerator.memory is not None:
        yield _yet(f"{path}.accelerator.memory", "the memory check")


def _scaling(scaling: Scaling, path: str) -> Iterator[Problem]:
    if scaling.policy_ref is not None:
        yield _yet(f"{path}.policyRef", "a scaling policy")
    if scaling.min_replicas == 0:
        yield _yet(f"{path}.minReplicas", "scaling to zero")
    for name, value in (
        ("onCold", scaling.on_cold),
        ("idleSeconds", scaling.idle_seconds),
        ("maxHeldRequests", scaling.max_held_requests),
    ):
        if value is not None:
            yield _yet(f"{path}.{name}", "scaling to zero")


def _tier(tier: Tier, path: str) -> Iterator[Problem]:
    if tier.role == "Guard":
        yield _yet(f"{path}.role", "role Guard")
    if tier.local is not None:
        yield from _local(tier.local, f"{path}.local")
    if tier.external is not None:
        yield _yet(f"{path}.external", "an external API")
    if tier.backend_ref is not None:
        yield _yet(f"{path}.backendRef", "an existing Service")
    if tier.pricing is not None:
        yield _yet(f"{path}.pricing", "counting cost")
    if tier.scaling is not None:
        yield from _scaling(tier.scaling, f"{path}.scaling")


def _routing(routing: Routing, path: str) -> Iterator[Problem]:
    if routing.difficulty.method != "None":
        yield _yet(f"{path}.difficulty.method", f"difficulty method {routing.difficulty.method}")
    if routing.difficulty.thresholds_percent:
        yield _yet(f"{path}.difficulty.thresholdsPercent", "a start by difficulty")
    if routing.verification.method not in {"None", "Confidence"}:
        yield _yet(f"{path}.verification.method", f"verification method {routing.verification.method}")
    elif routing.verification.tier_ref is not None:
        yield _yet(f"{path}.verification.tierRef", "a judging tier")
    for index, check in enumerate(routing.verification.checks):
        if check not in _SERVED_CHECKS:
            yield _yet(f"{path}.verification.checks[{index}]", f"check {check}")
    for missing in sorted(_SERVED_CHECKS - set(routing.verification.checks)):
        yield _yet(f"{path}.verification.checks", f"leaving out the check {missing}")
    if routing.escalation.max_tenant_share_percent is not None:
        yield _yet(f"{path}.escalation.maxTenantSharePercent", "a cap per tenant")
    if routing.escalation.max_cost_per_request is not None:
        yield _yet(f"{path}.escalation.maxCostPerRequest", "a cost bound per request")
    if routing.data_classes:
        yield _yet(f"{path}.dataClasses", "keeping data classes from tiers")
    if routing.default_data_class is not None:
        yield _yet(f"{path}.defaultDataClass", "keeping data classes from tiers")


def _spec(spec: CascadeSpec) -> Iterator[Problem]:
    for index, tier in enumerate(spec.tiers):
        yield from _tier(tier, f"spec.tiers[{index}]")
    yield from _routing(spec.routing, "spec.routing")
    if spec.guard is not None:
        yield _yet("spec.guard", "a guard")
    if spec.budgets:
        yield _yet("spec.budgets", "a budget")
    if spec.access.mode != "Disabled" or spec.access.api_keys_secret_ref is not None:
        yield _yet("spec.access", "access by API keys")
    if spec.telemetry.decision_log == "WithContent":
        yield _yet("spec.telemetry.decisionLog", "a decision log with content")
    if spec.telemetry.traces is not None:
        yield _yet("spec.telemetry.traces", "sending traces")


def find_unsupported(cascade: ModelCascade) -> tuple[Problem, ...]:
    """What this version would have to ignore, with its path; empty when it serves the whole cascade."""
    return tuple(_spec(cascade.spec))
