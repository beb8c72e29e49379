"""kubectl and helm as a person would call them, and the chart installed the same way by the demo and the tests."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.console import ScriptError
from devcluster.layout import Layout
from devcluster.others import current_kubeconfig

__all__ = ["NAMESPACE_LABELS", "RELEASE", "SYSTEM_NAMESPACE", "Client", "install_chart"]

RELEASE = "modelcascade"
SYSTEM_NAMESPACE = "modelcascade-system"
OWN_LABEL = "modelcascade.dev/development"
"""Marks the namespaces that these scripts made: no other one is ever labelled or deleted by them."""

NAMESPACE_LABELS = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True)
class Client:
    """One cluster: its kubeconfig, and where its programs lie."""

    kubeconfig: Path
    programs: str
    """The search path for kubectl and helm."""

    @classmethod
    def for_layout(cls, layout: Layout) -> "Client":
        """The current context's with `CLUSTER=current`, else that of the cluster which the scripts made."""
        if os.environ.get("CLUSTER") == "current":
            return cls(current_kubeconfig(), os.environ["PATH"])
        return cls(layout.kubeconfig, f"{layout.bin}{os.pathsep}{os.environ['PATH']}")

    def run(self, program: str, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """
        Standard output of `kubectl` or `helm`.

        Raises:
            ScriptError: the program is missing, or failed (only with `check`); the text is what it printed.
        """
        found = shutil.which(program, path=self.programs)
        if found is None:
            raise ScriptError(f"{program} is missing: `make cluster-up` builds it, or put it on PATH")
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": self.programs}
        done = subprocess.run(
            [found, *arguments], input=stdin, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        if check and done.returncode != 0:
            raise ScriptError(f"{program} {' '.join(arguments)}\n{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout if check or done.returncode == 0 else done.stdout + done.stderr

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.run("kubectl", *arguments, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *documents: Mapping[str, Any] | str) -> None:
        """Apply objects, or YAML text, as a person would: server-side, strict."""
        text = "\n---\n".join(document if isinstance(document, str) else json.dumps(document) for document in documents)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def owns(self, name: str) -> bool:
        """Whether a namespace is there and was made by these scripts."""
        found = self.kubectl("get", "namespace", name, "--ignore-not-found", "-o", "json")
        return bool(found) and OWN_LABEL in json.loads(found)["metadata"].get("labels", {})

    def namespace(self, name: str) -> None:
        """
        A namespace of ours that enforces Pod Security `restricted`.

        Raises:
            ScriptError: one of that name is there and somebody else's; it is not touched.
        """
        if self.kubectl("get", "namespace", name, "--ignore-not-found") and not self.owns(name):
            raise ScriptError(f"namespace {name} exists and was not made by these scripts: remove or rename it first")
        labels = NAMESPACE_LABELS | {OWN_LABEL: "true"}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def install_chart(client: Client, repository: Path, images: Mapping[str, str], settings: Sequence[str] = ()) -> None:
    """
    Install or upgrade the chart and wait until the operator is up.

    Args:
        images: references with digests: `modelcascade` and `llama-server`.
        settings: further `--set` values, such as `operator.resyncSeconds=2`.
    """
    name, digest = images["modelcascade"].split("@")
    client.namespace(SYSTEM_NAMESPACE)
    values = [
        f"image.repository={name}",
        f"image.digest={digest}",
        f"engines.llamaCpp.image={images['llama-server']}",
        *settings,
    ]
    client.run(
        "helm",
        "upgrade",
        "--install",
        RELEASE,
        str(repository / "charts" / "modelcascade"),
        "--namespace",
        SYSTEM_NAMESPACE,
        "--wait",
        "--timeout=120s",
        *(argument for value in values for argument in ("--set", value)),
    )
