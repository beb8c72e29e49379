"""Everything that was seen of one cascade at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelcascade.api.reasons import ConditionReason
from modelcascade.planning.diff import Conflict
from modelcascade.planning.names import ObjectKey

__all__ = ["ApplyError", "Snapshot"]

Body = Mapping[str, Any]


@dataclass(frozen=True)
class ApplyError:
    """An object that the API server did not take."""

    key: ObjectKey
    sentence: str
    """The server's own words."""

    reason: ConditionReason


@dataclass(frozen=True)
class Snapshot:
    """Bodies are plain dicts as the API server gives them; nothing in here is changed."""

    cascade: Body
    children: Mapping[ObjectKey, Body] = field(default_factory=dict)
    """The cascade's own objects, after what was applied."""

    pods: tuple[Body, ...] = ()
    """Pods of all tiers and of the router."""

    events: tuple[Body, ...] = ()
    """Events of pods whose own status does not say why they do not start."""

    conflicts: tuple[Conflict, ...] = ()
    apply_errors: tuple[ApplyError, ...] = ()
