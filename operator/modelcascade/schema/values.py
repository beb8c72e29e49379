"""
The chart's values as a model: `values.schema.json` comes from it, and `values.yaml` must equal its defaults.

Values are for the person who installs the operator: images, resources, namespaces, CRDs. Cascades are objects of
their own, never values. Booleans are allowed here, as Helm users expect them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = ["ChartValues", "values_schema"]

_IMAGE = r"^([A-Za-z0-9][A-Za-z0-9._/:-]*(@sha256:[0-9a-f]{64})?)?$"
_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_QUANTITY = r"^[0-9]+([.][0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"

Namespace = Annotated[str, Field(max_length=63, pattern=_LABEL)]
SecretName = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Quantity = Annotated[str, Field(pattern=_QUANTITY)] | Annotated[int, Field(ge=0)]


class _Values(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )


class ImageValues(_Values):
    """The image that runs the operator, the routers and the model inspection."""

    repository: Annotated[str, Field(max_length=400, pattern=r"^([A-Za-z0-9][A-Za-z0-9._/:-]*)?$")] = ""
    """Repository of the modelcascade image, without tag or digest; required."""

    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    """`sha256:…` of the image; required."""

    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""


class EngineValues(_Values):
    """One engine."""

    image: Annotated[str, Field(max_length=512, pattern=_IMAGE)] = ""
    """Image of tiers that name none; best with a digest. Empty: every tier must name its own."""


class EnginesValues(_Values):
    """Default images of the engines."""

    llama_cpp: EngineValues = EngineValues()
    """llama-server."""


class ResourceList(_Values):
    """CPU and memory."""

    cpu: Quantity | None = None
    """CPU, such as 50m."""

    memory: Quantity | None = None
    """Memory, such as 128Mi."""


class ResourceValues(_Values):
    """Requests and limits of one pod."""

    requests: ResourceList = ResourceList()
    """What is reserved."""

    limits: ResourceList = ResourceList()
    """What is never exceeded."""


class OperatorValues(_Values):
    """The operator's Deployment."""

    resync_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """Every cascade is looked at again after this many seconds, 1 to 3600."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line that is written."""

    resources: ResourceValues = ResourceValues(
        requests=ResourceList(cpu="50m", memory="128Mi"), limits=ResourceList(memory="256Mi")
    )
    """Resources of the operator's pod."""


class CrdValues(_Values):
    """The two CRDs."""

    enabled: bool = True
    """Install and upgrade them with this release."""

    keep: bool = True
    """Keep them when the release is removed. Turning this off deletes every cascade with the release."""


class ChartValues(_Values):
    """Values of the chart modelcascade."""

    image: ImageValues = ImageValues()
    """The image that runs the operator, the routers and the model inspection."""

    image_pull_secrets: Annotated[tuple[SecretName, ...], Field(max_length=8)] = ()
    """Names of Secrets in the release's namespace for pulling the operator's image."""

    engines: EnginesValues = EnginesValues()
    """Default images of the engines."""

    operator: OperatorValues = OperatorValues()
    """The operator's Deployment."""

    watch_namespaces: Annotated[tuple[Namespace, ...], Field(max_length=500)] = ()
    """Namespaces whose cascades are served; empty means all."""

    crds: CrdValues = CrdValues()
    """The two CRDs."""

    name_override: Annotated[str, Field(max_length=50)] = ""
    """Replaces the chart's name in the names of its objects."""

    fullname_override: Annotated[str, Field(max_length=50)] = ""
    """Replaces the names of its objects."""


def _tidy(schema: Any) -> Any:
    """Without titles and nulls: absence is written by leaving a key out."""
    match schema:
        case {"anyOf": [*arms], **rest} if {"type": "null"} in arms:
            left = [arm for arm in arms if arm != {"type": "null"}]
            rest.pop("default", None)
            return _tidy(rest | (left[0] if len(left) == 1 else {"anyOf": left}))
        case dict():
            return {
                key: {name: _tidy(each) for name, each in value.items()}
                if key in {"properties", "$defs"}
                else _tidy(value)
                for key, value in schema.items()
                if key != "title" or not isinstance(value, str)
            }
        case list():
            return [_tidy(item) for item in schema]
        case _:
            return schema


def values_schema() -> dict[str, Any]:
    """The JSON Schema of values.yaml: closed, so that a typo is an error."""
    schema: dict[str, Any] = _tidy(ChartValues.model_json_schema(by_alias=True))
    # Helm adds `global` when the chart is a dependency; `enabled` is the usual condition key of a parent chart.
    schema["properties"] |= {
        "global": {"description": "Values of a parent chart; not read.", "type": "object"},
        "enabled": {"description": "Condition key of a parent chart; not read.", "type": "boolean"},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
