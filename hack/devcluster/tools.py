"""
The programs of a Kubernetes node, built from Go modules into the cache.

A program is keyed by the hash of its module files and build settings, so a clean clone on the same machine
builds nothing, and an interrupted build leaves nothing that looks finished.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from devcluster.console import ScriptError, Stopwatch, run, say
from devcluster.layout import Layout
from devcluster.prerequisites import free_disk

__all__ = [
    "KUBERNETES_VERSION",
    "PROGRAMS",
    "Program",
    "build_tools",
    "check_go_version",
    "missing_tools",
    "tool_key",
    "tool_path",
]

KUBERNETES_VERSION = "v1.36.3"
_CLIENT_VERSION = "k8s.io/client-go/pkg/version"
_COMPONENT_VERSION = "k8s.io/component-base/version"
_STRIP = "-s -w"
_NEEDED_GIGABYTES = 12
"""Modules, build cache and programs of a cold build, measured at 9.1 GB."""


def _kubernetes_ldflags() -> str:
    """Without these the server reports v0.0.0 and clients misjudge it. The date keeps kubectl's output valid."""
    _, minor, _ = KUBERNETES_VERSION.split(".")
    values = {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": "1",
        "gitMinor": minor,
        "gitTreeState": "archive",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    settings = [
        f"-X {package}.{name}={value}"
        for package in (_COMPONENT_VERSION, _CLIENT_VERSION)
        for name, value in values.items()
    ]
    return " ".join([_STRIP, *settings])


@dataclass(frozen=True)
class Program:
    """One program: the folder of its Go module under hack/tools, its package, and how it is built."""

    name: str
    module: str
    package: str
    ldflags: str = _STRIP
    tags: str = ""
    cgo: bool = False


_NO_EXTRA_SNAPSHOTTERS = "no_btrfs,no_zfs,no_devmapper"
_CONTAINERD = "github.com/containerd/containerd/v2"

PROGRAMS: tuple[Program, ...] = (
    *(
        Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", ldflags=_kubernetes_ldflags())
        for name in (
            "kube-apiserver",  # first: it compiles what the others share
            "kube-controller-manager",
            "kubelet",
            "kubectl",
            "kube-scheduler",
            "kube-proxy",
            "kubeadm",
        )
    ),
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Program("containerd", "containerd", f"{_CONTAINERD}/cmd/containerd", tags=_NO_EXTRA_SNAPSHOTTERS),
    Program(
        "containerd-shim-runc-v2",
        "containerd",
        f"{_CONTAINERD}/cmd/containerd-shim-runc-v2",
        tags=_NO_EXTRA_SNAPSHOTTERS,
    ),
    Program("ctr", "containerd", f"{_CONTAINERD}/cmd/ctr", tags=_NO_EXTRA_SNAPSHOTTERS),
    Program("runc", "runc", "github.com/opencontainers/runc", tags="seccomp", cgo=True),
    Program("helm", "helm", "helm.sh/helm/v4/cmd/helm"),
    Program("coredns", "coredns", "."),
    Program("pause", "pause", "."),
)


def tool_key(program: Program, module_folder: Path) -> str:
    """Sixteen hex digits that change when the module's files or the way of building change."""
    digest = hashlib.sha256()
    for file in sorted(module_folder.iterdir()):
        if file.suffix in {".go", ".mod", ".sum"}:
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    digest.update(f"{program.package}\0{program.ldflags}\0{program.tags}\0{program.cgo}".encode())
    return digest.hexdigest()[:16]


def tool_path(layout: Layout, name: str) -> Path:
    """
    Where the program lies once built.

    The program keeps its own name in a folder with the hash: containerd finds its shim by name.
    """
    program = next(program for program in PROGRAMS if program.name == name)
    return layout.tools / f"{name}-{tool_key(program, layout.tool_modules / program.module)}" / name


def missing_tools(layout: Layout) -> list[Program]:
    """Programs that the cache lacks, in the order of building."""
    return [program for program in PROGRAMS if not tool_path(layout, program.name).exists()]


def build_tools(layout: Layout) -> None:
    """
    Build what the cache lacks, saying how far it is.

    Raises:
        ScriptError: no Go, one too old, or a build that failed.
    """
    missing = missing_tools(layout)
    if not missing:
        say(f"tools: all {len(PROGRAMS)} programs are in {layout.tools}")
        return
    _check_go()
    free_disk(layout.cache, gigabytes=_NEEDED_GIGABYTES)
    say(
        f"tools: {len(missing)} of {len(PROGRAMS)} programs to build into {layout.tools}; cold, about 12 min on 2 cores"
    )
    total = Stopwatch()
    for number, program in enumerate(missing, start=1):
        following = missing[number].name if number < len(missing) else "nothing"
        say(f"[{number}/{len(missing)}] building {program.name} …")
        watch = Stopwatch()
        _build(layout, program)
        say(
            f"[{number}/{len(missing)}] {program.name} built in {watch.seconds:.0f} s "
            f"({total.seconds:.0f} s so far), next: {following}"
        )


def _check_go() -> None:
    advice = "Install Go 1.26 or newer (its makers or your distribution have it) and put it on PATH."
    check_go_version(run(["go", "env", "GOVERSION"], advice=advice).strip(), advice=advice)


def check_go_version(version: str, *, advice: str) -> None:
    """
    Refuse a Go that cannot build the programs; one without a number, as `devel`, is the person's own choice.

    Raises:
        ScriptError: older than 1.26.
    """
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < (1, 26):
        raise ScriptError(f"{version} is too old. {advice}")


def _build(layout: Layout, program: Program) -> None:
    """Build beside the final place and rename: a half-written program is never found."""
    target = tool_path(layout, program.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{program.name}.{os.getpid()}")
    command = ["go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", program.ldflags]
    if program.tags:
        command += ["-tags", program.tags]
    environment = {**os.environ, "CGO_ENABLED": "1" if program.cgo else "0", "GOFLAGS": "", "GOWORK": "off"}
    try:
        run(
            [*command, "-o", unfinished, program.package],
            cwd=layout.tool_modules / program.module,
            env=environment,
            timeout_s=1800,
            advice=f"Building {program.name} failed; `make cluster-up` goes on from here.",
        )
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
