"""The node's configuration: where it writes, and who can reach it."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.daemons import daemon_commands
from devcluster.layout import Layout
from devcluster.settings import NODE_ADDRESS, configuration_files

STATE = Path("/somewhere/state")
LAYOUT = replace(Layout.from_environment(), state=STATE)


def documents(name: str) -> list[dict[str, Any]]:
    """The parsed documents of one configuration file."""
    return list(yaml.safe_load_all(configuration_files(LAYOUT, upstream_dns=True)[STATE / "etc" / name]))


def test_all_files_lie_in_the_state_folder() -> None:
    """`down` removes one folder: nothing is configured elsewhere."""
    assert all(path.is_relative_to(STATE) for path in configuration_files(LAYOUT, upstream_dns=True))


def test_nobody_outside_the_machine_can_connect() -> None:
    """Each listening option is loopback or the node's own address, which only this machine routes."""
    listening = [
        word.partition("=")[2]
        for command in daemon_commands(LAYOUT).values()
        for word in map(str, command)
        if word.startswith(("--bind-address=", "--listen-", "--advertise-client"))
    ]
    kubelet, proxy = documents("kubelet.yaml")[0], documents("kube-proxy.yaml")[0]
    listening += [kubelet["address"], kubelet["healthzBindAddress"], proxy["bindAddress"]]
    listening += [proxy["healthzBindAddress"], proxy["metricsBindAddress"]]
    addresses = {entry.removeprefix("https://").split(":")[0] for entry in listening}
    assert {"127.0.0.1", NODE_ADDRESS} == addresses


def test_containerd_stays_in_the_state_folder_and_pulls_no_pause_image() -> None:
    """Its configuration is valid TOML, version 3, with the settings that this kind of machine cannot do without."""
    found = tomllib.loads(configuration_files(LAYOUT, upstream_dns=True)[STATE / "etc" / "containerd.toml"])
    runtime = found["plugins"]["io.containerd.cri.v1.runtime"]
    assert (3, True, True) == (
        found["version"],
        runtime["restrict_oom_score_adj"],
        runtime["netns_mounts_under_state_dir"],
    )
    assert all(Path(found[key]).is_relative_to(STATE) for key in ("root", "state"))
    assert "localhost/pause:1" == found["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"]


def test_every_write_is_audited_without_its_body() -> None:
    """Tests count writes from the audit log; Secrets and prompts must not be in it."""
    rules = documents("audit-policy.yaml")[0]["rules"]
    writes = next(rule for rule in rules if "verbs" in rule)
    assert "Metadata" == writes["level"]
    assert {"create", "update", "patch", "delete", "deletecollection"} == set(writes["verbs"])
    assert {"None"} == {rule["level"] for rule in rules if rule is not writes}


@pytest.mark.parametrize(
    ("upstream", "expected"), [pytest.param(True, True, id="name server"), pytest.param(False, False, id="none")]
)
def test_dns_forwards_only_where_there_is_someone_to_ask(upstream: bool, expected: bool) -> None:  # noqa: FBT001
    """CoreDNS refuses to start when it shall forward and the machine names no name server."""
    corefile = configuration_files(LAYOUT, upstream_dns=upstream)[STATE / "etc" / "Corefile"]
    assert expected == ("forward" in corefile)


def test_one_storage_class_is_the_default_and_its_volumes_are_local() -> None:
    """Claims without a class bind to the pre-made volumes, which lie in the state folder."""
    objects = documents("objects.yaml")
    classes = [entry for entry in objects if entry["kind"] == "StorageClass"]
    assert ["standard"] == [entry["metadata"]["name"] for entry in classes]
    assert "true" == classes[0]["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"]
    volumes = [entry["spec"] for entry in objects if entry["kind"] == "PersistentVolume"]
    assert len(volumes) >= 5
    assert all(Path(volume["local"]["path"]).is_relative_to(STATE / "volumes") for volume in volumes)
