"""
What we ask of a cluster (`Cluster`), and the real one (`KubeCluster`).

Bodies go in and come out as plain mappings. Every write passes the gate and names its field manager:

    apply          server-side apply     modelcascade
    patch_status   server-side apply     modelcascade
    patch_scale    merge patch, /scale   modelcascade-autoscaler
    delete         uid and resourceVersion as preconditions
    record_event   create

Nothing else is ever written; the user's spec and metadata never.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from modelcascade.errors import ClusterConflictError, ClusterInvalidError, ClusterNotFoundError
from modelcascade.kube.connect import Connection
from modelcascade.kube.gate import WriteGate
from modelcascade.kube.resources import RESOURCES, Resource, resource_of

__all__ = ["FIELD_MANAGER", "SCALE_MANAGER", "Cluster", "KubeCluster"]

FIELD_MANAGER = "modelcascade"
SCALE_MANAGER = "modelcascade-autoscaler"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class Cluster(Protocol):
    """The API server, as far as we need it; every method may raise ClusterError."""

    async def is_served(self, kind: str) -> bool:
        """Whether the API server knows the kind; False while its CRD is missing."""

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """A live read; None when there is no such object."""

    async def apply(self, body: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
        """
        Server-side apply; the object as it now stands.

        With `metadata.uid` in the body the object must exist and have that uid. With `force` we take over fields
        of others; without it such a field is a conflict.

        Raises:
            ClusterConflictError: the uid is another one, or a field belongs to somebody else.
        """

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str) -> bool:
        """
        Delete exactly the object that was read; False when it is gone already.

        Raises:
            ClusterConflictError: it is another object, or it has changed since.
        """

    async def read_scale(self, namespace: str, name: str) -> int | None:
        """The desired replicas of a Deployment; None when there is no such Deployment."""

    async def patch_scale(self, namespace: str, name: str, replicas: int) -> dict[str, Any]:
        """
        Set the desired replicas of a Deployment through its /scale; the Scale, with the Deployment's new version.

        Raises:
            ClusterNotFoundError: there is no such Deployment.
        """

    async def patch_status(
        self, namespace: str, name: str, *, resource_version: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """
        Replace our status of a cascade; the cascade as it now stands.

        The version guards against judging one object and telling another: a uid would be ignored here (measured on
        1.36: server-side apply to /status does not look at it).

        Raises:
            ClusterNotFoundError: it is gone.
            ClusterConflictError: it has changed since, or the name belongs to another object now.
        """

    async def list_events(self, namespace: str, uid: str) -> tuple[dict[str, Any], ...]:
        """The core Events about one object, by its uid."""

    async def record_event(self, body: Mapping[str, Any]) -> None:
        """Create one Event (events.k8s.io/v1)."""


class KubeCluster:
    """
    The real API server, through one connection and one gate.

    Args:
        connection: the way to it.
        gate: which every write passes.
        cascade: the kind whose status is written; tests name one of a group that no operator watches.
    """

    def __init__(
        self, connection: Connection, gate: WriteGate, *, cascade: Resource = RESOURCES["ModelCascade"]
    ) -> None:
        self._connection = connection
        self._gate = gate
        self._cascade = cascade

    async def is_served(self, kind: str) -> bool:
        """See `Cluster`."""
        resource = resource_of(kind)
        prefix = "/apis" if resource.group else "/api"
        try:
            answer = await self._connection.request("GET", f"{prefix}/{resource.api_version}")
        except ClusterNotFoundError:
            return False
        return any(row.get("name") == resource.plural for row in answer.get("resources") or ())

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """See `Cluster`."""
        try:
            return await self._connection.request("GET", resource_of(kind).path(namespace, name))
        except ClusterNotFoundError:
            return None

    async def apply(self, body: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
        """See `Cluster`."""
        metadata = body["metadata"]
        return await self._write(
            "PATCH",
            "apply",
            resource_of(body["kind"]),
            metadata["namespace"],
            metadata["name"],
            query={"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"},
            body=body,
            content_type=_APPLY,
        )

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str) -> bool:
        """See `Cluster`."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        }
        try:
            await self._write("DELETE", "delete", resource_of(kind), namespace, name, body=options)
        except ClusterNotFoundError:
            return False
        return True

    async def read_scale(self, namespace: str, name: str) -> int | None:
        """See `Cluster`."""
        try:
            scale = await self._connection.request("GET", resource_of("Deployment").path(namespace, name, "scale"))
        except ClusterNotFoundError:
            return None
        return int((scale.get("spec") or {}).get("replicas") or 0)

    async def patch_scale(self, namespace: str, name: str, replicas: int) -> dict[str, Any]:
        """See `Cluster`."""
        return await self._write(
            "PATCH",
            "scale",
            resource_of("Deployment"),
            namespace,
            name,
            subresource="scale",
            query={"fieldManager": SCALE_MANAGER},
            body={"spec": {"replicas": replicas}},
            content_type=_MERGE,
        )

    async def patch_status(
        self, namespace: str, name: str, *, resource_version: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Cluster`."""
        resource = self._cascade
        return await self._write(
            "PATCH",
            "status",
            resource,
            namespace,
            name,
            subresource="status",
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body={
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {"name": name, "namespace": namespace, "resourceVersion": resource_version},
                "status": status,
            },
            content_type=_APPLY,
        )

    async def list_events(self, namespace: str, uid: str) -> tuple[dict[str, Any], ...]:
        """See `Cluster`."""
        answer = await self._connection.request(
            "GET",
            resource_of("Event").path(namespace),
            query={"fieldSelector": f"involvedObject.uid={uid}", "limit": "100"},
        )
        return tuple(answer.get("items") or ())

    async def record_event(self, body: Mapping[str, Any]) -> None:
        """See `Cluster`."""
        resource = Resource("events.k8s.io/v1", "Event", "events")
        await self._write("POST", "create", resource, body["metadata"]["namespace"], None, body=body)

    async def _write(
        self,
        method: str,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str | None,
        *,
        body: Mapping[str, Any],
        subresource: str | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        await self._gate.pass_write(verb, resource.kind)
        path = resource.path(namespace, name, subresource)
        try:
            return await self._connection.request(method, path, query=query, body=body, content_type=content_type)
        except ClusterInvalidError as error:
            # An apply with the uid of an object that was replaced meanwhile is answered so (measured on 1.36), and not
            # with 409 as for one that is gone.
            if "metadata.uid" in str(error) and "immutable" in str(error):
                raise ClusterConflictError(str(error), status=error.status) from error
            raise
