"""
An in-memory cluster with the semantics that the operator relies on; tests/contract holds it to the real API server.

Server-side apply: fields are owned by managers, a field that a manager no longer applies goes away unless somebody
else owns it, a value that another manager owns is a conflict without force, and an apply that changes nothing leaves
the resourceVersion alone. Of the server's defaults only a Deployment's `replicas: 1` is simulated.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelcascade.errors import ClusterConflictError, ClusterNotFoundError
from modelcascade.kube.cluster import FIELD_MANAGER, SCALE_MANAGER
from modelcascade.kube.indexes import Indexes, index_cascade, index_child, index_pod, owner_uid_of
from modelcascade.kube.resources import CHILD_KINDS, RESOURCES

__all__ = ["Change", "FakeCluster", "Write"]

_OWN_BY_SERVER = frozenset({"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"})
_HAS_GENERATION = frozenset({"ModelCascade", "Deployment", "PodDisruptionBudget"})

Path = tuple[str, ...]
StoreKey = tuple[str, str, str]


@dataclass(frozen=True)
class Write:
    """One write that reached the cluster, whether or not it changed anything."""

    verb: str
    kind: str
    name: str


@dataclass(frozen=True)
class Change:
    """One event as a watch would tell it."""

    version: int
    type: str
    body: dict[str, Any]


@dataclass
class _Stored:
    body: dict[str, Any]
    owned: dict[str, dict[Path, Any]] = field(default_factory=dict)


class FakeCluster:
    """
    Implements `modelcascade.kube.cluster.Cluster`.

    `before_write` and `after_write` are called with each write and may raise: before it is done, or after it was done
    and before the caller learns of it.
    """

    def __init__(self) -> None:
        self._objects: dict[StoreKey, _Stored] = {}
        self._version = 100
        self._uids = 0
        self.writes: list[Write] = []
        self.reads: list[Write] = []
        self.changes: list[Change] = []
        self.on_change: Callable[[Change], None] = lambda _change: None
        self.before_write: Callable[[Write], None] = lambda _write: None
        self.after_write: Callable[[Write], None] = lambda _write: None
        self.served = set(RESOURCES)

    # ------------------------------------------------------------- Cluster

    async def is_served(self, kind: str) -> bool:
        """See `Cluster`."""
        return kind in self.served

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """See `Cluster`."""
        self.reads.append(Write("get", kind, name))
        stored = self._objects.get((kind, namespace, name))
        return None if stored is None else copy.deepcopy(stored.body)

    async def apply(self, body: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
        """See `Cluster`."""
        return self.apply_as(FIELD_MANAGER, body, force=force)

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str) -> bool:
        """See `Cluster`."""
        with _Writing(self, Write("delete", kind, name)):
            stored = self._objects.get((kind, namespace, name))
            if stored is None:
                return False
            metadata = stored.body["metadata"]
            if metadata["uid"] != uid or metadata["resourceVersion"] != resource_version:
                raise ClusterConflictError(f"{kind} {name}: the precondition does not hold", status=409)
            self._remove((kind, namespace, name))
            return True

    async def read_scale(self, namespace: str, name: str) -> int | None:
        """See `Cluster`."""
        stored = self._objects.get(("Deployment", namespace, name))
        return None if stored is None else int(stored.body["spec"]["replicas"])

    async def patch_scale(self, namespace: str, name: str, replicas: int) -> dict[str, Any]:
        """See `Cluster`."""
        with _Writing(self, Write("scale", "Deployment", name)):
            stored = self._objects.get(("Deployment", namespace, name))
            if stored is None:
                raise ClusterNotFoundError(f'deployments.apps "{name}" not found', status=404)
            after = copy.deepcopy(stored.body)
            after["spec"]["replicas"] = replicas
            for owned in stored.owned.values():
                owned.pop(("spec", "replicas"), None)
            stored.owned.setdefault(SCALE_MANAGER, {})["spec", "replicas"] = replicas
            self._store(("Deployment", namespace, name), stored, after)
            version = stored.body["metadata"]["resourceVersion"]
            return {"kind": "Scale", "metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}

    async def patch_status(
        self, namespace: str, name: str, *, resource_version: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Cluster`."""
        with _Writing(self, Write("status", "ModelCascade", name)):
            key = ("ModelCascade", namespace, name)
            stored = self._objects.get(key)
            if stored is None:
                raise ClusterNotFoundError(f'modelcascades "{name}" not found', status=404)
            if stored.body["metadata"]["resourceVersion"] != resource_version:
                raise ClusterConflictError(f"{name}: the object has been modified", status=409)
            self._store(key, stored, {**copy.deepcopy(stored.body), "status": _plain(status)})
            return copy.deepcopy(stored.body)

    async def list_events(self, namespace: str, uid: str) -> tuple[dict[str, Any], ...]:
        """See `Cluster`."""
        self.reads.append(Write("list", "Event", uid))
        return tuple(
            copy.deepcopy(stored.body)
            for (kind, there, _), stored in self._objects.items()
            if kind == "Event" and there == namespace and (stored.body.get("involvedObject") or {}).get("uid") == uid
        )

    async def record_event(self, body: Mapping[str, Any]) -> None:
        """See `Cluster`."""
        with _Writing(self, Write("create", "Event", body["metadata"]["name"])):
            self._put(("Event", body["metadata"]["namespace"], body["metadata"]["name"]), _plain(body))

    # ------------------------------------------- what others do to a cluster

    def apply_as(self, manager: str, body: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
        """Server-side apply in anybody's name."""
        metadata = body["metadata"]
        key = (str(body["kind"]), str(metadata["namespace"]), str(metadata["name"]))
        with _Writing(self, Write("apply", key[0], key[2])):
            stored = self._objects.get(key)
            wanted_uid = metadata.get("uid")
            if wanted_uid is not None and (stored is None or stored.body["metadata"]["uid"] != wanted_uid):
                raise ClusterConflictError(f"{key[0]} {key[2]}: uid mismatch", status=409)
            leaves = _leaves(_applied_part(body))
            if stored is None:
                stored = _Stored(self._new_body(key, body))
                stored.owned[manager] = leaves
                self._objects[key] = stored
                self._tell("ADDED", stored.body)
                return copy.deepcopy(stored.body)
            self._refuse_conflicts(stored, manager, leaves, force=force)
            after = copy.deepcopy(stored.body)
            for path in stored.owned.get(manager, {}):
                if path not in leaves and not any(
                    path in owned for other, owned in stored.owned.items() if other != manager
                ):
                    _drop(after, path)
            _merge(after, _applied_part(body))
            stored.owned[manager] = leaves
            self._store(key, stored, after)
            return copy.deepcopy(stored.body)

    def put(self, body: Mapping[str, Any], *, manager: str = "kubectl") -> dict[str, Any]:
        """Create an object, or replace its spec, labels and annotations, as a person does; no write of ours."""
        metadata = body["metadata"]
        key = (str(body["kind"]), str(metadata["namespace"]), str(metadata["name"]))
        stored = self._objects.get(key)
        if stored is None:
            self._put(key, _plain(body))
            stored = self._objects[key]
        else:
            kept = {name: stored.body["metadata"][name] for name in _OWN_BY_SERVER if name in stored.body["metadata"]}
            after = {**_plain(body), "metadata": {**_plain(metadata), **kept}}
            if "status" in stored.body and "status" not in after:
                after["status"] = copy.deepcopy(stored.body["status"])
            self._store(key, stored, after)
        stored.owned[manager] = _leaves(_applied_part(body))
        return copy.deepcopy(stored.body)

    def edit(self, kind: str, namespace: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change an object in place, as a person or a controller does (status too)."""
        stored = self._objects[kind, namespace, name]
        after = copy.deepcopy(stored.body)
        change(after)
        self._store((kind, namespace, name), stored, after)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object as a person does; what it controls goes too."""
        self._remove((kind, namespace, name))

    # -------------------------------------------------------- what is there

    def body(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """An object; fails when it is not there."""
        return copy.deepcopy(self._objects[kind, namespace, name].body)

    def bodies(self, kind: str | None = None, namespace: str | None = None) -> list[dict[str, Any]]:
        """All objects, or those of one kind or namespace."""
        return [
            copy.deepcopy(stored.body)
            for (this, there, _), stored in sorted(self._objects.items())
            if kind in {None, this} and namespace in {None, there}
        ]

    def normal_form(self, namespace: str) -> dict[str, Any]:
        """All but Events, without what differs between two runs of the same story."""
        result: dict[str, Any] = {}
        for body in self.bodies(namespace=namespace):
            if body["kind"] != "Event":
                body["metadata"].pop("resourceVersion")
                body["metadata"].pop("generation", None)
                result[f"{body['kind']}/{body['metadata']['name']}"] = body
        return result

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return self._version

    def indexes(self) -> Indexes:
        """The caches as kopf would hold them, of this moment."""
        cascades: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        children: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        pods: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for body in self.bodies():
            kind = body["kind"]
            managed = (body["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "modelcascade"
            if kind == "ModelCascade":
                _collect(cascades, index_cascade(body))
            elif kind == "Pod" and managed:
                _collect(pods, index_pod(body))
            elif kind in CHILD_KINDS and managed:
                _collect(children, index_child(kind, RESOURCES[kind].api_version, body))
        return Indexes(cascades=cascades, children=children, pods=pods)

    # ------------------------------------------------------------- inside

    def _new_body(self, key: StoreKey, body: Mapping[str, Any]) -> dict[str, Any]:
        self._uids += 1
        new: dict[str, Any] = _plain(body)
        new["metadata"] |= {
            "uid": body["metadata"].get("uid") or f"uid-{self._uids}",
            "resourceVersion": str(self._next_version()),
            "creationTimestamp": "2026-11-24T08:00:00Z",
        }
        if key[0] in _HAS_GENERATION:
            new["metadata"]["generation"] = 1
        if key[0] == "Deployment":
            new["spec"].setdefault("replicas", 1)
        return new

    def _put(self, key: StoreKey, body: Mapping[str, Any]) -> None:
        self._objects[key] = _Stored(self._new_body(key, body))
        self._tell("ADDED", self._objects[key].body)

    def _store(self, key: StoreKey, stored: _Stored, after: dict[str, Any]) -> None:
        if after == stored.body:
            return
        if key[0] in _HAS_GENERATION and after.get("spec") != stored.body.get("spec"):
            after["metadata"]["generation"] = stored.body["metadata"]["generation"] + 1
        after["metadata"]["resourceVersion"] = str(self._next_version())
        stored.body = after
        self._tell("MODIFIED", after)

    def _remove(self, key: StoreKey) -> None:
        stored = self._objects.pop(key)
        stored.body["metadata"]["resourceVersion"] = str(self._next_version())
        self._tell("DELETED", stored.body)
        uid = stored.body["metadata"]["uid"]
        for other, child in list(self._objects.items()):
            if other in self._objects and owner_uid_of(child.body) == uid:
                self._remove(other)

    def _refuse_conflicts(self, stored: _Stored, manager: str, leaves: Mapping[Path, Any], *, force: bool) -> None:
        for other, owned in stored.owned.items():
            if other == manager:
                continue
            for path in [path for path, value in owned.items() if path in leaves and leaves[path] != value]:
                if not force:
                    raise ClusterConflictError(f'conflict with "{other}": .{".".join(path)}', status=409)
                del owned[path]

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _tell(self, kind: str, body: dict[str, Any]) -> None:
        change = Change(self._version, kind, copy.deepcopy(body))
        self.changes.append(change)
        self.on_change(change)


class _Writing:
    """Counts a write and lets the test break in before and after it."""

    def __init__(self, cluster: FakeCluster, write: Write) -> None:
        self._cluster = cluster
        self._write = write

    def __enter__(self) -> None:
        self._cluster.before_write(self._write)
        self._cluster.writes.append(self._write)

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is None:
            self._cluster.after_write(self._write)


def _applied_part(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {
        name: value
        for name, value in body["metadata"].items()
        if name not in _OWN_BY_SERVER and name not in {"name", "namespace"}
    }
    rest = {name: value for name, value in body.items() if name not in {"apiVersion", "kind", "metadata", "status"}}
    return {**_plain(rest), **({"metadata": _plain(metadata)} if metadata else {})}


def _leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Leaf values by path; a list of named items is a map by name, any other list is one leaf."""
    if isinstance(value, Mapping) and value:
        return {leaf: found for key, part in value.items() for leaf, found in _leaves(part, (*path, str(key))).items()}
    if _is_named_list(value):
        return {leaf: found for item in value for leaf, found in _leaves(item, (*path, f"[{item['name']}]")).items()}
    return {path: copy.deepcopy(value)}


def _is_named_list(value: Any) -> bool:
    return (
        bool(value) and isinstance(value, list) and all(isinstance(item, Mapping) and "name" in item for item in value)
    )


def _merge(target: dict[str, Any], part: Mapping[str, Any]) -> None:
    for key, value in part.items():
        there = target.get(key)
        if isinstance(value, Mapping) and isinstance(there, dict):
            _merge(there, value)
        elif _is_named_list(value) and _is_named_list(there):
            target[key] = _merge_named(there or [], value)
        else:
            target[key] = copy.deepcopy(value)


def _merge_named(there: list[dict[str, Any]], items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_name = {item["name"]: item for item in there}
    for item in items:
        if item["name"] in by_name:
            _merge(by_name[item["name"]], item)
        else:
            by_name[item["name"]] = copy.deepcopy(item)
    order = [item["name"] for item in items]
    return [by_name[name] for name in [*order, *(name for name in by_name if name not in order)]]


def _drop(target: dict[str, Any], path: Path) -> None:
    """Remove a leaf, and what became empty by it."""
    head, *rest = path
    if head not in target:
        return
    if not rest:
        del target[head]
        return
    part = target[head]
    if isinstance(part, list):
        name, *inner = rest
        for item in list(part):
            if f"[{item.get('name')}]" == name:
                if inner:
                    _drop(item, tuple(inner))
                if not inner or not item:
                    part.remove(item)
    elif isinstance(part, dict):
        _drop(part, tuple(rest))
    if not part:
        del target[head]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _collect(
    index: dict[tuple[str, str], list[Mapping[str, Any]]], entries: Mapping[tuple[str, str], Mapping[str, Any]]
) -> None:
    for key, entry in entries.items():
        index.setdefault(key, []).append(entry)
