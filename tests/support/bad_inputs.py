"""The table of refused and accepted objects: one table for the offline check, `lint` and the real API server."""

import copy
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["BAD", "GOOD", "BadInput", "GoodInput", "base_object", "shortest_cascade"]

KEYS = {"number", "says", "kind", "minimal", "update", "copy", "remove", "set", "by", "path", "message", "further"}
CASES = Path(__file__).parents[1] / "api" / "cases"


@dataclass(frozen=True)
class BadInput:
    """One object that admission must refuse."""

    number: int
    says: str
    kind: str
    by: str
    """O schema, C CEL rule, S strict field validation."""

    update: bool
    """Whether it is refused only as an update of the base object."""

    body: dict[str, Any]
    path: str
    message: str
    further: frozenset[tuple[str, str]]
    """Other problems that the same object may show."""

    def __str__(self) -> str:
        """The id of the test."""
        return f"{self.number} {self.says}"


@dataclass(frozen=True)
class GoodInput:
    """One object that must be accepted."""

    says: str
    kind: str
    body: dict[str, Any]

    def __str__(self) -> str:
        """The id of the test."""
        return self.says


@cache
def _bases() -> dict[str, Any]:
    # Through JSON: a YAML alias is one object at two places, and an edit must touch one of them only.
    bases: dict[str, Any] = json.loads(json.dumps(yaml.safe_load((CASES / "base.yaml").read_text())))
    return bases


def base_object(kind: str) -> dict[str, Any]:
    """A copy of the valid object that the cases of this kind edit."""
    found: dict[str, Any] = copy.deepcopy(_bases()[kind])
    return found


def shortest_cascade() -> dict[str, Any]:
    """One small local tier and nothing else."""
    body = base_object("ModelCascade")
    tier = body["spec"]["tiers"][0]
    body["spec"] = {"tiers": [{"name": "small", "role": "Small", "local": tier["local"]}]}
    return body


def _parts(path: str) -> list[str | int]:
    return [int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"\[\d+\]|[^.\[\]]+", path)]


def _get(body: Any, path: str) -> Any:
    for part in _parts(path):
        body = body[part]
    return copy.deepcopy(body)


def _set(body: Any, path: str, value: Any) -> None:
    *parents, last = _parts(path)
    for part in parents:
        body = body.setdefault(part, {}) if isinstance(body, dict) else body[part]
    if isinstance(body, list) and last == len(body):
        body.append(value)
    else:
        body[last] = value


def _remove(body: Any, path: str) -> None:
    *parents, last = _parts(path)
    for part in parents:
        body = body[part]
    del body[last]


def _edited(case: dict[str, Any]) -> dict[str, Any]:
    assert not set(case) - KEYS, f"{case['says']}: unknown keys {set(case) - KEYS}"
    body = shortest_cascade() if case.get("minimal") else base_object(case.get("kind", "ModelCascade"))
    body = copy.deepcopy(body)
    for target, source in case.get("copy", {}).items():
        _set(body, target, _get(body, source))
    for path in case.get("remove", ()):
        _remove(body, path)
    for path, value in case.get("set", {}).items():
        _set(body, path, value)
    return body


def _read(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((CASES / name).read_text())
    return found


BAD: tuple[BadInput, ...] = tuple(
    BadInput(
        number=case["number"],
        says=case["says"],
        kind=case.get("kind", "ModelCascade"),
        by=case["by"],
        update=case.get("update", False),
        body=_edited(case),
        path=case["path"],
        message=case["message"],
        further=frozenset((each["path"], each["message"]) for each in case.get("further", ())),
    )
    for case in _read("bad.yaml")
)
"""Every case of the list, by number."""

GOOD: tuple[GoodInput, ...] = tuple(
    GoodInput(says=case["says"], kind=case.get("kind", "ModelCascade"), body=_edited(case))
    for case in _read("good.yaml")
)
"""Accepted neighbours."""
