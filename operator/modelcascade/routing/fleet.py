"""The tiers' endpoints as they are at one moment, for a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["EMPTY_TIER", "FleetView", "TierView"]


@dataclass(frozen=True, slots=True)
class TierView:
    """One tier now."""

    free: tuple[str, ...] = ()
    """Addresses that may take a request: ready, not ejected, not cooling, below their cap."""

    full: int = 0
    """Ready endpoints that are at their cap, or asked for a pause: busy, but alive."""

    retry_in_s: float = 1.0
    """When the first busy one may be free; a hint for Retry-After."""


EMPTY_TIER = TierView()


@dataclass(frozen=True, slots=True)
class FleetView:
    """All tiers now; a tier that is not named has no endpoint."""

    tiers: Mapping[str, TierView] = field(default_factory=dict)
    may_retry: bool = True
    """The retry budget is not used up."""

    def tier(self, name: str) -> TierView:
        """The tier's view, empty for an unknown one."""
        return self.tiers.get(name, EMPTY_TIER)
