"""
How kube-apiserver 1.36 words the problems of an object, translated into the words of the table.

These wrappers belong to a Kubernetes minor, so they stand here and nowhere else.
"""

import json
import re
from typing import Any

__all__ = ["problems_of"]

_UNKNOWN = re.compile(r'unknown field "([^"]+)"')
_UNCHECKED = "some validation rules were not checked"
_FRACTION = re.compile(r"Checked value must be of type integer \(default format\) in (\S+)$")
_BARE = re.compile(
    r"(should be (?:less|greater) than or equal to -?\d+|should have at least \d+ items"
    r"|should be at least \d+ chars long|must be of type \w+)"
)


def _cause(field: str, message: str) -> tuple[str, str] | None:
    path = "(root)" if field == "<nil>" else field
    if _UNCHECKED in message or _FRACTION.search(message):
        return None
    if message == "Required value":
        return path, "required value"
    if found := re.fullmatch(r"Too many: \d+: (must have at most \d+ items)", message):
        return path, found[1]
    if found := re.fullmatch(r"Too long: may not be more than (\d+) bytes", message):
        return path, f"may not be longer than {found[1]}"
    if found := re.fullmatch(r"Unsupported value: .*?: supported values: (.*)", message):
        return path, f"unsupported value, supported: {found[1].replace(chr(34), '')}"
    if found := re.fullmatch(r"Duplicate value: (.*)", message):
        value = json.loads(found[1])
        words = ", ".join(value.values()) if isinstance(value, dict) else value
        return re.sub(r"\[\d+\]$", "", path), f'duplicate value "{words}"'
    if " in body " in message and (found := _BARE.search(message)):
        return path, found[1]
    return path, re.sub(r"^Invalid value: (?:\"(?:[^\"\\]|\\.)*\": |-?[\d.]+: )?", "", message)


def problems_of(status: dict[str, Any]) -> set[tuple[str, str]]:
    """Path and message of each problem in the server's `Status` answer."""
    causes = status.get("details", {}).get("causes", ())
    found = {_cause(each["field"], each["message"]) for each in causes}
    unknown = {(path, "unknown field") for path in _UNKNOWN.findall(status["message"])}
    return {each for each in found if each is not None} | unknown
