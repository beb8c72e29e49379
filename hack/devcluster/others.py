"""
The providers besides `local`: a cluster that is there already, and kind.

`kind` was never run by this project's makers: their machines have no container engine. Treat it as a sketch.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from devcluster.console import ScriptError, run, say, succeeds
from devcluster.images import IMAGE_PREFIX, make_images
from devcluster.layout import Layout
from devcluster.oci import archive_chunks
from devcluster.prerequisites import install_packages
from devcluster.store import image_references, remember_image

__all__ = [
    "current_down",
    "current_images",
    "current_kubeconfig",
    "current_up",
    "kind_down",
    "kind_images",
    "kind_up",
]

_KIND_CLUSTER = "modelcascade"
_KIND_NODE = f"{_KIND_CLUSTER}-control-plane"


def current_kubeconfig() -> Path:
    """The first file of KUBECONFIG, or kubectl's default."""
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(first) if first else Path.home() / ".kube" / "config"


def current_up(_: Layout) -> None:
    """Only looks: the cluster is someone else's."""
    shown = run(["kubectl", "version", "--output=yaml"], advice="CLUSTER=current needs kubectl and a selected context.")
    if "serverVersion" not in shown:
        raise ScriptError("The current context's API server did not answer.")
    context = run(["kubectl", "config", "current-context"]).strip()
    say(f"cluster: using the context {context}; nothing was changed")


def current_images(layout: Layout) -> None:
    """Cannot load anything; says how references are given."""
    if not image_references(layout):
        raise ScriptError(
            "CLUSTER=current cannot load images into the cluster. Push them to a registry that it pulls from, and "
            "name a file in MODELCASCADE_IMAGES with lines NAME=IMAGE@sha256:DIGEST for llama-server, modelcascade "
            "and models/…; hack/images has Containerfiles."
        )


def current_down(_: Layout) -> None:
    """Leave alone what is not ours."""
    say("cluster: CLUSTER=current is not ours; nothing to take down")


def kind_up(layout: Layout) -> None:
    """Untried."""
    if shutil.which("kind") is None:
        raise ScriptError(
            "CLUSTER=kind needs kind and a container engine. On Linux as root, CLUSTER=local needs neither."
        )
    if _KIND_CLUSTER not in run(["kind", "get", "clusters"]).split():
        layout.state.mkdir(parents=True, exist_ok=True)
        say("cluster: kind creates a cluster …")
        run(["kind", "create", "cluster", "--name", _KIND_CLUSTER, "--kubeconfig", layout.kubeconfig, "--wait=120s"])


def kind_images(layout: Layout) -> None:
    """Untried. Images are loaded as archives, then named by digest inside the node."""
    install_packages()
    for short_name, image in make_images(layout):
        name = f"{IMAGE_PREFIX}/{short_name}"
        reference = f"{name}@{image.manifest.digest}"
        if image_references(layout).get(short_name) == reference:
            continue
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            for chunk in archive_chunks(image, f"{name}:dev"):
                archive.write(chunk)
            archive.flush()
            run(["kind", "load", "image-archive", "--name", _KIND_CLUSTER, archive.name])
        engine = "docker" if succeeds(["docker", "inspect", _KIND_NODE]) else "podman"
        inside = [engine, "exec", _KIND_NODE, "ctr", "-n", "k8s.io", "images", "tag", "--force"]
        run([*inside, f"{name}:dev", reference])
        remember_image(layout, short_name, reference)


def kind_down(layout: Layout) -> None:
    """Untried."""
    subprocess.run(["kind", "delete", "cluster", "--name", _KIND_CLUSTER], check=False)
    shutil.rmtree(layout.state, ignore_errors=True)
