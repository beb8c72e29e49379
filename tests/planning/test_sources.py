"""Model sources: what is mounted, and what the engine opens."""

from typing import Any

import pytest

from modelcascade.api.v1alpha1.local import ModelSource
from modelcascade.planning.sources import UnservedSourceError, model_reference, mount_source
from support.cascades import DIGEST

IMAGE = {"name": "model", "image": {"reference": f"r.example/m@{DIGEST}", "pullPolicy": "IfNotPresent"}}


def claim(name: str) -> dict[str, Any]:
    """The volume of a claim."""
    return {"name": "model", "persistentVolumeClaim": {"claimName": name, "readOnly": True}}


@pytest.mark.parametrize(
    ("uri", "file", "volume", "folder", "path"),
    [
        pytest.param(f"oci://r.example/m@{DIGEST}", None, IMAGE, "/models", None, id="image, only file"),
        pytest.param(f"oci://r.example/m@{DIGEST}", "a/b.gguf", IMAGE, "/models", "/models/a/b.gguf", id="image, file"),
        pytest.param("pvc://c", None, claim("c"), "/models", None, id="claim"),
        pytest.param("pvc://c/", "x.gguf", claim("c"), "/models", "/models/x.gguf", id="claim, file"),
        pytest.param("pvc://c/a/b", None, claim("c"), "/models/a/b", None, id="folder"),
        pytest.param("pvc://c/a/b/", "x.gguf", claim("c"), "/models/a/b", "/models/a/b/x.gguf", id="folder, file"),
        pytest.param("pvc://c/a/x.gguf", None, claim("c"), "/models/a", "/models/a/x.gguf", id="file in the uri"),
        pytest.param(
            "pvc://c/x.gguf", "y.gguf", claim("c"), "/models/x.gguf", "/models/x.gguf/y.gguf", id="odd folder"
        ),
        pytest.param("pvc:///", None, claim(""), "/models", None, id="no claim: the API server says so"),
    ],
)
def test_where_a_model_is(uri: str, file: str | None, volume: dict[str, Any], folder: str, path: str | None) -> None:
    """A source without a file is found by the inspection, which leaves a link."""
    mount = mount_source(ModelSource(uri=uri, file=file))
    assert (volume, folder, path or "/run/modelcascade/model.gguf") == (mount.volume, mount.folder, mount.path)


@pytest.mark.parametrize("uri", ["hf://o/m", "s3://b/m", "https://h.example/m"])
def test_a_source_that_is_not_served_is_named(uri: str) -> None:
    """It is refused before; here it must not become something else."""
    with pytest.raises(UnservedSourceError, match="is not served"):
        mount_source(ModelSource(uri=uri))


def test_the_status_names_model_and_file() -> None:
    """A person sees which file of the source is meant."""
    assert ("pvc://c", "pvc://c#x.gguf") == (
        model_reference(ModelSource(uri="pvc://c")),
        model_reference(ModelSource(uri="pvc://c", file="x.gguf")),
    )
