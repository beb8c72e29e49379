"""What the caches keep, whose an object is, and how a snapshot is put together."""

from typing import Any

from modelcascade.kube.gather import gather_snapshot
from modelcascade.kube.indexes import (
    CascadeKey,
    Indexes,
    index_cascade,
    index_child,
    index_pod,
    key_of_cascade,
    key_of_owner,
    owner_uid_of,
)
from modelcascade.planning.names import CASCADE_LABEL, UID_LABEL, ObjectKey

KEY = CascadeKey("ns", "code")
OWNER = {"kind": "ModelCascade", "name": "code", "uid": "u1", "controller": True}
LABELS = {CASCADE_LABEL: "code", UID_LABEL: "u1"}


def child(name: str = "code", **metadata: Any) -> dict[str, Any]:
    """A Service of the cascade."""
    return {
        "metadata": {"namespace": "ns", "name": name, "labels": LABELS, "ownerReferences": [OWNER], **metadata},
        "spec": {"ports": [{"port": 80}]},
    }


def test_bookkeeping_is_dropped() -> None:
    """ManagedFields and kubectl's copy of the object are not kept; everything else is."""
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "kept"}
    entry = index_child("Service", "v1", child(managedFields=[{}], annotations=annotations))["ns", "u1"]
    assert "managedFields" not in entry["metadata"]
    assert entry["metadata"]["annotations"] == {"mine": "kept"}
    assert (entry["apiVersion"], entry["kind"], entry["spec"]) == ("v1", "Service", {"ports": [{"port": 80}]})


def test_an_object_without_our_uid_is_not_kept() -> None:
    """Without the label there is no cascade to keep it for."""
    assert index_child("Service", "v1", child(labels={})) == {}
    assert index_pod(child(labels={})) == {}


def test_a_pod_is_kept_small() -> None:
    """Of a pod's spec only what status reads is kept; its status whole."""
    pod = child()
    container = {"name": "engine", "image": "i", "resources": {"limits": {"memory": "1Gi"}}, "env": [{"name": "A"}]}
    pod["spec"] = {"nodeName": "n", "containers": [container], "volumes": [{"name": "v"}]}
    pod["status"] = {"phase": "Running"}
    entry = index_pod(pod)["ns", "u1"]
    kept = {name: container[name] for name in ("name", "image", "resources")}
    assert entry["spec"] == {"nodeName": "n", "containers": [kept], "initContainers": []}
    assert entry["status"] == {"phase": "Running"}


def test_whose_object_it_is() -> None:
    """The controller says it; where there is none, as on a pod, the label does; else it is nobody's."""
    assert key_of_owner(child()) == KEY
    replica_set = {"kind": "ReplicaSet", "name": "rs", "uid": "x", "controller": True}
    pod = child(ownerReferences=[replica_set])
    assert (key_of_owner(pod), owner_uid_of(pod)) == (KEY, "x")
    assert key_of_owner(child(ownerReferences=[], labels={})) is None
    assert owner_uid_of(child(ownerReferences=[])) is None
    assert key_of_cascade({"metadata": {"namespace": "ns", "name": "code"}}) == KEY


def test_a_snapshot_holds_one_cascades_own() -> None:
    """Children and pods come by the cascade's uid; an object of a former cascade of that name is not among them."""
    cascade = {"kind": "ModelCascade", "metadata": {"namespace": "ns", "name": "code", "uid": "u1"}}
    former = {"kind": "ModelCascade", "metadata": {"namespace": "ns", "name": "code", "uid": "u0"}}
    service = index_child("Service", "v1", child())["ns", "u1"]
    pods = [index_pod(child(name))["ns", "u1"] for name in ("b", "a")]
    indexes = Indexes(
        cascades={KEY: [index_cascade(former)[KEY], index_cascade(cascade)[KEY]]},
        children={("ns", "u1"): [service], ("ns", "u0"): [service]},
        pods={("ns", "u1"): pods},
    )
    snapshot = gather_snapshot(indexes, KEY)
    assert snapshot is not None
    assert snapshot.cascade["metadata"]["uid"] == "u1"
    assert list(snapshot.children) == [ObjectKey("Service", "code")]
    assert [pod["metadata"]["name"] for pod in snapshot.pods] == ["a", "b"]
    assert gather_snapshot(indexes, CascadeKey("ns", "absent")) is None
