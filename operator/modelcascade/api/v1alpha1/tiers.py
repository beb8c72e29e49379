"""One tier of a cascade: its role, who runs it, what it costs and how it scales."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelcascade.api.markers import CEL, ListType
from modelcascade.api.v1alpha1.local import Local
from modelcascade.api.v1alpha1.meta import ApiModel, Currency, Price
from modelcascade.api.v1alpha1.remote import BackendRef, External

__all__ = ["RESERVED_TIER_NAMES", "Capability", "PolicyRef", "Pricing", "Role", "Scaling", "ScalingMode", "Tier"]

Role = Literal["Guard", "Small", "Specialist", "Frontier"]
Capability = Literal["Chat", "Embeddings", "Vision", "Tools", "JSONSchema", "Reasoning"]
ScalingMode = Literal["Managed", "External", "Fixed"]

RESERVED_TIER_NAMES = ("router", "routes", "demand", "frontier-proxy")
"""Child objects of the cascade itself are called `CASCADE-` and one of these."""


class Pricing(ApiModel):
    """What answers of this tier cost; decimal numbers in quotes."""

    currency: Currency
    """Three-letter code such as USD; one currency in a whole cascade."""

    input_per_million_tokens: Price | None = None
    """Price of one million prompt tokens. Absent: unknown; required on a Frontier tier."""

    output_per_million_tokens: Price | None = None
    """Price of one million answer tokens. Absent: unknown; required on a Frontier tier."""

    replica_per_hour: Price | None = None
    """Price of one replica for an hour; the cost of a local answer is derived from it. Absent: no cost is known."""


class PolicyRef(ApiModel):
    """A CascadeScalingPolicy in the cascade's namespace."""

    name: Annotated[
        str,
        Field(max_length=253),
        CEL(
            "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
            "policyRef.name is the bare name of a policy in the same namespace",
        ),
    ]
    """Name of the policy, at most 253 characters."""


class Scaling(ApiModel):
    """How many replicas a local tier has, and who decides."""

    cel_rules: ClassVar = (
        CEL("self.minReplicas <= self.maxReplicas", "scaling.minReplicas must not exceed maxReplicas"),
        CEL("!has(self.policyRef) || self.mode == 'Managed'", "scaling.policyRef is only allowed with mode Managed"),
        CEL("self.minReplicas > 0 || has(self.onCold)", "scaling.onCold is required when minReplicas is 0"),
        CEL(
            "!has(self.maxHeldRequests) || (has(self.onCold) && self.onCold == 'Hold')",
            "scaling.maxHeldRequests needs onCold Hold",
        ),
        CEL(
            "has(self.replicas) == (self.mode == 'Fixed')",
            "scaling.replicas is required with mode Fixed and only allowed there",
        ),
    )

    mode: ScalingMode = "Managed"
    """Managed: the operator decides; Fixed: `replicas` counts; External: an autoscaler of yours. Absent: Managed."""

    replicas: Annotated[int | None, Field(ge=1, le=100)] = None
    """Replicas with mode Fixed, 1 to 100. Absent: another mode decides."""

    min_replicas: Annotated[int, Field(ge=0, le=100)] = 1
    """Fewest replicas, 0 to 100. Absent: 1."""

    max_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Most replicas, 1 to 100. Absent: 1."""

    policy_ref: PolicyRef | None = None
    """The policy to follow. Absent: the policy `default` of the namespace, else the built-in one."""

    on_cold: Literal["Hold", "Escalate", "Reject"] | None = None
    """What happens to a request while the tier is at zero; required with minReplicas 0. Absent: never at zero."""

    idle_seconds: Annotated[int | None, Field(ge=30, le=86_400)] = None
    """Seconds without a request before the tier goes to zero, 30 to 86,400. Absent: the policy's."""

    max_held_requests: Annotated[int | None, Field(ge=1, le=10_000)] = None
    """Requests held while the tier starts, 1 to 10,000; only with onCold Hold. Absent: 50, filled in by the
    operator."""


class Tier(ApiModel):
    """One step of the cascade with one model behind it."""

    cel_rules: ClassVar = (
        CEL(
            "[has(self.local), has(self.external), has(self.backendRef)].filter(x, x).size() == 1",
            "set exactly one of local, external, backendRef",
        ),
        CEL(
            "self.role == oldSelf.role",
            "role is immutable: add a tier under a new name and remove this one",
        ),
        CEL(
            "self.role != 'Frontier' || !has(self.local)",
            "a Frontier tier must use external or backendRef",
        ),
        CEL(
            "self.role != 'Guard' || !has(self.external)",
            "a Guard tier must not be external: prompts would leave the cluster before they are checked",
        ),
        CEL(
            "self.role != 'Guard' || !has(self.scaling) || self.scaling.minReplicas > 0",
            "a Guard tier cannot scale to zero: requests would be refused while it starts",
        ),
        CEL("!has(self.scaling) || has(self.local)", "scaling applies to local tiers only"),
    )

    name: Annotated[
        str,
        Field(max_length=20),
        CEL(
            "self.matches('^[a-z][-a-z0-9]*$')",
            "tier names are lower-case letters, digits and '-', starting with a letter",
        ),
        CEL("!self.endsWith('-')", "tier names end with a letter or a digit"),
        CEL(f"!(self in [{', '.join(repr(name) for name in RESERVED_TIER_NAMES)}])", "name is reserved"),
    ]
    """Name, a DNS label of at most 20 characters; child objects are called `CASCADE-TIER`."""

    role: Role
    """Guard, Small, Specialist or Frontier; immutable under one name."""

    capabilities: Annotated[tuple[Capability, ...], Field(min_length=1, max_length=6), ListType("set")] = ("Chat",)
    """What the model can do, 1 to 6 entries; a request goes only to tiers that can do what it asks. Absent: Chat."""

    rank: Annotated[int | None, Field(ge=0, le=99)] = None
    """Order of escalation, 0 to 99, to the next higher one. Absent: the role decides (Small, Specialist, Frontier)."""

    state: Literal["Active", "Suspended"] = "Active"
    """A Suspended tier keeps its objects, gets no requests and no replicas. Absent: Active."""

    local: Local | None = None
    """The operator runs it. Absent: `external` or `backendRef` is set."""

    external: External | None = None
    """An external API, called through the frontier proxy. Absent: `local` or `backendRef` is set."""

    backend_ref: BackendRef | None = None
    """An existing Service. Absent: `local` or `external` is set."""

    pricing: Pricing | None = None
    """What answers cost. Absent: unknown; required on a Frontier tier."""

    scaling: Scaling | None = None
    """Replicas of a local tier. Absent: Managed with exactly one replica."""

    @property
    def scaling_or_default(self) -> Scaling:
        """The declared scaling, or what its absence means (the schema cannot default it: only local tiers scale)."""
        return self.scaling or Scaling()
