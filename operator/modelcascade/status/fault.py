"""The result of one check that failed."""

from dataclasses import dataclass

from modelcascade.api.reasons import ConditionReason

__all__ = ["PROGRESS", "Fault"]

PROGRESS = frozenset(
    {
        ConditionReason.INSPECTION_PENDING,
        ConditionReason.PROGRESSING,
        ConditionReason.ROLLING_OUT,
        ConditionReason.STARTING,
    }
)
"""Reasons that time alone mends."""


@dataclass(frozen=True)
class Fault:
    """Why something is not as it should be, and what to do."""

    reason: ConditionReason
    message: str

    @property
    def is_progress(self) -> bool:
        """Whether waiting is enough."""
        return self.reason in PROGRESS
