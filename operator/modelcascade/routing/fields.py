"""Readers of single fields: the right type and inside its bounds, or a `FieldError` that names the field."""

from typing import Any

__all__ = ["FieldError", "read_flag", "read_integer", "read_list", "read_number", "read_object", "read_text"]


class FieldError(ValueError):
    """A field is refused; `path` names it. Caught by the parser that called the reader, never further up."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def read_flag(value: Any, path: str) -> bool:
    """A JSON boolean."""
    if not isinstance(value, bool):
        raise FieldError(path, f"{path} must be true or false, not {_shown(value)}.")
    return value


def read_integer(value: Any, path: str, low: int, high: int) -> int:
    """A JSON integer between `low` and `high`, both included."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(path, f"{path} must be an integer, not {_shown(value)}.")
    if not low <= value <= high:
        raise FieldError(path, f"{path} must be between {low} and {high}.")
    return value


def read_number(value: Any, path: str, low: float, high: float) -> float:
    """A JSON number between `low` and `high`, both included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(path, f"{path} must be a number, not {_shown(value)}.")
    if not low <= value <= high:
        raise FieldError(path, f"{path} must be between {low:g} and {high:g}.")
    return value


def read_text(value: Any, path: str, longest: int, *, shortest: int = 0) -> str:
    """A JSON string of `shortest` to `longest` characters."""
    if not isinstance(value, str):
        raise FieldError(path, f"{path} must be a string, not {_shown(value)}.")
    if not shortest <= len(value) <= longest:
        raise FieldError(path, f"{path} must have between {shortest} and {longest} characters.")
    return value


def read_list(value: Any, path: str, longest: int, *, shortest: int = 0) -> list[Any]:
    """A JSON array of `shortest` to `longest` entries."""
    if not isinstance(value, list):
        raise FieldError(path, f"{path} must be an array, not {_shown(value)}.")
    if not shortest <= len(value) <= longest:
        raise FieldError(path, f"{path} must have between {shortest} and {longest} entries.")
    return value


def read_object(value: Any, path: str, allowed: frozenset[str] | None = None) -> dict[str, Any]:
    """A JSON object; with `allowed`, one that has no other keys."""
    if not isinstance(value, dict):
        raise FieldError(path, f"{path} must be an object, not {_shown(value)}.")
    if allowed is not None and not allowed.issuperset(value):
        unknown = f"{path}.{next(key for key in value if key not in allowed)[:64]}"
        raise FieldError(unknown, f"{unknown} is not a field that this API knows.")
    return value
