"""The CEL rules themselves: each one is hit by a case, and each one can be evaluated offline."""

from collections.abc import Iterator

import pytest

from modelcascade.api.cel import rule_holds
from modelcascade.api.cel_library import compile_rule, load_library
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


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("self.missing > 1", id="a field that is absent"),
        pytest.param("self.list[3] == 1", id="an index that is out of range"),
        pytest.param("1 / self.zero == 1", id="a division by zero"),
        pytest.param("self.word > 1", id="a word compared with a number"),
        pytest.param("self.word.unknown()", id="a function that does not exist"),
        pytest.param("self.zero", id="no truth value"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_counts_as_broken(text: str) -> None:
    """As on the API server: a mistake in a rule refuses, it never lets pass."""
    assert not rule_holds(CEL(text, "m"), {"self": {"list": [], "zero": 0, "word": "w"}})


def test_a_missing_library_is_named() -> None:
    """Which package to install, not an attribute error."""
    with pytest.raises(ImportError, match="common-expression-language"):
        load_library("no_such_package_here")
