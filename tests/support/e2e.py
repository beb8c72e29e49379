"""The cluster under test as a person sees it, and the API server's audit log as the witness of writes."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from demo import EXAMPLE, pin_models
from devcluster.client import RELEASE, SYSTEM_NAMESPACE, Client
from devcluster.layout import Layout
from support.waiting import eventually

__all__ = ["LAYOUT", "OPERATOR", "RESYNC_SECONDS", "Cluster", "Write", "wall_clock", "writes_since"]

LAYOUT = Layout.from_environment()
OPERATOR = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}"
RESYNC_SECONDS = 2
KINDS = "deployments,services,configmaps,serviceaccounts,rolebindings,poddisruptionbudgets"


@dataclass(frozen=True)
class Cluster:
    """The cluster under test, through the programs that a person uses."""

    client: Client
    models: dict[str, str]

    def example(self, namespace: str) -> None:
        text = pin_models((LAYOUT.repository / EXAMPLE).read_text(), self.models)
        self.client.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)

    def tiny(self, name: str, namespace: str, *tiers: str, **spec: Any) -> dict[str, Any]:
        """A cascade of tiny random models: for the mechanics, not for answers."""
        roles = ("Small", "Specialist")
        return {
            "apiVersion": "modelcascade.dev/v1alpha1",
            "kind": "ModelCascade",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "tiers": [
                    {
                        "name": tier,
                        "role": roles[min(number, 1)],
                        "rank": 10 + number,
                        "local": {
                            "model": {"source": {"uri": f"oci://{self.models['tiny-random']}"}, "contextLength": 512},
                            "engine": {"type": "LlamaCpp", "parallel": 1},
                            "quantization": {"format": "GGUF", "variant": "Q4_K_M"},
                            "resources": {"cpu": "20m", "memory": "256Mi"},
                        },
                    }
                    for number, tier in enumerate(tiers)
                ],
                "router": {"resources": {"cpu": "20m", "memory": "128Mi"}},
                **spec,
            },
        }

    def condition(self, namespace: str, name: str, kind: str) -> dict[str, Any]:
        """A condition for the newest generation; empty until it is reported."""
        cascade = self.client.get("mcas", name, "-n", namespace)
        status = cascade.get("status", {})
        if status.get("observedGeneration") != cascade["metadata"]["generation"]:
            return {}
        return next((c for c in status.get("conditions", ()) if c["type"] == kind), {})

    def wait_condition(
        self, namespace: str, name: str, kind: str, status: str, *, within_s: float, reason: str | None = None
    ) -> dict[str, Any]:
        def holds() -> dict[str, Any] | None:
            condition = self.condition(namespace, name, kind)
            seen.append(condition)
            fits = condition.get("status") == status and reason in {None, condition.get("reason")}
            return condition if fits else None

        seen: list[dict[str, Any]] = []
        try:
            return eventually(
                holds, within_s=within_s, what=f"{namespace}/{name}: {kind}={status} {reason or ''}", every_s=0.2
            )
        except AssertionError as error:
            pods = self.client.kubectl("get", "pods", "-n", namespace)
            raise AssertionError(f"{error}\nlast condition: {seen[-1]}\n{pods}") from error

    def children(self, namespace: str, name: str) -> list[dict[str, Any]]:
        selector = f"modelcascade.dev/cascade={name}"
        items: list[dict[str, Any]] = self.client.get(KINDS, "-n", namespace, "-l", selector)["items"]
        return items

    def shape(self, namespace: str, name: str) -> dict[str, Any]:
        """What the children say, without what differs between two lives: uids, versions, times, status, addresses."""
        return {f"{item['kind']}/{item['metadata']['name']}": _lasting(item) for item in self.children(namespace, name)}


_FLEETING = {
    "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "status", "clusterIP", "clusterIPs",
    "ownerReferences", "modelcascade.dev/cascade-uid", "modelcascade.dev/applied-hash", "namespace",
    "deployment.kubernetes.io/revision", "replicas",
}  # fmt: skip


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _lasting(json.loads(inner)) if key == "routes.json" else _lasting(inner)
            for key, inner in value.items()
            if key not in _FLEETING
        }
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Write:
    """One line of the API server's audit log."""

    time: datetime
    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    uri: str


def writes_since(start: datetime, user: str) -> list[Write]:
    """What `user` wrote since `start`; skips aloud where the API server's audit log cannot be read."""
    if not LAYOUT.audit_log.is_file():
        pytest.skip("the audit log is at hand on CLUSTER=local only: nobody counted the writes")
    found = []
    for line in LAYOUT.audit_log.read_text().splitlines():
        if f'"{user}"' not in line:
            continue
        event = json.loads(line)
        time = datetime.fromisoformat(event["requestReceivedTimestamp"])
        target = event.get("objectRef", {})
        if time >= start:
            found.append(
                Write(
                    time,
                    event["user"]["username"],
                    event["verb"],
                    "/".join(filter(None, (target.get("resource"), target.get("subresource")))),
                    target.get("namespace", ""),
                    target.get("name", ""),
                    event["requestURI"],
                )
            )
    return found


def wall_clock() -> datetime:
    """UTC now: the audit log is read by wall-clock time."""
    return datetime.now(UTC)  # noqa: TID251 - a test may read the clock
