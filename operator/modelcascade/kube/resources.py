"""
The kinds that we speak about, and their addresses on the API server; nothing here does I/O.

Discovery is not used: every kind that we write or watch stands in this table, so a broken aggregated API
elsewhere in the cluster cannot stop a process from starting.
"""

from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["CHILD_KINDS", "RESOURCES", "Resource", "resource_of"]


@dataclass(frozen=True, slots=True)
class Resource:
    """One namespaced kind of the API server."""

    api_version: str
    """`v1`, or `GROUP/VERSION`."""

    kind: str
    plural: str

    @property
    def group(self) -> str:
        """The API group; empty for the core kinds."""
        return self.api_version.partition("/")[0] if "/" in self.api_version else ""

    @property
    def version(self) -> str:
        """The version without its group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path; without `namespace` that of all namespaces, without `name` that of the list."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


RESOURCES: dict[str, Resource] = {
    resource.kind: resource
    for resource in (
        Resource("modelcascade.dev/v1alpha1", "ModelCascade", "modelcascades"),
        Resource("apps/v1", "Deployment", "deployments"),
        Resource("v1", "Service", "services"),
        Resource("v1", "ConfigMap", "configmaps"),
        Resource("v1", "ServiceAccount", "serviceaccounts"),
        Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
        Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        Resource("v1", "Pod", "pods"),
        Resource("v1", "Event", "events"),
        Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    )
}

CHILD_KINDS = ("Deployment", "Service", "ConfigMap", "ServiceAccount", "RoleBinding", "PodDisruptionBudget")
"""What a plan may hold, so what is indexed as a child and pruned when it is planned no more."""


def resource_of(kind: str) -> Resource:
    """
    The table's row.

    Raises:
        KeyError: a kind that we never touch, so a mistake of ours.
    """
    return RESOURCES[kind]
