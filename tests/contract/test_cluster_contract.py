"""
One suite for every `Cluster`: the in-memory fake, our client against the small API server, and the real API server.

What the fake claims is thereby what Kubernetes does. The real one is used where a kubeconfig is at hand.
"""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakes.fake_api_server import serve_api, write_kubeconfig
from fakes.fake_cluster import FakeCluster
from modelcascade.clock import monotonic_s
from modelcascade.errors import ClusterConflictError, ClusterError, ClusterNotFoundError, ClusterUnreachableError
from modelcascade.kube.cluster import Cluster, KubeCluster
from modelcascade.kube.connect import Connection, connect
from modelcascade.kube.gate import WriteGate
from modelcascade.kube.resources import Resource, resource_of

CASCADE = Resource("contract.modelcascade.dev/v1alpha1", "ModelCascade", "modelcascades")
"""On the real API server: the generated CRD under a group of its own, which no operator watches."""

CRD = Path(__file__).parents[2] / "crds" / "modelcascades.yaml"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
IMAGE = f"example.test/none@sha256:{'a' * 64}"


@dataclass
class Subject:
    """The cluster under test, a namespace in it, and another person's hand."""

    cluster: Cluster
    namespace: str
    fake: FakeCluster | None = None
    connection: Connection | None = None
    counted: list[tuple[str, str]] = field(default_factory=list)

    async def apply_as(self, manager: str, body: dict[str, Any], *, force: bool = True) -> dict[str, Any]:
        """Server-side apply in another's name."""
        if self.fake is not None:
            return self.fake.apply_as(manager, body, force=force)
        assert self.connection is not None
        return await self.connection.request(
            "PATCH",
            (CASCADE if body["kind"] == CASCADE.kind else resource_of(body["kind"])).path(
                self.namespace, body["metadata"]["name"]
            ),
            query={"fieldManager": manager, "force": "true" if force else "false"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def create_cascade(self, name: str) -> dict[str, Any]:
        """A cascade as a person creates it."""
        body: dict[str, Any] = {
            "apiVersion": (CASCADE if self.fake is None else resource_of("ModelCascade")).api_version,
            "kind": "ModelCascade",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "tiers": [
                    {
                        "name": "small",
                        "role": "Small",
                        "local": {
                            "model": {"source": {"uri": f"oci://{IMAGE}"}},
                            "engine": {"type": "LlamaCpp"},
                            "quantization": {"format": "GGUF", "variant": "Q4_K_M"},
                            "resources": {"cpu": "10m", "memory": "16Mi"},
                        },
                    }
                ]
            },
        }
        return await self.apply_as("kubectl", body)

    def config(self, name: str = "one", **data: str) -> dict[str, Any]:
        """A ConfigMap."""
        metadata = {"name": name, "namespace": self.namespace, "labels": {"app": "test"}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def deployment(self, name: str = "one", image: str = IMAGE) -> dict[str, Any]:
        """A Deployment that never starts a pod: its selector wants a node that does not exist."""
        labels = {"app": name}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "nodeSelector": {"kubernetes.io/hostname": "nowhere"},
                        "containers": [{"name": "engine", "image": image}],
                    },
                },
            },
        }


async def serve_crd(connection: Connection) -> None:
    """The CRD under its test group, applied and served."""
    body = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    body["metadata"] = {"name": f"{CASCADE.plural}.{CASCADE.group}"}
    body["spec"]["group"] = CASCADE.group
    body["spec"]["names"].pop("shortNames", None)
    await connection.request(
        "PATCH",
        f"{CRDS}/{body['metadata']['name']}",
        query={"fieldManager": "contract", "force": "true"},
        body=body,
        content_type="application/apply-patch+yaml",
    )
    for _ in range(100):
        with contextlib.suppress(ClusterNotFoundError, ClusterUnreachableError):  # "storage is (re)initializing"
            await connection.request("GET", CASCADE.path(None))
            return
        await asyncio.sleep(0.1)
    raise AssertionError("waited 10 s for the CRD of the test group to be served")


@pytest.fixture(scope="module", autouse=True)
def _tidy() -> Iterator[None]:
    """The CRD of the test group goes with the last test."""
    yield
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        return

    async def remove() -> None:
        async with await connect(kubeconfig) as connection:
            with contextlib.suppress(ClusterNotFoundError):
                await connection.request("DELETE", f"{CRDS}/{CASCADE.plural}.{CASCADE.group}")

    asyncio.run(remove())


@pytest.fixture(
    params=[
        pytest.param("fake", id="fake"),
        pytest.param("loopback", id="client-on-loopback"),
        pytest.param("real", id="real", marks=pytest.mark.e2e),
    ]
)
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each cluster in turn."""
    counted: list[tuple[str, str]] = []
    gate = WriteGate(monotonic_s, asyncio.sleep, lambda *what: counted.append(what))
    if request.param == "fake":
        fake = FakeCluster()
        yield Subject(fake, "ns", fake)
    elif request.param == "loopback":
        fake = FakeCluster()
        async with (
            serve_api(fake) as api,
            await connect(str(write_kubeconfig(tmp_path / "k", api.url))) as connection,
        ):
            yield Subject(KubeCluster(connection, gate), "ns", fake, connection, counted)
    else:
        kubeconfig = os.environ.get("KUBECONFIG")
        if not kubeconfig:
            pytest.skip("no real API server: set KUBECONFIG (make -s kubeconfig) to hold the fake to it")
        namespace = f"contract-{uuid.uuid4().hex[:8]}"
        async with await connect(kubeconfig) as connection:
            await serve_crd(connection)
            await connection.request("POST", "/api/v1/namespaces", body={"metadata": {"name": namespace}})
            try:
                yield Subject(KubeCluster(connection, gate, cascade=CASCADE), namespace, None, connection, counted)
            finally:
                await connection.request("DELETE", f"/api/v1/namespaces/{namespace}")


async def test_apply_creates_and_repeats_without_a_change(subject: Subject) -> None:
    """The first apply creates with a uid; the same apply again leaves the resourceVersion alone."""
    body = subject.config(key="value")
    assert await subject.cluster.get("ConfigMap", subject.namespace, "one") is None
    first = await subject.cluster.apply(body, force=False)
    second = await subject.cluster.apply(body, force=True)
    assert first["metadata"]["uid"]
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    live = await subject.cluster.get("ConfigMap", subject.namespace, "one")
    assert live is not None
    assert (live["kind"], live["data"]) == ("ConfigMap", {"key": "value"})


async def test_a_field_that_is_applied_no_more_goes_away(subject: Subject) -> None:
    """What we stop applying is removed; what somebody else added stays."""
    await subject.cluster.apply(subject.config(ours="1", gone="1"), force=False)
    theirs = subject.config(theirs="1")
    theirs["metadata"]["annotations"] = {"note": "theirs"}
    await subject.apply_as("somebody", theirs)
    after = await subject.cluster.apply(subject.config(ours="2"), force=True)
    assert after["data"] == {"ours": "2", "theirs": "1"}
    assert after["metadata"]["annotations"] == {"note": "theirs"}


async def test_items_of_a_list_are_merged_by_name(subject: Subject) -> None:
    """A container that somebody adds survives our apply; ours changes in place and a dropped one goes."""
    await subject.cluster.apply(subject.deployment(), force=False)
    theirs = subject.deployment(image="example.test/sidecar")
    theirs["spec"]["template"]["spec"]["containers"][0]["name"] = "sidecar"
    await subject.apply_as("somebody", theirs)
    after = await subject.cluster.apply(subject.deployment(image="example.test/new"), force=True)
    containers = {one["name"]: one["image"] for one in after["spec"]["template"]["spec"]["containers"]}
    assert containers == {"engine": "example.test/new", "sidecar": "example.test/sidecar"}


async def test_somebody_else_s_value_is_a_conflict_without_force(subject: Subject) -> None:
    """Without force a field of another manager with another value is refused; with force it becomes ours."""
    await subject.apply_as("somebody", subject.config(key="theirs"))
    with pytest.raises(ClusterConflictError, match="somebody"):
        await subject.cluster.apply(subject.config(key="ours"), force=False)
    live = await subject.cluster.get("ConfigMap", subject.namespace, "one")
    assert live is not None
    assert live["data"] == {"key": "theirs"}
    assert (await subject.cluster.apply(subject.config(key="ours"), force=True))["data"] == {"key": "ours"}


async def test_a_uid_in_the_body_is_a_precondition(subject: Subject) -> None:
    """With a uid an apply neither creates nor touches another object."""
    body = subject.config(key="1")
    body["metadata"]["uid"] = str(uuid.uuid4())
    with pytest.raises(ClusterConflictError):
        await subject.cluster.apply(body, force=True)
    assert await subject.cluster.get("ConfigMap", subject.namespace, "one") is None
    created = await subject.cluster.apply(subject.config(key="1"), force=False)
    with pytest.raises(ClusterConflictError):
        await subject.cluster.apply(body, force=True)
    body["metadata"]["uid"] = created["metadata"]["uid"]
    body["data"]["key"] = "2"
    assert (await subject.cluster.apply(body, force=True))["data"] == {"key": "2"}


async def test_a_delete_hits_exactly_what_was_read(subject: Subject) -> None:
    """Another uid or an older version is a conflict; gone already is said, not raised."""
    old = await subject.cluster.apply(subject.config(key="1"), force=False)
    new = await subject.cluster.apply(subject.config(key="2"), force=True)
    uid, version = new["metadata"]["uid"], new["metadata"]["resourceVersion"]
    delete = subject.cluster.delete
    where = ("ConfigMap", subject.namespace, "one")
    with pytest.raises(ClusterConflictError):
        await delete(*where, uid=str(uuid.uuid4()), resource_version=version)
    with pytest.raises(ClusterConflictError):
        await delete(*where, uid=uid, resource_version=old["metadata"]["resourceVersion"])
    assert await delete(*where, uid=uid, resource_version=version)
    assert not await delete(*where, uid=uid, resource_version=version)


async def test_replicas_belong_to_scale(subject: Subject) -> None:
    """A Deployment starts at 1; /scale writes the number, and an apply without the field keeps it, 0 included."""
    created = await subject.cluster.apply(subject.deployment(), force=False)
    assert created["spec"]["replicas"] == 1
    scale = await subject.cluster.patch_scale(subject.namespace, "one", 0)
    assert scale["spec"].get("replicas", 0) == 0
    assert int(scale["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    after = await subject.cluster.apply(subject.deployment(image="example.test/new"), force=True)
    assert after["spec"]["replicas"] == 0
    assert await subject.cluster.read_scale(subject.namespace, "one") == 0
    assert await subject.cluster.read_scale(subject.namespace, "absent") is None
    with pytest.raises(ClusterNotFoundError):
        await subject.cluster.patch_scale(subject.namespace, "absent", 1)


async def test_generation_moves_with_the_spec_only(subject: Subject) -> None:
    """A new image is a new generation; a new label is none."""
    first = await subject.cluster.apply(subject.deployment(), force=False)
    labelled = subject.deployment()
    labelled["metadata"]["labels"] = {"new": "label"}
    second = await subject.cluster.apply(labelled, force=True)
    third = await subject.cluster.apply(subject.deployment(image="example.test/new"), force=True)
    assert first["metadata"]["generation"] == second["metadata"]["generation"]
    assert third["metadata"]["generation"] == second["metadata"]["generation"] + 1


async def test_status_is_replaced_and_nothing_else(subject: Subject) -> None:
    """A status write replaces ours whole, moves no generation, and repeated changes nothing."""
    created = await subject.create_cascade("code")

    async def report(before: dict[str, Any], **status: Any) -> dict[str, Any]:
        version = before["metadata"]["resourceVersion"]
        return await subject.cluster.patch_status(subject.namespace, "code", resource_version=version, status=status)

    first = await report(created, observedGeneration=1, url="http://one/v1", readyTiers="0/1")
    second = await report(first, observedGeneration=1, readyTiers="1/1")
    third = await report(second, observedGeneration=1, readyTiers="1/1")
    assert second["status"] == {"observedGeneration": 1, "readyTiers": "1/1"}
    assert first["metadata"]["generation"] == third["metadata"]["generation"]
    assert second["metadata"]["resourceVersion"] == third["metadata"]["resourceVersion"]
    assert third["spec"] == created["spec"]


async def test_status_of_another_cascade_is_not_touched(subject: Subject) -> None:
    """An older version is a conflict and an absent cascade is told as such; neither creates one."""
    with pytest.raises(ClusterNotFoundError):
        await subject.cluster.patch_status(subject.namespace, "code", resource_version="1", status={"url": "x"})
    created = await subject.create_cascade("code")
    version = created["metadata"]["resourceVersion"]
    await subject.cluster.patch_status(subject.namespace, "code", resource_version=version, status={"url": "x"})
    with pytest.raises(ClusterConflictError):
        await subject.cluster.patch_status(subject.namespace, "code", resource_version=version, status={"url": "y"})


async def test_our_status_survives_the_server(subject: Subject) -> None:
    """What the operator reports comes back exactly as it was sent: else it would be written for ever."""
    version = (await subject.create_cascade("code"))["metadata"]["resourceVersion"]
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "Progressing",
        "message": "Tier small: pod x has started and is not ready yet.",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-24T08:00:00Z",
    }
    status = {
        "conditions": [condition, {**condition, "type": "Accepted", "status": "True", "reason": "Valid"}],
        "observedGeneration": 1,
        "url": "http://code.ns.svc/v1",
        "readyTiers": "0/1",
        "tiers": [{"name": "small", "replicas": {"desired": 1, "ready": 0}}],
    }
    after = await subject.cluster.patch_status(subject.namespace, "code", resource_version=version, status=status)
    assert after["status"] == status


async def test_events_are_created(subject: Subject) -> None:
    """An Event is taken by the server; Events about an object are found by its uid."""
    uid = (await subject.create_cascade("code"))["metadata"]["uid"]
    await subject.cluster.record_event(
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"code.{uuid.uuid4().hex}", "namespace": subject.namespace},
            "eventTime": "2026-11-24T08:00:00.000000Z",
            "reportingController": "modelcascade.dev/operator",
            "reportingInstance": "modelcascade-operator",
            "action": "Assess",
            "reason": "Ready",
            "type": "Normal",
            "note": "Ready is True: all is well",
            "regarding": {
                "apiVersion": CASCADE.api_version,
                "kind": "ModelCascade",
                "name": "code",
                "namespace": subject.namespace,
                "uid": uid,
            },
        }
    )
    assert await subject.cluster.list_events(subject.namespace, str(uuid.uuid4())) == ()


async def test_kinds_that_are_served(subject: Subject) -> None:
    """A kind without its CRD is told apart from one that is served."""
    assert await subject.cluster.is_served("Deployment")
    if subject.fake is not None:
        assert await subject.cluster.is_served("ModelCascade")
        subject.fake.served.discard("ModelCascade")
        assert not await subject.cluster.is_served("ModelCascade")


async def test_an_object_that_the_server_refuses(subject: Subject) -> None:
    """A refusal carries the server's sentence (the fake validates nothing and is asked for what it knows)."""
    if subject.fake is not None:
        with pytest.raises(ClusterNotFoundError, match="absent"):
            await subject.cluster.patch_scale(subject.namespace, "absent", 1)
        return
    body = subject.deployment()
    body["spec"]["selector"]["matchLabels"] = {"app": "another"}
    with pytest.raises(ClusterError, match="selector"):
        await subject.cluster.apply(body, force=False)


async def test_every_write_is_counted(subject: Subject) -> None:
    """The gate sees each write by verb and kind, and no read."""
    if isinstance(subject.cluster, FakeCluster):
        return
    created = await subject.cluster.apply(subject.deployment(), force=False)
    await subject.cluster.patch_scale(subject.namespace, "one", 2)
    live = await subject.cluster.get("Deployment", subject.namespace, "one")
    assert live is not None
    await subject.cluster.read_scale(subject.namespace, "one")
    version = live["metadata"]["resourceVersion"]
    with contextlib.suppress(ClusterConflictError):  # its status may have moved meanwhile, on a real cluster
        await subject.cluster.delete(
            "Deployment", subject.namespace, "one", uid=created["metadata"]["uid"], resource_version=version
        )
    assert subject.counted == [("apply", "Deployment"), ("scale", "Deployment"), ("delete", "Deployment")]
