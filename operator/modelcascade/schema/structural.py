"""
Models to structural schemas and CRDs; it refuses what it cannot represent, with the field's path.

It walks the models' own annotations (through `modelcascade.api.shapes`) instead of rewriting the JSON Schema that
pydantic emits: what is not understood has no place to hide. Optional means absent, never null; a nested default
is `{}`, so that the API server fills in the children's defaults.
"""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from modelcascade.api.markers import CEL, ListType, rules_of
from modelcascade.api.shapes import FieldShape, Shape, UnrepresentableError, fields_of
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.meta import GROUP, VERSION, ApiModel
from modelcascade.api.v1alpha1.policy import CascadeScalingPolicy

__all__ = ["KINDS", "crd_of", "models_of", "schema_of_shape", "structural_schema"]

KINDS: tuple[type[ModelCascade] | type[CascadeScalingPolicy], ...] = (ModelCascade, CascadeScalingPolicy)


def _validations(rules: tuple[CEL, ...]) -> list[dict[str, str]]:
    return [
        {"rule": rule.rule, "message": rule.message} | ({"fieldPath": rule.field_path} if rule.field_path else {})
        for rule in rules
    ]


def _bounds(shape: Shape, low: str, high: str) -> dict[str, int]:
    found = {low: shape.minimum, high: shape.maximum}
    return {key: value for key, value in found.items() if value is not None}


def _list(shape: Shape, list_type: ListType, items: dict[str, Any], path: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", **_bounds(shape, "minItems", "maxItems")}
    schema["x-kubernetes-list-type"] = list_type.kind
    match list_type.kind:
        case "map":
            missing = [
                key
                for key in list_type.keys
                if key not in items.get("required", ()) and "default" not in items.get("properties", {}).get(key, {})
            ]
            if not list_type.keys or missing:
                raise UnrepresentableError(f"{path}: keys of a map list must be required fields of its items")
            schema["x-kubernetes-list-map-keys"] = list(list_type.keys)
        case "set":
            if items["type"] not in {"string", "integer"}:
                raise UnrepresentableError(f"{path}: a set holds words or numbers")
        case "atomic":
            pass
        case _:
            raise UnrepresentableError(f"{path}: list type {list_type.kind!r} is none of map, set, atomic")
    schema["items"] = items
    return schema


def schema_of_shape(shape: Shape, path: str, above: tuple[type[ApiModel], ...] = ()) -> dict[str, Any]:
    """The schema of one place; `above` are the models that it stands in."""
    schema: dict[str, Any]
    rules = shape.rules
    match shape.kind:
        case "object":
            if shape.model is None or shape.model in above:
                raise UnrepresentableError(f"{path}: a model must not contain itself")
            schema = _object(shape.model, path, above)
            rules = (*rules_of(shape.model), *rules)
        case "enum":
            schema = {"type": "string", "enum": list(shape.words)}
        case "integer":
            schema = {"type": "integer", **_bounds(shape, "minimum", "maximum")}
        case "string":
            schema = {"type": "string", **_bounds(shape, "minLength", "maxLength")}
        case "int-or-string":
            schema = {
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                **_bounds(shape, "minLength", "maxLength"),
            }
        case "time":
            schema = {"type": "string", "format": "date-time"}
        case "list" if shape.items is not None and shape.list_type is not None:
            schema = _list(shape, shape.list_type, schema_of_shape(shape.items, f"{path}[]", above), path)
        case "map" if shape.items is not None:
            schema = {
                "type": "object",
                **_bounds(shape, "minProperties", "maxProperties"),
                "additionalProperties": schema_of_shape(shape.items, f"{path}[]", above),
            }
        case _:
            raise UnrepresentableError(f"{path}: a {shape.kind} without a type of its items")
    if rules:
        schema["x-kubernetes-validations"] = _validations(rules)
    return schema


def _default(model: type[ApiModel], field: FieldShape, path: str) -> Any:
    """The default as JSON, checked against the field's own type; `None` when absence has its own meaning."""
    if field.required or field.default in (None, (), {}):
        return None
    info = model.model_fields[field.attribute]
    checker: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
    written = checker.dump_python(field.default, mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    try:
        checker.validate_json(checker.dump_json(field.default, by_alias=True, exclude_none=True))
    except ValidationError as error:
        raise UnrepresentableError(f"{path}: the default {field.default!r} breaks the field's own bounds") from error
    return written


def _object(model: type[ApiModel], path: str, above: tuple[type[ApiModel], ...]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in fields_of(model):
        place = f"{path}.{field.name}" if path else field.name
        described = {"description": field.description} if field.description else {}
        properties[field.name] = described | schema_of_shape(field.shape, place, (*above, model))
        default = _default(model, field, place)
        if default is not None:
            properties[field.name]["default"] = default
    schema: dict[str, Any] = {"type": "object"}
    required = [field.name for field in fields_of(model) if field.required]
    if required:
        schema["required"] = required
    schema["properties"] = properties
    return schema


def structural_schema(model: type[ApiModel], path: str = "") -> dict[str, Any]:
    """The schema of one model, with its rules; raises `UnrepresentableError` with the path of what has no place."""
    return schema_of_shape(Shape("object", model=model), path)


def models_of(kind: type[ModelCascade] | type[CascadeScalingPolicy]) -> tuple[type[ApiModel], ...]:
    """The models of `spec` and `status`; what stands above them belongs to Kubernetes."""
    fields = fields_of(kind, frozenset({"spec", "status"}))
    return tuple(field.shape.model for field in fields if field.shape.model is not None)


def _root_schema(kind: type[ModelCascade] | type[CascadeScalingPolicy]) -> dict[str, Any]:
    fields = {field.name: field for field in fields_of(kind, frozenset({"spec", "status"}))}
    properties: dict[str, Any] = {
        "apiVersion": {"description": "Version of this representation of an object.", "type": "string"},
        "kind": {"description": "Kind of the object that this is.", "type": "string"},
        "metadata": {"type": "object"},
    }
    for name, field in fields.items():
        properties[name] = {"description": field.description} | schema_of_shape(field.shape, name, (kind,))
    schema: dict[str, Any] = {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "required": ["spec"],
        "properties": properties,
    }
    if rules_of(kind):
        schema["x-kubernetes-validations"] = _validations(rules_of(kind))
    return schema


def crd_of(kind: type[ModelCascade] | type[CascadeScalingPolicy]) -> dict[str, Any]:
    """The whole CustomResourceDefinition of one kind."""
    name = kind.__name__
    columns = [
        {"name": column.name, "type": column.type, "jsonPath": column.json_path, "description": column.description}
        | ({"priority": column.priority} if column.priority else {})
        for column in kind.printer_columns
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": kind.plural,
                "singular": name.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["modelcascade"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                }
            ],
        },
    }
