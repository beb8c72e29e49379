"""
JSON as the wire allows it: one meaning only, and bounded.

Refused: anything but UTF-8, a byte order mark, duplicate keys, NaN and infinities, lone surrogates, and nesting
deeper than `MAX_DEPTH`. Two parsers that read one body differently are how a guard sees another request than the
engine, so what is ambiguous is refused and never repaired.
"""

import json
from typing import Any

import orjson

from modelcascade.api.reasons import ErrorCode
from modelcascade.routing.chat import Problem

__all__ = ["MAX_DEPTH", "parse_strict"]

MAX_DEPTH = 64


class _DuplicateKeyError(ValueError):
    pass


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key[:64])
            seen.add(key)


_duplicates = json.JSONDecoder(object_pairs_hook=_refuse_duplicates)


def _depth_over(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def parse_strict(body: bytes) -> Any | Problem:
    """The value, or why it is refused; the sentence never repeats more of the body than a key."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Problem(400, ErrorCode.INVALID_REQUEST, f"The body is not valid JSON: {error}.")
    # Each level costs an opening bracket, so most bodies need no walk.
    if (
        body.count(b"{") + body.count(b"[") > MAX_DEPTH
        and isinstance(value, dict | list)
        and _depth_over(value, MAX_DEPTH)
    ):
        return Problem(400, ErrorCode.INVALID_REQUEST, f"The body is nested deeper than {MAX_DEPTH} levels.")
    try:
        _duplicates.decode(body.decode())
    except _DuplicateKeyError as error:
        return Problem(400, ErrorCode.INVALID_REQUEST, f"The body has the key {str(error)!r} twice.", str(error))
    return value
