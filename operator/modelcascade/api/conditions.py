"""
The conditions of a cascade, and the one way to set them.

`Ready` is defined here as a list of facts; readable metrics are not among them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from modelcascade.api.reasons import ConditionReason
from modelcascade.api.v1alpha1.status import Condition

__all__ = ["CONDITION_TEXT", "READY_FACTS", "ConditionStatus", "ConditionType", "find_condition", "set_condition"]

ConditionStatus = Literal["True", "False", "Unknown"]
ConditionType = Literal[
    "Ready", "Accepted", "ModelsAvailable", "QuantizationMatched", "TiersReady", "RouterReady", "Degraded"
]

CONDITION_TEXT: dict[ConditionType, str] = {
    "Ready": "Accepted, the router has a ready endpoint, every Active tier that must answer has one, and no object "
    "is of an older generation.",
    "Accepted": "The spec passed every rule that the operator checks again.",
    "ModelsAvailable": "The model sources are present and verified.",
    "QuantizationMatched": "The declared format and variant are those of the files.",
    "TiersReady": "Every Active tier has a ready endpoint, or is at zero by policy.",
    "RouterReady": "The router has a ready endpoint.",
    "Degraded": "Serving with something missing; the only bad news that is True.",
}
"""Condition type → what True means; the order is that of status and of the reference."""

READY_FACTS: tuple[ConditionType, ...] = (
    "Accepted",
    "ModelsAvailable",
    "QuantizationMatched",
    "TiersReady",
    "RouterReady",
)
"""`Ready` is True exactly when all of these are; the first that is not gives `Ready` its reason and message."""


def find_condition(conditions: Sequence[Condition], condition_type: ConditionType) -> Condition | None:
    """The condition of that type, or `None` when it was never judged."""
    return next((condition for condition in conditions if condition.type == condition_type), None)


def set_condition(
    previous: Sequence[Condition],
    condition_type: ConditionType,
    status: ConditionStatus,
    reason: ConditionReason,
    message: str,
    *,
    observed_generation: int,
    now: datetime,
) -> Condition:
    """
    The condition as it should stand now.

    `last_transition_time` moves only when `status` moves (Kubernetes API conventions). A message beyond the
    schema's 2048 characters is cut, since it may quote somebody else's text.
    """
    before = find_condition(previous, condition_type)
    moved = before is None or before.status != status
    return Condition(
        type=condition_type,
        status=status,
        observed_generation=observed_generation,
        last_transition_time=now.replace(microsecond=0) if before is None or moved else before.last_transition_time,
        reason=reason.value,
        message=message if len(message) <= _MESSAGE_LIMIT else f"{message[: _MESSAGE_LIMIT - 1]}…",
    )


_MESSAGE_LIMIT = 2048
