"""A verdict for every body: accepted with defaults, or a list of problems, never an exception."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from modelcascade.api.cel import json_of
from modelcascade.api.parse import (
    Problem,
    SpecProblems,
    parse_cascade,
    parse_cascade_strict,
    parse_policy,
    parse_policy_strict,
)
from modelcascade.api.problems import describe_errors
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.policy import CascadeScalingPolicy
from support.bad_inputs import base_object, shortest_cascade

WORDS = st.text(st.characters(), max_size=8)  # lone surrogates too: JSON can escape them
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def places(body: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a body, as the keys that lead to it."""
    below = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [here, *(each for key, item in below for each in places(item, (*here, key)))]


BODIES = {kind: base_object(kind) for kind in ("ModelCascade", "CascadeScalingPolicy")}
PLACES = [(kind, place) for kind, body in BODIES.items() for place in places(body) if place]


def accepted(body: dict[str, Any]) -> ModelCascade:
    """The parsed cascade of a body that must be valid."""
    found = parse_cascade(body)
    assert isinstance(found, ModelCascade), found
    return found


@settings(max_examples=200)
@given(JSON)
def test_any_json_gets_a_verdict(body: Any) -> None:
    """Nothing that can be written as JSON makes a parser raise."""
    for parse in (parse_cascade, parse_cascade_strict, parse_policy, parse_policy_strict):
        verdict = parse(body)
        assert not isinstance(verdict, SpecProblems) or verdict.problems


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), JSON)
def test_any_value_at_any_place_gets_a_verdict(place: tuple[str, tuple[Any, ...]], value: Any) -> None:
    """One strange value in a valid object makes no parser raise, and every problem has a path and a message."""
    kind, (*parents, last) = place
    body = json.loads(json.dumps(BODIES[kind]))
    spot = body
    for key in parents:
        spot = spot[key]
    spot[last] = value
    verdict = parse_cascade_strict(body) if kind == "ModelCascade" else parse_policy_strict(body)
    if isinstance(verdict, SpecProblems):
        assert all(problem.path and problem.message for problem in verdict.problems)


def test_a_body_that_contains_itself_is_refused() -> None:
    """YAML aliases can make such a thing."""
    body = shortest_cascade()
    body["spec"]["tiers"].append(body)
    verdict = parse_cascade(body)
    assert isinstance(verdict, SpecProblems)
    assert verdict.problems[0].message.startswith("cannot be written as JSON")


def test_a_small_file_that_unfolds_without_end_is_refused() -> None:
    """Ten aliases of ten aliases of ten… are refused before memory is gone."""
    bomb: Any = "x"
    for _ in range(30):
        bomb = [bomb] * 10
    body = shortest_cascade()
    body["spec"]["tiers"] = bomb
    verdict = parse_cascade(body)
    assert verdict == SpecProblems((Problem("(root)", "cannot be written as JSON: more than 100,000 values"),))


def test_text_that_no_json_can_hold_is_refused() -> None:
    """Half of a surrogate pair, as a careless escape gives it."""
    body = shortest_cascade()
    body["spec"]["tiers"][0]["name"] = "\ud800"
    verdict = parse_cascade(body)
    assert isinstance(verdict, SpecProblems)
    assert verdict.problems[0].path == "(root)"
    assert verdict.problems[0].message.startswith("is no JSON: ")


def test_defaults_are_applied() -> None:
    """Planning never sees something absent that has a default."""
    spec = accepted(shortest_cascade()).spec
    assert spec.routing.verification.min_confidence_percent == 70
    assert spec.routing.escalation.deadline_seconds == 120
    assert spec.router.replicas == 1
    assert spec.tiers[0].capabilities == ("Chat",)
    assert spec.tiers[0].scaling is None
    assert spec.tiers[0].scaling_or_default.max_replicas == 1


def test_a_cpu_number_becomes_text() -> None:
    """`cpu: 2` and `cpu: "2"` are the same."""
    body = shortest_cascade()
    body["spec"]["tiers"][0]["local"]["resources"]["cpu"] = 2
    local = accepted(body).spec.tiers[0].local
    assert local is not None
    assert local.resources.cpu == "2"


def test_null_is_absence() -> None:
    """As on the API server, which drops nulls."""
    body = shortest_cascade()
    body["spec"]["routing"] = None
    body["spec"]["tiers"][0]["rank"] = None
    assert accepted(body).spec == accepted(shortest_cascade()).spec


def test_unknown_fields_are_ignored_unless_strict() -> None:
    """An old operator reads a newer object; `lint` sees the typo."""
    body = shortest_cascade()
    body["spec"]["tiers"][0]["colour"] = "red"
    body["metadata"]["lables"] = {}
    accepted(body)
    verdict = parse_cascade_strict(body)
    assert isinstance(verdict, SpecProblems)
    assert set(verdict.problems) == {
        Problem("spec.tiers[0].colour", "unknown field"),
        Problem("metadata.lables", "unknown field"),
    }


def test_a_status_of_another_version_does_not_matter() -> None:
    """A cascade is never refused because of what an operator once wrote."""
    body = shortest_cascade()
    body["status"] = {"conditions": "many"}
    assert accepted(body).status is None


def test_a_readable_status_is_kept() -> None:
    """The previous conditions are what `lastTransitionTime` comes from."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    body = shortest_cascade() | {"status": {"conditions": [condition]}}
    status = accepted(body).status
    assert status is not None
    assert status.model_dump(by_alias=True, exclude_none=True, mode="json")["conditions"] == [condition]


def test_only_what_is_broken_is_named() -> None:
    """A list whose one item is broken is not called empty as well."""
    body = shortest_cascade()
    body["spec"]["tiers"][0]["role"] = "Large"
    verdict = parse_cascade(body)
    assert verdict == SpecProblems(
        (Problem("spec.tiers[0].role", "unsupported value, supported: Guard, Small, Specialist, Frontier"),)
    )


@pytest.mark.parametrize(
    ("field", "value"), [("apiVersion", "modelcascade.dev/v2"), ("kind", "Cascade"), ("metadata", "assist")]
)
def test_another_kind_of_object_is_refused(field: str, value: str) -> None:
    """The parser is for one kind and version."""
    verdict = parse_cascade(shortest_cascade() | {field: value})
    assert isinstance(verdict, SpecProblems)
    assert [problem.path for problem in verdict.problems] == [field]


def test_an_error_without_a_wording_keeps_pydantics() -> None:
    """The API has no such field today; the message is never lost."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(float).validate_json('"x"')
    (problem,) = describe_errors(refused.value)
    assert problem.path == "(root)"
    assert "number" in problem.message


def test_a_policy_is_parsed_with_its_defaults() -> None:
    """`class` is a word of Python, so the attribute has another name."""
    policy = parse_policy(base_object("CascadeScalingPolicy"))
    assert isinstance(policy, CascadeScalingPolicy)
    assert policy.spec.policy_class == "Balanced"
    assert policy.spec.interval_seconds == 15


def test_rules_see_optional_lists_as_written() -> None:
    """A list that was left out is absent for the rules, an empty list that was written is there."""
    policy = base_object("CascadeScalingPolicy")
    policy["spec"]["metrics"] = []
    written = parse_policy(policy)
    del policy["spec"]["metrics"]
    left_out = parse_policy(policy)
    assert isinstance(written, CascadeScalingPolicy)
    assert isinstance(left_out, CascadeScalingPolicy)
    assert json_of(written.spec)["metrics"] == []
    assert "metrics" not in json_of(left_out.spec)
