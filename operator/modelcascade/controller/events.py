"""The Events that a change of status causes: one for each main condition whose status moved."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from modelcascade.status.fault import PROGRESS

__all__ = ["events_for"]

_TOLD = ("Accepted", "Ready")
_NOTE_LIMIT = 1024
"""The API server refuses a longer note."""


def events_for(
    cascade: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], now: datetime
) -> tuple[dict[str, Any], ...]:
    """
    Events (events.k8s.io/v1), none for a condition that is new and only says that something is under way.

    Args:
        cascade: the body that the Events are about.
        before: its status as it was.
        after: its status as it is now.
        now: wall-clock time.
    """
    old = _conditions(before)
    new = _conditions(after)
    changed = [
        new[name]
        for name in _TOLD
        if name in new and new[name]["status"] != (old.get(name) or {}).get("status", "Unknown")
    ]
    return tuple(_event(cascade, condition, now) for condition in changed)


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(condition["type"]): condition for condition in status.get("conditions") or ()}


def _event(cascade: Mapping[str, Any], condition: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    metadata = cascade["metadata"]
    stamp = int(now.timestamp() * 1_000_000)
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{condition['type'].lower()}.{stamp:x}",
            "namespace": metadata["namespace"],
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": "modelcascade.dev/operator",
        "reportingInstance": "modelcascade-operator",
        "action": "Assess",
        "reason": condition["reason"],
        "type": "Normal" if condition["status"] == "True" or condition["reason"] in PROGRESS else "Warning",
        "note": f"{condition['type']} is {condition['status']}: {condition['message']}"[:_NOTE_LIMIT],
        "regarding": {
            "apiVersion": cascade["apiVersion"],
            "kind": cascade["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
    }
