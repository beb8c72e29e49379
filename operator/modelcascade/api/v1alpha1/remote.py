"""Tiers that somebody else runs: an external API behind the frontier proxy, or an existing Service."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelcascade.api.markers import CEL
from modelcascade.api.v1alpha1.local import EngineType
from modelcascade.api.v1alpha1.meta import ApiModel, ConfigMapKeyRef, SecretAuth

__all__ = ["BackendRef", "External", "ExternalLimits", "ExternalTLS", "ExternalTimeouts", "RetryPolicy"]

# 1-65535; a first regex let 99999 through.
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


class ExternalTLS(ApiModel):
    """How the provider's certificate is checked."""

    ca_config_map_ref: ConfigMapKeyRef
    """The ConfigMap's entry that holds a private CA in PEM."""


class ExternalTimeouts(ApiModel):
    """Bounds of one call to the provider, in seconds."""

    cel_rules: ClassVar = (
        CEL(
            "self.connectSeconds <= self.firstTokenSeconds && self.firstTokenSeconds <= self.totalSeconds",
            "timeouts must satisfy connectSeconds <= firstTokenSeconds <= totalSeconds",
        ),
        CEL("self.idleSeconds <= self.totalSeconds", "timeouts.idleSeconds must not exceed totalSeconds"),
    )

    connect_seconds: Annotated[int, Field(ge=1, le=60)]
    """Time to connect, 1 to 60 seconds."""

    first_token_seconds: Annotated[int, Field(ge=1, le=3600)]
    """Time to the first token, 1 to 3600 seconds."""

    idle_seconds: Annotated[int, Field(ge=1, le=3600)]
    """Longest pause between two tokens, 1 to 3600 seconds."""

    total_seconds: Annotated[int, Field(ge=1, le=3600)]
    """Time of the whole call, 1 to 3600 seconds; at most `routing.escalation.deadlineSeconds`."""


class RetryPolicy(ApiModel):
    """What happens after a failed call."""

    max_attempts: Annotated[int, Field(ge=1, le=3)] = 1
    """Calls in all, 1 to 3. Absent: 1, no retry."""


class ExternalLimits(ApiModel):
    """Bounds that the proxy holds for this tier, whatever the provider allows."""

    requests_per_minute: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    """Requests a minute, 1 to 1,000,000. Absent: no bound."""

    tokens_per_minute: Annotated[int | None, Field(ge=1, le=1_000_000_000)] = None
    """Tokens a minute, 1 to 1,000,000,000. Absent: no bound."""

    max_concurrent: Annotated[int | None, Field(ge=1, le=10_000)] = None
    """Calls at the same time, 1 to 10,000. Absent: no bound."""


class External(ApiModel):
    """An API outside the cluster, called by the frontier proxy, which alone holds the key."""

    provider: Literal["OpenAI", "Anthropic"]
    """Wire format: OpenAI (any compatible API) or Anthropic."""

    base_url: Annotated[
        str,
        Field(max_length=256, alias="baseURL"),
        CEL("self.startsWith('https://')", "baseURL must use https"),
        CEL("!self.contains('..')", "baseURL must not contain '..'"),
        CEL(
            f"self.matches('^[a-z]+://{_LABEL}([.]{_LABEL})*[.][a-z]{{2,24}}(:{_PORT})?(/[A-Za-z0-9._~/-]*)?$')",
            "baseURL must be scheme, lower-case DNS name, optional port and path: no IP address, user name, query, "
            "fragment or backslash",
        ),
    ]
    """Address with https, a DNS name and an optional port and path, at most 256 characters. Which hosts may be
    called is decided by the platform."""

    model: Annotated[
        str,
        Field(max_length=128),
        CEL(
            "self.matches('^[A-Za-z0-9][A-Za-z0-9._:/@-]*$')",
            "model is the provider's model name: letters, digits and . _ : / @ -",
        ),
    ]
    """Model name at the provider, at most 128 characters."""

    auth: SecretAuth | None = None
    """Credential for the provider. Absent: calls carry none."""

    tls: ExternalTLS | None = None
    """Private CA of the provider. Absent: the public ones."""

    timeouts: ExternalTimeouts
    """Bounds of one call, in seconds."""

    retry_policy: RetryPolicy = RetryPolicy()
    """What happens after a failed call. Absent: no retry."""

    limits: ExternalLimits | None = None
    """Bounds that the proxy holds. Absent: none."""


class BackendRef(ApiModel):
    """An OpenAI-compatible Service that somebody else runs in the namespace."""

    kind: Literal["Service"] = "Service"
    """Kind of the object. Absent: Service."""

    name: Annotated[
        str,
        Field(max_length=63),
        CEL(
            "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "backendRef.name is the bare name of a Service in the same namespace",
        ),
    ]
    """Name of the Service, at most 63 characters."""

    port: Annotated[int, Field(ge=1, le=65535)]
    """Port of the Service, 1 to 65535."""

    path: Annotated[
        str,
        Field(max_length=256),
        CEL(
            "self.matches('^/[A-Za-z0-9._~/-]*$') && !self.contains('..')",
            "backendRef.path starts with '/', without '..', query or fragment",
        ),
    ] = "/v1"
    """Path before `/chat/completions`, at most 256 characters. Absent: `/v1`."""

    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    """How the Service is spoken to. Absent: HTTP."""

    auth: SecretAuth | None = None
    """Credential that the router sends. Absent: none."""

    model: Annotated[str | None, Field(min_length=1, max_length=128)] = None
    """Model name that the router asks for, at most 128 characters. Absent: the tier's name."""

    engine: EngineType | None = None
    """Engine behind the Service, for its metrics. Absent: unknown, no engine metrics."""
