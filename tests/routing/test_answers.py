"""An engine's body: an answer, or a word about what is odd, never an error passed on as an answer."""

from typing import Any

import orjson
import pytest

from modelcascade.routing.answers import MAX_ANSWER_BYTES, parse_answer
from modelcascade.routing.attempts import Answer

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}


def body(choice: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """A completion with one choice."""
    return orjson.dumps({"choices": [CHOICE | (choice or {})], **fields})


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(b"<html>", id="not JSON"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b'{"error":{"message":"no"}}', id="an error with status 200"),
        pytest.param(body(error={"message": "no"}), id="an error beside choices"),
        pytest.param(b'{"choices":[]}', id="no choice"),
        pytest.param(orjson.dumps({"choices": [CHOICE, CHOICE]}), id="two choices"),
        pytest.param(body({"message": None}), id="no message"),
        pytest.param(body({"message": {"content": 5}}), id="content is a number"),
        pytest.param(body({"finish_reason": None}), id="no finish reason"),
        pytest.param(body({"finish_reason": "abort"}), id="a finish reason that no client knows"),
        pytest.param(body({"message": {"tool_calls": [{"function": {"name": 1}}]}}), id="a broken tool call"),
        pytest.param(body({"message": {"tool_calls": {"a": 1}}}), id="tool calls are no list"),
        pytest.param(body({"message": {"tool_calls": ["call"]}}), id="a tool call is no object"),
    ],
)
def test_an_odd_body_is_no_answer(odd: bytes) -> None:
    """It becomes a sentence for the log."""
    assert isinstance(parse_answer(odd), str)


def test_what_an_engine_adds_is_left_behind() -> None:
    """Timings and unknown fields of a message do not reach a client; usage is the three counts."""
    message = {"role": "assistant", "content": "yes", "secret": 1}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 1}}
    found = parse_answer(body({"message": message}, usage=usage, timings={"x": 1}))
    assert isinstance(found, Answer)
    assert found.message == {"role": "assistant", "content": "yes"}
    assert found.usage == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param({"content": None}, {"role": "assistant", "content": ""}, id="null is an empty text"),
        pytest.param(
            {"content": "x", "reasoning_content": "r", "refusal": None},
            {"role": "assistant", "content": "x", "reasoning_content": "r"},
            id="reasoning stays",
        ),
        pytest.param(
            {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": " {}"}}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "", "type": "function", "function": {"name": "f", "arguments": " {}"}}],
            },
            id="a tool call without an id",
        ),
    ],
)
def test_messages(message: dict[str, Any], expected: dict[str, Any]) -> None:
    """What a client knows of a message is kept as it is."""
    found = parse_answer(body({"message": message}))
    assert isinstance(found, Answer)
    assert found.message == expected


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 1}, {"prompt_tokens": -1, "completion_tokens": 1}, "x"])
def test_usage_that_is_none(usage: Any) -> None:
    """Counts that an engine did not give are absent, never zero."""
    found = parse_answer(body(usage=usage))
    assert isinstance(found, Answer)
    assert found.usage is None


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([{"logprob": -1.5}, {"logprob": 0}], (-1.5, 0.0), id="numbers"),
        pytest.param([{"logprob": 0.25}], (0.0,), id="above certainty is certainty"),
        pytest.param([{"logprob": None}], (), id="one null makes all unusable"),
        pytest.param([{"logprob": True}], (), id="a boolean is no number"),
        pytest.param([{}], (), id="no number"),
        pytest.param(None, (), id="no list"),
        pytest.param("x", (), id="a word"),
    ],
)
def test_usable_logprobs(entries: Any, expected: tuple[float, ...]) -> None:
    """Only a list of plain numbers is used."""
    found = parse_answer(body({"logprobs": {"content": entries}}))
    assert isinstance(found, Answer)
    assert found.token_logprobs == expected


@pytest.mark.parametrize(
    ("content", "oversized"),
    [
        pytest.param("x" * MAX_ANSWER_BYTES, False, id="as much as the buffer holds"),
        pytest.param("x" * (MAX_ANSWER_BYTES + 1), True, id="one byte more"),
        pytest.param("\u20ac" * (MAX_ANSWER_BYTES // 3 + 1), True, id="bytes count, not characters"),
    ],
)
def test_the_buffer_has_an_end(content: str, *, oversized: bool) -> None:
    """More than 256 KiB of text is marked, to count as truncated."""
    found = parse_answer(body({"message": {"content": content}}))
    assert isinstance(found, Answer)
    assert found.oversized is oversized
