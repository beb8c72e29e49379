"""Where a request starts, when an answer is good enough, and the bounds of one request."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelcascade.api.markers import CEL, ListType
from modelcascade.api.v1alpha1.meta import ApiModel, Price, TierRefName
from modelcascade.api.v1alpha1.tiers import Role

__all__ = ["DataClass", "Difficulty", "Escalation", "Routing", "Verification", "VerificationCheck"]

VerificationCheck = Literal["FinishReason", "JSONSchema", "ToolArguments", "Refusal", "Groundedness", "Arithmetic"]


class Difficulty(ApiModel):
    """Where a request starts, judged from the request alone."""

    method: Literal["None", "PromptLength", "DomainPrior", "LearnedGain"] = "None"
    """None starts at the lowest tier. Absent: None."""

    thresholds_percent: Annotated[
        tuple[Annotated[int, Field(ge=0, le=100)], ...],
        Field(max_length=7),
        ListType("atomic"),
        CEL(
            "[0, 1, 2, 3, 4, 5].all(i, i + 1 >= self.size() || self[i] < self[i + 1])",
            "thresholdsPercent must be strictly ascending",
        ),
    ] = ()
    """Ascending difficulties in percent, 0 to 100, at most 7: one fewer than answering tiers. Absent: none."""


class Verification(ApiModel):
    """When an answer is good enough."""

    cel_rules: ClassVar = (
        # has(self.method): the API server checks the default `{}` of this object before it fills in the children's.
        CEL(
            "!has(self.method) || self.method != 'Judge' || has(self.tierRef)",
            "verification.method Judge needs tierRef",
        ),
    )

    method: Literal["None", "Confidence", "Judge", "Calibrated"] = "Confidence"
    """How answers are judged. Absent: Confidence, from the answer's token probabilities."""

    min_confidence_percent: Annotated[int, Field(ge=0, le=100)] = 70
    """Confidence in percent, 0 to 100, at which an answer is accepted; 0 accepts all, 100 none. Absent: 70."""

    tier_ref: TierRefName | None = None
    """Name of the tier that judges; with method Judge. Absent: no tier does."""

    checks: Annotated[tuple[VerificationCheck, ...], Field(max_length=6), ListType("set")] = (
        "FinishReason",
        "JSONSchema",
        "ToolArguments",
    )
    """Hard checks of an answer, at most 6. Absent: FinishReason, JSONSchema and ToolArguments."""

    on_failure: Literal["Escalate", "Accept", "Reject"] = "Escalate"
    """What happens to an answer that cannot be judged. Absent: Escalate."""


class Escalation(ApiModel):
    """Hard bounds of one request."""

    max_tenant_share_percent: Annotated[int | None, Field(ge=0, le=100)] = None
    """Largest share in percent of one tenant's requests that may escalate, 0 to 100. Absent: no cap."""

    max_escalations: Annotated[int | None, Field(ge=0, le=7)] = None
    """Escalations of one request, 0 to 7. Absent: as many as there are tiers above the first."""

    deadline_seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    """Time for the whole request, 1 to 3600 seconds. Absent: 120."""

    max_cost_per_request: Price | None = None
    """Most that one request may cost, a decimal in quotes in the cascade's currency. Absent: no bound."""

    on_exhausted: Literal["BestAnswer", "Reject"] = "BestAnswer"
    """What the client gets when a bound is reached. Absent: BestAnswer."""


class DataClass(ApiModel):
    """One class of data and the roles that may see it."""

    name: Annotated[
        str,
        Field(max_length=63),
        CEL(
            "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "data class names are lower-case letters, digits and '-', starting with a letter",
        ),
    ]
    """Name that requests carry in a header, at most 63 characters."""

    allowed_roles: Annotated[tuple[Role, ...], Field(min_length=1, max_length=4), ListType("set")]
    """Roles of tiers that may be called, 1 to 4; every other tier is never called, whatever fails."""


class Routing(ApiModel):
    """How requests move through the tiers."""

    cel_rules: ClassVar = (
        CEL(
            "!has(self.defaultDataClass) || "
            "(has(self.dataClasses) && self.dataClasses.exists(d, d.name == self.defaultDataClass))",
            "routing.defaultDataClass must name one of routing.dataClasses",
        ),
    )

    difficulty: Difficulty = Difficulty()
    """Where a request starts. Absent: at the lowest tier."""

    verification: Verification = Verification()
    """When an answer is good enough. Absent: confidence of at least 70 percent."""

    escalation: Escalation = Escalation()
    """Bounds of one request. Absent: 120 seconds, all tiers."""

    streaming: Literal["BufferUntilVerified", "PreRoute"] = "BufferUntilVerified"
    """BufferUntilVerified: nothing of a rejected answer reaches the client. PreRoute: no escalation after the first
    byte. Absent: BufferUntilVerified."""

    data_classes: Annotated[tuple[DataClass, ...], Field(max_length=16), ListType("map", ("name",))] = ()
    """Classes of data and who may see them, at most 16. Absent: every tier may see everything."""

    default_data_class: Annotated[str | None, Field(max_length=63)] = None
    """Class of a request that names none; at most 63 characters. Absent: such a request is in no class."""
