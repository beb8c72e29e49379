"""
All images of development: pause, the engine, the models, ours. Made from the cache, then put into the node.

    localhost/pause:1
    localhost/modelcascade/llama-server
    localhost/modelcascade/modelcascade
    localhost/modelcascade/models/NAME
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from devcluster.console import ScriptError, Stopwatch, say
from devcluster.debian import run_inside, unpack
from devcluster.engine import engine_image
from devcluster.layout import Layout
from devcluster.models import MODELS, model_file
from devcluster.node import node_is_ready
from devcluster.oci import Blob, Image, file_layer, file_layer_parts
from devcluster.own import own_image
from devcluster.prerequisites import free_disk
from devcluster.settings import PAUSE_IMAGE
from devcluster.store import image_references, import_image, remember_image
from devcluster.tiny import TINY_MODELS, TinyModel, write_tiny_model
from devcluster.tools import tool_path

__all__ = ["IMAGE_PREFIX", "MODEL_PREFIX", "load_images", "load_pause_image", "make_images", "model_references"]

IMAGE_PREFIX = "localhost/modelcascade"
MODEL_PREFIX = "models/"
_NEEDED_GIGABYTES = 8
_NEEDED_AGAIN_GIGABYTES = 3


def load_pause_image(layout: Layout) -> None:
    """The image that holds each pod's namespaces; no pod starts without it."""
    name, _, tag = PAUSE_IMAGE.partition(":")
    program = file_layer({"pause": tool_path(layout, "pause")}, mode=0o555)
    import_image(layout, name, Image((program,), {"User": "65535:65535", "Entrypoint": ["/pause"]}), tag=tag)


def make_images(layout: Layout) -> Iterator[tuple[str, Image]]:
    """
    Short name and image, small ones first; what the cache lacks is made on the way.

    Raises:
        ScriptError: no room on the disk, or something that could not be fetched.
    """
    free_disk(layout.cache, gigabytes=_NEEDED_GIGABYTES if not layout.models.exists() else _NEEDED_AGAIN_GIGABYTES)
    engine = engine_image(layout)
    yield "llama-server", engine
    for tiny in TINY_MODELS:
        yield f"{MODEL_PREFIX}{tiny.name}", Image((file_layer({tiny.file: _tiny_file(layout, tiny, engine)}),))
    yield "modelcascade", own_image(layout)
    for model in MODELS:
        yield f"{MODEL_PREFIX}{model.name}", Image((_large_layer(model_file(layout, model)),))


def load_images(layout: Layout) -> None:
    """
    Put all images into the local node, which has to be Ready.

    Raises:
        ScriptError: no node, or what `make_images` raises.
    """
    if not node_is_ready(layout):
        raise ScriptError("No node is Ready: run `make cluster-up` first.")
    watch = Stopwatch()
    load_pause_image(layout)
    for short_name, image in make_images(layout):
        remember_image(layout, short_name, import_image(layout, f"{IMAGE_PREFIX}/{short_name}", image))
    say(f"images: all in the node after {watch.seconds:.0f} s")


def _large_layer(file: Path) -> Blob:
    """A layer of one checked file, whose digest is computed once and kept beside it."""
    parts = file_layer_parts({file.name: file})
    known = file.with_name(f"{file.name}.layer.json")
    if known.exists():
        facts = json.loads(known.read_text())
        return Blob(parts, facts["size"], facts["digest"])
    layer = Blob.of(*parts)
    known.write_text(json.dumps({"size": layer.size, "digest": layer.digest}))
    return layer


def _tiny_file(layout: Layout, model: TinyModel, engine: Image) -> Path:
    """Quantized by the engine image's own llama-quantize, and kept by what it was made from."""
    fingerprint = f"{model.seed}-{model.sharpness}-{engine.layers[0].digest[7:19]}"
    target = layout.models / fingerprint / model.file
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="modelcascade-tiny-") as folder:
        tree = Path(folder)
        tree.chmod(0o755)
        unpack(engine.layers[0], tree)
        workplace = tree / "tiny"
        workplace.mkdir()
        workplace.chmod(0o777)
        write_tiny_model(model, workplace / "whole.gguf")
        run_inside(tree, "/usr/bin/llama-quantize", "/tiny/whole.gguf", "/tiny/small.gguf", "Q4_K_M")
        shutil.copyfile(workplace / "small.gguf", target)
    return target


def model_references(layout: Layout) -> dict[str, str]:
    """Model images in the cluster, by the model's name, as `tiny-random`."""
    return {
        name.removeprefix(MODEL_PREFIX): reference
        for name, reference in image_references(layout).items()
        if name.startswith(MODEL_PREFIX)
    }
