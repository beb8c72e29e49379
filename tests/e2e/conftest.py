"""One installed chart for all end-to-end tests, and a namespace for each."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.client import Client, install_chart
from devcluster.images import model_references
from devcluster.store import image_references
from support.e2e import LAYOUT, RESYNC_SECONDS, Cluster


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The chart of this checkout, installed; the operator looks again every 2 s."""
    if "KUBECONFIG" not in os.environ or not Path(os.environ["KUBECONFIG"]).is_file():
        pytest.fail("KUBECONFIG names no cluster: run `make test`, or `pytest -m 'not e2e'` without one")
    client = Client.for_layout(LAYOUT)
    install_chart(client, LAYOUT.repository, image_references(LAYOUT), [f"operator.resyncSeconds={RESYNC_SECONDS}"])
    return Cluster(client, dict(model_references(LAYOUT)))


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of its own for one test, enforcing Pod Security `restricted`; its deletion is not waited for."""
    name = f"e2e-{request.node.name.split('[')[0].removeprefix('test_').replace('_', '-')[:40].strip('-')}"
    cluster.client.kubectl("delete", "namespace", name, "--ignore-not-found", "--timeout=120s")
    cluster.client.namespace(name)
    yield name
    cluster.client.kubectl("delete", "namespace", name, "--wait=false")
