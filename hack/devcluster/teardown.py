"""
The honest end of the cluster: afterwards no process, mount, link, table, control group or file of it is left.

Killing kubelet and containerd is not enough: shims, containers, mounts and network namespaces survive them.
Order: stop what makes pods, stop the containers, stop containerd and the rest, then undo the machine's changes.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from devcluster.console import ScriptError, run, say, succeeds, wait_until
from devcluster.footprint import kubepods_groups, read_footprint, restore_machine
from devcluster.layout import Layout
from devcluster.network import remove_network
from devcluster.node import DAEMONS, process_book, start_runtime
from devcluster.processes import ProcessRecord, describe_process, stop_process
from devcluster.tools import tool_path

__all__ = ["tear_down"]

_BEFORE_CONTAINERS = ("kube-scheduler", "kube-controller-manager", "kubelet", "kube-proxy", "coredns")


def tear_down(layout: Layout) -> None:
    """
    Undo everything but the caches of tools, models and image layers.

    Raises:
        ScriptError: something would not go; the message names it, and the call may be repeated.
    """
    before = read_footprint(layout)
    if before is None:
        say(f"cluster: nothing was started from {layout.state}")
        return
    book = process_book(layout)
    for name in _BEFORE_CONTAINERS:
        book.stop(name)
    _stop_containers(layout)
    for name in reversed(DAEMONS):  # the API server before its etcd, or it waits for it
        book.stop(name)
    for record in _own_shims(layout):
        stop_process(record, patience_s=2)
    _wait_for_empty_groups()
    _unmount_below(layout.state)
    remove_network(before.tables)
    restore_machine(before)
    shutil.rmtree(layout.state)
    say("cluster: gone; tools, models and image layers stay in the cache")


def _stop_containers(layout: Layout) -> None:
    """Kill and remove all tasks and containers of the cluster's own containerd, which is started for it if need be."""
    if not (layout.state / "containerd").exists():
        return  # stopped half-way before it ever ran
    start_runtime(layout)
    ctr: list[str | Path] = [tool_path(layout, "ctr"), "-a", layout.containerd_socket, "-n", "k8s.io"]
    tasks = run([*ctr, "tasks", "list", "-q"]).split()
    if tasks:
        say(f"stopping {len(tasks)} containers")
    for task in tasks:
        succeeds([*ctr, "tasks", "delete", "--force", task])
    for container in run([*ctr, "containers", "list", "-q"]).split():
        succeeds([*ctr, "containers", "delete", container])


def _own_shims(layout: Layout) -> Iterator[ProcessRecord]:
    """Shims started by our containerd: our program, and our socket as their address."""
    name = tool_path(layout, "containerd-shim-runc-v2").name
    address = str(layout.containerd_socket).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        record = describe_process(int(entry.name))
        if record is None or not Path(record.program).is_relative_to(layout.tools) or not record.program.endswith(name):
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if address in words:
            yield record


def _wait_for_empty_groups() -> None:
    """A control group can be removed only when its last process is gone."""

    def empty() -> bool:
        return not any(
            (Path(folder) / "cgroup.procs").read_text().strip()
            for group in kubepods_groups()
            for folder, _, _ in os.walk(group)
        )

    wait_until("the pods' processes to end", empty, timeout_s=30, advice="See /sys/fs/cgroup/*/kubepods.")


def _unmount_below(folder: Path) -> None:
    """Unmount the deepest first; more than one mount may sit on one point."""
    for point in sorted(_mounts_below(folder), key=lambda point: len(point.parts), reverse=True):
        if not succeeds(["umount", point]):
            run(["umount", "--lazy", point])
    if left := _mounts_below(folder):
        raise ScriptError(f"still mounted: {', '.join(map(str, left))}")


def _mounts_below(folder: Path) -> list[Path]:
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))  # a space is written as \040
        if point.is_relative_to(folder):
            points.append(point)
    return points
