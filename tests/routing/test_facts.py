"""Who may answer a request, before any call."""

from typing import Any

import pytest

from modelcascade.api.reasons import ErrorCode
from modelcascade.routing.chat import Problem
from modelcascade.routing.facts import classify_request
from routing.builders import chat, facts, routes

TOOL = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("model", "names", "pinned"),
    [
        pytest.param("assist", ["small", "top"], False, id="the cascade"),
        pytest.param("auto", ["small", "top"], False, id="auto"),
        pytest.param("assist/top", ["top"], True, id="one tier"),
    ],
)
def test_model_names(model: str, names: list[str], *, pinned: bool) -> None:
    """The cascade and `auto` route; `CASCADE/TIER` pins."""
    found = facts(routes(), model=model)
    assert ([tier.name for tier in found.candidates], found.pinned) == (names, pinned)


@pytest.mark.parametrize("model", ["gpt-4o", "assist/none", "other/small", "assist:route", "small", "../small"])
def test_an_unknown_model_is_not_found(model: str) -> None:
    """Anything else is 404, and the message names what exists."""
    found = classify_request(chat(model=model), routes(), "req_1")
    assert isinstance(found, Problem)
    assert (found.status, found.code, found.param) == (404, ErrorCode.MODEL_NOT_FOUND, "model")
    assert "assist/small" in found.message


def test_tiers_without_the_capability_are_left_out() -> None:
    """Tools go only to tiers that have them; when none has, the message names the capability."""
    known = routes()
    small = known.tiers[0].model_copy(update={"capabilities": ("Chat",)})
    some = known.model_copy(update={"tiers": (small, known.tiers[1])})
    assert [tier.name for tier in facts(some, tools=[TOOL]).candidates] == ["top"]
    none = some.model_copy(update={"tiers": (small,)})
    found = classify_request(chat(tools=[TOOL]), none, "req_1")
    assert isinstance(found, Problem)
    assert "capability Tools" in found.message


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        pytest.param({"max_tokens": 100}, ["small", "top"], id="fits both"),
        pytest.param({"max_tokens": 1500}, ["top"], id="only the larger context holds the answer"),
        pytest.param({"max_tokens": 9000}, ["top"], id="more than any: the largest, which ends where it ends"),
        pytest.param({"messages": [{"role": "user", "content": "x" * 8000}]}, ["top"], id="a long prompt"),
    ],
)
def test_tiers_whose_context_is_too_small_are_left_out(fields: dict[str, Any], names: list[str]) -> None:
    """Prompt and answer must fit; a limit alone never refuses a request."""
    known = routes()
    small, top = known.tiers
    sized = (small.model_copy(update={"context_length": 1000}), top.model_copy(update={"context_length": 4096}))
    found = facts(known.model_copy(update={"tiers": sized}), **fields)
    assert [tier.name for tier in found.candidates] == names


def test_a_prompt_beyond_every_context_is_refused() -> None:
    """The message says how long it is and what the largest context holds."""
    found = classify_request(chat(messages=[{"role": "user", "content": "x" * 40_000}]), routes(), "req_1")
    assert isinstance(found, Problem)
    assert (found.status, found.param) == (400, "messages")
    assert "4096" in found.message
