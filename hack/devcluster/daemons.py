"""The command line of each daemon of the node."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster.layout import Layout
from devcluster.settings import API_PORT, ETCD_PORT, NODE_ADDRESS, NODE_NAME, POD_SUBNET, SERVICE_SUBNET
from devcluster.tools import tool_path

__all__ = ["daemon_commands"]

_LOOPBACK = "127.0.0.1"


def daemon_commands(layout: Layout) -> Mapping[str, Sequence[str | Path]]:
    """By daemon. Only the API server and the kubelet leave loopback, and only for the node's own address."""
    options = {
        "etcd": _etcd(layout),
        "containerd": {"config": layout.etc / "containerd.toml"},
        "kube-apiserver": _api_server(layout),
        "kube-controller-manager": _controller_manager(layout),
        "kube-scheduler": {
            "kubeconfig": layout.etc / "scheduler.conf",
            "bind-address": _LOOPBACK,
            "leader-elect": "false",
        },
        "kubelet": {
            "config": layout.etc / "kubelet.yaml",
            "kubeconfig": layout.etc / "kubelet.conf",
            "root-dir": layout.state / "kubelet",
            "cert-dir": layout.pki / "kubelet",
            "hostname-override": NODE_NAME,
            "node-ip": NODE_ADDRESS,
        },
        "kube-proxy": {"config": layout.etc / "kube-proxy.yaml"},
    }
    commands: dict[str, Sequence[str | Path]] = {
        name: [tool_path(layout, name), *(f"--{option}={value}" for option, value in values.items())]
        for name, values in options.items()
    }
    commands["coredns"] = [tool_path(layout, "coredns"), "-conf", layout.etc / "Corefile"]
    return commands


def _etcd(layout: Layout) -> Mapping[str, str | Path]:
    client = f"https://{_LOOPBACK}:{ETCD_PORT}"
    peer = f"https://{_LOOPBACK}:{ETCD_PORT + 1}"
    pki = layout.pki / "etcd"
    return {
        "name": NODE_NAME,
        "data-dir": layout.state / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{NODE_NAME}={peer}",
        "client-cert-auth": "true",
        "trusted-ca-file": pki / "ca.crt",
        "cert-file": pki / "server.crt",
        "key-file": pki / "server.key",
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": pki / "ca.crt",
        "peer-cert-file": pki / "peer.crt",
        "peer-key-file": pki / "peer.key",
        "log-level": "warn",
        "unsafe-no-fsync": "true",  # the cluster is thrown away; losing it with the machine costs nothing
    }


def _api_server(layout: Layout) -> Mapping[str, str | Path]:
    pki = layout.pki
    return {
        "advertise-address": NODE_ADDRESS,
        "bind-address": NODE_ADDRESS,
        "secure-port": str(API_PORT),
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "client-ca-file": pki / "ca.crt",
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "etcd-servers": f"https://{_LOOPBACK}:{ETCD_PORT}",
        "etcd-cafile": pki / "etcd" / "ca.crt",
        "etcd-certfile": pki / "apiserver-etcd-client.crt",
        "etcd-keyfile": pki / "apiserver-etcd-client.key",
        "kubelet-client-certificate": pki / "apiserver-kubelet-client.crt",
        "kubelet-client-key": pki / "apiserver-kubelet-client.key",
        # Otherwise logs and exec look the node's name up in DNS.
        "kubelet-preferred-address-types": "InternalIP",
        "proxy-client-cert-file": pki / "front-proxy-client.crt",
        "proxy-client-key-file": pki / "front-proxy-client.key",
        "requestheader-client-ca-file": pki / "front-proxy-ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki / "sa.pub",
        "service-account-signing-key-file": pki / "sa.key",
        "service-cluster-ip-range": SERVICE_SUBNET,
        "audit-policy-file": layout.etc / "audit-policy.yaml",
        "audit-log-path": layout.audit_log,
        "audit-log-mode": "blocking",  # a write is in the log when its answer is there
        "audit-log-maxsize": "200",
        "audit-log-maxbackup": "2",
        "profiling": "false",
    }


def _controller_manager(layout: Layout) -> Mapping[str, str | Path]:
    return {
        "kubeconfig": layout.etc / "controller-manager.conf",
        "bind-address": _LOOPBACK,
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "root-ca-file": layout.pki / "ca.crt",
        "service-account-private-key-file": layout.pki / "sa.key",
        "cluster-signing-cert-file": layout.pki / "ca.crt",
        "cluster-signing-key-file": layout.pki / "ca.key",
        "cluster-cidr": POD_SUBNET,
        "cluster-name": NODE_NAME,
        "profiling": "false",
    }
