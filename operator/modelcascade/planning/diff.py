"""
How a plan differs from what exists, as far as we own it.

"Exists as planned" is: the live object carries the hash of this manifest, and the manifest is contained in it.
The hash alone would miss an edit by hand, containment alone would miss a field that we no longer render.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelcascade.planning.names import ADOPT_ANNOTATION, APPLIED_HASH_ANNOTATION, CASCADE_LABEL, ObjectKey
from modelcascade.planning.objects import PlannedObject, inspect_image, with_inspect_image

__all__ = ["Changes", "Conflict", "contains", "controller_of", "diff_objects", "is_current"]


@dataclass(frozen=True)
class Conflict:
    """An object of a needed name that is not ours: it is left alone."""

    key: ObjectKey
    owner: str
    """A clause that names the owner, such as `is controlled by ReplicaSet web-5d4f`."""

    tier: str | None = None


@dataclass(frozen=True)
class Changes:
    """What a reconcile has to do, in this order."""

    apply: tuple[PlannedObject, ...]
    prune: tuple[ObjectKey, ...]
    keep: tuple[ObjectKey, ...]
    conflicts: tuple[Conflict, ...]


def diff_objects(
    planned: Sequence[PlannedObject], children: Mapping[ObjectKey, Mapping[str, Any]], *, owner_uid: str
) -> Changes:
    """
    Compare planned objects, in order, with live ones: our children, and whatever else bears a planned name.

    | live object | planned | result |
    | --- | --- | --- |
    | none | yes | apply, unless `create` is false |
    | ours, as planned | yes | keep |
    | ours, different | yes | apply |
    | ours, being deleted | any | keep: its end brings the next round |
    | ours | no | prune |
    | nobody's, annotated `modelcascade.dev/adopt: CASCADE` | yes | apply |
    | anyone else's | yes | conflict |
    | anyone else's, whatever its labels | no | nothing |
    """
    apply: list[PlannedObject] = []
    keep: list[ObjectKey] = []
    conflicts: list[Conflict] = []
    for one in planned:
        live = children.get(one.key)
        if live is None:
            if one.create:
                apply.append(one)
        elif (owner := _foreign_owner(live, owner_uid, one)) is not None:
            conflicts.append(Conflict(one.key, owner, one.tier))
        elif _is_deleted(live) or is_current(one, live):
            keep.append(one.key)
        else:
            apply.append(one)
    wanted = {one.key for one in planned}
    prune = (
        key
        for key, live in children.items()
        if key not in wanted and _controller_uid(live) == owner_uid and not _is_deleted(live)
    )
    return Changes(tuple(apply), tuple(sorted(prune)), tuple(keep), tuple(conflicts))


def is_current(planned: PlannedObject, live: Mapping[str, Any]) -> bool:
    """
    Whether the live object is what was planned; fields that others added do not matter.

    A tier's `inspect` container may keep the image of an older operator: an upgrade of the operator restarts no
    engine. The new image comes with the tier's next change.
    """
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    if annotations.get(APPLIED_HASH_ANNOTATION) != planned.applied_hash:
        return False
    image = inspect_image(live)
    body = planned.body if image is None else with_inspect_image(planned.body, image)
    return contains(live, body)


def contains(live: object, planned: object) -> bool:
    """
    Whether every planned value is in the live object.

    A list of objects is contained when each of its items is contained in some live item: servers and webhooks add
    defaults and items, and an item carries its own identity (name, port, path). Other lists are compared whole.
    What is empty may be absent, as the API server leaves it out.
    """
    match planned:
        case Mapping():
            if live is None:
                return not planned
            return isinstance(live, Mapping) and all(contains(live.get(key), planned[key]) for key in planned)
        case list() if planned and all(isinstance(item, Mapping) for item in planned):
            return isinstance(live, list) and all(any(contains(there, item) for there in live) for item in planned)
        case list():
            return (live or []) == planned
        case _:
            return live == planned


def controller_of(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference of the controller; `None` when nobody controls the object."""
    references = (live.get("metadata") or {}).get("ownerReferences") or ()
    return next((one for one in references if one.get("controller")), None)


def _controller_uid(live: Mapping[str, Any]) -> str | None:
    owner = controller_of(live)
    return None if owner is None else owner.get("uid")


def _foreign_owner(live: Mapping[str, Any], owner_uid: str, planned: PlannedObject) -> str | None:
    owner = controller_of(live)
    if owner is None:
        annotations = (live.get("metadata") or {}).get("annotations") or {}
        if annotations.get(ADOPT_ANNOTATION) == planned.body["metadata"]["labels"][CASCADE_LABEL]:
            return None
        return "has no controller"
    if owner.get("uid") == owner_uid:
        return None
    return f"is controlled by {owner.get('kind')} {owner.get('name')} (uid {owner.get('uid')})"


def _is_deleted(live: Mapping[str, Any]) -> bool:
    return bool((live.get("metadata") or {}).get("deletionTimestamp"))
