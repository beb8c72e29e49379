"""
Where everything lies: the caches that survive `down`, and the state folder that does not.

    CACHE/                      MODELCASCADE_CACHE, else ~/.cache/modelcascade
      tools/NAME-HASH/          programs built from hack/tools, by the hash of their module files
      models/                   assembled model files, by name; checked by sha256
      layers/                   image layers as tar files, by the hash of what went into them
      cluster/                  STATE: MODELCASCADE_STATE, else here; removed by `down`
        bin/ etc/ log/ pki/ run/ etcd/ containerd/ kubelet/ volumes/
        kubeconfig  processes.json  footprint.json  images.json
"""

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layout"]

_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """All paths, from three roots. Nothing is created by looking."""

    repository: Path
    cache: Path
    state: Path

    @classmethod
    def from_environment(cls) -> "Layout":
        cache = Path(os.environ.get("MODELCASCADE_CACHE") or Path.home() / ".cache" / "modelcascade").absolute()
        provider = os.environ.get("CLUSTER") or "local"
        folder = "cluster" if provider == "local" else provider
        state = Path(os.environ.get("MODELCASCADE_STATE") or cache / folder).absolute()
        return cls(repository=_REPOSITORY, cache=cache, state=state)

    @property
    def tool_modules(self) -> Path:
        return self.repository / "hack" / "tools"

    @property
    def tools(self) -> Path:
        return self.cache / "tools"

    @property
    def models(self) -> Path:
        return self.cache / "models"

    @property
    def layers(self) -> Path:
        return self.cache / "layers"

    @property
    def lock(self) -> Path:
        """Held while the cluster changes. Outside the state folder, because that goes away."""
        return self.cache / "cluster.lock"

    @property
    def bin(self) -> Path:
        return self.state / "bin"

    @property
    def etc(self) -> Path:
        return self.state / "etc"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.log / "audit.log"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"
