"""
Base layers from Debian's packages, unpacked without installing: no base image can be pulled here.

The mirror is the one that apt uses on this machine; none is named in the project.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devcluster.console import ScriptError, Stopwatch, run, say
from devcluster.layout import Layout
from devcluster.oci import Blob, tree_layer

__all__ = ["DebianBase", "base_layer", "debian_mirror", "run_inside", "unpack"]

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_RECIPE = 1
"""Raised when the way of making a layer changes, so that cached ones are not used."""
_SKIP = (
    "dev",
    "proc",
    "sys",
    "run",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/log",
)
_USERS = {
    "etc/passwd": b"root:x:0:0:root:/:/usr/sbin/nologin\nmodelcascade:x:65532:65532::/tmp:/usr/sbin/nologin\n",
    "etc/group": b"root:x:0:\nmodelcascade:x:65532:\n",
}


@dataclass(frozen=True)
class DebianBase:
    """A set of packages of one Debian release.

    Args:
        prepare: gets the unpacked tree; changes what has to be, and raises when the tree is wrong.
        added: more files of the image, by path, made from the tree.
    """

    name: str
    suite: str
    packages: Sequence[str]
    prepare: Callable[[Path], None]
    skip: Sequence[str] = ()
    added: Callable[[Path], Mapping[str, bytes]] = field(default=lambda _: {})

    @property
    def key(self) -> str:
        facts = [_RECIPE, self.suite, list(self.packages), list(self.skip)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def debian_mirror() -> str:
    """
    The address of Debian's own archive in apt's configuration.

    Raises:
        ScriptError: apt is not configured with one.
    """
    shown = run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)",
            "Created-By: Packages",
        ],
        advice="The local provider's images are made from Debian packages.",
    )
    for line in shown.splitlines():
        words = line.split(maxsplit=3)
        if words[2:] == ["main", "Debian"] and not words[1].endswith(("-security", "-updates", "-backports")):
            return words[0]
    raise ScriptError("apt is not configured with a Debian archive (run `apt-get update` once, or use Debian).")


def base_layer(layout: Layout, base: DebianBase) -> Blob:
    """The layer of these packages, from the cache or made now."""
    target = layout.layers / f"{base.name}-{base.key}.tar"
    if target.exists():
        return Blob.of(target)
    say(f"images: unpacking Debian packages for {base.name} …")
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="modelcascade-base-") as folder:
        tree = Path(folder) / "tree"
        source = f"deb [signed-by={_KEYRING}] {debian_mirror()} {base.suite} main"
        run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=extract",
                "--architectures=amd64",
                # A mirror's Release file can be past its validity date. Signatures are still checked.
                '--aptopt=Acquire::Check-Valid-Until "false"',
                f"--include={','.join(base.packages)}",
                base.suite,
                tree,
                source,
            ],
            advice="Debian's mirror has to be reachable through apt's configuration.",
        )
        for link in ("bin", "sbin", "lib", "lib64"):
            if not (tree / link).exists():  # unpacking alone does not make the merged-usr links
                (tree / link).symlink_to(f"usr/{link}")
        base.prepare(tree)
        skip = (*_SKIP, *base.skip)
        layer = tree_layer(tree, target, skip=skip, extra={**_USERS, **base.added(tree)})
    say(f"images: base layer {base.name} made in {watch.seconds:.0f} s, {layer.size / 1e6:.0f} MB")
    return layer


def unpack(layer: Blob, folder: Path) -> None:
    """Unpack a layer that is one tar file, to run a program of it with chroot."""
    run(["tar", "-xf", next(part for part in layer.parts if isinstance(part, Path)), "-C", folder])


def run_inside(tree: Path, *words: str, user: str = "65532:65532") -> str:
    """Output (both streams) of a program of the tree, as an unprivileged user unless told otherwise."""
    chroot = shutil.which("chroot") or "/usr/sbin/chroot"
    done = subprocess.run(
        [chroot, f"--userspec={user}", str(tree), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise ScriptError(f"{' '.join(words)} failed in {tree} with code {done.returncode}: {done.stdout[-500:]}")
    return done.stdout
