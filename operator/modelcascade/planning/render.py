"""
Templates to manifests: jinja2 with every value through `tojson`, then YAML, then Kubernetes' own strict models.

The only file that knows the Kubernetes client, and of it only the models that are rendered. An unknown field, an
undefined template value or a wrong type stops here, before anything is sent.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from kubernetes.client.models.v1_config_map import V1ConfigMap
from kubernetes.client.models.v1_deployment import V1Deployment
from kubernetes.client.models.v1_pod_disruption_budget import V1PodDisruptionBudget
from kubernetes.client.models.v1_role_binding import V1RoleBinding
from kubernetes.client.models.v1_service import V1Service
from kubernetes.client.models.v1_service_account import V1ServiceAccount
from pydantic import BaseModel

__all__ = ["TEMPLATES", "render_object"]

TEMPLATES = Path(__file__).parent / "templates"

_STRICT: Mapping[str, type[BaseModel]] = {
    "ConfigMap": V1ConfigMap,
    "Deployment": V1Deployment,
    "PodDisruptionBudget": V1PodDisruptionBudget,
    "RoleBinding": V1RoleBinding,
    "Service": V1Service,
    "ServiceAccount": V1ServiceAccount,
}

_SURROGATES = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def _as_yaml_scalar(value: object, **_: object) -> str:
    r"""
    Any value as JSON that is YAML too.

    Escaping all that is not ASCII keeps YAML's forbidden characters (such as DEL) out of the text. JSON then writes
    an emoji as two surrogates, which YAML would read as two characters: they become one `\U` escape.
    """
    text = json.dumps(value, ensure_ascii=True, sort_keys=True, default=_refuse)
    return _SURROGATES.sub(_join_surrogates, text)


def _refuse(value: object) -> None:
    if isinstance(value, StrictUndefined):
        str(value)  # raises UndefinedError with the value's name
    raise TypeError(f"{type(value).__name__} is no template value")


def _join_surrogates(found: re.Match[str]) -> str:
    high, low = (int(part, 16) for part in found.groups())
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - this is YAML: each value passes tojson, and a test reads the templates for it
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_function"] = _as_yaml_scalar
    return environment


def render_object(template: str, **values: object) -> dict[str, Any]:
    """
    One object, exactly as it is to be applied: strict, without nulls, JSON types only.

    Raises:
        jinja2.UndefinedError, pydantic.ValidationError: the template and its values do not make a valid object.
            Both are faults of this program, never of a user's spec.
    """
    text = _environment().get_template(template).render(**values)
    manifest = yaml.load(text, Loader=yaml.CSafeLoader)
    model = _STRICT[manifest["kind"]].model_validate(manifest)
    return model.model_dump(by_alias=True, exclude_none=True, mode="json")
