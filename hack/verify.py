"""
Regenerate everything in memory and demand that the tree has it; lint the API, the CRDs and the chart.

Nothing is written: `make generate` does that.
"""

import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from kubernetes.client import V1CustomResourceDefinition
from pydantic import ValidationError

from devcluster.client import Client
from devcluster.layout import Layout
from modelcascade.schema.lint import lint_api
from modelcascade.schema.outputs import generated_files
from modelcascade.schema.values import ChartValues

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "charts" / "modelcascade"
GENERATED_FOLDERS = ("crds", "charts/modelcascade/templates/crds")
IMAGE_VALUES = ("image.repository=registry.example/modelcascade", f"image.digest=sha256:{'a' * 64}")


def differences() -> Iterator[str]:
    """What is generated and differs from the tree, as a diff; and files that nothing generates any more."""
    wanted = generated_files()
    for name, content in wanted.items():
        path = ROOT / name
        found = path.read_text() if path.exists() else ""
        if found != content:
            diff = difflib.unified_diff(
                found.splitlines(), content.splitlines(), name, f"{name} (generated)", lineterm=""
            )
            yield "\n".join([f"{name} is not what `make generate` writes:", *list(diff)[:60]])
    for folder in GENERATED_FOLDERS:
        for path in sorted((ROOT / folder).glob("*")):
            name = str(path.relative_to(ROOT))
            if name not in wanted:
                yield f"{name}: nothing generates this file; remove it"


def strict_models() -> Iterator[str]:
    """What the Kubernetes client's strict model says about the CRDs."""
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        try:
            V1CustomResourceDefinition.model_validate(yaml.safe_load(path.read_text()))
        except ValidationError as error:
            yield f"{path.relative_to(ROOT)}: {error}"


def default_values() -> Iterator[str]:
    """`values.yaml` says the same defaults as the model that its schema comes from."""
    written = yaml.safe_load((CHART / "values.yaml").read_text())
    modelled = ChartValues().model_dump(by_alias=True, exclude_none=True, mode="json")
    if written != modelled:
        yield f"charts/modelcascade/values.yaml: not the defaults of schema/values.py\n  {written}\n  {modelled}"


def chart() -> Iterator[str]:
    """`helm lint` and `helm template`, with the chart's own schema in force."""
    helm = os.environ.get("HELM") or shutil.which("helm", path=Client.for_layout(Layout.from_environment()).programs)
    if helm is None or not Path(helm).exists():
        yield "helm is missing: `make cluster-up` builds it, or HELM=PATH names one; the chart was not checked"
        return
    values = [word for value in IMAGE_VALUES for word in ("--set", value)]
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home}
        for command in (
            ("lint", "--strict", str(CHART), *values),
            ("template", "modelcascade", str(CHART), "--namespace", "modelcascade-system", *values),
        ):
            done = subprocess.run([helm, *command], capture_output=True, text=True, check=False, env=environment)
            if done.returncode != 0:
                yield f"helm {command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def main() -> int:
    """Print every finding; 0 when there is none."""
    findings = [*differences(), *lint_api(), *strict_models(), *default_values(), *chart()]
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"verify: {len(findings)} finding(s)" if findings else "verify: clean")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
