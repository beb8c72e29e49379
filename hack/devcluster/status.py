"""What runs, what is in it, and where to look: for a person."""

import shlex

from devcluster.console import ScriptError
from devcluster.layout import Layout
from devcluster.node import DAEMONS, kubectl, node_is_ready, process_book
from devcluster.store import image_references
from devcluster.tools import PROGRAMS, missing_tools

__all__ = ["status_lines"]


def status_lines(layout: Layout) -> list[str]:
    """Always answers, also for a cluster that is half there or not there at all."""
    built = len(PROGRAMS) - len(missing_tools(layout))
    lines = [f"tools       {built} of {len(PROGRAMS)} programs built, in {layout.tools}"]
    if not layout.state.exists():
        return [*lines, "cluster     none; `make cluster-up` starts it"]
    book = process_book(layout)
    records = book.records()
    for name in DAEMONS:
        record = records.get(name)
        shown = f"pid {record.pid}" if record is not None and record.alive else "not running"
        lines.append(f"  {name:<24} {shown:<14} {book.log_of(name)}")
    ready = node_is_ready(layout)
    lines.append(f"node        {'Ready' if ready else 'not Ready; `make cluster-up` repairs it'}")
    if ready:
        lines.append(f"pods        {_pods(layout)}")
    lines += [f"image       {name}={reference}" for name, reference in image_references(layout).items()]
    return [
        *lines,
        f"kubeconfig  {layout.kubeconfig}",
        f"programs    {layout.bin} (kubectl, helm, ctr, already pointed at this cluster)",
        f"logs        {layout.log} (audit.log has each write)",
        f"try         export PATH={shlex.quote(str(layout.bin))}:$PATH; kubectl get nodes",
    ]


def _pods(layout: Layout) -> str:
    try:
        phases = kubectl(layout, "get", "pods", "-A", "-o", "jsonpath={.items[*].status.phase}").split()
    except ScriptError as error:
        return str(error)
    return ", ".join(f"{phases.count(phase)} {phase}" for phase in sorted(set(phases))) or "none"
