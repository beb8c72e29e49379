"""Images in the node's containerd: imported under a name with their digest, so that no pull is ever tried."""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from devcluster.console import ScriptError, Stopwatch, run, say
from devcluster.layout import Layout
from devcluster.oci import Image, archive_chunks
from devcluster.tools import tool_path

__all__ = ["image_references", "import_image", "remember_image"]

_TAG = "dev"


def import_image(layout: Layout, name: str, image: Image, *, tag: str = _TAG) -> str:
    """
    Put the image into the node, unless it is there, and return `NAME@sha256:DIGEST`.

    Both names are known to the kubelet afterwards: the tag for people, the digest for cascades.
    """
    reference = f"{name}@{image.manifest.digest}"
    tagged = f"{name}:{tag}"
    ctr: list[str | Path] = [tool_path(layout, "ctr"), "-a", layout.containerd_socket, "-n", "k8s.io"]
    if reference not in run([*ctr, "images", "list", "-q"]).split():
        watch = Stopwatch()
        present = frozenset(run([*ctr, "content", "list", "-q"]).split())
        # --local unpacks from ctr itself: three times as fast for many small files as through the transfer service.
        _pipe([*ctr, "images", "import", "--local", "-"], archive_chunks(image, tagged, present=present), what=name)
        run([*ctr, "images", "tag", "--force", tagged, reference])
        say(f"images: {name} imported in {watch.seconds:.1f} s")
    return reference


def _pipe(command: list[str | Path], chunks: Iterable[bytes], *, what: str) -> None:
    words = [str(word) for word in command]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        if child.stdin is None or child.stdout is None:
            raise ScriptError(f"{words[0]} could not be given the image {what}")
        try:
            for chunk in chunks:
                child.stdin.write(chunk)
            child.stdin.close()
        except BrokenPipeError:
            pass  # its exit code and output say why
        shown = child.stdout.read().decode(errors="replace")
    if child.returncode != 0:
        raise ScriptError(f"importing {what} failed with code {child.returncode}: {shown.strip()}")


def remember_image(layout: Layout, short_name: str, reference: str) -> None:
    """Keep `NAME=REFERENCE` for the verbs that print references."""
    references = {**image_references(layout), short_name: reference}
    file = layout.state / "images.json"
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(references, indent=1))
    unfinished.replace(file)


def image_references(layout: Layout) -> dict[str, str]:
    """
    By short name: what was imported since the cluster came up, or what the file in MODELCASCADE_IMAGES says.

    That file has lines NAME=IMAGE@sha256:DIGEST and is for clusters that pull from a registry (CLUSTER=current).
    """
    given = os.environ.get("MODELCASCADE_IMAGES")
    if given:
        lines = [line.strip() for line in Path(given).read_text().splitlines()]
        pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
        return {name: reference for name, _, reference in pairs}
    file = layout.state / "images.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}
