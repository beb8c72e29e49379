"""What other programs read from the cluster script."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devcluster.layout import Layout
from devcluster.volumes import recycle_volumes

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + 64 * "a"


def call(verb: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script as the Makefile calls it."""
    return subprocess.run(
        [sys.executable, ROOT / "hack" / "cluster.py", verb],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_kubeconfig_prints_a_path_and_nothing_else(tmp_path: Path) -> None:
    """The line can be put into KUBECONFIG as it is."""
    done = call("kubeconfig", CLUSTER="local", MODELCASCADE_STATE=str(tmp_path))
    assert (f"{tmp_path}/kubeconfig\n", 0) == (done.stdout, done.returncode)


def test_model_refs_prints_one_line_per_model_and_nothing_else(tmp_path: Path) -> None:
    """NAME=IMAGE@sha256:DIGEST for models; other images are left out."""
    references = {"models/tiny": f"localhost/m@{DIGEST}", "llama-server": f"localhost/l@{DIGEST}"}
    (tmp_path / "images.json").write_text(json.dumps(references))
    done = call("model-refs", CLUSTER="local", MODELCASCADE_STATE=str(tmp_path))
    assert f"tiny=localhost/m@{DIGEST}\n" == done.stdout


def test_references_of_a_cluster_with_a_registry_come_from_a_file(tmp_path: Path) -> None:
    """With CLUSTER=current a file says where the images are; comments and blank lines are allowed."""
    file = tmp_path / "references"
    file.write_text(f"# ours\n\nmodelcascade=registry.example/m@{DIGEST}\nmodels/big=registry.example/b@{DIGEST}\n")
    done = call("model-refs", CLUSTER="current", MODELCASCADE_IMAGES=str(file))
    assert f"big=registry.example/b@{DIGEST}\n" == done.stdout


def test_an_unknown_provider_is_named_with_the_known_ones() -> None:
    """A typing error in CLUSTER does nothing and says what there is."""
    done = call("up", CLUSTER="lokal")
    assert (2, "", True) == (done.returncode, done.stdout, "local, current, kind" in done.stderr)


def test_status_answers_without_a_cluster(tmp_path: Path) -> None:
    """Asking is always allowed."""
    done = call("status", CLUSTER="local", MODELCASCADE_STATE=str(tmp_path / "none"))
    assert (0, True) == (done.returncode, "`make cluster-up` starts it" in done.stdout)


@pytest.mark.parametrize(
    ("phase", "kept", "patches"),
    [
        pytest.param("Released", False, 1, id="a claim that is gone"),
        pytest.param("Bound", True, 0, id="a claim in use"),
        pytest.param("Available", True, 0, id="never claimed"),
    ],
)
def test_only_released_volumes_are_emptied(tmp_path: Path, phase: str, kept: bool, patches: int) -> None:  # noqa: FBT001
    """A volume in use keeps its files; a given-back one is empty and claimable."""
    layout = Layout(repository=ROOT, cache=tmp_path, state=tmp_path)
    folder = layout.volumes / "local-1"
    folder.mkdir(parents=True)
    (folder / "ledger").write_text("money")
    volume = {
        "metadata": {"name": "local-1"},
        "spec": {"local": {"path": str(folder)}},
        "status": {"phase": phase},
    }
    patched = []

    def kubectl(*words: str) -> str:
        if words[0] == "patch":
            patched.append(words)
        return json.dumps({"items": [volume]})

    recycle_volumes(layout, kubectl)
    assert (kept, patches) == ((folder / "ledger").exists(), len(patched))
    assert folder.is_dir()
