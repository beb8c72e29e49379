"""
JSON Schema, bounded: is a client's schema one that we can check, and does an answer fit it?

A schema is a program by a stranger. So: local references only, at most `MAX_NODES` nodes, a step budget for each
check, and no `pattern`, `patternProperties` or `format` in our own check (a regular expression can take for ever;
the engine's grammar holds the answer to them). What cannot be checked inside the budget counts as not checkable.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

__all__ = ["MAX_NODES", "SchemaFit", "check_fit", "find_schema_problem"]

MAX_NODES = 2_000
MAX_STEPS = 5_000
_UNCHECKED = ("pattern", "patternProperties", "format", "contentEncoding", "contentMediaType", "contentSchema")

_steps_left: ContextVar[list[int]] = ContextVar("steps_left")

_Check = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class SchemaFit(StrEnum):
    """Whether a value fits a schema."""

    FITS = "fits"
    MISFITS = "misfits"
    UNKNOWN = "unknown"
    """The check needs more steps than it may take, or a reference leads nowhere."""


class _TooCostlyError(Exception):
    pass


def _counted(check: _Check) -> _Check:
    def counting(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        left = _steps_left.get()
        left[0] -= 1
        if left[0] < 0:
            raise _TooCostlyError
        yield from check(validator, value, instance, schema) or ()

    return counting


# jsonschema makes validator classes at run time, without a static type.
_Bounded: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        keyword: (lambda *_: None) if keyword in _UNCHECKED else _counted(check)
        for keyword, check in Draft202012Validator.VALIDATORS.items()
    },
)


def _walk(schema: Any) -> Iterator[dict[str, Any]]:
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


@lru_cache(maxsize=256)
def _problem_of(serialized: bytes) -> str | None:
    schema = orjson.loads(serialized)
    for count, node in enumerate(_walk(schema)):
        if count >= MAX_NODES:
            return f"has more than {MAX_NODES} nodes"
        for key in ("$ref", "$dynamicRef"):
            reference = node.get(key)
            if isinstance(reference, str) and not reference.startswith("#"):
                return f"has a {key} that leaves the schema"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        return f"is not a valid JSON Schema at {place!r}" if place else "is not a valid JSON Schema"
    except RecursionError:
        return "is nested too deeply"
    return None


def find_schema_problem(schema: dict[str, Any]) -> str | None:
    """The end of a sentence that says why a schema is refused, or `None`; answers are remembered by content."""
    return _problem_of(orjson.dumps(schema))


def check_fit(value: Any, schema: dict[str, Any]) -> SchemaFit:
    """Whether `value` fits a schema that `find_schema_problem` let through."""
    token = _steps_left.set([MAX_STEPS])
    try:
        fits = _Bounded(schema, registry=Registry()).is_valid(value)
    except (_TooCostlyError, RecursionError, Unresolvable):
        return SchemaFit.UNKNOWN
    finally:
        _steps_left.reset(token)
    return SchemaFit.FITS if fits else SchemaFit.MISFITS
