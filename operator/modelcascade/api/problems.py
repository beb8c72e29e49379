"""What is wrong with an object: a path, and a sentence in the API server's wording."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["ROOT", "Problem", "SpecProblems", "describe_errors"]

ROOT = "(root)"
"""The path of the object itself."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One rule that the object breaks."""

    path: str
    """Such as `spec.tiers[2].name`; `(root)` is the object itself."""

    message: str
    """What is wrong, and what to do where that is not plain."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class SpecProblems:
    """Everything that is wrong with one object; never empty."""

    problems: tuple[Problem, ...]


def _path(location: Sequence[int | str]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or ROOT


def _message(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "required value"
        case "extra_forbidden":
            return "unknown field"
        case "literal_error":
            return f"unsupported value, supported: {context['expected'].replace(' or ', ', ').replace(chr(39), '')}"
        case "greater_than_equal":
            return f"should be greater than or equal to {context['ge']}"
        case "less_than_equal":
            return f"should be less than or equal to {context['le']}"
        case "string_too_long":
            return f"may not be longer than {context['max_length']}"
        case "string_too_short":
            return f"should be at least {context['min_length']} chars long"
        case "too_short":
            return f"should have at least {context['min_length']} items"
        case "too_long":
            return f"must have at most {context['max_length']} items"
        case "int_type" | "int_from_float" | "int_parsing" | "int_parsing_size":
            return "must be of type integer"
        case "string_type" | "string_unicode":
            return "must be of type string"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "must be of type object"
        case "tuple_type" | "list_type":
            return "must be of type array"
        case "json_invalid":
            return f"is no JSON: {context.get('error', error['msg'])}"
        case _:
            return error["msg"]


def describe_errors(error: ValidationError) -> tuple[Problem, ...]:
    """The problems that pydantic found, with paths and in the words that the API server uses for them."""
    found = error.errors(include_url=False, include_input=False)
    # pydantic counts only valid items, so a list with a broken item is also "too short": say only what is broken.
    below = {each["loc"][:depth] for each in found for depth in range(len(each["loc"]))}
    return tuple(
        Problem(_path(each["loc"]), _message(each))
        for each in found
        if not (each["type"] == "too_short" and each["loc"] in below)
    )
