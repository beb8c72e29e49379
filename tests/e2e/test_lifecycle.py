"""The life of a cascade on the real cluster: faults, edits, crashes, deletion, and silence at rest."""

import json
import random
import urllib.request
from collections.abc import Callable
from datetime import datetime
from time import perf_counter

import pytest

from devcluster.client import RELEASE, SYSTEM_NAMESPACE, install_chart
from devcluster.store import image_references
from support.e2e import LAYOUT, OPERATOR, RESYNC_SECONDS, Cluster, wall_clock, writes_since
from support.waiting import eventually, let_pass

pytestmark = pytest.mark.e2e
RecordFigure = Callable[[str, float, float, str], None]


def kill_operator(cluster: Cluster) -> None:
    """The operator's pod, at once and without a goodbye."""
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
    cluster.client.kubectl("delete", "pod", "-n", SYSTEM_NAMESPACE, "-l", selector, "--force", "--grace-period=0")


def generations(cluster: Cluster, namespace: str, name: str) -> dict[str, int]:
    """Deployment name to `metadata.generation`, which moves with each change of a spec."""
    children = cluster.children(namespace, name)
    return {c["metadata"]["name"]: c["metadata"]["generation"] for c in children if c["kind"] == "Deployment"}


def test_an_edit_of_one_tier_touches_only_that_tier(cluster: Cluster, namespace: str) -> None:
    """The other Deployments keep their generation, and by the audit log nobody wrote them."""
    body = cluster.tiny("edit", namespace, "small", "big")
    cluster.client.apply(body)
    cluster.wait_condition(namespace, "edit", "Ready", "True", within_s=60)
    before = generations(cluster, namespace, "edit")
    body["spec"]["tiers"][1]["local"]["resources"]["memory"] = "300Mi"
    start = wall_clock()
    cluster.client.apply(body)
    cluster.wait_condition(namespace, "edit", "Ready", "True", within_s=60)
    assert before | {"edit-big": before["edit-big"] + 1} == generations(cluster, namespace, "edit")
    written = {
        w.name for w in writes_since(start, OPERATOR) if w.namespace == namespace and w.resource == "deployments"
    }
    assert {"edit-big"} == written


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_operator_converges_to_the_same_objects(cluster: Cluster, namespace: str, seed: int) -> None:
    """Killed at random moments during create, edit and delete: the objects are those of an undisturbed life."""
    moments = random.Random(seed)  # noqa: S311 - moments to kill at, no secret
    edited = cluster.tiny("calm", namespace, "small", "big", "extra")
    cluster.client.apply(edited)
    cluster.wait_condition(namespace, "calm", "Ready", "True", within_s=90)
    calm = json.loads(json.dumps(cluster.shape(namespace, "calm")).replace("calm", "NAME"))
    cluster.client.kubectl("delete", "mcas", "calm", "-n", namespace)

    cluster.client.apply(cluster.tiny("wild", namespace, "small", "big"))
    let_pass(moments.uniform(0, 0.5))
    kill_operator(cluster)
    let_pass(moments.uniform(0, 2.5))
    cluster.client.apply(cluster.tiny("wild", namespace, "small", "big", "extra"))
    let_pass(moments.uniform(0, 0.5))
    kill_operator(cluster)
    cluster.wait_condition(namespace, "wild", "Ready", "True", within_s=90)
    wild = json.loads(json.dumps(cluster.shape(namespace, "wild")).replace("wild", "NAME"))
    assert calm == wild

    cluster.client.kubectl("delete", "mcas", "wild", "-n", namespace, "--wait=false")
    kill_operator(cluster)
    eventually(
        lambda: not cluster.children(namespace, "wild"), within_s=60, what="deletion finishes without the operator"
    )


def test_deletion_leaves_no_object(cluster: Cluster, namespace: str) -> None:
    """No child, no pod, no finalizer, no annotation of ours or kopf's on the cascade."""
    cluster.client.apply(cluster.tiny("gone", namespace, "small"))
    cluster.wait_condition(namespace, "gone", "Ready", "True", within_s=60)
    metadata = cluster.client.get("mcas", "gone", "-n", namespace)["metadata"]
    assert "finalizers" not in metadata
    assert not any("kopf" in key or "modelcascade" in key for key in metadata.get("annotations", {}))
    cluster.client.kubectl("delete", "mcas", "gone", "-n", namespace)
    kinds = (
        "deployments,replicasets,pods,services,endpointslices,configmaps,serviceaccounts,roles,rolebindings,"
        "poddisruptionbudgets,jobs,persistentvolumeclaims,mcas"
    )

    def left() -> list[str]:
        items = cluster.client.get(kinds, "-n", namespace)["items"]
        names = [f"{item['kind']}/{item['metadata']['name']}" for item in items]
        return [name for name in names if name not in {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}]

    eventually(lambda: not left(), within_s=90, what="nothing is left in the namespace", every_s=0.5)


@pytest.mark.parametrize(
    ("change", "condition", "reason"),
    [
        pytest.param(
            {"quantization": {"format": "GGUF", "variant": "Q8_0"}},
            "QuantizationMatched", "VariantMismatch", id="wrong quantization",
        ),
        pytest.param({"file": "nothing-here.gguf"}, "ModelsAvailable", "ModelFileNotFound", id="wrong file name"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_as_declared_starts_no_engine(
    cluster: Cluster, namespace: str, change: dict[str, object], condition: str, reason: str
) -> None:
    """Each mistake has its own reason, and the engine's container never starts; corrected, it becomes Ready."""
    body = cluster.tiny("wrong", namespace, "small")
    right = json.loads(json.dumps(body))
    local = body["spec"]["tiers"][0]["local"]
    if "file" in change:
        local["model"]["source"] |= change
    else:
        local |= change
    cluster.client.apply(body)
    found = cluster.wait_condition(namespace, "wrong", condition, "False", reason=reason, within_s=60)
    assert "small" in found["message"]
    for pod in cluster.client.get("pods", "-n", namespace, "-l", "modelcascade.dev/tier=small")["items"]:
        for container in pod["status"].get("containerStatuses", ()):
            assert "running" not in container["state"]
            assert not container.get("lastState")
    cluster.client.apply(right)
    cluster.wait_condition(namespace, "wrong", "Ready", "True", within_s=90)


def test_a_refused_edit_keeps_the_last_good_children_serving(cluster: Cluster, namespace: str) -> None:
    """A spec that this version cannot serve gives Accepted=False with the field's path, and nothing is torn down."""
    body = cluster.tiny("keep", namespace, "small")
    cluster.client.apply(body)
    cluster.wait_condition(namespace, "keep", "Ready", "True", within_s=60)
    before = cluster.shape(namespace, "keep")
    body["spec"]["routing"] = {"escalation": {"maxTenantSharePercent": 10}}
    cluster.client.apply(body)
    refused = cluster.wait_condition(namespace, "keep", "Accepted", "False", within_s=20)
    assert "spec.routing.escalation.maxTenantSharePercent" in refused["message"]
    assert before == cluster.shape(namespace, "keep")


def test_admission_refuses_an_invalid_cascade_with_the_path(cluster: Cluster, namespace: str) -> None:
    """The API server itself says what is wrong; nothing is stored."""
    body = cluster.tiny("bad", namespace, "small")
    body["spec"]["tiers"][0]["name"] = "router"
    said = cluster.client.run("kubectl", "apply", "--server-side", "-f", "-", stdin=json.dumps(body), check=False)
    assert "spec.tiers[0].name" in said
    assert "reserved" in said
    assert [] == cluster.client.get("mcas", "-n", namespace)["items"]


def test_drift_is_corrected_and_foreign_annotations_stay(
    cluster: Cluster, namespace: str, figure: RecordFigure
) -> None:
    """A deleted Service comes back within 10 s; another's annotation on our object is left alone."""
    cluster.client.apply(cluster.tiny("drift", namespace, "small"))
    cluster.wait_condition(namespace, "drift", "Ready", "True", within_s=60)
    cluster.client.kubectl("annotate", "deployment", "drift-small", "-n", namespace, "example.org/owner=them")
    uid = cluster.client.get("service", "drift", "-n", namespace)["metadata"]["uid"]
    start = perf_counter()
    cluster.client.kubectl("delete", "service", "drift", "-n", namespace)

    def back() -> bool:
        items = cluster.client.get("services", "-n", namespace)["items"]
        return any(i["metadata"]["name"] == "drift" and i["metadata"]["uid"] != uid for i in items)

    eventually(back, within_s=10, what="the Service is back")
    figure("deleted Service restored", perf_counter() - start, 10, "s")
    annotations = cluster.client.get("deployment", "drift-small", "-n", namespace)["metadata"]["annotations"]
    assert "them" == annotations["example.org/owner"]


def test_a_foreign_object_of_a_needed_name_is_never_touched(cluster: Cluster, namespace: str) -> None:
    """Somebody else's Deployment stays as it is, and the condition names it."""
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "clash", "namespace": namespace},
        "spec": {"ports": [{"port": 1234}], "selector": {"app": "theirs"}},
    }
    cluster.client.apply(foreign)
    before = cluster.client.get("service", "clash", "-n", namespace)["metadata"]["resourceVersion"]
    cluster.client.apply(cluster.tiny("clash", namespace, "small"))
    said = cluster.wait_condition(namespace, "clash", "Ready", "False", reason="NameConflict", within_s=30)
    assert "clash" in said["message"]
    assert before == cluster.client.get("service", "clash", "-n", namespace)["metadata"]["resourceVersion"]


def rounds(cluster: Cluster) -> float:
    """How often the operator has looked at a cascade, from its own metrics."""
    pods = cluster.client.get("pods", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=operator")["items"]
    (address,) = [pod["status"]["podIP"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    with urllib.request.urlopen(f"http://{address}:9090/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("modelcascade_operator_reconciles_total{"))


def test_nothing_is_written_at_rest(cluster: Cluster, namespace: str, figure: RecordFigure) -> None:
    """Ten resyncs of a Ready cascade without traffic: not one write by the operator, by the audit log."""
    cluster.client.apply(cluster.tiny("rest", namespace, "small", "big"))
    cluster.wait_condition(namespace, "rest", "Ready", "True", within_s=60)

    def quiet() -> bool:
        start = wall_clock()
        let_pass(3)
        return not [w for w in writes_since(start, OPERATOR) if w.namespace == namespace]

    eventually(quiet, within_s=60, what="three seconds without a write after Ready")
    start, before = wall_clock(), rounds(cluster)
    let_pass(10 * RESYNC_SECONDS + 1)
    looked = rounds(cluster) - before
    written = [w for w in writes_since(start, OPERATOR) if w.namespace == namespace]
    assert looked >= 10, "an operator that does not look writes nothing either"
    figure("writes in 10 resyncs at rest", len(written), 0, "writes")
    assert [] == written


@pytest.mark.figures
def test_the_operator_is_small(cluster: Cluster, namespace: str, figure: RecordFigure) -> None:
    """With one cascade and the default resync: 120 MiB of memory and 1 % of a core at most."""
    install_chart(cluster.client, LAYOUT.repository, image_references(LAYOUT), ["operator.resyncSeconds=60"])
    try:
        cluster.client.apply(cluster.tiny("lean", namespace, "small", "big"))
        cluster.wait_condition(namespace, "lean", "Ready", "True", within_s=60)
        let_pass(15)
        first = operator_usage(cluster)
        let_pass(60)
        second = operator_usage(cluster)
    finally:
        install_chart(
            cluster.client, LAYOUT.repository, image_references(LAYOUT), [f"operator.resyncSeconds={RESYNC_SECONDS}"]
        )
    cpu = (second[1] - first[1]) / (second[2] - first[2])
    memory = second[0] / 2**20
    figure("operator idle CPU with one cascade", 100 * cpu, 1, "% of a core")
    figure("operator memory with one cascade", memory, 120, "MiB")


def operator_usage(cluster: Cluster) -> tuple[int, float, float]:
    """Working set in bytes, CPU seconds used, and when the kubelet measured them (seconds)."""
    node = cluster.client.get("nodes")["items"][0]["metadata"]["name"]

    def measured() -> tuple[int, float, float] | None:
        summary = json.loads(cluster.client.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
        for pod in summary["pods"]:
            if pod["podRef"]["namespace"] == SYSTEM_NAMESPACE and pod.get("containers"):
                container = pod["containers"][0]
                if "usageCoreNanoSeconds" in container["cpu"]:
                    at = datetime.fromisoformat(container["cpu"]["time"]).timestamp()
                    return container["memory"]["workingSetBytes"], container["cpu"]["usageCoreNanoSeconds"] / 1e9, at
        return None

    return eventually(measured, within_s=60, what="the kubelet's statistics of the operator's pod", every_s=1)
