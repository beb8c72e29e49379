"""
What every model of the API shares: the base class, bounded string types, references, object metadata.

The rules stand beside the fields as CEL text: the CRD carries them, and `api.cel` evaluates the same text offline.
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from modelcascade.api.markers import CEL, IntOrString

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "ApiModel",
    "ConfigMapKeyRef",
    "CpuQuantity",
    "Currency",
    "LocalRef",
    "MemoryQuantity",
    "ObjectMeta",
    "Price",
    "SecretAuth",
    "SecretKeyRef",
    "SecretName",
    "TierRefName",
]

GROUP = "modelcascade.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class ApiModel(BaseModel):
    """
    Base of all API models: frozen, camelCase outside, strict about types, tolerant of unknown fields.

    An old operator must be able to read a newer object; `lint` and `render` refuse unknown fields separately.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )

    cel_rules: ClassVar[tuple[CEL, ...]] = ()


class ObjectMeta(ApiModel):
    """The part of `metadata` that is read; the API server checks it, the CRD says nothing about it."""

    name: str = ""
    """Name of the object."""

    namespace: str = ""
    """Namespace; empty in a file that leaves it to the command line."""

    uid: str = ""
    """Identity across re-creation; empty in a file."""

    generation: int = 0
    """Counts changes of the spec; 0 in a file."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the object."""

    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations of the object."""

    deletion_timestamp: str | None = None
    """RFC 3339; set while the object is being deleted."""


def _text_of_int(value: object) -> object:
    # `cpu: 2` is an integer in YAML; Kubernetes takes both, and everything behind the API sees text.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


CpuQuantity = Annotated[
    str,
    Field(max_length=16),
    BeforeValidator(_text_of_int),
    IntOrString(),
    CEL(
        "type(self) == int ? self > 0 : "
        "self.matches('^([0-9]{1,6}m|[0-9]{1,4}([.][0-9]{1,3})?)$') && self.matches('[1-9]')",
        "cpu must be a positive quantity such as 500m or 4",
    ),
]

MemoryQuantity = Annotated[
    str,
    Field(max_length=16),
    CEL(
        "self.matches('^[0-9]{1,9}([.][0-9]{1,3})?(Mi|Gi|Ti)$') && self.matches('[1-9]')",
        "memory must be a positive quantity in Mi, Gi or Ti, such as 24Gi",
    ),
]

Currency = Annotated[
    str,
    Field(max_length=3),
    CEL("self.matches('^[A-Z]{3}$')", "currency must be a three-letter upper-case code such as USD"),
]

Price = Annotated[
    str,
    Field(max_length=20),
    CEL("self.matches('^[0-9]{1,9}([.][0-9]{1,9})?$')", 'a price is a non-negative decimal in quotes, such as "0.15"'),
]

SecretName = Annotated[
    str,
    Field(max_length=253),
    CEL(
        "self.startsWith('mc-')",
        "only Secrets whose name starts with 'mc-' may be referenced: the prefix is the owner's consent",
    ),
    CEL("self.matches('^[a-z0-9.-]*$')", "a Secret's name is made of lower-case letters, digits, '-' and '.'"),
]

TierRefName = Annotated[str, Field(min_length=1, max_length=20)]


class SecretKeyRef(ApiModel):
    """One entry of a Secret in the cascade's namespace."""

    name: SecretName
    """Name of the Secret; it must start with `mc-`. At most 253 characters."""

    key: Annotated[
        str,
        Field(max_length=253),
        CEL(
            "!self.matches('^(sk-|sk_|pk-|hf_|gsk_|ghp_|xai-|AIza|AKIA|eyJ)')",
            "this looks like the credential itself; put it in a Secret and name its key here",
        ),
        CEL("self.matches('^[-._a-zA-Z0-9]+$')", "key names an entry of the Secret: letters, digits, '-', '_' and '.'"),
    ]
    """Name of the entry inside the Secret, at most 253 characters; never the credential itself."""


class ConfigMapKeyRef(ApiModel):
    """One entry of a ConfigMap in the cascade's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the ConfigMap, at most 253 characters."""

    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the entry, at most 253 characters."""


class SecretAuth(ApiModel):
    """Where a credential lives."""

    secret_key_ref: SecretKeyRef
    """The Secret's entry that holds the credential."""


class LocalRef(ApiModel):
    """The bare name of an object in the cascade's namespace."""

    name: Annotated[
        str,
        Field(max_length=253),
        CEL(
            "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
            "name is the bare name of an object in the same namespace",
        ),
    ]
    """Name of the object, at most 253 characters."""
