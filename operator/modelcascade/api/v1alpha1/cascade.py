"""ModelCascade: an ordered set of tiers behind one model name."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelcascade.api.markers import CEL, ListType, PrinterColumn
from modelcascade.api.v1alpha1.local import Resources
from modelcascade.api.v1alpha1.meta import ApiModel, Currency, LocalRef, ObjectMeta, SecretName, TierRefName
from modelcascade.api.v1alpha1.routing import Routing
from modelcascade.api.v1alpha1.status import CascadeStatus
from modelcascade.api.v1alpha1.tiers import Tier

__all__ = [
    "Access",
    "ApiKeysSecretRef",
    "Budget",
    "CascadeSpec",
    "Guard",
    "GuardRule",
    "ModelCascade",
    "Router",
    "Telemetry",
    "Traces",
]


class GuardRule(ApiModel):
    """What the guard looks for on one side of the conversation, and what follows."""

    categories: Annotated[
        tuple[
            Annotated[
                str,
                Field(max_length=64),
                CEL("self.matches('^[A-Za-z0-9][A-Za-z0-9 _/-]*$')", "a category is a short name such as Violent"),
            ],
            ...,
        ],
        Field(max_length=32),
        ListType("set"),
    ] = ()
    """Categories that count, at most 32 of at most 64 characters. Absent: every category of the protocol."""

    action: Literal["Block", "Annotate"] = "Block"
    """Block refuses the request or the answer; Annotate lets it pass with a warning header. Absent: Block."""


class Guard(ApiModel):
    """The tier that is asked before routing, and after answering."""

    tier_ref: TierRefName
    """Name of the tier with role Guard, at most 20 characters."""

    protocol: Literal["LlamaGuard", "Qwen3Guard", "GraniteGuardian", "ShieldGemma", "Classifier", "Constrained"]
    """How the guard model is asked and its verdict read."""

    input: GuardRule = GuardRule()
    """Check of the request. Absent: every category blocks."""

    output: GuardRule | None = None
    """Check of the answer. Absent: answers are not checked."""

    failure_policy: Literal["Open", "Closed"] = "Closed"
    """What happens when the guard cannot be asked: Closed refuses, Open lets pass. Absent: Closed."""


class Budget(ApiModel):
    """A bound on spending in one period."""

    name: Annotated[
        str,
        Field(max_length=40),
        CEL(
            "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "budget names are lower-case letters, digits and '-', starting with a letter",
        ),
    ]
    """Name in status and metrics, at most 40 characters."""

    scope: Literal["Frontier", "Cascade", "Tenant"]
    """Frontier: what external tiers cost; Cascade: every tier; Tenant: external cost of each tenant."""

    limit: Annotated[
        str,
        Field(max_length=20),
        CEL(
            "self.matches('^[0-9]{1,9}([.][0-9]{1,9})?$')",
            'limit must be a decimal in quotes, such as "500" or "12.50", without sign or exponent',
        ),
        CEL("!self.matches('^0+([.]0+)?$')", "limit must be greater than 0; suspend the tier to forbid it"),
    ]
    """Most that may be spent in one period, a decimal in quotes."""

    currency: Currency
    """Three-letter code such as USD; one currency in a whole cascade."""

    period: Literal["Hour", "Day", "Month"]
    """Calendar period in UTC after which the budget starts anew."""

    on_exceeded: Literal["StayLocal", "Reject", "Warn"]
    """StayLocal: paid tiers are left out; Reject: requests that need one are refused; Warn: a warning only."""


class ApiKeysSecretRef(ApiModel):
    """A Secret whose entries are tenants: the key is the tenant's name, the value a hash of its API key."""

    name: SecretName
    """Name of the Secret; it must start with `mc-`. At most 253 characters."""


class Access(ApiModel):
    """Who may call the router."""

    cel_rules: ClassVar = (
        # has(self.mode): the API server checks the default `{}` of this object before it fills in the children's.
        CEL(
            "!has(self.mode) || self.mode != 'APIKey' || has(self.apiKeysSecretRef)",
            "access.mode APIKey needs apiKeysSecretRef",
        ),
    )

    mode: Literal["APIKey", "Disabled"] = "Disabled"
    """APIKey: callers present a key; Disabled: everyone who reaches the Service may call. Absent: Disabled."""

    api_keys_secret_ref: ApiKeysSecretRef | None = None
    """The Secret with the tenants' hashed keys; required with mode APIKey. Absent: no keys."""


class Router(ApiModel):
    """The Deployment that answers requests."""

    replicas: Annotated[int, Field(ge=1, le=20)] = 1
    """Replicas, 1 to 20; 2 or more get a PodDisruptionBudget. Absent: 1."""

    resources: Resources | None = None
    """CPU and memory of one replica. Absent: the operator's built-in values."""


class Traces(ApiModel):
    """Where traces go."""

    endpoint: Annotated[
        str,
        Field(max_length=256),
        CEL(
            "self.matches('^https?://[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$')",
            "traces.endpoint must be an http or https address without user name, query or fragment",
        ),
    ]
    """OTLP/HTTP address, at most 256 characters."""


class Telemetry(ApiModel):
    """What is recorded about requests."""

    decision_log: Literal["None", "Metadata", "WithContent"] = "Metadata"
    """Metadata: one record per request without text; WithContent: with text, by explicit choice. Absent: Metadata."""

    traces: Traces | None = None
    """Where traces go. Absent: nowhere."""


_ANSWERING = "self.tiers.filter(t, t.role != 'Guard')"


class CascadeSpec(ApiModel):
    """What the user wants: tiers and the rules between them."""

    cel_rules: ClassVar = (
        CEL(
            "self.tiers.filter(t, t.role != 'Guard' && has(t.rank)).all(t, "
            "self.tiers.filter(u, u.role != 'Guard' && has(u.rank)).exists_one(u, u.rank == t.rank))",
            "rank must be unique among the tiers that answer requests",
        ),
        CEL(
            "self.tiers.filter(f, f.role == 'Frontier' && has(f.rank)).all(f, self.tiers.filter(t, "
            "t.role != 'Frontier' && t.role != 'Guard' && has(t.rank)).all(t, t.rank < f.rank))",
            "a Frontier tier must have a higher rank than every local tier",
        ),
        CEL("self.tiers.filter(t, t.role == 'Guard').size() <= 1", "at most one tier may have role Guard"),
        CEL(
            "self.tiers.exists(t, t.role != 'Guard' && t.state == 'Active')",
            "at least one tier that can answer must have state Active",
        ),
        CEL(
            f"{_ANSWERING}.all(t, has(t.rank) || self.tiers.exists_one(u, u.role == t.role))",
            "rank is required when two answering tiers share a role",
        ),
        CEL(
            "!has(self.guard) || self.tiers.exists(t, t.role == 'Guard' && t.name == self.guard.tierRef)",
            "guard.tierRef must name a tier with role Guard",
        ),
        CEL(
            "has(self.guard) || !self.tiers.exists(t, t.role == 'Guard')",
            "a Guard tier is declared but spec.guard is missing: nothing would call it",
        ),
        CEL(
            "!has(self.routing.verification.tierRef) || self.tiers.exists(t, t.role != 'Guard' && "
            "t.name == self.routing.verification.tierRef)",
            "routing.verification.tierRef must name a declared tier that is not the Guard",
        ),
        CEL(
            "!has(self.routing.difficulty.thresholdsPercent) || "
            f"self.routing.difficulty.thresholdsPercent.size() == {_ANSWERING}.size() - 1",
            "routing.difficulty.thresholdsPercent needs exactly one value fewer than there are tiers that answer "
            "requests",
        ),
        CEL(
            f"!has(self.routing.escalation.maxEscalations) || "
            f"self.routing.escalation.maxEscalations < {_ANSWERING}.size()",
            "routing.escalation.maxEscalations must be lower than the number of tiers that answer requests",
        ),
        CEL(
            "self.tiers.filter(t, has(t.external)).all(t, "
            "t.external.timeouts.totalSeconds <= self.routing.escalation.deadlineSeconds)",
            "external.timeouts.totalSeconds must not exceed routing.escalation.deadlineSeconds",
        ),
        CEL(
            "!has(self.routing.dataClasses) || self.routing.dataClasses.all(d, "
            "self.tiers.exists(t, t.role in d.allowedRoles && t.role != 'Guard'))",
            "every data class must allow at least one declared tier that answers requests",
        ),
        CEL(
            "!self.tiers.exists(t, t.role == 'Frontier') || (has(self.budgets) && self.budgets.exists(b, "
            "b.scope == 'Frontier' && b.onExceeded != 'Warn'))",
            "a Frontier tier needs a budget with scope Frontier and onExceeded StayLocal or Reject",
        ),
        CEL(
            "self.tiers.filter(t, t.role == 'Frontier').all(t, has(t.pricing) && "
            "has(t.pricing.inputPerMillionTokens) && has(t.pricing.outputPerMillionTokens))",
            "a Frontier tier needs pricing, otherwise its budget cannot be enforced",
        ),
        CEL(
            "self.tiers.all(t, !has(t.pricing) || "
            "self.tiers.all(u, !has(u.pricing) || u.pricing.currency == t.pricing.currency)) && "
            "(!has(self.budgets) || self.budgets.all(b, b.currency == self.budgets[0].currency && "
            "self.tiers.all(t, !has(t.pricing) || t.pricing.currency == b.currency)))",
            "all budgets and prices must use one currency",
        ),
    )

    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=8), ListType("map", ("name",))]
    """The tiers, 1 to 8."""

    routing: Routing = Routing()
    """How requests move through the tiers. Absent: by confidence, from the lowest tier up."""

    guard: Guard | None = None
    """The guard's rules; required when a tier has role Guard. Absent: nothing is guarded."""

    budgets: Annotated[tuple[Budget, ...], Field(max_length=16), ListType("map", ("name",))] = ()
    """Bounds on spending, at most 16; a Frontier tier needs one. Absent: none."""

    access: Access = Access()
    """Who may call the router. Absent: everyone who reaches its Service."""

    router: Router = Router()
    """The Deployment that answers requests. Absent: one replica with built-in resources."""

    image_pull_secrets: Annotated[tuple[LocalRef, ...], Field(max_length=8), ListType("map", ("name",))] = ()
    """Secrets for pulling engine and model images, at most 8; only the kubelet reads them. Absent: none."""

    telemetry: Telemetry = Telemetry()
    """What is recorded about requests. Absent: one record per request, without text."""


class ModelCascade(ApiModel):
    """Models of different size behind one address: small ones first, larger ones when an answer is not good enough."""

    cel_rules: ClassVar = (
        CEL(
            "size(self.metadata.name) <= 40",
            "metadata.name must be at most 40 characters: child object names are derived from it",
        ),
        CEL(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be a DNS label starting with a letter: Services are named after it",
        ),
    )
    plural: ClassVar = "modelcascades"
    short_names: ClassVar = ("mcas",)
    printer_columns: ClassVar = (
        PrinterColumn("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", "Whether it answers"),
        PrinterColumn("Reason", "string", ".status.conditions[?(@.type=='Ready')].reason", "Why it does or does not"),
        PrinterColumn("Tiers", "string", ".status.readyTiers", "Ready tiers of all that must answer"),
        PrinterColumn("URL", "string", ".status.url", "Where it answers", 1),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp", "Time since creation"),
    )

    api_version: Literal["modelcascade.dev/v1alpha1"]
    """Version of this representation."""

    kind: Literal["ModelCascade"]
    """Kind of the object."""

    metadata: ObjectMeta
    """Name, namespace and labels."""

    spec: CascadeSpec
    """What is wanted."""

    status: CascadeStatus | None = None
    """What was observed; written by the operator only. Absent: not looked at yet."""
