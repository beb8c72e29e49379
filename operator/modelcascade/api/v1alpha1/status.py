"""What the operator reports: conditions first, then figures per tier."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from modelcascade.api.markers import ListType
from modelcascade.api.v1alpha1.meta import ApiModel

__all__ = ["CascadeStatus", "Condition", "PolicyStatus", "TierReplicas", "TierStatus"]


class Condition(ApiModel):
    """One observed fact about the object, with its reason and the next step."""

    type: Annotated[str, Field(max_length=63)]
    """Name of the fact, such as Ready; at most 63 characters."""

    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""

    observed_generation: Annotated[int | None, Field(ge=0)] = None
    """`metadata.generation` that this was judged from. Absent: unknown."""

    last_transition_time: datetime
    """When `status` last changed, UTC."""

    reason: Annotated[str, Field(max_length=128)]
    """One CamelCase word from the closed list in the reference; at most 128 characters."""

    message: Annotated[str, Field(max_length=2048)]
    """A sentence that names the object and the next step; at most 2048 characters."""


class TierReplicas(ApiModel):
    """Replicas of one tier."""

    desired: Annotated[int | None, Field(ge=0)] = None
    """What is asked of the cluster. Absent: unknown, or no Deployment."""

    ready: Annotated[int | None, Field(ge=0)] = None
    """How many are ready. Absent: unknown."""

    target: Annotated[int | None, Field(ge=0)] = None
    """What the last decision wants. Absent: nobody here decides."""


class TierStatus(ApiModel):
    """What was observed of one tier."""

    name: Annotated[str, Field(max_length=20)]
    """Name of the tier."""

    replicas: TierReplicas | None = None
    """Its replicas. Absent: the tier has none of its own."""

    model: Annotated[str | None, Field(max_length=512)] = None
    """The model that is served, at most 512 characters. Absent: unknown."""

    quantization: Annotated[str | None, Field(max_length=64)] = None
    """Format and variant as found in the file. Absent: not inspected yet."""

    endpoint_health: Literal["Healthy", "Unhealthy", "Suspended", "Unknown"] | None = None
    """Whether a ready endpoint exists. Absent: not looked at yet."""


class CascadeStatus(ApiModel):
    """What was observed of a cascade."""

    conditions: Annotated[tuple[Condition, ...], Field(max_length=32), ListType("map", ("type",))] = ()
    """Facts with reasons, at most 32. Absent: nothing was judged yet."""

    observed_generation: Annotated[int | None, Field(ge=0)] = None
    """`metadata.generation` that this status was made from. Absent: none yet."""

    url: Annotated[str | None, Field(max_length=256)] = None
    """Address of the OpenAI API, at most 256 characters. Absent: not accepted yet."""

    ready_tiers: Annotated[str | None, Field(max_length=16)] = None
    """Ready tiers of all that must answer, such as 2/3; for the table of kubectl. Absent: unknown."""

    tiers: Annotated[tuple[TierStatus, ...], Field(max_length=8), ListType("map", ("name",))] = ()
    """Each tier, at most 8. Absent: nothing was observed yet."""


class PolicyStatus(ApiModel):
    """What was observed of a policy."""

    conditions: Annotated[tuple[Condition, ...], Field(max_length=32), ListType("map", ("type",))] = ()
    """Facts with reasons, at most 32. Absent: nothing was judged yet."""

    observed_generation: Annotated[int | None, Field(ge=0)] = None
    """`metadata.generation` that this status was made from. Absent: none yet."""

    used_by: Annotated[tuple[Annotated[str, Field(max_length=40)], ...], Field(max_length=500), ListType("set")] = ()
    """Names of the cascades that follow this policy, at most 500. Absent: none is known."""
