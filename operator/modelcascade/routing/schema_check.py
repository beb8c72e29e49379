"""
JSON Schema, bounded: is a client's schema one that we can check, and does an answer fit it?

A schema is a program by a stranger. So: local references only, at most `MAX_NODES` nodes and `MAX_LEVELS` levels, and a
budget of steps and of depth for each check (a recursion that meets Python's limit inside the library's Rust parts is a
panic, which no `except Exception` holds). `pattern`, `patternProperties` and `format` are left out of our own check: a
regular expression can take for ever, and the engine's grammar holds the answer to them. What cannot be checked inside
the budget counts as not checkable.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

__all__ = ["MAX_LEVELS", "MAX_NODES", "SchemaFit", "check_fit", "find_schema_problem"]

MAX_BYTES = 64 * 1024
MAX_NODES = 500
MAX_LEVELS = 32
MAX_STEPS = 5_000
MAX_DEPTH = 64
_UNCHECKED = ("pattern", "patternProperties", "format", "contentEncoding", "contentMediaType", "contentSchema")


@dataclass(slots=True)
class _Budget:
    steps: int = MAX_STEPS
    depth: int = MAX_DEPTH


_budget: ContextVar[_Budget] = ContextVar("budget")

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
        budget = _budget.get()
        budget.steps -= 1
        budget.depth -= 1
        if budget.steps < 0 or budget.depth < 0:
            raise _TooCostlyError
        try:
            yield from check(validator, value, instance, schema) or ()
        finally:  # also when the first error was enough and the rest is thrown away
            budget.depth += 1

    return counting


# jsonschema makes validator classes at run time, without a static type.
_Bounded: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        keyword: (lambda *_: None) if keyword in _UNCHECKED else _counted(check)
        for keyword, check in Draft202012Validator.VALIDATORS.items()
    },
)


def _walk(schema: Any) -> Iterator[tuple[dict[str, Any], int]]:
    waiting = [(schema, 1)]
    while waiting:
        node, level = waiting.pop()
        if isinstance(node, dict):
            yield node, level
            waiting.extend((child, level + 1) for child in node.values())
        elif isinstance(node, list):
            waiting.extend((child, level + 1) for child in node)


@lru_cache(maxsize=128)
def _problem_of(serialized: bytes) -> str | None:
    schema = orjson.loads(serialized)
    for count, (node, level) in enumerate(_walk(schema)):
        if count >= MAX_NODES:
            return f"has more than {MAX_NODES} nodes"
        if level > MAX_LEVELS:
            return f"is nested deeper than {MAX_LEVELS} levels"
        for key in ("$ref", "$dynamicRef"):
            reference = node.get(key)
            if isinstance(reference, str) and not reference.startswith("#"):
                return f"has a {key} that leaves the schema"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        return f"is not a valid JSON Schema at {place!r}" if place else "is not a valid JSON Schema"
    return None


def find_schema_problem(schema: dict[str, Any]) -> str | None:
    """The end of a sentence that says why a schema is refused, or `None`; answers are remembered by content."""
    serialized = orjson.dumps(schema)
    if len(serialized) > MAX_BYTES:
        return f"is larger than {MAX_BYTES} bytes"
    return _problem_of(serialized)


def check_fit(value: Any, schema: dict[str, Any]) -> SchemaFit:
    """Whether `value` fits a schema that `find_schema_problem` let through."""
    token = _budget.set(_Budget())
    try:
        fits = _Bounded(schema, registry=Registry()).is_valid(value)
    except (_TooCostlyError, Unresolvable):
        return SchemaFit.UNKNOWN
    finally:
        _budget.reset(token)
    return SchemaFit.FITS if fits else SchemaFit.MISFITS
