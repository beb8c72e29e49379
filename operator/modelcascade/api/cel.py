"""
The CRDs' CEL rules, evaluated offline on a parsed object: the same text that the API server evaluates.

The library is chosen in docs/adr/0003-cel-offline.md. Rules see the object as the API server does: with defaults,
without nulls, and without optional lists and maps that were not written.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from modelcascade.api.cel_library import Program, compile_rule
from modelcascade.api.markers import CEL, rules_of
from modelcascade.api.problems import ROOT, Problem
from modelcascade.api.shapes import Shape, fields_of
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.meta import ApiModel
from modelcascade.api.v1alpha1.policy import CascadeScalingPolicy

__all__ = ["broken_rules", "is_transition", "json_of", "rule_holds"]


def is_transition(rule: CEL) -> bool:
    """Whether the rule compares with the stored object, so that only an update can break it."""
    return "oldSelf" in rule.rule


@cache
def _program(text: str) -> Program:
    return compile_rule(text)


def json_of(model: ApiModel) -> dict[str, Any]:
    """The object as the API server's rules see it; a list or map that was not written is absent, not empty."""
    found: dict[str, Any] = {}
    for field in fields_of(type(model)):
        value = getattr(model, field.attribute)
        if value is None or (not value and value in ((), {}) and field.attribute not in model.model_fields_set):
            continue
        found[field.name] = _json(value)
    return found


def _json(value: Any) -> Any:
    match value:
        case ApiModel():
            return json_of(value)
        case tuple():
            return [_json(item) for item in value]
        case _:
            return value


def rule_holds(rule: CEL, variables: dict[str, Any]) -> bool:
    """Whether the rule is true for `self` (and `oldSelf`); a rule that cannot be evaluated is broken."""
    try:
        return _program(rule.rule).execute(variables) is True
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        # As on the API server, a rule that cannot be evaluated counts as broken: its message is still the best text.
        return False


def _at(path: str, rule: CEL) -> str:
    return f"{path or ROOT}{rule.field_path or ''}"


def _walk(shape: Shape, value: Any, path: str) -> Iterator[tuple[tuple[CEL, ...], Any, str]]:
    """Each place that has rules: the rules, the value there as the rules see it, and its path."""
    if shape.rules:
        yield shape.rules, _json(value), path
    match shape.kind:
        case "object":
            model: type[ApiModel] = type(value)
            yield rules_of(model), json_of(value), path
            for field in fields_of(model):
                below = getattr(value, field.attribute)
                if below is None or (below in ((), {}) and field.attribute not in value.model_fields_set):
                    continue
                yield from _walk(field.shape, below, f"{path}.{field.name}" if path else field.name)
        case "list" if shape.items is not None:
            for index, item in enumerate(value):
                yield from _walk(shape.items, item, f"{path}[{index}]")
        case "map" if shape.items is not None:
            for key, item in value.items():
                yield from _walk(shape.items, item, f"{path}.{key}")
        case _:
            return


def _duplicates(shape: Shape, value: Any, path: str) -> Iterator[Problem]:
    if shape.list_type is None or shape.list_type.kind == "atomic":
        return
    seen = set()
    for item in value:
        key = tuple(_json(item).get(name) for name in shape.list_type.keys) if shape.list_type.keys else (item,)
        if key in seen:
            yield Problem(path, f'duplicate value "{", ".join(str(part) for part in key)}"')
        seen.add(key)


def _repeated(shape: Shape, value: Any, path: str) -> Iterator[Problem]:
    match shape.kind:
        case "object":
            model: type[ApiModel] = type(value)
            for field in fields_of(model):
                below = getattr(value, field.attribute)
                if below is not None:
                    yield from _repeated(field.shape, below, f"{path}.{field.name}" if path else field.name)
        case "list" if shape.items is not None:
            yield from _duplicates(shape, value, path)
            for index, item in enumerate(value):
                yield from _repeated(shape.items, item, f"{path}[{index}]")
        case _:
            return


def broken_rules(found: ModelCascade | CascadeScalingPolicy) -> tuple[Problem, ...]:
    """Every rule that the object breaks by itself, duplicates in lists included; in the order of the fields."""
    spec: ApiModel = found.spec
    shape = Shape("object", model=type(spec))
    root = {"metadata": {"name": found.metadata.name}, "spec": json_of(spec)}
    places = [(rules_of(type(found)), root, ""), *_walk(shape, spec, "spec")]
    broken = dict.fromkeys(_repeated(shape, spec, "spec"))
    for rules, value, path in places:
        for rule in rules:
            if not is_transition(rule) and not rule_holds(rule, {"self": value}):
                broken[Problem(_at(path, rule), rule.message)] = None
    return tuple(broken)
