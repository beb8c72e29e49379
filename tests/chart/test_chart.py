"""The chart: what it renders for the documented values, and what it refuses."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as models
from pydantic import BaseModel

from devcluster.client import Client
from devcluster.layout import Layout

CHART = Path(__file__).parents[2] / "charts" / "modelcascade"
DIGEST = "sha256:" + "a" * 64
IMAGE = ("--set", "image.repository=registry.example/modelcascade", "--set", f"image.digest={DIGEST}")
STRICT: dict[str, type[BaseModel]] = {
    "ClusterRole": models.V1ClusterRole,
    "ClusterRoleBinding": models.V1ClusterRoleBinding,
    "CustomResourceDefinition": models.V1CustomResourceDefinition,
    "Deployment": models.V1Deployment,
    "Role": models.V1Role,
    "RoleBinding": models.V1RoleBinding,
    "ServiceAccount": models.V1ServiceAccount,
}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm; skips aloud where no helm has been built yet."""
    program = shutil.which("helm", path=Client.for_layout(Layout.from_environment()).programs)
    if program is None:
        pytest.skip("helm is not at hand: `make cluster-up` builds it; the chart was NOT rendered")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, env=dict(os.environ))


def rendered(*arguments: str, release: str = "modelcascade", namespace: str = "somewhere") -> list[dict[str, Any]]:
    """The objects that `helm template` gives."""
    done = helm("template", release, str(CHART), "--namespace", namespace, *IMAGE, *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Those of one kind."""
    return [item for item in objects if item["kind"] == kind]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="defaults"),
        pytest.param(("--set", "watchNamespaces={a,b}"), id="two namespaces"),
        pytest.param(("--set", "imagePullSecrets={regcred}"), id="pull secret"),
        pytest.param(("--set", "crds.enabled=false"), id="without CRDs"),
    ],
)
def test_every_rendered_object_passes_the_strict_model(arguments: tuple[str, ...]) -> None:
    """A key that Kubernetes does not know would be dropped in silence by a tolerant client."""
    for item in rendered(*arguments):
        STRICT[item["kind"]].model_validate(item)


@pytest.mark.parametrize(("release", "namespace"), [("modelcascade", "default"), ("team-x", "ml-platform")])
def test_any_release_name_and_namespace_render(release: str, namespace: str) -> None:
    """Names follow the release, and nothing lands outside its namespace."""
    objects = rendered(release=release, namespace=namespace)
    (deployment,) = of_kind(objects, "Deployment")
    assert namespace == deployment["metadata"]["namespace"]
    assert deployment["metadata"]["name"].startswith(release)
    (subject,) = of_kind(objects, "ClusterRoleBinding")[0]["subjects"]
    assert (deployment["spec"]["template"]["spec"]["serviceAccountName"], namespace) == (
        subject["name"],
        subject["namespace"],
    )


def test_the_bind_right_covers_the_router_role_alone() -> None:
    """The operator may hand out one ClusterRole and no other."""
    objects = rendered(release="team-x")
    router_role = next(
        r["metadata"]["name"] for r in of_kind(objects, "ClusterRole") if "router" in r["metadata"]["name"]
    )
    binds = [rule for role in of_kind(objects, "ClusterRole") for rule in role["rules"] if "bind" in rule["verbs"]]
    assert [[router_role]] == [rule["resourceNames"] for rule in binds]
    (deployment,) = of_kind(objects, "Deployment")
    assert f"--router-cluster-role={router_role}" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def test_a_namespace_list_leaves_nothing_cluster_wide_but_the_router_role() -> None:
    """With watchNamespaces the operator holds a Role in each of them, and no ClusterRole of its own."""
    objects = rendered("--set", "watchNamespaces={a,b}")
    assert [] == of_kind(objects, "ClusterRoleBinding")
    assert ["modelcascade-router"] == [role["metadata"]["name"] for role in of_kind(objects, "ClusterRole")]
    assert ["a", "b"] == [role["metadata"]["namespace"] for role in of_kind(objects, "Role")]
    assert ["a", "b"] == [binding["metadata"]["namespace"] for binding in of_kind(objects, "RoleBinding")]


def test_no_rule_uses_a_wildcard_or_reads_secrets() -> None:
    """Least rights: no `*`, and Secrets are never read by the operator."""
    for role in of_kind(rendered(), "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "secrets" not in rule["resources"]


def test_crds_are_kept_unless_told_otherwise() -> None:
    """Removing the release must not delete every cascade with it."""
    keep = "helm.sh/resource-policy"
    kept = of_kind(rendered(), "CustomResourceDefinition")
    assert 2 == len(kept)
    assert ["keep", "keep"] == [crd["metadata"]["annotations"][keep] for crd in kept]
    dropped = of_kind(rendered("--set", "crds.keep=false"), "CustomResourceDefinition")
    assert not any(keep in (crd["metadata"].get("annotations") or {}) for crd in dropped)
    assert [] == of_kind(rendered("--set", "crds.enabled=false"), "CustomResourceDefinition")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param((), "image.repository is required", id="no image"),
        pytest.param(("--set", "image.repository=registry.example/x"), "image.digest is required", id="no digest"),
        pytest.param((*IMAGE, "--set", "operater.resyncSeconds=5"), "operater", id="a typo at the root"),
        pytest.param((*IMAGE, "--set", "operator.resyncSeconds=soon"), "resyncSeconds", id="a word for a number"),
    ],
)
def test_bad_values_are_refused_by_name(arguments: tuple[str, ...], said: str) -> None:
    """A mistake in the values is an error that names the key, never a surprise in the cluster."""
    done = helm("template", "x", str(CHART), *arguments)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_chart_renders_as_a_dependency(tmp_path: Path) -> None:
    """Helm adds `global` to a dependency's values, and people add `enabled`: both must pass the schema."""
    parent = tmp_path / "parent"
    shutil.copytree(CHART, parent / "charts" / "modelcascade")
    (parent / "Chart.yaml").write_text(
        "apiVersion: v2\nname: parent\nversion: 0.1.0\n"
        "dependencies: [{name: modelcascade, version: 0.1.0, condition: modelcascade.enabled}]\n"
    )
    values = {"modelcascade": {"enabled": True, "image": {"repository": "registry.example/x", "digest": DIGEST}}}
    (parent / "values.yaml").write_text(yaml.safe_dump(values))
    done = helm("template", "x", str(parent))
    assert done.returncode == 0, done.stderr


def test_helm_lint_is_clean() -> None:
    """`helm lint --strict` has nothing to say."""
    done = helm("lint", "--strict", str(CHART), *IMAGE)
    assert done.returncode == 0, done.stdout
