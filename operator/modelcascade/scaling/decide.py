"""How many replicas a tier should have now, and why. The law for Managed tiers is still: stay within bounds."""

from dataclasses import dataclass
from typing import Literal

from modelcascade.api.v1alpha1.tiers import Tier

__all__ = ["Decision", "Reason", "decide_replicas"]

Reason = Literal["Suspended", "Fixed", "BelowMinimum", "AboveMaximum", "Hold", "External", "NotLocal"]


@dataclass(frozen=True)
class Decision:
    """A number with its reason; `replicas` is `None` when the operator must not write one."""

    replicas: int | None
    reason: Reason


def decide_replicas(tier: Tier, current: int | None) -> Decision:
    """
    Decide for one tier.

    | tier | current | replicas | reason |
    | --- | --- | --- | --- |
    | not local | any | none | NotLocal |
    | Suspended | any | 0 | Suspended |
    | Fixed | any | scaling.replicas | Fixed |
    | External | any | none | External |
    | Managed | under the minimum, or 0 after a suspension | minimum, at least 1 | BelowMinimum |
    | Managed | over the maximum | maximum | AboveMaximum |
    | Managed | within, or unknown | current | Hold |

    Args:
        tier: the tier's spec.
        current: the Deployment's desired number; `None` when there is no Deployment or it could not be read.
    """
    if tier.local is None:
        return Decision(None, "NotLocal")
    scaling = tier.scaling_or_default
    if scaling.mode == "External":
        # someone else's autoscaler writes the number; it also brings a suspended tier to zero, or does not
        return Decision(None, "External")
    if tier.state == "Suspended":
        return Decision(0, "Suspended")
    if scaling.mode == "Fixed":
        return Decision(scaling.replicas, "Fixed")
    if current is None:
        return Decision(None, "Hold")
    # nobody could wake a tier from zero yet, so an Active one keeps at least one replica
    minimum = max(1, scaling.min_replicas)
    if current < minimum:
        return Decision(minimum, "BelowMinimum")
    if current > scaling.max_replicas:
        return Decision(scaling.max_replicas, "AboveMaximum")
    return Decision(current, "Hold")
