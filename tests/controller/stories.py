"""Cascades, and the small helpers with which the tests of the reconcile tell a story."""

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.fake_cluster import FakeCluster, Write
from modelcascade.controller.memory import Memory
from modelcascade.controller.reconcile import Outcome, reconcile_cascade
from modelcascade.kube.indexes import CascadeKey, Indexes
from modelcascade.planning.objects import PlanDefaults

__all__ = ["CHILDREN", "DEFAULTS", "KEY", "CrashError", "Story", "cascade_body", "children", "crash_after", "tier"]

DEFAULTS = PlanDefaults(
    operator_image=f"example.test/modelcascade@sha256:{'a' * 64}",
    llama_cpp_image=f"example.test/llama-server@sha256:{'b' * 64}",
)
KEY = CascadeKey("ns", "code")
_START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


CHILDREN = {
    "ConfigMap/code-routes",
    "Deployment/code-large",
    "Deployment/code-router",
    "Deployment/code-small",
    "RoleBinding/code-router",
    "Service/code",
    "Service/code-large",
    "Service/code-small",
    "ServiceAccount/code-router",
}


class CrashError(BaseException):
    """The process dies here; nothing may catch it."""


def tier(name: str, role: str = "Small", rank: int = 10, **more: Any) -> dict[str, Any]:
    """A local tier."""
    return {
        "name": name,
        "role": role,
        "rank": rank,
        "local": {
            "model": {"source": {"uri": f"oci://example.test/models/{name}@sha256:{'c' * 64}"}, "contextLength": 512},
            "engine": {"type": "LlamaCpp", "parallel": 1},
            "quantization": {"format": "GGUF", "variant": "Q4_K_M"},
            "resources": {"cpu": "500m", "memory": "512Mi"},
        },
        **more,
    }


def cascade_body(*tiers: dict[str, Any], name: str = KEY.name, **spec: Any) -> dict[str, Any]:
    """A cascade; with two tiers when none are given."""
    return {
        "apiVersion": "modelcascade.dev/v1alpha1",
        "kind": "ModelCascade",
        "metadata": {"name": name, "namespace": KEY.namespace},
        "spec": {"tiers": list(tiers) or [tier("small"), tier("large", "Specialist", 20)], **spec},
    }


def crash_after(number: int) -> Callable[[Write], None]:
    """Dies right after the write with this number (from 1) was done."""
    done = 0

    def check(_write: Write) -> None:
        nonlocal done
        done += 1
        if done == number:
            raise CrashError

    return check


class Story:
    """One cluster, one operator's memory, and a clock that moves when the story says so."""

    def __init__(self, cluster: FakeCluster | None = None) -> None:
        self.cluster = cluster or FakeCluster()
        self.memory = Memory()
        self.now = _START

    async def reconcile(self, indexes: Indexes | None = None, key: CascadeKey = KEY) -> Outcome:
        """One round, by fresh caches unless others are given; the clock moves by a second."""
        self.now += timedelta(seconds=1)
        return await reconcile_cascade(
            self.cluster, indexes or self.cluster.indexes(), self.memory, key, defaults=DEFAULTS, now=self.now
        )

    async def settle(self, key: CascadeKey = KEY) -> None:
        """Rounds until one writes nothing."""
        for _ in range(10):
            before = len(self.cluster.writes)
            await self.reconcile(key=key)
            if len(self.cluster.writes) == before:
                return
        raise AssertionError(f"still writing after 10 rounds: {self.cluster.writes[-5:]}")

    def restart(self) -> None:
        """The operator was killed and starts again: its memory is gone, the cluster stays."""
        self.memory = Memory()
        self.cluster.before_write = lambda _write: None
        self.cluster.after_write = lambda _write: None

    def writes_since(self, number: int) -> list[tuple[str, str, str]]:
        """Writes after the first `number`, Events left out."""
        return [(write.verb, write.kind, write.name) for write in self.cluster.writes[number:] if write.kind != "Event"]

    def condition(self, name: str) -> Mapping[str, Any]:
        """A condition of the cascade."""
        status = self.cluster.body("ModelCascade", *KEY)["status"]
        return next(found for found in status["conditions"] if found["type"] == name)

    def change_spec(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit the cascade's spec as a person does."""

        def apply(body: dict[str, Any]) -> None:
            spec = copy.deepcopy(body["spec"])
            change(spec)
            body["spec"] = spec

        self.cluster.edit("ModelCascade", *KEY, apply)


def children(story: Story) -> set[str]:
    """All objects but the cascade and Events."""
    return set(story.cluster.normal_form("ns")) - {"ModelCascade/code"}
