"""A routes document in a file, as YAML or JSON: read strictly, and read again when it changes."""

import asyncio
from pathlib import Path
from typing import Any, get_args

import orjson
import yaml
from pydantic import BaseModel

from modelcascade.api.documents import DocumentProblem, Routes, parse_routes
from modelcascade.router.state import RouterState

__all__ = ["RoutesFile", "read_routes_file"]

POLL_S = 1.0


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def _find_unknown(value: Any, model: type[BaseModel], path: str = "") -> str | None:
    """The path of the first field that the model lacks; a person's typo must not become a default."""
    if not isinstance(value, dict):
        return None
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, inner in value.items():
        here = f"{path}{key}"
        if key not in fields:
            return here
        nested = _model_in(fields[key].annotation)
        if nested is not None:
            entries = enumerate(inner) if isinstance(inner, list) else [(None, inner)]
            for n, entry in entries:
                found = _find_unknown(entry, nested, f"{here}." if n is None else f"{here}.{n}.")
                if found is not None:
                    return found
    return None


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def read_routes_file(path: Path) -> bytes | DocumentProblem:
    """The document as canonical JSON, or the sentence that a person needs; blocking."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return DocumentProblem(message=f"{path}: there is no such file")
    except (OSError, UnicodeDecodeError) as error:
        return DocumentProblem(message=f"{path}: cannot be read: {error}")
    try:
        value = yaml.safe_load(text)  # JSON is YAML
    except yaml.YAMLError as error:
        return DocumentProblem(message=f"{path}: is neither YAML nor JSON{_where(error)}")
    if not isinstance(value, dict):
        return DocumentProblem(message=f"{path}: must hold a mapping with the fields cascade and tiers")
    unknown = _find_unknown(value, Routes)
    if unknown is not None:
        return DocumentProblem(message=f"{path}: {unknown}: there is no such field")
    try:
        document = orjson.dumps(value)
    except TypeError as error:
        return DocumentProblem(message=f"{path}: {error}")
    parsed = parse_routes(document)
    if isinstance(parsed, DocumentProblem):
        return DocumentProblem(message=f"{path}: {parsed.message}")
    named = next((tier.name for tier in parsed.tiers if tier.service is not None), None)
    if named is not None:
        return DocumentProblem(message=f"{path}: tier {named!r} names a service; a file needs urls")
    return document


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


class RoutesFile:
    """One routes file of one router."""

    def __init__(self, state: RouterState, path: Path) -> None:
        self._state = state
        self._path = path
        self._seen = _stamp(path)

    async def check(self) -> None:
        """Offer the content when the file has changed; a broken one is refused and what is in force stays."""
        stamp = await asyncio.to_thread(_stamp, self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        document = await asyncio.to_thread(read_routes_file, self._path)
        if isinstance(document, DocumentProblem):
            self._state.reject_routes(document.message)
        else:
            self._state.offer_routes(document)

    async def follow(self) -> None:
        """Check it each second, for ever."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.check()
