"""What is generated is what is in the tree, and the API keeps its own rules."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
import yaml
from pydantic import Field

from modelcascade.api.markers import CEL, ListType
from modelcascade.api.v1alpha1.meta import ApiModel
from modelcascade.schema.lint import EXCEPTIONS, WITHOUT_UNIT, lint_api, lint_model, lint_status
from modelcascade.schema.outputs import chart_text, generated_files

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", generated_files())
def test_a_generated_file_is_in_the_tree_as_generated(name: str) -> None:
    """Whoever changes a model runs `make generate`."""
    assert (ROOT / name).read_text() == generated_files()[name]


def test_the_api_keeps_its_rules() -> None:
    """`make verify` says the same."""
    assert lint_api() == ()


def test_exceptions_have_reasons() -> None:
    """An exception without a reason is a mistake."""
    assert all({**EXCEPTIONS, **WITHOUT_UNIT}.values())


class Bad(ApiModel):
    """Breaks one rule per field."""

    phase: Annotated[str, Field(max_length=8)]
    """A word."""

    wait: Annotated[int, Field(ge=1, le=9)]
    """Time, 1 to 9."""

    open_seconds: Annotated[int, Field(ge=1)]
    """Time, at least 1 second."""

    start_timestamp: Annotated[str, Field(max_length=8)]
    """A time."""

    choice: Literal["yes", "no"]
    """A choice."""

    silent: Annotated[str, Field(max_length=8)]

    optional: Annotated[str, Field(max_length=8)] | None = None
    """A word."""

    many_seconds: Annotated[int, Field(ge=1, le=5000)]
    """Time."""

    ruled: Annotated[str, Field(max_length=8), CEL("true", "A sentence.")]
    """A word."""


class Silent(ApiModel):
    cel_rules: ClassVar = (CEL("true", "A sentence."),)

    snake: Annotated[str, Field(max_length=8, alias="snake_case")]
    """A word."""


class Loose(ApiModel):
    """All optional."""

    word: Annotated[str, Field(max_length=8)] | None = None
    """A word. Absent: none."""


class Holder(ApiModel):
    """Holds loose items."""

    items: Annotated[tuple[Loose, ...], Field(max_length=2), ListType("atomic")] = ()
    """Items, at most 2. Absent: none."""


def test_the_linter_sees_each_mistake() -> None:
    """Each finding starts with the field's path."""
    found = [
        line
        for model in (Bad, Silent, Holder)
        for line in (*lint_model(model, spec=True), *(lint_status(model) if model is Silent else ()))
    ]
    assert found == [
        "Bad.phase: no field is called phase: say it with conditions",
        "Bad.wait: an integer's name ends in its unit",
        "Bad.openSeconds: an integer has both bounds",
        "Bad.startTimestamp: names do not end in Timestamp: write Time",
        "Bad.choice: enum values are CamelCase",
        "Bad.silent: needs a text of whole sentences",
        "Bad.optional: an optional field says what absence means",
        "Bad.manySeconds: the text names its bound 1",
        "Bad.manySeconds: the text names its bound 5,000",
        "Bad.ruled: a rule's message is a sentence without a full stop: 'A sentence.'",
        "Silent: needs a text",
        "Silent: a rule's message is a sentence without a full stop: 'A sentence.'",
        "Silent.snake_case: names are camelCase",
        "Silent: conditions stand first, as a map list by type",
        "Holder.items: items of a list have a required field",
    ]


def test_a_description_cannot_run_in_helm() -> None:
    """The chart's CRDs are templates: two braces in a text would be executed."""
    with pytest.raises(ValueError, match="which Helm would run"):
        chart_text({"metadata": {"name": "x"}, "spec": {"description": "write {{ here }}"}})


def test_printer_columns_and_names() -> None:
    """What people type and see in `kubectl get`."""
    crds = {path.stem: yaml.safe_load(path.read_text())["spec"] for path in (ROOT / "crds").glob("*.yaml")}
    assert {name: crd["names"]["shortNames"] for name, crd in crds.items()} == {
        "modelcascades": ["mcas"],
        "cascadescalingpolicies": ["csp"],
    }
    columns = {
        name: [each["name"] for each in crd["versions"][0]["additionalPrinterColumns"]] for name, crd in crds.items()
    }
    assert columns == {
        "modelcascades": ["Ready", "Reason", "Tiers", "URL", "Age"],
        "cascadescalingpolicies": ["Class", "Mode", "Used By", "Age"],
    }
