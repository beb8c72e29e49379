"""
What one process tells another: JSON documents whose models both sides import.

| document | written by | read by | carried in |
| --- | --- | --- | --- |
| Routes | operator (`planning`) | router | ConfigMap `NAME-routes`, or a file |
| Inspection | `modelcascade inspect` | operator (`status`) | the init container's termination message |
| DecisionRecord | router | `explain`, `replay`, people | the decision log |

Each carries `formatVersion`. A reader takes its own version; anything else is refused whole, and the last good
document stays in force.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from modelcascade.api.reasons import RequestReason, Warning_

__all__ = [
    "FORMAT_VERSION",
    "DecisionRecord",
    "DecisionStep",
    "DocumentProblem",
    "EscalationRules",
    "Inspection",
    "InspectionProblem",
    "RouteTier",
    "Routes",
    "VerificationRules",
    "parse_inspection",
    "parse_routes",
]

FORMAT_VERSION = 1


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class RouteTier(_Document):
    """One tier that may answer; suspended tiers are left out."""

    name: str
    role: Literal["Small", "Specialist", "Frontier"]
    rank: int = Field(ge=0)
    """Escalation goes to the next higher rank; unique in the document."""

    service: str | None = None
    """The Service whose EndpointSlices hold this tier's pods; in a cluster."""

    port: int = Field(default=8080, ge=1, le=65535)
    urls: tuple[str, ...] = ()
    """Base URLs, such as `http://127.0.0.1:8081`; outside a cluster, instead of `service`."""

    served_name: str
    """The model name that the engine is asked for."""

    context_length: int = Field(default=4096, ge=1)
    """Tokens of one request, prompt and answer together."""

    parallel: int = Field(default=4, ge=1)
    """Slots of one engine; an endpoint gets at most twice as many requests."""

    capabilities: tuple[str, ...] = ("Chat", "Tools", "JSONSchema")
    """What it may be asked for. The operator always writes it; the default is for a file on a laptop."""

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> "RouteTier":
        if (self.service is None) == (not self.urls):
            msg = f"tier {self.name!r}: set exactly one of service, urls"
            raise ValueError(msg)
        return self


class VerificationRules(_Document):
    """When an answer is good enough."""

    method: Literal["None", "Confidence"] = "Confidence"
    min_confidence_percent: int = Field(default=70, ge=0, le=100)
    on_failure: Literal["Escalate", "Accept", "Reject"] = "Escalate"
    """What happens to an answer that cannot be judged, such as one without logprobs."""


class EscalationRules(_Document):
    """The hard bounds of one request."""

    max_escalations: int | None = Field(default=None, ge=0)
    """Absent: as many as there are tiers above the first."""

    deadline_seconds: int = Field(default=120, ge=1, le=3600)
    on_exhausted: Literal["BestAnswer", "Reject"] = "BestAnswer"


class Routes(_Document):
    """All that a router needs to know of its cascade."""

    format_version: Literal[1] = 1
    cascade: str
    generation: int = 0
    """`metadata.generation` of the cascade that this was planned from; 0 in a file."""

    tiers: Annotated[tuple[RouteTier, ...], Field(min_length=1, max_length=8)]
    """In ascending rank."""

    verification: VerificationRules = VerificationRules()
    escalation: EscalationRules = EscalationRules()
    streaming: Literal["BufferUntilVerified", "PreRoute"] = "BufferUntilVerified"
    decision_log: Literal["None", "Metadata"] = "Metadata"

    @model_validator(mode="after")
    def _ordered_and_unique(self) -> "Routes":
        ranks = [tier.rank for tier in self.tiers]
        if sorted(set(ranks)) != ranks:
            msg = "tiers: must stand in ascending rank, each rank once"
            raise ValueError(msg)
        names = {tier.name for tier in self.tiers}
        if len(names) != len(ranks):
            msg = "tiers: each name must be unique"
            raise ValueError(msg)
        return self


class Inspection(_Document):
    """What `modelcascade inspect` found at the mounted model, at most 4 KiB as JSON."""

    format_version: Literal[1] = 1
    outcome: Literal["Ok", "FileNotFound", "FileAmbiguous", "NotGGUF", "Truncated", "FormatMismatch", "VariantMismatch"]
    message: str
    """A sentence that names the file and the next step."""

    path: str | None = None
    found_format: str | None = None
    found_variant: str | None = None
    architecture: str | None = None
    layers: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    context_length: int | None = None
    weights_bytes: int | None = None


class DecisionStep(_Document):
    """One attempt of one request."""

    tier: str
    purpose: Literal["Generate"]
    outcome: str
    """`ok`, or the failure's reason."""

    reason: RequestReason
    """Why this tier was called."""

    confidence: float | None = None
    """0-1; absent when the answer had no usable logprobs or was not verified."""

    threshold: float | None = None
    """0-1; the confidence that was asked for."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    milliseconds: float


class DecisionRecord(_Document):
    """One per request; never holds text of a prompt or an answer."""

    format_version: Literal[1] = 1
    time: datetime
    request_id: str
    client_request_id: str | None = None
    """The client's own `x-request-id`, at most 128 characters; never a key."""

    cascade: str
    generation: int
    stream: bool
    status: int
    code: str | None = None
    """The error code of the contract; absent for an answer."""

    tier: str | None = None
    """The tier that answered."""

    escalations: int
    fallbacks: int
    reason: RequestReason | None = None
    confidence: float | None = None
    warnings: tuple[Warning_, ...] = ()
    prompt_bytes: int
    steps: tuple[DecisionStep, ...]
    milliseconds: float
    overhead_milliseconds: float
    """Time in the router itself: total less the time that attempts took."""


class DocumentProblem(_Document):
    """Why a document was refused."""

    message: str


class InspectionProblem(DocumentProblem):
    """A termination message that is no `Inspection`."""


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return f"{path}: {first['msg']}" if path else str(first["msg"])


def parse_routes(text: str | bytes) -> Routes | DocumentProblem:
    """The routes, or the first problem with its path; never a part of a document."""
    try:
        return Routes.model_validate_json(text)
    except ValidationError as error:
        return DocumentProblem(message=_problem(error))


def parse_inspection(text: str) -> Inspection | InspectionProblem:
    """The report of an init container, or why it cannot be read (an old image, a kill before the end)."""
    try:
        return Inspection.model_validate_json(text)
    except ValidationError as error:
        return InspectionProblem(message=_problem(error))
