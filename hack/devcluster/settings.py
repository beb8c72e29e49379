"""
Every configuration file of the node, as text made from the layout. Decides what they say; writes nothing.

Kubernetes' own files are JSON here, which is YAML too: no value can be misread.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devcluster.layout import Layout
from devcluster.tools import KUBERNETES_VERSION, tool_path

__all__ = [
    "API_PORT",
    "CLUSTER_DNS",
    "ETCD_PORT",
    "NODE_ADDRESS",
    "NODE_NAME",
    "PAUSE_IMAGE",
    "POD_GATEWAY",
    "POD_SUBNET",
    "SERVICE_SUBNET",
    "cluster_objects",
    "configuration_files",
]

NODE_NAME = "modelcascade"
NODE_ADDRESS = "10.88.0.1"
POD_SUBNET = "10.244.0.0/24"
POD_GATEWAY = "10.244.0.1"
CLUSTER_DNS = POD_GATEWAY
SERVICE_SUBNET = "10.96.0.0/16"
API_PORT = 6443
ETCD_PORT = 12379
PAUSE_IMAGE = "localhost/pause:1"
_RBAC = "rbac.authorization.k8s.io"
_VOLUME_SIZES_GI = (5, 5, 5, 5, 10, 10, 20)


def configuration_files(layout: Layout, *, upstream_dns: bool) -> dict[Path, str]:
    """
    Path to text, for all files that the daemons read.

    Args:
        upstream_dns: whether the machine has a name server that CoreDNS can ask for outside names.
    """
    return {
        layout.etc / "kubeadm.yaml": _documents(*_kubeadm(layout)),
        layout.etc / "audit-policy.yaml": _documents(_audit_policy()),
        layout.etc / "kubelet.yaml": _documents(_kubelet(layout)),
        layout.etc / "kube-proxy.yaml": _documents(_kube_proxy(layout)),
        layout.etc / "containerd.toml": _containerd(layout),
        layout.etc / "cni" / "10-modelcascade.conflist": _documents(_cni(layout)),
        layout.etc / "Corefile": _corefile(layout, upstream_dns=upstream_dns),
        layout.etc / "resolv.conf": f"nameserver {CLUSTER_DNS}\n",
        layout.etc / "objects.yaml": _documents(*cluster_objects(layout)),
    }


def _documents(*documents: Mapping[str, Any]) -> str:
    return "\n---\n".join(json.dumps(document, indent=1) for document in documents) + "\n"


def _kubeadm(layout: Layout) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Used for certificates and kubeconfigs only."""
    version = "kubeadm.k8s.io/v1beta4"
    return (
        {
            "apiVersion": version,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": NODE_ADDRESS, "bindPort": API_PORT},
            "nodeRegistration": {"name": NODE_NAME, "criSocket": f"unix://{layout.containerd_socket}"},
        },
        {
            "apiVersion": version,
            "kind": "ClusterConfiguration",
            "kubernetesVersion": KUBERNETES_VERSION,
            "certificatesDir": str(layout.pki),
            "controlPlaneEndpoint": f"{NODE_ADDRESS}:{API_PORT}",
            "networking": {
                "serviceSubnet": SERVICE_SUBNET,
                "podSubnet": POD_SUBNET,
                "dnsDomain": "cluster.local",
            },
        },
    )


def _audit_policy() -> Mapping[str, Any]:
    """
    Every write, with who did it, and nothing else: tests count writes from this log.

    Bodies are left out (Metadata): Secrets and prompts do not belong into a log. The field manager of a
    server-side apply stands in the request's URI.
    """
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "None"},
        ],
    }


def _kubelet(layout: Layout) -> Mapping[str, Any]:
    socket = f"unix://{layout.containerd_socket}"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,  # machines with cgroup v1 or both are served too
        "failSwapOn": False,
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(layout.etc / "resolv.conf"),
        "containerRuntimeEndpoint": socket,
        "imageServiceEndpoint": socket,
        "podLogsDir": str(layout.log / "pods"),
        "volumePluginDir": str(layout.state / "kubelet" / "volume-plugins"),
        "healthzBindAddress": "127.0.0.1",
        "makeIPTablesUtilChains": False,  # kube-proxy speaks nftables; nothing needs iptables
        "imageGCHighThresholdPercent": 100,  # never: no registry could bring an image back
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "serializeImagePulls": False,
        "logging": {"verbosity": 1},
    }


def _kube_proxy(layout: Layout) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": POD_SUBNET,
        "clientConnection": {"kubeconfig": str(layout.etc / "kube-proxy.conf")},
        "bindAddress": NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # Zero leaves the machine's own connection tracking limits alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _containerd(layout: Layout) -> str:
    """
    Version 3 of containerd's configuration.

    `restrict_oom_score_adj`: a machine that may not lower oom_score_adj fails every sandbox without it
    ("can't get final child's PID from pipe: EOF"). Plug-ins that would make folders elsewhere are off.
    """
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    images = "plugins.'io.containerd.cri.v1.images'"
    quoted = json.dumps  # a JSON string is a TOML basic string
    return f"""version = 3
root = {quoted(str(layout.state / "containerd"))}
state = {quoted(str(layout.run / "containerd"))}
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.differ.v1.erofs",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.image-verifier.v1.bindir",
]

[grpc]
address = {quoted(str(layout.containerd_socket))}

[plugins.'io.containerd.internal.v1.opt']
path = {quoted(str(layout.state / "containerd-opt"))}

[{runtime}]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[{runtime}.cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = {quoted(str(layout.etc / "cni"))}

[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{runtime}.containerd.runtimes.runc.options]
BinaryName = {quoted(str(tool_path(layout, "runc")))}
SystemdCgroup = false

[{images}.pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.grpc.v1.cri']
stream_server_address = "127.0.0.1"
"""


def _cni(layout: Layout) -> Mapping[str, Any]:
    """One bridge. Masquerading is ours (network.py), so that one table is all there is to remove."""
    return {
        "cniVersion": "1.0.0",
        "name": "modelcascade",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.run / "cni"),
                    "ranges": [[{"subnet": POD_SUBNET, "gateway": POD_GATEWAY}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


def _corefile(layout: Layout, *, upstream_dns: bool) -> str:
    forward = "    forward . /etc/resolv.conf\n" if upstream_dns else ""
    return (
        ".:53 {\n"
        f"    bind {CLUSTER_DNS}\n"
        "    errors\n"
        "    ready 127.0.0.1:18181\n"
        "    kubernetes cluster.local in-addr.arpa {\n"
        f"        kubeconfig {layout.etc / 'coredns.conf'}\n"
        "        pods insecure\n"
        "        ttl 5\n"
        "    }\n"
        f"{forward}"
        "    cache 5\n"
        "}\n"
    )


def cluster_objects(layout: Layout) -> list[Mapping[str, Any]]:
    """Rights, the default StorageClass, and local volumes, applied once the API server is there."""
    dns = "system:coredns"
    administrators = "kubeadm:cluster-admins"  # the group in kubeadm's admin.conf
    to_kubelet = "kube-apiserver-kubelet-client"  # as whom the API server asks the kubelet for logs and exec
    return [
        _binding(administrators, role="cluster-admin", subject={"kind": "Group", "name": administrators}),
        _binding(dns, role=dns, subject={"kind": "User", "name": dns}),
        _binding(to_kubelet, role="system:kubelet-api-admin", subject={"kind": "User", "name": to_kubelet}),
        _dns_role(dns),
        _storage_class(),
        *_volumes(layout),
    ]


def _binding(name: str, *, role: str, subject: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, **subject}],
    }


def _dns_role(name: str) -> Mapping[str, Any]:
    readable = ["endpoints", "services", "pods", "namespaces"]
    rules = [
        {"apiGroups": [""], "resources": readable, "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}


def _storage_class() -> Mapping[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",  # what the volume controller demands of local volumes; `up` recycles
    }


def _volumes(layout: Layout) -> list[Mapping[str, Any]]:
    on_this_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"local-{number}"},
            "spec": {
                "capacity": {"storage": f"{size}Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "standard",
                "local": {"path": str(layout.volumes / f"local-{number}")},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_this_node]}]}},
            },
        }
        for number, size in enumerate(_VOLUME_SIZES_GI, start=1)
    ]
