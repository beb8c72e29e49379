"""Templates: values cannot become structure, and nothing that Kubernetes would refuse leaves the room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, UndefinedError, nodes
from pydantic import ValidationError

from modelcascade.planning.render import TEMPLATES, render_object
from support.cascades import UID

SERVICE: dict[str, object] = {
    "name": "assist",
    "namespace": "team",
    "labels": {"a": "b"},
    "owner": {"apiVersion": "v1", "kind": "X", "name": "x", "uid": UID},
    "selector": {"a": "b"},
}


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.j2")), ids=lambda path: path.stem)
def test_every_value_passes_tojson(path: object) -> None:
    """A value without `tojson` could be read as a boolean, or open a new key."""
    tree = Environment(autoescape=True).parse((TEMPLATES / str(path)).read_text())
    printed = [node for output in tree.find_all(nodes.Output) for node in output.nodes]
    values = [node for node in printed if not isinstance(node, nodes.TemplateData)]
    assert values
    assert [node for node in values if not (isinstance(node, nodes.Filter) and node.name == "tojson")] == []


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_arrives_as_it_was(text: str) -> None:
    """Quotes, line ends, control characters, braces and emoji in a value stay a value."""
    rendered = render_object("router_service.yaml.j2", **SERVICE | {"labels": {"note": text, text or "k": "v"}})
    labels = rendered["metadata"]["labels"]
    assert ("v", text) == (labels[text or "k"], labels["note"] if text != "note" else text)


@pytest.mark.parametrize("text", ["on", "no", "null", "~", "1e3", "0x10", "12:30", "{}", "<<", "a: b", "#", "é", "🚀"])
def test_words_that_yaml_reads_otherwise_stay_text(text: str) -> None:
    """A tier named `on` is a string."""
    rendered = render_object("router_service.yaml.j2", **SERVICE | {"name": text})
    assert text == rendered["metadata"]["name"]


def test_a_missing_value_is_an_error() -> None:
    """An undefined value is a fault here, and never an empty field there."""
    with pytest.raises(UndefinedError, match="selector"):
        render_object("router_service.yaml.j2", **{key: SERVICE[key] for key in SERVICE if key != "selector"})


def test_a_field_that_kubernetes_does_not_have_is_an_error() -> None:
    """The strict model names the field."""
    with pytest.raises(ValidationError, match=r"ownerReferences\.0\.namespace"):
        render_object(
            "router_service.yaml.j2",
            **SERVICE | {"owner": {"apiVersion": "v1", "kind": "X", "name": "x", "uid": UID, "namespace": "team"}},
        )


def test_a_wrong_type_is_an_error() -> None:
    """A number where Kubernetes wants text is refused here, not by the API server."""
    with pytest.raises(ValidationError, match=r"labels\.a"):
        render_object("router_service.yaml.j2", **SERVICE | {"labels": {"a": 1}})


def test_a_value_that_json_does_not_have_is_an_error() -> None:
    """Nothing is turned into text behind our back."""
    with pytest.raises(TypeError, match="object is no template value"):
        render_object("router_service.yaml.j2", **SERVICE | {"name": object()})
