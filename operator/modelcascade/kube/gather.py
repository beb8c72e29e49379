"""What the watch caches know about one cascade, as one snapshot; no call to the API server."""

from modelcascade.kube.indexes import CascadeKey, Indexes
from modelcascade.planning.names import ObjectKey
from modelcascade.status.snapshot import Snapshot

__all__ = ["gather_snapshot"]


def gather_snapshot(indexes: Indexes, key: CascadeKey) -> Snapshot | None:
    """The snapshot; None when the cascade is gone."""
    bodies = tuple(indexes.cascades.get(key, ()))
    if not bodies:
        return None
    cascade = bodies[-1]  # two for a moment, when one was deleted and created again: the newest was added last
    group = (key.namespace, str(cascade["metadata"]["uid"]))
    children = {
        ObjectKey(kind=str(body["kind"]), name=str(body["metadata"]["name"])): body
        for body in indexes.children.get(group, ())
    }
    pods = sorted(indexes.pods.get(group, ()), key=lambda pod: str(pod["metadata"]["name"]))
    return Snapshot(cascade=cascade, children=children, pods=tuple(pods))
