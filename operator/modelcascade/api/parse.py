"""
A body in, a model or the list of what is wrong with it out; never an exception, whatever the body is.

First the schema, in the API server's wording, then the CEL rules, with the same text that the CRD carries. The
rules run only on an object whose schema is right, as on the API server.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from modelcascade.api.cel import broken_rules
from modelcascade.api.problems import ROOT, Problem, SpecProblems, describe_errors
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.meta import ApiModel
from modelcascade.api.v1alpha1.policy import CascadeScalingPolicy
from modelcascade.api.v1alpha1.status import CascadeStatus, PolicyStatus

__all__ = ["Problem", "SpecProblems", "parse_cascade", "parse_cascade_strict", "parse_policy", "parse_policy_strict"]

Kind = TypeVar("Kind", ModelCascade, CascadeScalingPolicy)

_STATUS: dict[type[ApiModel], type[CascadeStatus | PolicyStatus]] = {
    ModelCascade: CascadeStatus,
    CascadeScalingPolicy: PolicyStatus,
}
_METADATA_FIELDS = frozenset(
    {
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


_MOST_VALUES = 100_000
"""An object of this many values is far above what the API server takes (1.5 MiB)."""


class _TooLargeError(ValueError):
    """Aliases in YAML can make a small file an endless object."""


def _without_nulls(value: Any, left: list[int]) -> Any:
    """A null in an object is the same as absence, as on the API server; a null in a list stays and is refused."""
    left[0] -= 1
    if left[0] < 0:
        raise _TooLargeError(f"more than {_MOST_VALUES:,} values")
    match value:
        case Mapping():
            return {str(key): _without_nulls(item, left) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_without_nulls(item, left) for item in value]
        case _:
            return value


def _model(kind: type[Kind], text: str, status: Any) -> Kind | tuple[Problem, ...]:
    try:
        parsed = kind.model_validate_json(text)
    except ValidationError as error:
        return describe_errors(error)
    # The status is our own word, possibly of another version: what cannot be read is as if it were absent.
    try:
        found = _STATUS[kind].model_validate_json(json.dumps(status, default=str))
    except ValidationError:
        return parsed
    return parsed.model_copy(update={"status": found})


def _unknown_fields(kind: type[Kind], text: str, metadata: Any) -> tuple[Problem, ...]:
    found: list[Problem] = []
    try:
        kind.model_validate_json(text, extra="forbid")
    except ValidationError as error:
        found = [
            each
            for each in describe_errors(error)
            if each.message == "unknown field" and not each.path.startswith("metadata")
        ]
    names: list[str] = sorted(set(metadata) - _METADATA_FIELDS) if isinstance(metadata, dict) else []
    return (*found, *(Problem(f"metadata.{name}", "unknown field") for name in names))


def _parse(kind: type[Kind], body: Mapping[str, Any], *, strict: bool) -> Kind | SpecProblems:
    try:
        content = _without_nulls(body, [_MOST_VALUES])
        status = content.pop("status", None) if isinstance(content, dict) else None
        text = json.dumps(content, default=str)
    except (RecursionError, ValueError) as error:
        return SpecProblems((Problem(ROOT, f"cannot be written as JSON: {error}"),))
    parsed = _model(kind, text, status)
    unknown: tuple[Problem, ...] = (
        _unknown_fields(kind, text, content.get("metadata")) if strict and isinstance(content, dict) else ()
    )
    problems: tuple[Problem, ...] = parsed if isinstance(parsed, tuple) else broken_rules(parsed)
    if unknown or problems or isinstance(parsed, tuple):
        return SpecProblems((*unknown, *(problem for problem in problems if problem not in unknown)))
    return parsed


def parse_cascade(body: Mapping[str, Any]) -> ModelCascade | SpecProblems:
    """The cascade with its defaults; unknown fields are ignored, since an old operator reads newer objects."""
    return _parse(ModelCascade, body, strict=False)


def parse_cascade_strict(body: Mapping[str, Any]) -> ModelCascade | SpecProblems:
    """As `parse_cascade`, but an unknown field is a problem: for files that people write."""
    return _parse(ModelCascade, body, strict=True)


def parse_policy(body: Mapping[str, Any]) -> CascadeScalingPolicy | SpecProblems:
    """The policy with its defaults; unknown fields are ignored."""
    return _parse(CascadeScalingPolicy, body, strict=False)


def parse_policy_strict(body: Mapping[str, Any]) -> CascadeScalingPolicy | SpecProblems:
    """As `parse_policy`, but an unknown field is a problem."""
    return _parse(CascadeScalingPolicy, body, strict=True)
