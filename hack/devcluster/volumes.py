"""Local volumes that were given back are emptied and offered again: there is no provisioner to do it."""

import json
import shutil
from collections.abc import Callable

from devcluster.console import say
from devcluster.layout import Layout

__all__ = ["recycle_volumes"]


def recycle_volumes(layout: Layout, kubectl: Callable[..., str]) -> None:
    """Empty each Released volume and drop its claim. A bound one is never touched."""
    for volume in json.loads(kubectl("get", "persistentvolumes", "-o", "json"))["items"]:
        name = volume["metadata"]["name"]
        folder = layout.volumes / name
        if volume["spec"].get("local", {}).get("path") != str(folder):
            continue  # someone else's volume
        if volume.get("status", {}).get("phase") == "Released":
            shutil.rmtree(folder, ignore_errors=True)
            kubectl("patch", "persistentvolume", name, "--type=json", '-p=[{"op":"remove","path":"/spec/claimRef"}]')
            say(f"volume {name} emptied and offered again")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # pods run as any user
