"""
What the machine looked like before the first start, so that `down` puts back exactly that.

Settings allow most of the node's files to live in the state folder. What no setting can move is listed here.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from devcluster.console import run, say
from devcluster.layout import Layout

__all__ = [
    "Footprint",
    "kubepods_groups",
    "packet_filter_tables",
    "read_footprint",
    "record_footprint",
    "restore_machine",
]

_FOREIGN_PATHS = (
    "/etc/cni",
    "/opt/cni",
    "/opt/containerd",
    "/opt/nri",
    "/run/containerd",  # shims put their sockets here
    "/run/netns",
    "/run/nri",
    "/var/lib/cni",  # libcni's cache of results
    "/var/lib/containerd",
    "/var/lib/kubelet",  # device plugins' sockets
    "/var/log/containers",  # the kubelet's old links to logs
    "/var/log/pods",
)
_SYSCTLS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Footprint:
    """The machine before: paths that existed, kernel settings, packet filter tables, control groups."""

    existing_paths: tuple[str, ...]
    sysctls: dict[str, str]
    tables: tuple[str, ...]
    kubepods: tuple[str, ...]


def record_footprint(layout: Layout) -> None:
    """Write down the machine as it is, unless that was done for this state folder already."""
    file = layout.state / "footprint.json"
    if file.exists():
        return
    values = {name: Path("/proc/sys", name) for name in _SYSCTLS}
    footprint = Footprint(
        existing_paths=tuple(path for path in _FOREIGN_PATHS if Path(path).exists()),
        sysctls={name: path.read_text().strip() for name, path in values.items() if path.exists()},
        tables=tuple(packet_filter_tables()),
        kubepods=tuple(str(path) for path in kubepods_groups()),
    )
    file.write_text(json.dumps(asdict(footprint), indent=1))


def read_footprint(layout: Layout) -> Footprint | None:
    """`None` when nothing was ever started from this state folder."""
    file = layout.state / "footprint.json"
    if not file.exists():
        return None
    stored = json.loads(file.read_text())
    return Footprint(
        existing_paths=tuple(stored["existing_paths"]),
        sysctls=dict(stored["sysctls"]),
        tables=tuple(stored["tables"]),
        kubepods=tuple(stored["kubepods"]),
    )


def packet_filter_tables() -> list[str]:
    """As `ip kube-proxy`: family and name."""
    return [line.removeprefix("table ").strip() for line in run(["nft", "list", "tables"]).splitlines()]


def kubepods_groups() -> Iterator[Path]:
    """The kubelet's top control group, in each hierarchy that has it."""
    for hierarchy in (_CGROUPS, *sorted(_CGROUPS.iterdir())):
        group = hierarchy / "kubepods"
        if group.is_dir() and not hierarchy.is_symlink():
            yield group


def restore_machine(before: Footprint) -> None:
    """Remove what was not there, and put kernel settings back."""
    for group in kubepods_groups():
        if str(group) not in before.kubepods:
            _remove_group(group)
    for path in (Path(name) for name in _FOREIGN_PATHS):
        if str(path) in before.existing_paths:
            say(f"{path} existed before the cluster: left as it is")
        elif path.is_dir():
            shutil.rmtree(path)
    for name, value in before.sysctls.items():
        file = Path("/proc/sys", name)
        if file.read_text().strip() != value:
            file.write_text(value)


def _remove_group(group: Path) -> None:
    """Control groups go away by rmdir, from the leaves up."""
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()
