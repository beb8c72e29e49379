"""Schemas by strangers: what fits is told, and no schema costs more than its budget."""

from typing import Any

import pytest

from modelcascade.routing.schema_check import MAX_NODES, SchemaFit, check_fit, find_schema_problem

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
DEEP: dict[str, Any] = {"type": "integer"}
for _ in range(60):
    DEEP = {"not": DEEP}
BOMB: dict[str, Any] = {
    "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)} | {"d30": {}},
    "$ref": "#/$defs/d0",
}


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        pytest.param({"age": 3}, PERSON, SchemaFit.FITS, id="fits"),
        pytest.param({"age": "3"}, PERSON, SchemaFit.MISFITS, id="wrong type"),
        pytest.param({}, PERSON, SchemaFit.MISFITS, id="missing"),
        pytest.param(
            1, {"anyOf": [{"const": n} for n in range(100, 0, -1)]}, SchemaFit.FITS, id="the last of a hundred"
        ),
        pytest.param(
            0, {"anyOf": [{"const": n} for n in range(100, 0, -1)]}, SchemaFit.MISFITS, id="none of a hundred"
        ),
        pytest.param(1, BOMB, SchemaFit.UNKNOWN, id="2^30 steps are not taken"),
        pytest.param(1, {"$ref": "#"}, SchemaFit.UNKNOWN, id="a circle"),
        pytest.param(1, {"$ref": "#/nowhere"}, SchemaFit.UNKNOWN, id="a reference to nowhere"),
        pytest.param("a" * 40 + "!", {"pattern": "^(a+)+$"}, SchemaFit.FITS, id="expressions are left to the engine"),
    ],
)
def test_fit(value: Any, schema: dict[str, Any], expected: SchemaFit) -> None:
    """A value fits, does not, or cannot be checked inside the budget."""
    assert check_fit(value, schema) is expected


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        pytest.param({"type": "nope"}, "not a valid JSON Schema", id="not a schema"),
        pytest.param({"properties": {"a": {"$ref": "http://169.254.169.254/"}}}, "leaves the schema", id="remote"),
        pytest.param({"description": "x" * 70_000}, "larger than", id="long"),
        pytest.param(DEEP, "nested deeper than 32", id="deep"),
        pytest.param({"enum": [{} for _ in range(MAX_NODES)]}, "more than", id="too large"),
    ],
)
def test_a_schema_that_cannot_be_checked_is_refused(schema: dict[str, Any], word: str) -> None:
    """The client hears why, before any engine is asked."""
    found = find_schema_problem(schema)
    assert found is not None
    assert word in found


def test_a_deep_but_allowed_schema_is_checked() -> None:
    """Sixteen objects inside one another are inside every budget."""
    schema: dict[str, Any] = {"type": "integer"}
    value: Any = 1
    for _ in range(15):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
        value = {"a": value}
    assert find_schema_problem(schema) is None
    assert check_fit(value, schema) is SchemaFit.FITS
    assert check_fit({"a": 1}, schema) is SchemaFit.MISFITS


def test_a_list_of_a_tree_is_checked() -> None:
    """Siblings do not add to the depth: a thousand small entries and a recursive tree fit."""
    tree = {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
        "type": "array",
        "items": {"$ref": "#/$defs/node"},
    }
    assert find_schema_problem(tree) is None
    assert check_fit([{"next": {"next": {}}}] * 300, tree) is SchemaFit.FITS
    assert check_fit([{"next": {"next": 1}}], tree) is SchemaFit.MISFITS


def test_an_ordinary_schema_passes() -> None:
    """Local references and nesting are fine."""
    assert find_schema_problem({"$defs": {"p": PERSON}, "type": "array", "items": {"$ref": "#/$defs/p"}}) is None
