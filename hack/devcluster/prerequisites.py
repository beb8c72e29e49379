"""What the machine itself must have: Linux, root, a few of Debian's packages. Says all that is missing at once."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from devcluster.console import ScriptError, run, say

__all__ = ["check_machine", "free_disk", "install_packages", "missing_packages"]


@dataclass(frozen=True)
class _Need:
    package: str
    sign: str
    """A program on PATH, or an absolute path, that the package brings."""


_NEEDS = (
    _Need("containernetworking-plugins", "/usr/lib/cni/bridge"),
    _Need("nftables", "nft"),
    _Need("conntrack", "conntrack"),
    _Need("iproute2", "ip"),
    _Need("mmdebstrap", "mmdebstrap"),
    _Need("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    _Need("gcc", "gcc"),
    _Need("pkg-config", "pkg-config"),
    _Need("libc6-dev", "/usr/include/stdio.h"),
    _Need("libseccomp-dev", "/usr/include/seccomp.h"),
    _Need("socat", "socat"),
    _Need("ethtool", "ethtool"),
)


def missing_packages() -> list[str]:
    """Debian packages whose sign is not there, in the order of the list."""
    return [need.package for need in _NEEDS if not _present(need.sign)]


def _present(sign: str) -> bool:
    return Path(sign).exists() if sign.startswith("/") else shutil.which(sign) is not None


def check_machine() -> None:
    """
    Refuse early, with the reason, where the local provider cannot work.

    Raises:
        ScriptError: not Linux, or not root.
    """
    other_ways = "Or use a cluster that you have: CLUSTER=current with its context selected."
    if sys.platform != "linux":
        raise ScriptError(f"The local cluster needs Linux. {other_ways}")
    if os.geteuid() != 0:
        raise ScriptError(
            f"The local cluster needs root: it makes network links, mounts and cgroups. Run it with sudo. {other_ways}"
        )


def install_packages() -> None:
    """
    Install what is missing with apt.

    Raises:
        ScriptError: something is missing and cannot be installed here; names all of it.
    """
    missing = missing_packages()
    if not missing:
        return
    names = " ".join(missing)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ScriptError(f"These Debian packages (or what they bring) are missing: {names}. Install them as root.")
    say(f"packages: installing {names}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], env=quiet, advice="apt's mirror did not answer.")
    run(
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
        env=quiet,
        advice=f"Install these by hand: {names}",
    )
    if still := missing_packages():
        raise ScriptError(f"apt installed the packages, yet this is still missing: {' '.join(still)}.")


def free_disk(folder: Path, *, gigabytes: float) -> None:
    """Raise when the disk of `folder` has less room than that."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise ScriptError(
            f"{folder} has {free:.1f} GB free, {gigabytes:.0f} GB are needed. "
            f"Free some, or point MODELCASCADE_CACHE elsewhere (now {os.environ.get('MODELCASCADE_CACHE', 'unset')})."
        )
