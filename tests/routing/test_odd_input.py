"""Whatever a client or an engine sends, the parsers give a value: an exception would be a 500 for another's fault."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcascade.router.sse import read_delta
from modelcascade.routing.answers import parse_answer
from modelcascade.routing.attempts import Answer
from modelcascade.routing.chat import ChatRequest, Problem
from modelcascade.routing.wire import parse_chat

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["user", "assistant", "text", "function", "stop", "json_schema"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


def _put(base: dict[str, Any], key: str) -> Callable[[Any], Any]:
    return lambda new: base | {key: new}


def _put_at(base: list[Any], at: int) -> Callable[[Any], Any]:
    return lambda new: [*base[:at], new, *base[at + 1 :]]


def odd(base: Any) -> st.SearchStrategy[Any]:
    """`base` with any value at any place of it."""
    inside: list[st.SearchStrategy[Any]] = []
    if isinstance(base, dict):
        inside = [odd(value).map(_put(base, key)) for key, value in base.items()]
    elif isinstance(base, list):
        inside = [odd(value).map(_put_at(base, at)) for at, value in enumerate(base)]
    return st.one_of(ANYTHING, *inside)


CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
REQUEST = {
    "model": "auto",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "y", "tool_call_id": "c"},
    ],
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "add"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
    "stop": ["a"],
    "stream_options": {"include_usage": True},
    "stream": True,
    "temperature": 0.5,
    "max_tokens": 5,
}
TOKEN = {"token": "x", "logprob": -0.1, "bytes": [120], "top_logprobs": []}
ANSWER = {
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "x", "tool_calls": [CALL]},
            "logprobs": {"content": [TOKEN]},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
EVENT = {
    "choices": [
        {
            "index": 0,
            "finish_reason": None,
            "delta": {"role": "assistant", "content": "x", "tool_calls": [{"index": 0}]},
        }
    ],
    "usage": {"prompt_tokens": 1},
}


@given(odd(REQUEST))
def test_any_request_gives_a_request_or_a_problem(body: Any) -> None:
    """A client's odd value is a 400 that names the field."""
    assert isinstance(parse_chat(orjson.dumps(body)), ChatRequest | Problem)


@given(odd(ANSWER))
def test_any_answer_gives_an_answer_or_a_sentence(body: Any) -> None:
    """An engine's odd value is a failed attempt, after which the next tier is asked."""
    assert isinstance(parse_answer(orjson.dumps(body)), Answer | str)


@given(odd(EVENT).filter(lambda event: isinstance(event, dict)))
def test_any_event_gives_a_delta(event: dict[str, Any]) -> None:
    """An odd event of a stream says nothing, and breaks nothing."""
    assert 4 == len(read_delta(event))


@pytest.mark.parametrize("odd_value", [[], {}, 1, None, True])
def test_values_that_no_set_can_hold(odd_value: Any) -> None:
    """Lists and objects where a word belongs are refused as any other wrong word is."""
    request = {"model": "auto", "messages": [{"role": "user", "content": [{"type": odd_value, "text": "x"}]}]}
    assert isinstance(parse_chat(orjson.dumps(request)), Problem)
    choice = {"index": 0, "finish_reason": odd_value or [], "message": {"role": "assistant", "content": "x"}}
    assert isinstance(parse_answer(orjson.dumps({"choices": [choice]})), str)
    assert read_delta({"choices": [{"finish_reason": odd_value, "delta": {}}]})[1] is None
