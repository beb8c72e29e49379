"""The converter: what it makes of a model, and what it refuses with the field's path."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import pytest
from kubernetes.client import V1CustomResourceDefinition
from pydantic import AfterValidator, BeforeValidator, Field

from modelcascade.api.markers import CEL, IntOrString, ListType
from modelcascade.api.shapes import Shape, UnrepresentableError
from modelcascade.api.v1alpha1.meta import ApiModel
from modelcascade.schema.structural import KINDS, crd_of, schema_of_shape, structural_schema

Word = Annotated[str, Field(max_length=8)]


class Inner(ApiModel):
    """Something below."""

    size: Annotated[int, Field(ge=1, le=9)] = 3
    """How large, 1 to 9. Absent: 3."""

    note: Word | None = None
    """A word. Absent: none."""


class Item(ApiModel):
    """One item."""

    name: Annotated[str, Field(max_length=8), CEL("self != 'x'", "x is taken")]
    """Its name."""


class Outer(ApiModel):
    """A model with one field of each kind."""

    cel_rules: ClassVar = (CEL("self.count > 0", "count is missing", field_path=".count"),)

    inner: Inner = Inner()
    """Below. Absent: as below."""

    maybe: Inner | None = None
    """Below. Absent: nothing."""

    mode: Literal["On", "Off"] = "On"
    """A choice. Absent: On."""

    count: Annotated[int, Field(ge=0, le=5)] = Field(default_factory=lambda: 2)
    """Made by a factory. Absent: 2."""

    items: Annotated[tuple[Item, ...], Field(max_length=4), ListType("map", ("name",))] = ()
    """Items, at most 4. Absent: none."""

    words: Annotated[tuple[Word, ...], Field(min_length=1, max_length=4), ListType("set")] = ("a",)
    """Words, 1 to 4. Absent: a."""

    labels: Annotated[dict[str, Word], Field(max_length=4)] = Field(default_factory=dict)
    """Labels, at most 4. Absent: none."""

    quantity: Annotated[str, Field(max_length=8), IntOrString(), BeforeValidator(str)] | None = None
    """A quantity. Absent: none."""

    when: datetime | None = None
    """A time. Absent: never."""

    must: Word
    """Text over
    two lines."""


def test_a_model_of_every_kind() -> None:
    """Defaults are the server's, a nested default is `{}`, absence has no default, and nothing is nullable."""
    assert structural_schema(Outer) == {
        "type": "object",
        "required": ["must"],
        "properties": {
            "inner": {
                "description": "Below. Absent: as below.",
                "type": "object",
                "properties": {
                    "size": {
                        "description": "How large, 1 to 9. Absent: 3.",
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 9,
                        "default": 3,
                    },
                    "note": {"description": "A word. Absent: none.", "type": "string", "maxLength": 8},
                },
                "default": {},
            },
            "maybe": {
                "description": "Below. Absent: nothing.",
                "type": "object",
                "properties": {
                    "size": {
                        "description": "How large, 1 to 9. Absent: 3.",
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 9,
                        "default": 3,
                    },
                    "note": {"description": "A word. Absent: none.", "type": "string", "maxLength": 8},
                },
            },
            "mode": {
                "description": "A choice. Absent: On.",
                "type": "string",
                "enum": ["On", "Off"],
                "default": "On",
            },
            "count": {
                "description": "Made by a factory. Absent: 2.",
                "type": "integer",
                "minimum": 0,
                "maximum": 5,
                "default": 2,
            },
            "items": {
                "description": "Items, at most 4. Absent: none.",
                "type": "array",
                "maxItems": 4,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {
                            "description": "Its name.",
                            "type": "string",
                            "maxLength": 8,
                            "x-kubernetes-validations": [{"rule": "self != 'x'", "message": "x is taken"}],
                        }
                    },
                },
            },
            "words": {
                "description": "Words, 1 to 4. Absent: a.",
                "type": "array",
                "minItems": 1,
                "maxItems": 4,
                "x-kubernetes-list-type": "set",
                "items": {"type": "string", "maxLength": 8},
                "default": ["a"],
            },
            "labels": {
                "description": "Labels, at most 4. Absent: none.",
                "type": "object",
                "maxProperties": 4,
                "additionalProperties": {"type": "string", "maxLength": 8},
            },
            "quantity": {
                "description": "A quantity. Absent: none.",
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "maxLength": 8,
            },
            "when": {"description": "A time. Absent: never.", "type": "string", "format": "date-time"},
            "must": {"description": "Text over two lines.", "type": "string", "maxLength": 8},
        },
        "x-kubernetes-validations": [{"rule": "self.count > 0", "message": "count is missing", "fieldPath": ".count"}],
    }


class Loop(ApiModel):
    """Contains itself."""

    below: "Loop | None" = None


class Keyless(ApiModel):
    """An item without a required key."""

    name: Word | None = None


@pytest.mark.parametrize(
    ("annotation", "default", "why"),
    [
        pytest.param(float, ..., "is not allowed", id="float"),
        pytest.param(bool, ..., "is not allowed", id="bool"),
        pytest.param(Any, ..., "is not allowed", id="Any"),
        pytest.param(object, ..., "is not allowed", id="object"),
        pytest.param(list[str], ..., "is not allowed", id="list"),
        pytest.param(set[str], ..., "is not allowed", id="set"),
        pytest.param(dict, ..., "is not allowed", id="untyped dict"),
        pytest.param(dict[str, Word], ..., "a map is dict", id="unbounded dict"),
        pytest.param(Annotated[dict[int, Word], Field(max_length=2)], ..., "a map is dict", id="dict with numbers"),
        pytest.param(Annotated[dict[str, Any], Field(max_length=2)], ..., "is not allowed", id="dict of anything"),
        pytest.param(str, ..., "a string needs a maximum length", id="unbounded string"),
        pytest.param(int | Word, ..., "no unions", id="union"),
        pytest.param(tuple[Word, Word], ..., "a list is written", id="fixed tuple"),
        pytest.param(tuple[Word, ...], ..., "a list needs a maximum length and a ListType", id="bare list"),
        pytest.param(
            Annotated[tuple[Word, ...], Field(max_length=2)], ..., "a list needs a maximum", id="list without a type"
        ),
        pytest.param(Annotated[tuple[Word, ...], ListType("set")], ..., "a list needs a maximum", id="unbounded list"),
        pytest.param(
            Annotated[tuple[str, ...], Field(max_length=2), ListType("set")],
            ...,
            "a string needs",
            id="list of strings",
        ),
        pytest.param(
            Annotated[tuple[Inner, ...], Field(max_length=2), ListType("set")], ..., "a set holds", id="set of objects"
        ),
        pytest.param(
            Annotated[tuple[Keyless, ...], Field(max_length=2), ListType("map", ("name",))],
            ...,
            "keys of a map list",
            id="map list with an optional key",
        ),
        pytest.param(
            Annotated[tuple[Item, ...], Field(max_length=2), ListType("map")], ..., "keys of a map list", id="no keys"
        ),
        pytest.param(
            Annotated[tuple[Word, ...], Field(max_length=2), ListType("heap")], ..., "none of map", id="list type"
        ),
        pytest.param(Literal[1, 2], ..., "an enum holds words", id="enum of numbers"),
        pytest.param(Annotated[int, Field(gt=0)], ..., "has no place in a CRD", id="exclusive bound"),
        pytest.param(Annotated[str, Field(max_length=8, pattern="a")], ..., "has no place in a CRD", id="pattern"),
        pytest.param(Annotated[Word, AfterValidator(str)], ..., "has no place in a CRD", id="validator after"),
        pytest.param(Annotated[Word, BeforeValidator(str)], ..., "runs no validators", id="validator before"),
        pytest.param(Annotated[int, Field(ge=1, le=5)], 9, "breaks the field's own bounds", id="bad default"),
        pytest.param(Word, "far too long", "breaks the field's own bounds", id="bad text default"),
        pytest.param(Loop | None, None, "must not contain itself", id="recursion"),
    ],
)
def test_what_has_no_place_is_refused_with_its_path(annotation: Any, default: Any, why: str) -> None:
    """Nothing half-understood reaches a CRD."""

    def body(names: dict[str, Any]) -> None:
        names["__annotations__"] = {"spoiled": annotation}
        names["__doc__"] = "Holds one bad field."
        if default is not ...:
            names["spoiled"] = default

    import types  # noqa: PLC0415 - only here

    model = types.new_class("Model", (ApiModel,), exec_body=body)
    with pytest.raises(UnrepresentableError, match=why) as refused:
        structural_schema(model)
    assert "spoiled" in str(refused.value) or "below" in str(refused.value)


@pytest.mark.parametrize("kind", ["list", "map"])
def test_a_shape_without_items_is_refused(kind: Literal["list", "map"]) -> None:
    """A list or map of nothing known is untyped."""
    with pytest.raises(UnrepresentableError, match=f"spec.x: a {kind} without a type"):
        schema_of_shape(Shape(kind), "spec.x")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_crds_pass_the_strict_model(kind: Any) -> None:
    """A misspelt key would be dropped by the API server in silence."""
    V1CustomResourceDefinition.model_validate(crd_of(kind))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_nothing_is_nullable_or_untyped(kind: Any) -> None:
    """Optional means absent."""

    def look(schema: Any, path: str) -> None:
        if isinstance(schema, list):
            for item in schema:
                look(item, path)
        if isinstance(schema, dict):
            assert not set(schema) & {"nullable", "$ref", "$defs", "oneOf", "allOf", "const", "title"}, path
            assert schema.get("default", 0) is not None, path
            for key, item in schema.items():
                look(item, f"{path}.{key}")

    look(crd_of(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"], kind.__name__)


def test_conditions_come_first_in_status() -> None:
    """As the API conventions have it."""
    for kind in KINDS:
        status = crd_of(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        name, conditions = next(iter(status["properties"].items()))
        assert (name, conditions["x-kubernetes-list-map-keys"]) == ("conditions", ["type"])
