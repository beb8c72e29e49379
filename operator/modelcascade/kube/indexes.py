"""
What the watch caches keep of each object, and which cascade an object belongs to.

Memory grows with our objects, so what nobody reads is dropped.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelcascade.planning.names import CASCADE_LABEL, UID_LABEL

__all__ = [
    "CascadeKey",
    "Indexes",
    "index_cascade",
    "index_child",
    "index_pod",
    "key_of_cascade",
    "key_of_owner",
    "owner_uid_of",
]

_CASCADE = "ModelCascade"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class CascadeKey(NamedTuple):
    """Which cascade; the key of the work queue."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Indexes:
    """The caches, as plain mappings that always show the newest state."""

    cascades: Mapping[tuple[str, str], Collection[Mapping[str, Any]]]
    """By namespace and name."""

    children: Mapping[tuple[str, str], Collection[Mapping[str, Any]]]
    """By namespace and the cascade's uid, as the label says."""

    pods: Mapping[tuple[str, str], Collection[Mapping[str, Any]]]
    """As `children`."""


def index_cascade(body: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The entry of one cascade."""
    metadata = body["metadata"]
    return {(str(metadata["namespace"]), str(metadata["name"])): _without_bookkeeping(body)}


def index_child(kind: str, api_version: str, body: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The entry of one child; none without our label. List items carry no kind, so it is passed."""
    metadata = body["metadata"]
    uid = (metadata.get("labels") or {}).get(UID_LABEL)
    if uid is None:
        return {}
    entry = {**_without_bookkeeping(body), "apiVersion": api_version, "kind": kind}
    return {(str(metadata["namespace"]), str(uid)): entry}


def index_pod(body: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The entry of one pod: names, images and resources of its containers, and its whole status."""
    metadata = body["metadata"]
    uid = (metadata.get("labels") or {}).get(UID_LABEL)
    if uid is None:
        return {}
    spec = body.get("spec") or {}
    entry: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            name: metadata[name]
            for name in (
                "name",
                "namespace",
                "uid",
                "labels",
                "ownerReferences",
                "creationTimestamp",
                "deletionTimestamp",
                "resourceVersion",
            )
            if name in metadata
        },
        "spec": {
            name: [
                {part: container[part] for part in ("name", "image", "resources") if part in container}
                for container in spec.get(name) or ()
            ]
            for name in ("containers", "initContainers")
        },
        "status": _plain(body.get("status") or {}),
    }
    if "nodeName" in spec:
        entry["spec"]["nodeName"] = spec["nodeName"]
    return {(str(metadata["namespace"]), str(uid)): _plain(entry)}


def key_of_cascade(body: Mapping[str, Any]) -> CascadeKey:
    """The key of a cascade itself."""
    return CascadeKey(str(body["metadata"]["namespace"]), str(body["metadata"]["name"]))


def key_of_owner(body: Mapping[str, Any]) -> CascadeKey | None:
    """The cascade that a child or a pod belongs to: its owner reference, else its label (pods have no other)."""
    metadata = body["metadata"]
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("kind") == _CASCADE and owner.get("controller"):
            return CascadeKey(str(metadata["namespace"]), str(owner["name"]))
    name = (metadata.get("labels") or {}).get(CASCADE_LABEL)
    return None if name is None else CascadeKey(str(metadata["namespace"]), str(name))


def owner_uid_of(body: Mapping[str, Any]) -> str | None:
    """The uid of the object that controls this one."""
    for owner in body["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return None


def _without_bookkeeping(body: Mapping[str, Any]) -> dict[str, Any]:
    # managedFields is often longer than the object; kubectl's annotation repeats it whole.
    kept = {name: value for name, value in body.items() if name != "metadata"}
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        metadata["annotations"] = {name: text for name, text in annotations.items() if name != _LAST_APPLIED}
    plain: dict[str, Any] = _plain({**kept, "metadata": metadata})
    return plain


def _plain(value: Any) -> Any:
    """The same as plain dicts and lists: caches hand out views that would keep the whole object alive."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
