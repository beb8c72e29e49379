"""The API server that KUBECONFIG names, once for all tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.api_server import ApiServer, serve_crds


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """The API server with the CRDs of this checkout under a group of their own."""
    kubeconfig = os.environ.get("KUBECONFIG", "")
    if not Path(kubeconfig).is_file():
        pytest.fail("KUBECONFIG names no cluster: run `make test`, or pytest -m 'not e2e' without one")
    with serve_crds(kubeconfig) as server:
        yield server
