"""
The local cluster's promises, on the real machine: comes up from nothing, repairs itself, leaves nothing behind.

Takes a running cluster down first and brings it up again afterwards, so it runs alone and only when asked:
`.venv/bin/pytest -m teardown -s`.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pytest

from devcluster.footprint import packet_filter_tables
from devcluster.layout import Layout
from devcluster.processes import describe_process

pytestmark = [pytest.mark.teardown, pytest.mark.timeout(900)]

LAYOUT = Layout.from_environment()
SCRIPT = LAYOUT.repository / "hack" / "cluster.py"
WATCHED = ("/etc", "/opt", "/run", "/var/lib", "/var/log", tempfile.gettempdir())
SYSCTLS = ("net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
NAMESPACE = "teardown"


@dataclass(frozen=True)
class Machine:
    """What a cluster could leave behind. Folders are looked into two levels deep: other programs live here too."""

    links: frozenset[str]
    mounts: frozenset[str]
    control_groups: frozenset[str]
    tables: frozenset[str]
    programs: frozenset[str]
    files: frozenset[str]
    cache: frozenset[str]
    sysctls: frozenset[tuple[str, str]]

    @classmethod
    def now(cls) -> "Machine":
        """The machine at this moment."""
        links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, check=True).stdout)
        groups = Path("/sys/fs/cgroup")
        records = [describe_process(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return cls(
            links=frozenset(link["ifname"] for link in links),
            mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            control_groups=frozenset(str(path) for path in (*groups.glob("*/"), *groups.glob("*/*/"))),
            tables=frozenset(packet_filter_tables()),
            programs=frozenset(record.program for record in records if record and str(LAYOUT.tools) in record.program),
            files=frozenset(
                str(path)
                for root in WATCHED
                for pattern in ("*", "*/*")
                for path in Path(root).glob(pattern)
                if root != tempfile.gettempdir() or "modelcascade-" in str(path)  # tests and shells write there too
            ),
            cache=frozenset(path.name for path in LAYOUT.cache.iterdir()),
            sysctls=frozenset((name, Path("/proc/sys", name).read_text().strip()) for name in SYSCTLS),
        )

    def beyond(self, before: "Machine") -> dict[str, set[object]]:
        """By kind, what is here now and was not there before; empty kinds are left out."""
        kinds = {name: set(value) - set(getattr(before, name)) for name, value in vars(self).items()}
        return {name: found for name, found in kinds.items() if found}


def cluster(verb: str) -> float:
    """Run the script as the Makefile does; the seconds that it took."""
    start = perf_counter()
    subprocess.run([sys.executable, SCRIPT, verb], check=True, env={**os.environ, "CLUSTER": "local"})
    return perf_counter() - start


def kubectl(*words: str, stdin: str | None = None) -> str:
    """The wrapper that a person uses."""
    command = [str(LAYOUT.bin / "kubectl"), *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def kill(*names: str) -> None:
    """End these daemons of the cluster as a crash would."""
    records = json.loads((LAYOUT.state / "processes.json").read_text())
    for name in names:
        os.kill(records[name]["pid"], signal.SIGKILL)


def busy_pod() -> str:
    """A pod with everything that could stay: an image volume, a claim, and a program that has to be ended."""
    references = json.loads((LAYOUT.state / "images.json").read_text())
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "kept", "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    container = {
        "name": "engine",
        "image": references["llama-server"],
        "args": ["-m", "/models/tiny-random-q4_k_m.gguf", "--host", "0.0.0.0", "--port", "8080", "--no-ui"],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "model", "mountPath": "/models"}, {"name": "kept", "mountPath": "/kept"}],
    }
    volumes = [
        {"name": "model", "image": {"reference": references["models/tiny-random"], "pullPolicy": "Never"}},
        {"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}},
    ]
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "busy", "namespace": NAMESPACE},
        "spec": {"containers": [container], "volumes": volumes, "securityContext": security},
    }
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": restricted}}
    return "\n---\n".join(map(json.dumps, (namespace, claim, pod)))


@pytest.fixture(scope="module")
def nothing_running() -> Iterator[None]:
    """Down for the test; up again afterwards, with its images, where it ran before."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("the local cluster needs Linux and root: its tear-down is NOT proved here")
    ran_before = LAYOUT.kubeconfig.exists()
    cluster("tools")
    cluster("down")
    yield
    if ran_before:
        cluster("up")
        cluster("images")


@pytest.mark.usefixtures("nothing_running")
@pytest.mark.parametrize(
    "broken",
    [
        pytest.param((), id="all daemons run"),
        pytest.param(("containerd", "kubelet"), id="the runtime was killed"),
        pytest.param(("kube-apiserver", "etcd"), id="the control plane was killed"),
    ],
)
def test_down_leaves_the_machine_as_it_was(
    broken: tuple[str, ...], figure: Callable[[str, float, float, str], None]
) -> None:
    """After up, a pod with volumes, two killed daemons, up again and down, the machine holds nothing new."""
    before = Machine.now()

    first_start = cluster("up")
    cluster("images")
    kubectl("apply", "-f", "-", stdin=busy_pod())
    kubectl("wait", "--for=condition=Ready", "pod/busy", "-n", NAMESPACE, "--timeout=60s")

    running = Machine.now()
    assert {"links", "mounts", "control_groups", "tables", "programs", "files"} <= set(running.beyond(before))

    kill("etcd", "kubelet")
    repair = cluster("up")
    assert "True" in kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.conditions[?(@.type=='Ready')].status}")
    repeated = cluster("up")

    kill(*broken)
    cluster("down")
    assert {} == Machine.now().beyond(before)
    assert before.sysctls == Machine.now().sysctls

    figure("start to a Ready node, tools built", first_start, 30, "s")
    figure("repair after two daemons were killed", repair, 30, "s")
    figure("start of a running cluster", repeated, 30, "s")


@pytest.mark.usefixtures("nothing_running")
def test_down_without_a_cluster_does_nothing() -> None:
    """Down twice is down once."""
    before = Machine.now()
    cluster("down")
    assert before == Machine.now()
