"""The node's links and the one packet filter table of ours. Idempotent both ways."""

import json
import socket
from collections.abc import Iterable
from pathlib import Path

from devcluster.console import ScriptError, run, succeeds
from devcluster.footprint import packet_filter_tables
from devcluster.settings import NODE_ADDRESS, POD_GATEWAY, POD_SUBNET, SERVICE_SUBNET

__all__ = ["check_ports_free", "has_upstream_dns", "remove_network", "set_up_network"]

_NODE_LINK = "mc0"
_POD_LINK = "cni0"
_OUR_TABLES = ("ip modelcascade", "ip kube-proxy", "ip6 kube-proxy")
# Pods reach the world outside under the machine's address, if the machine itself does.
_MASQUERADE = f"""
table ip modelcascade
delete table ip modelcascade
table ip modelcascade {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {POD_SUBNET} ip daddr != {{ {POD_SUBNET}, {SERVICE_SUBNET}, {NODE_ADDRESS} }} masquerade
  }}
}}
"""


def set_up_network() -> None:
    """
    The node's address sits on a bridge without ports: kernels without dummy devices have bridges.

    The pods' bridge exists before the first pod, because CoreDNS binds its address.
    """
    _refuse_taken_subnets()
    _bridge(_NODE_LINK, f"{NODE_ADDRESS}/32")
    _bridge(_POD_LINK, f"{POD_GATEWAY}/{POD_SUBNET.rpartition('/')[2]}")
    _set_kernel("net/ipv4/ip_forward", "1")
    # A pod that calls a Service whose pod sits on the same bridge needs its answer translated back.
    _set_kernel("net/bridge/bridge-nf-call-iptables", "1")
    run(["nft", "-f", "-"], stdin=_MASQUERADE)


def _refuse_taken_subnets() -> None:
    for route in json.loads(run(["ip", "-json", "-4", "route", "show"])):
        if route.get("dst") == POD_SUBNET and route.get("dev") != _POD_LINK:
            raise ScriptError(f"{POD_SUBNET} is routed to {route.get('dev')} already: another cluster runs here?")


def _bridge(name: str, address: str) -> None:
    if not succeeds(["ip", "link", "show", name]):
        run(["ip", "link", "add", name, "type", "bridge"], advice="Does the kernel have bridges?")
    run(["ip", "address", "replace", address, "dev", name])
    run(["ip", "link", "set", name, "up"])


def _set_kernel(name: str, value: str) -> None:
    file = Path("/proc/sys", name)
    if file.exists() and file.read_text().strip() != value:
        file.write_text(value)


def check_ports_free(ports: Iterable[tuple[str, int, str]]) -> None:
    """
    Raise for the first port that another program holds.

    Args:
        ports: address, port, and the daemon that is about to bind it.
    """
    for address, port, daemon in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise ScriptError(
                    f"{daemon} needs port {port} on {address}: {error.strerror}. `ss -ltnp` shows who has it."
                ) from error


def has_upstream_dns() -> bool:
    """Whether the machine names a name server; CoreDNS refuses to forward to none."""
    file = Path("/etc/resolv.conf")
    return file.exists() and any(line.split()[:1] == ["nameserver"] for line in file.read_text().splitlines())


def remove_network(tables_before: Iterable[str]) -> None:
    """Remove our links and tables. Pods' own links go with their network namespaces."""
    kept = set(tables_before)
    for table in packet_filter_tables():
        if table in _OUR_TABLES and table not in kept:
            run(["nft", "delete", "table", *table.split()])
    for link in (_POD_LINK, _NODE_LINK):
        if succeeds(["ip", "link", "show", link]):
            run(["ip", "link", "delete", link])
