"""
Rules for the API's own shape, after kube-api-linter; an exception stands in a table with its reason.

What `modelcascade.api.shapes` refuses (bool, float, nullable, unbounded, untyped lists) is not asked again here.
"""

import re
from collections.abc import Iterator

from modelcascade.api.markers import rules_of
from modelcascade.api.shapes import FieldShape, Shape, fields_of
from modelcascade.api.v1alpha1.meta import ApiModel
from modelcascade.schema.structural import KINDS, models_of

__all__ = ["EXCEPTIONS", "WITHOUT_UNIT", "lint_api", "lint_model", "lint_status"]

WITHOUT_UNIT: dict[str, str] = {
    "rank": "a place in an order has no unit",
    "port": "a port has no unit",
    "count": "counts devices, as its model says",
    "parallel": "counts requests; the word of llama-server and of the design",
    "contextLength": "counts tokens; the word that engines and model cards use",
    "layers": "counts layers",
    "kvHeads": "counts heads",
    "headDim": "counts numbers; the word of model cards",
    "maxAttempts": "counts calls",
    "maxConcurrent": "counts calls",
    "maxEscalations": "counts escalations",
    "target": "its unit is named by the field `type` beside it",
    "maximum": "counts accelerators, as its model says",
    "floor": "counts accelerators, as its model says",
    "priority": "a place in an order has no unit",
    "observedGeneration": "the word of the Kubernetes API conventions",
    "desired": "counts replicas, as its model says",
    "ready": "counts replicas, as its model says",
}
"""Integer fields without a unit at the end of their name, and why."""

EXCEPTIONS: dict[str, str] = {
    "Placement.tolerations: items of a list have a required field": "the shape is Kubernetes' own: all is optional",
}
"""Findings that are right as they are, and why."""

_UNITS = re.compile(
    r"(Seconds|Milliseconds|Percent|Mebibytes|Million|[rR]eplicas|PerMinute|Requests)$",
)
_FORBIDDEN_NAMES = {
    "phase": "say it with conditions",
    "namespace": "a reference stays in its own namespace",
}
_FORBIDDEN_ENDS = {"Reference": "write Ref", "Timestamp": "write Time", "Duration": "write the unit"}


def _lint_name(field: FieldShape) -> Iterator[str]:
    if not re.fullmatch(r"[a-z][A-Za-z0-9]*", field.name):
        yield "names are camelCase"
    if field.name in _FORBIDDEN_NAMES:
        yield f"no field is called {field.name}: {_FORBIDDEN_NAMES[field.name]}"
    for end, instead in _FORBIDDEN_ENDS.items():
        if field.name.endswith(end):
            yield f"names do not end in {end}: {instead}"
    if field.shape.kind == "integer" and field.name not in WITHOUT_UNIT and not _UNITS.search(field.name):
        yield "an integer's name ends in its unit"


def _lint_text(field: FieldShape) -> Iterator[str]:
    text, shape = field.description, field.shape
    if not text.endswith("."):
        yield "needs a text of whole sentences"
    if not field.required and "Absent:" not in text and "required" not in text:
        yield "an optional field says what absence means"
    if shape.kind in {"integer", "list", "map"}:
        for bound in (shape.minimum, shape.maximum):
            if bound not in {None, 0} and f"{bound:,}" not in text and str(bound) not in text:
                yield f"the text names its bound {bound:,}"


def _lint_shape(shape: Shape, *, spec: bool) -> Iterator[str]:
    if shape.kind == "enum" and not all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", word) for word in shape.words):
        yield "enum values are CamelCase"
    if spec and shape.kind == "integer" and (shape.minimum is None or shape.maximum is None):
        yield "an integer has both bounds"
    if shape.items is not None:
        below = shape.items.model
        if shape.kind == "list" and below is not None and not any(each.required for each in fields_of(below)):
            yield "items of a list have a required field"
        yield from _lint_shape(shape.items, spec=spec)
    for rule in shape.rules:
        if not rule.message[:1].strip() or rule.message.endswith("."):
            yield f"a rule's message is a sentence without a full stop: {rule.message!r}"


def lint_model(model: type[ApiModel], *, spec: bool, seen: set[type[ApiModel]] | None = None) -> Iterator[str]:
    """What the model and those below it do against the rules, each line with the field's path."""
    seen = set() if seen is None else seen
    if model in seen:
        return
    seen.add(model)
    if not (model.__doc__ or "").strip():
        yield f"{model.__name__}: needs a text"
    for rule in rules_of(model):
        if rule.message.endswith("."):
            yield f"{model.__name__}: a rule's message is a sentence without a full stop: {rule.message!r}"
    for field in fields_of(model):
        findings = (*_lint_name(field), *_lint_text(field), *_lint_shape(field.shape, spec=spec))
        yield from (f"{model.__name__}.{field.name}: {finding}" for finding in findings)
        shape: Shape | None = field.shape
        while shape is not None:
            if shape.model is not None:
                yield from lint_model(shape.model, spec=spec, seen=seen)
            shape = shape.items


def lint_status(model: type[ApiModel]) -> Iterator[str]:
    """What a status does against the API conventions."""
    first = fields_of(model)[0]
    list_type = first.shape.list_type
    if first.name != "conditions" or list_type is None or (list_type.kind, list_type.keys) != ("map", ("type",)):
        yield f"{model.__name__}: conditions stand first, as a map list by type"


def lint_api() -> tuple[str, ...]:
    """Every finding in both kinds; empty when the API keeps its rules."""
    found: list[str] = []
    for kind in KINDS:
        spec, status = models_of(kind)
        found.extend([*lint_model(spec, spec=True), *lint_model(status, spec=False), *lint_status(status)])
    return tuple(each for each in dict.fromkeys(found) if each not in EXCEPTIONS)
