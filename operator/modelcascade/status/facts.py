"""The facts that `Ready` is made of, one function each; a suspended tier is in none of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelcascade.api.conditions import ConditionStatus
from modelcascade.api.parse import SpecProblems
from modelcascade.api.problems import Problem
from modelcascade.api.reasons import ConditionReason
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.status.fault import PROGRESS, Fault
from modelcascade.status.pods import INSPECTION_REASON
from modelcascade.status.tiers import TierView

__all__ = ["Fact", "accept_spec", "judge_models", "judge_quantization", "judge_router", "judge_tiers"]

_QUANTIZATION = frozenset({ConditionReason.FORMAT_MISMATCH, ConditionReason.VARIANT_MISMATCH})


@dataclass(frozen=True)
class Fact:
    """A condition without its bookkeeping."""

    status: ConditionStatus
    reason: ConditionReason
    message: str

    @property
    def is_progress(self) -> bool:
        """Whether waiting is enough."""
        return self.reason in PROGRESS


def accept_spec(cascade: ModelCascade | SpecProblems, unsupported: Sequence[Problem]) -> Fact:
    """Whether the spec passed, and if not, every field with what is wrong."""
    if isinstance(cascade, SpecProblems):
        return _refused(ConditionReason.INVALID_SPEC, cascade.problems)
    if unsupported:
        return _refused(ConditionReason.UNSUPPORTED, unsupported)
    return Fact("True", ConditionReason.VALID, "The spec passed every rule.")


def _refused(reason: ConditionReason, problems: Sequence[Problem]) -> Fact:
    listed = "; ".join(str(problem) for problem in problems)
    return Fact("False", reason, f"{listed}. What was applied before keeps serving; correct these fields.")


def judge_models(tiers: Sequence[TierView]) -> Fact:
    """
    Whether every model file is present and readable.

    A tier without a report yet makes it Unknown; one that has no pods by policy says nothing.
    """
    for tier in tiers:
        if tier.fault is not None and tier.fault.reason == ConditionReason.MODEL_NOT_FOUND:
            return Fact("False", tier.fault.reason, tier.fault.message)
    for tier in tiers:
        if tier.inspection is not None:
            reason = INSPECTION_REASON.get(tier.inspection.outcome)
            if reason is not None and reason not in _QUANTIZATION:
                return Fact("False", reason, f"{tier.what}: {tier.inspection.message}")
    return _pending(tiers) or Fact("True", ConditionReason.MODELS_VERIFIED, "Every model file is present and readable.")


def judge_quantization(tiers: Sequence[TierView]) -> Fact:
    """Whether every file holds what the spec declares."""
    for tier in tiers:
        if tier.inspection is not None:
            reason = INSPECTION_REASON.get(tier.inspection.outcome)
            if reason in _QUANTIZATION:
                return Fact("False", reason, f"{tier.what}: {tier.inspection.message}")
    for tier in tiers:
        if tier.inspection is not None and tier.inspection.outcome != "Ok":
            return Fact(
                "Unknown",
                ConditionReason.INSPECTION_PENDING,
                f"{tier.what}: there is no readable model file to compare with.",
            )
    return _pending(tiers) or Fact(
        "True", ConditionReason.QUANTIZATION_VERIFIED, "Every file holds the declared quantization."
    )


def _pending(tiers: Sequence[TierView]) -> Fact | None:
    for tier in tiers:
        if not tier.is_at_zero and tier.inspection is None:
            return Fact(
                "Unknown",
                ConditionReason.INSPECTION_PENDING,
                f"{tier.what}: the model file has not been looked at yet.",
            )
    return None


def judge_tiers(tiers: Sequence[TierView]) -> Fact:
    """Whether every Active tier does its work; the first that needs a person is told, else the first that waits."""
    faults = [tier.fault for tier in tiers if tier.fault is not None]
    if not faults:
        return Fact(
            "True", ConditionReason.TIERS_READY, "Every Active tier has a ready endpoint, or is at zero by policy."
        )
    worst = next((fault for fault in faults if not fault.is_progress), faults[0])
    others = f" ({len(faults) - 1} more not ready)" if len(faults) > 1 else ""
    return Fact("False", worst.reason, f"{worst.message}{others}")


def judge_router(fault: Fault | None) -> Fact:
    """Whether the router has a ready endpoint."""
    if fault is None:
        return Fact("True", ConditionReason.ROUTER_READY, "The router has a ready endpoint.")
    return Fact("False", fault.reason, fault.message)
