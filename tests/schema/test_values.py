"""The chart's values: the file says the model's defaults, and a typo is an error."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from modelcascade.schema.values import ChartValues, values_schema

CHART = Path(__file__).parents[2] / "charts" / "modelcascade"
DIGEST = f"sha256:{'a' * 64}"


def accepts(values: dict[str, Any]) -> bool:
    """Whether Helm would take these values."""
    return not list(jsonschema.Draft202012Validator(values_schema()).iter_errors(values))


def test_the_schema_is_a_schema() -> None:
    """Helm refuses a chart whose schema is none."""
    jsonschema.Draft202012Validator.check_schema(values_schema())


def test_values_yaml_says_the_defaults() -> None:
    """One source: what a person reads in values.yaml is what absence means."""
    written = yaml.safe_load((CHART / "values.yaml").read_text())
    assert written == ChartValues().model_dump(by_alias=True, exclude_none=True, mode="json")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"global": {"any": "thing"}, "enabled": True}, id="as a dependency"),
        pytest.param({"image": {"repository": "registry.example:5000/x", "digest": DIGEST}}, id="image"),
        pytest.param({"engines": {"llamaCpp": {"image": f"llama@{DIGEST}"}}}, id="engine image by digest"),
        pytest.param({"engines": {"llamaCpp": {"image": "llama:latest"}}}, id="engine image by tag"),
        pytest.param({"watchNamespaces": ["a", "b"], "imagePullSecrets": ["regcred"]}, id="lists"),
        pytest.param({"operator": {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}}, id="resources"),
        pytest.param({"crds": {"keep": False}}, id="crds"),
    ],
)
def test_good_values(values: dict[str, Any]) -> None:
    """What people write."""
    assert accepts(values)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"operater": {}}, id="a typo at the root"),
        pytest.param({"operator": {"resyncSecond": 5}}, id="a typo below"),
        pytest.param({"operator": {"resyncSeconds": "soon"}}, id="a word for a number"),
        pytest.param({"operator": {"resyncSeconds": 0}}, id="no time at all"),
        pytest.param({"operator": {"logLevel": "verbose"}}, id="an unknown level"),
        pytest.param({"operator": {"resources": {"limits": {"memory": "much"}}}}, id="no quantity"),
        pytest.param({"image": {"digest": "latest"}}, id="a tag for a digest"),
        pytest.param({"image": {"repository": "x y"}}, id="a space in a repository"),
        pytest.param({"crds": {"keep": "yes"}}, id="a word for a switch"),
        pytest.param({"watchNamespaces": "a"}, id="a word for a list"),
        pytest.param({"watchNamespaces": ["A_B"]}, id="no namespace"),
    ],
)
def test_bad_values(values: dict[str, Any]) -> None:
    """A mistake is an error, not a surprise in the cluster."""
    assert not accepts(values)
