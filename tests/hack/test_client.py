"""Which cluster the demo and the tests act on: a mistake here acts on somebody else's."""

from pathlib import Path

import pytest

from devcluster.client import Client
from devcluster.layout import Layout

LAYOUT = Layout(repository=Path("/repo"), cache=Path("/cache"), state=Path("/cache/cluster"))


@pytest.mark.parametrize("provider", [None, "local", "kind"])
def test_a_cluster_of_the_scripts_is_never_the_current_context(
    provider: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever KUBECONFIG says, the demo stays in the cluster that the scripts made."""
    monkeypatch.setenv("KUBECONFIG", "/home/me/production")
    monkeypatch.delenv("CLUSTER", raising=False)
    if provider is not None:
        monkeypatch.setenv("CLUSTER", provider)
    assert LAYOUT.kubeconfig == Client.for_layout(LAYOUT).kubeconfig


def test_current_is_the_first_file_of_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `CLUSTER=current` asks for the context that a person works in."""
    monkeypatch.setenv("CLUSTER", "current")
    monkeypatch.setenv("KUBECONFIG", "/home/me/production:/home/me/other")
    assert Path("/home/me/production") == Client.for_layout(LAYOUT).kubeconfig
