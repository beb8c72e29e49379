"""The CEL rules themselves: each one is hit by a case, and each one can be evaluated offline."""

from collections.abc import Iterator

from modelcascade.api.cel_library import compile_rule
from modelcascade.api.markers import CEL, rules_of
from modelcascade.api.shapes import Shape, fields_of
from modelcascade.api.v1alpha1.meta import ApiModel
from modelcascade.schema.structural import KINDS
from support.bad_inputs import BAD


def rules_below(model: type[ApiModel]) -> Iterator[CEL]:
    """Every rule of a model and of those below it."""
    yield from rules_of(model)
    for field in fields_of(model):
        shape: Shape | None = field.shape
        while shape is not None:
            yield from shape.rules
            if shape.model is not None:
                yield from rules_below(shape.model)
            shape = shape.items


def all_rules() -> set[CEL]:
    """Every rule of both kinds."""
    found: set[CEL] = set()
    for kind in KINDS:
        found.update(rules_of(kind))
        for field in fields_of(kind, frozenset({"spec", "status"})):
            if field.shape.model is not None:
                found.update(rules_below(field.shape.model))
    return found


def test_every_rule_is_hit_by_a_case() -> None:
    """A rule without a case might refuse nothing, or everything."""
    hit = {case.message for case in BAD if case.by == "C"}
    assert {rule.message for rule in all_rules()} - hit == set()


def test_every_rule_compiles_offline() -> None:
    """The library understands the text of every rule."""
    for rule in all_rules():
        compile_rule(rule.rule)
