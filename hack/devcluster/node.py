"""
One Kubernetes node from processes: brought up, recognised again, repaired.

    network → certificates → etcd, containerd → API server → the rest → node Ready → objects

Each step does nothing where it is done already, so a half-started cluster is finished by the same call.
"""

import json
import os
import shlex
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from devcluster import settings
from devcluster.console import ScriptError, Stopwatch, run, say, succeeds, wait_until
from devcluster.daemons import daemon_commands
from devcluster.footprint import record_footprint
from devcluster.layout import Layout
from devcluster.network import check_ports_free, has_upstream_dns, set_up_network
from devcluster.processes import ProcessBook
from devcluster.settings import API_PORT, CLUSTER_DNS, ETCD_PORT, NODE_ADDRESS, NODE_NAME
from devcluster.tools import tool_path
from devcluster.volumes import recycle_volumes

__all__ = ["DAEMONS", "bring_up", "kubectl", "node_is_ready", "process_book", "start_runtime"]

DAEMONS = (
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
)
_LONGEST_SOCKET_PATH = 107 - len(".ttrpc")  # sun_path has 108 bytes (unix(7)); containerd adds a second socket
_PORTS = {
    "etcd": [("127.0.0.1", ETCD_PORT), ("127.0.0.1", ETCD_PORT + 1)],
    "kube-apiserver": [(NODE_ADDRESS, API_PORT)],
    "kube-controller-manager": [("127.0.0.1", 10257)],
    "kube-scheduler": [("127.0.0.1", 10259)],
    "kubelet": [(NODE_ADDRESS, 10250), ("127.0.0.1", 10248)],
    "kube-proxy": [("127.0.0.1", 10249), ("127.0.0.1", 10256)],
    "coredns": [(CLUSTER_DNS, 53), ("127.0.0.1", 18181)],
}


def process_book(layout: Layout) -> ProcessBook:
    """The daemons that were started from this state folder."""
    return ProcessBook(layout.state / "processes.json", layout.log)


def kubectl(layout: Layout, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> str:
    """Run kubectl against this cluster, as its administrator. Leaves no cache in the home folder."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(layout.etc / "super-admin.conf"),
        "KUBECACHEDIR": str(layout.run / "kubectl"),
    }
    return run([tool_path(layout, "kubectl"), *arguments], env=environment, stdin=stdin, timeout_s=timeout_s)


def node_is_ready(layout: Layout) -> bool:
    """Whether all daemons run and the API server calls the node Ready."""
    book = process_book(layout)
    if not all(book.alive(name) for name in DAEMONS):
        return False
    try:
        shown = kubectl(layout, "get", "node", NODE_NAME, "-o", "json", "--request-timeout=5s")
    except ScriptError:
        return False
    conditions = json.loads(shown)["status"].get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def bring_up(layout: Layout) -> None:
    """
    From whatever is there to a Ready node.

    Raises:
        ScriptError: with what did not come and which log to read.
    """
    watch = Stopwatch()
    if node_is_ready(layout):
        recycle_volumes(layout, lambda *words: kubectl(layout, *words))
        say(f"cluster: node {NODE_NAME} is Ready already")
        return
    _make_folders(layout)
    record_footprint(layout)
    set_up_network()
    for path, text in settings.configuration_files(layout, upstream_dns=has_upstream_dns()).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:  # kube-proxy ends when its file is written
            path.write_text(text)
    _make_credentials(layout)
    _write_wrappers(layout)
    _start_daemons(layout)
    recycle_volumes(layout, lambda *words: kubectl(layout, *words))
    say(f"cluster: node {NODE_NAME} is Ready after {watch.seconds:.0f} s")


def _make_folders(layout: Layout) -> None:
    if len(str(layout.containerd_socket)) > _LONGEST_SOCKET_PATH:
        raise ScriptError(f"{layout.state} is too long a path for sockets: set MODELCASCADE_STATE to a shorter one.")
    layout.state.mkdir(parents=True, exist_ok=True)
    layout.state.chmod(0o711)  # keys are unreadable by their own modes; pods' volumes must be reachable
    for folder in (layout.bin, layout.etc, layout.log, layout.pki, layout.run, layout.volumes):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (layout.etc, layout.pki):
        folder.chmod(0o700)


def _make_credentials(layout: Layout) -> None:
    """Certificates and kubeconfigs by kubeadm, once; kubeadm keeps what is there and valid."""
    done = layout.etc / "coredns.conf"
    if done.exists():
        return
    kubeadm = tool_path(layout, "kubeadm")
    configuration = layout.etc / "kubeadm.yaml"
    run([kubeadm, "init", "phase", "certs", "all", "--config", configuration])
    run([kubeadm, "init", "phase", "kubeconfig", "all", "--config", configuration, "--kubeconfig-dir", layout.etc])
    shutil.copy(layout.etc / "admin.conf", layout.kubeconfig)
    layout.kubeconfig.chmod(0o600)
    for name, file in (("system:kube-proxy", "kube-proxy.conf"), ("system:coredns", "coredns.conf")):
        shown = run([kubeadm, "kubeconfig", "user", "--config", configuration, "--client-name", name])
        (layout.etc / file).write_text(shown)


def _write_wrappers(layout: Layout) -> None:
    """kubectl, helm and ctr for a person, already pointed at this cluster."""
    folder = layout.run
    variables: dict[str, dict[str, str | Path]] = {
        "kubectl": {"KUBECONFIG": layout.kubeconfig, "KUBECACHEDIR": folder / "kubectl"},
        "helm": {
            "KUBECONFIG": layout.kubeconfig,
            "HELM_CACHE_HOME": folder / "helm" / "cache",
            "HELM_CONFIG_HOME": folder / "helm" / "config",
            "HELM_DATA_HOME": folder / "helm" / "data",
        },
        "ctr": {"CONTAINERD_ADDRESS": layout.containerd_socket, "CONTAINERD_NAMESPACE": "k8s.io"},
    }
    for name, values in variables.items():
        exports = "".join(f"export {key}={shlex.quote(str(value))}\n" for key, value in values.items())
        file = layout.bin / name
        file.write_text(f'#!/bin/sh\n{exports}exec {shlex.quote(str(tool_path(layout, name)))} "$@"\n')
        file.chmod(0o755)


def start_runtime(layout: Layout) -> None:
    """Start containerd alone, and only when it does not run: `down` needs it to end the containers."""
    _start(layout, "containerd")
    _await(layout, "containerd", "containerd to listen", lambda: _listens(layout.containerd_socket), 30)


def _start_daemons(layout: Layout) -> None:
    book = process_book(layout)
    check_ports_free(
        (address, port, name) for name, pairs in _PORTS.items() if not book.alive(name) for address, port in pairs
    )
    _start(layout, "containerd")
    _start(layout, "etcd")
    _await(layout, "etcd", "etcd to listen", lambda: _listens(("127.0.0.1", ETCD_PORT)), 30)
    _start(layout, "kube-apiserver")
    _await(layout, "kube-apiserver", "the API server to be ready", lambda: _api_ready(layout), 90)
    kubectl(layout, "apply", "--server-side", "--force-conflicts", "-f", str(layout.etc / "objects.yaml"))
    start_runtime(layout)
    for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns"):
        _start(layout, name)
    _await(layout, "kubelet", "the node to be Ready", lambda: node_is_ready(layout), 90)


def _start(layout: Layout, name: str) -> None:
    programs = [tool_path(layout, name).parent for name in ("runc", "containerd-shim-runc-v2")]
    path = ":".join([*map(str, programs), "/usr/sbin:/usr/bin:/sbin:/bin"])
    if process_book(layout).start(name, daemon_commands(layout)[name], env={**os.environ, "PATH": path}):
        say(f"started {name}")


def _await(layout: Layout, name: str, what: str, ready: Callable[[], bool], timeout_s: float) -> None:
    """Wait for what the daemon brings, or say at once that it has ended."""
    book = process_book(layout)

    def ready_or_dead() -> bool:
        if ready():
            return True
        book.check_alive(name)
        return False

    advice = f"Its log: {book.log_of(name)}; the others are beside it."
    wait_until(what, ready_or_dead, timeout_s=timeout_s, advice=advice)


def _listens(address: tuple[str, int] | Path) -> bool:
    """Whether someone accepts connections there; a socket file alone may be left from before a reboot."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(address) if isinstance(address, Path) else address) == 0


def _api_ready(layout: Layout) -> bool:
    if not _listens((NODE_ADDRESS, API_PORT)):
        return False
    identity = layout.etc / "super-admin.conf"
    kubectl_program = tool_path(layout, "kubectl")
    return succeeds([kubectl_program, "--kubeconfig", identity, "get", "--raw=/readyz", "--request-timeout=3s"])
