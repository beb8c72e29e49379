"""
Where a model's files come from: the volume of the pod and the path that the engine opens.

Both containers mount the volume at /models, read-only. When the cascade names no file, `modelcascade inspect` looks
for the only `.gguf` there and leaves a symbolic link at FOUND, in a small volume that the engine mounts too; so the
engine needs no shell. A split model has several files whose real names matter: it is named by its first shard.
"""

from dataclasses import dataclass
from typing import Any

from modelcascade.api.v1alpha1.local import ModelSource

__all__ = ["FOUND", "MODELS", "ModelMount", "UnservedSourceError", "model_reference", "mount_source"]

MODELS = "/models"
FOUND = "/run/modelcascade/model.gguf"


class UnservedSourceError(ValueError):
    """A source that `find_unsupported` refuses first."""


@dataclass(frozen=True)
class ModelMount:
    """A model in a pod."""

    volume: dict[str, Any]
    folder: str
    """Absolute path of the folder to look into."""

    file: str | None
    """Path below `folder`; `None`: the only `.gguf` there."""

    @property
    def path(self) -> str:
        """What the engine opens."""
        return FOUND if self.file is None else f"{self.folder}/{self.file}"


def model_reference(source: ModelSource) -> str:
    """The model in words for the status: address, and file when one is named."""
    return source.uri if source.file is None else f"{source.uri}#{source.file}"


def mount_source(source: ModelSource) -> ModelMount:
    """
    Volume and path of a model source.

    | uri | volume | folder | file |
    | --- | --- | --- | --- |
    | oci://IMAGE@sha256:… | image | /models | source.file |
    | pvc://CLAIM | claim | /models | source.file |
    | pvc://CLAIM/some/folder | claim | /models/some/folder | source.file |
    | pvc://CLAIM/some/x.gguf | claim | /models/some | x.gguf |
    """
    scheme, _, rest = source.uri.partition("://")
    match scheme:
        case "oci":
            image = {"reference": rest, "pullPolicy": "IfNotPresent"}
            return ModelMount({"name": "model", "image": image}, MODELS, source.file)
        case "pvc":
            claim, *parts = [part for part in rest.split("/") if part] or [""]
            file = source.file
            if file is None and parts and parts[-1].endswith(".gguf"):
                file = parts.pop()
            volume = {"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
            return ModelMount(volume, "/".join((MODELS, *parts)), file)
        case _:
            raise UnservedSourceError(f"{source.uri}: {scheme}:// is not served by this version")
