"""
What a model's field is, read once from its annotation: the CRD generator and the CEL walk both see this.

It refuses what the API does not allow (see the table), with the field's path, so that nothing half-understood
reaches a CRD.

| annotation | shape |
| --- | --- |
| an `ApiModel` | object |
| `Literal` of words | enum |
| `int` | integer |
| `str` with a maximum length | string, or int-or-string with that marker |
| `datetime` | string with format date-time |
| `tuple[T, ...]` with a maximum and a `ListType` | list |
| `dict[str, T]` with a maximum | map |
| float, bool, Any, list, set, fixed tuple, union, anything else | refused |
"""

import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from modelcascade.api.markers import CEL, IntOrString, ListType
from modelcascade.api.v1alpha1.meta import ApiModel

__all__ = ["FieldShape", "Shape", "UnrepresentableError", "fields_of"]


class UnrepresentableError(TypeError):
    """A model holds something that the API does not allow; the message starts with the field's path."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One type with its bounds and rules."""

    kind: Literal["object", "enum", "integer", "string", "int-or-string", "time", "list", "map"]
    model: type[ApiModel] | None = None
    words: tuple[str, ...] = ()
    items: "Shape | None" = None
    minimum: int | None = None
    """Smallest integer, shortest string or fewest entries."""

    maximum: int | None = None
    """Largest integer, longest string or most entries."""

    list_type: ListType | None = None
    rules: tuple[CEL, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldShape:
    """One field of a model."""

    attribute: str
    name: str
    """As users write it."""

    shape: Shape
    required: bool
    default: Any
    """What absence means; `None`, `()` and `{}` stand for absence itself."""

    description: str


@dataclass(slots=True)
class _Found:
    """What stands beside a type in its annotation."""

    minimum: int | None = None
    maximum: int | None = None
    list_type: ListType | None = None
    int_or_string: bool = False
    rules: list[CEL] = field(default_factory=list)


def _collect(metadata: Iterable[Any], path: str, found: _Found) -> None:
    for item in metadata:
        match item:
            case FieldInfo():
                _collect(item.metadata, path, found)
            case Ge():
                found.minimum = int(str(item.ge))
            case Le():
                found.maximum = int(str(item.le))
            case MinLen():
                found.minimum = item.min_length
            case MaxLen():
                found.maximum = item.max_length
            case ListType():
                found.list_type = item
            case IntOrString():
                found.int_or_string = True
            case CEL():
                found.rules.append(item)
            case BeforeValidator():
                continue  # turns the integer of an int-or-string into text; `_read` demands the marker
            case _:
                raise UnrepresentableError(f"{path}: {item!r} has no place in a CRD; use bounds and CEL rules")


def _read(annotation: Any, metadata: Iterable[Any], path: str) -> Shape:
    found = _Found()
    before = list(metadata)
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *further = get_args(annotation)
            before.extend(further)
        elif origin in (Union, types.UnionType):
            arms = [arm for arm in get_args(annotation) if arm is not types.NoneType]
            if len(arms) != 1:
                raise UnrepresentableError(f"{path}: no unions; use one optional object per kind and a CEL rule")
            annotation = arms[0]
        else:
            break
    _collect(before, path, found)
    if any(isinstance(item, BeforeValidator) for item in before) and not found.int_or_string:
        raise UnrepresentableError(f"{path}: the API server runs no validators; use a CEL rule")
    return _shape(annotation, found, path)


def _shape(annotation: Any, found: _Found, path: str) -> Shape:
    rules, low, high = tuple(found.rules), found.minimum, found.maximum
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        if not all(isinstance(word, str) for word in arguments):
            raise UnrepresentableError(f"{path}: an enum holds words only")
        return Shape("enum", words=arguments, rules=rules)
    if origin is tuple:
        if len(arguments) != 2 or arguments[1] is not Ellipsis:  # noqa: PLR2004 - tuple[T, ...] has two arguments
            raise UnrepresentableError(f"{path}: a list is written tuple[T, ...]")
        if found.maximum is None or found.list_type is None:
            raise UnrepresentableError(f"{path}: a list needs a maximum length and a ListType")
        items = _read(arguments[0], (), f"{path}[]")
        return Shape("list", items=items, list_type=found.list_type, rules=rules, minimum=low, maximum=high)
    if origin is dict:
        if arguments[0] is not str or found.maximum is None:
            raise UnrepresentableError(f"{path}: a map is dict[str, T] with a maximum length")
        return Shape("map", items=_read(arguments[1], (), f"{path}[]"), rules=rules, minimum=low, maximum=high)
    if annotation is datetime:
        return Shape("time", rules=rules)
    if annotation is int:
        return Shape("integer", rules=rules, minimum=low, maximum=high)
    if annotation is str:
        if found.maximum is None:
            raise UnrepresentableError(f"{path}: a string needs a maximum length")
        return Shape("int-or-string" if found.int_or_string else "string", rules=rules, minimum=low, maximum=high)
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return Shape("object", model=annotation, rules=rules)
    raise UnrepresentableError(f"{path}: {annotation!r} is not allowed; see the table in modelcascade.api.shapes")


@cache
def fields_of(model: type[ApiModel], only: frozenset[str] | None = None) -> tuple[FieldShape, ...]:
    """
    The fields in their order; raises `UnrepresentableError` with the path of what the API does not allow.

    `only` names the attributes to look at: what stands above `spec` and `status` belongs to Kubernetes.
    """
    return tuple(
        FieldShape(
            attribute=attribute,
            name=info.alias or attribute,
            shape=_read(info.annotation, info.metadata, f"{model.__name__}.{info.alias or attribute}"),
            required=info.is_required(),
            default=None if info.is_required() else info.get_default(call_default_factory=True, validated_data={}),
            description=" ".join((info.description or "").split()),
        )
        for attribute, info in model.model_fields.items()
        if only is None or attribute in only
    )
