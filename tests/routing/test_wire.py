"""What a client may send: an allow-list, bounds, and JSON with one meaning only."""

from typing import Any

import orjson
import pytest

from modelcascade.api.reasons import ErrorCode
from modelcascade.routing.chat import ChatRequest, Problem
from modelcascade.routing.upstream_body import build_upstream_body
from modelcascade.routing.wire import parse_chat
from routing.builders import CHAT, chat, problem

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"{", "not valid JSON", id="cut off"),
        pytest.param(b'\xef\xbb\xbf{"model":"assist"}', "byte order mark", id="byte order mark"),
        pytest.param(b'{"model":"assist","model":"auto"}', "'model' twice", id="duplicate key"),
        pytest.param(b'{"messages":[{"role":"user","role":"system"}]}', "'role' twice", id="duplicate key deep inside"),
        pytest.param(b'{"temperature":NaN}', "not valid JSON", id="NaN"),
        pytest.param(b'{"temperature":Infinity}', "not valid JSON", id="infinity"),
        pytest.param(b'{"temperature":1e999}', "not valid JSON", id="a number beyond any double"),
        pytest.param(b'{"model":"\\ud800"}', "not valid JSON", id="lone surrogate"),
        pytest.param(b'{"model":"\xff"}', "not valid JSON", id="not UTF-8"),
        pytest.param(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "deeper than 64", id="65 levels"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, "not valid JSON", id="10,000 levels"),
        pytest.param(b"[]", "must be a JSON object", id="an array"),
        pytest.param(b'"text"', "must be a JSON object", id="a string"),
    ],
)
def test_ambiguous_json_is_refused(body: bytes, word: str) -> None:
    """Bytes that two parsers could read differently get a 400 that says what is wrong."""
    found = parse_chat(body)
    assert isinstance(found, Problem)
    assert (found.status, found.code) == (400, ErrorCode.INVALID_REQUEST)
    assert word in found.message


def test_64_levels_are_allowed() -> None:
    """The bound itself passes: a schema of just that depth is read."""
    body = b'{"model":"assist","messages":[{"role":"user","content":"x"}],"metadata":' + b"[" * 63 + b"]" * 63 + b"}"
    assert isinstance(parse_chat(body), ChatRequest)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"n": 2}, "n", id="two choices"),
        pytest.param({"n": 1_000_000_000}, "n", id="a billion choices"),
        pytest.param({"max_tokens": 0}, "max_tokens", id="no tokens"),
        pytest.param({"max_tokens": -1}, "max_tokens", id="negative tokens"),
        pytest.param({"max_tokens": 10**9}, "max_tokens", id="a billion tokens"),
        pytest.param({"max_tokens": 1.5}, "max_tokens", id="half a token"),
        pytest.param({"max_tokens": True}, "max_tokens", id="a boolean is no number"),
        pytest.param({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", id="two limits that differ"),
        pytest.param({"temperature": 2.1}, "temperature", id="too hot"),
        pytest.param({"temperature": "1"}, "temperature", id="a number in quotes"),
        pytest.param({"top_p": 1.1}, "top_p", id="more than all"),
        pytest.param({"presence_penalty": 3}, "presence_penalty", id="penalty"),
        pytest.param({"frequency_penalty": -3}, "frequency_penalty", id="other penalty"),
        pytest.param({"seed": 2**63}, "seed", id="seed beyond 64 bits"),
        pytest.param({"stop": ["a"] * 5}, "stop", id="five stops"),
        pytest.param({"stop": ""}, "stop", id="empty stop"),
        pytest.param({"top_logprobs": 21, "logprobs": True}, "top_logprobs", id="21 alternatives"),
        pytest.param({"top_logprobs": 2}, "top_logprobs", id="alternatives without logprobs"),
        pytest.param({"stream_options": {"include_usage": True}}, "stream_options", id="stream options without stream"),
        pytest.param({"stream": "yes"}, "stream", id="stream as a word"),
        pytest.param({"messages": []}, "messages", id="no message"),
        pytest.param({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", id="unknown role"),
        pytest.param({"messages": [{"role": "user"}]}, "messages[0].content", id="no content"),
        pytest.param({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", id="content is a number"),
        pytest.param(
            {"messages": [{"role": "user", "content": "x", "evil": 1}]}, "messages[0].evil", id="unknown inside"
        ),
        pytest.param(
            {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", id="tool without id"
        ),
        pytest.param({"messages": [{"role": "assistant"}]}, "messages[0].content", id="assistant with nothing"),
        pytest.param({"messages": "hello"}, "messages", id="messages are a string"),
        pytest.param({"messages": ["hello"]}, "messages[0]", id="a message is a string"),
        pytest.param({"messages": [["hello"]]}, "messages[0]", id="a message is an array"),
        pytest.param({"stop": {"a": 1}}, "stop", id="stop is an object"),
        pytest.param({"stop": ["a", None]}, "stop[1]", id="a stop is null"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "music"}]}]}, "messages[0].content[0].type", id="music"
        ),
        pytest.param(
            {"messages": [{"role": "assistant", "tool_calls": [{"type": "code", "id": "1"}]}]},
            "messages[0].tool_calls[0].type",
            id="a call of another kind",
        ),
        pytest.param(
            {"messages": [{"role": "assistant", "content": "x", "function_call": {"name": "f"}}]},
            "messages[0].function_call",
            id="the old way to call",
        ),
        pytest.param({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice", id="an unknown choice"),
        pytest.param({"tools": [{"type": "retrieval"}]}, "tools[0].type", id="unknown kind of tool"),
        pytest.param({"tool_choice": "required"}, "tool_choice", id="a tool is required, none is there"),
        pytest.param(
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "sub"}}},
            "tool_choice",
            id="a tool that is not there",
        ),
        pytest.param({"response_format": {"type": "grammar"}}, "response_format.type", id="a grammar"),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nope"}}}},
            "response_format.json_schema.schema",
            id="not a schema",
        ),
        pytest.param(
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"$ref": "http://h/s"}},
                }
            },
            "response_format.json_schema.schema",
            id="a schema that reaches out",
        ),
        pytest.param({"chat_template_kwargs": {}}, "chat_template_kwargs", id="template arguments"),
        pytest.param({"prompt_embeds": "x"}, "prompt_embeds", id="embeddings"),
        pytest.param({"n_discard": 5}, "n_discard", id="an engine's own field"),
        pytest.param({"api_base": "http://evil"}, "api_base", id="another address"),
        pytest.param({"grammar": "root ::= x"}, "grammar", id="grammar field"),
        pytest.param({"model": ""}, "model", id="empty model"),
        pytest.param({"model": 7}, "model", id="model is a number"),
    ],
)
def test_a_bad_field_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    """Each field outside its bounds, and each unknown one, gets a 400 that names it."""
    found = problem(**fields)
    assert (found.status, found.code, found.param) == (400, ErrorCode.INVALID_REQUEST, param)
    assert param.rsplit(".", 1)[-1] in found.message


@pytest.mark.parametrize("kind", ["image_url", "video_url"])
def test_images_are_refused_as_a_missing_capability(kind: str) -> None:
    """No tier sees; the message names the capability, and nothing is fetched."""
    found = problem(messages=[{"role": "user", "content": [{"type": kind, kind: {"url": "http://169.254.169.254/"}}]}])
    assert found.status == 400
    assert "capability Vision" in found.message


def test_what_clients_send_without_effect_is_dropped() -> None:
    """Bookkeeping for another service does not refuse a request, and goes nowhere."""
    parsed = chat(metadata={"a": "b"}, store=False, service_tier="auto", temperature=None)
    assert parsed.dropped == ("metadata", "store", "service_tier")
    assert b"service_tier" not in build_upstream_body(parsed, "m", stream=False, verify=True, max_tokens=None)


def test_the_upstream_request_is_built_from_what_was_parsed() -> None:
    """An engine gets its own model name, the parsed fields and logprobs for the verification; nothing else."""
    parsed = chat(temperature=0.5, stop="x", max_completion_tokens=9, user="u", metadata={"a": "b"})
    sent = orjson.loads(build_upstream_body(parsed, "served", stream=False, verify=True, max_tokens=9))
    assert sent == {
        "model": "served",
        "messages": CHAT["messages"],
        "stream": False,
        "temperature": 0.5,
        "stop": "x",
        "user": "u",
        "max_tokens": 9,
        "logprobs": True,
    }


@pytest.mark.parametrize(
    ("fields", "verify", "asked"),
    [
        pytest.param({}, True, True, id="verified"),
        pytest.param({}, False, False, id="not verified"),
        pytest.param({"logprobs": True}, False, True, id="the client wants them"),
        pytest.param({"response_format": SCHEMA}, True, False, id="constrained: they would mislead"),
    ],
)
def test_logprobs_are_asked_where_they_serve(fields: dict[str, Any], *, verify: bool, asked: bool) -> None:
    """Logprobs are asked for a verification or for the client, never for a constrained answer."""
    sent = orjson.loads(build_upstream_body(chat(**fields), "m", stream=False, verify=verify, max_tokens=None))
    assert sent.get("logprobs", False) is asked


def test_a_whole_tool_conversation_passes_unaltered() -> None:
    """Text parts, tool calls and tool results reach the engine as they came."""
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1,  "b": 2}'}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "add"}]},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
    ]
    parsed = chat(messages=messages, tools=[TOOL], tool_choice="auto", parallel_tool_calls=False)
    sent = orjson.loads(build_upstream_body(parsed, "m", stream=True, verify=False, max_tokens=None))
    assert (sent["messages"], sent["tools"], sent["tool_choice"]) == (messages, [TOOL], "auto")
    assert sent["stream_options"] == {"include_usage": True}


def test_every_served_field_reaches_the_engine() -> None:
    """Names, reasoning, strict tools, a named choice, several stops, alternatives: served means passed on."""
    tool = {"type": "function", "function": {"name": "add", "description": "adds", "strict": True}}
    choice = {"type": "function", "function": {"name": "add"}}
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "x", "name": "ann"},
        {"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": [call]},
    ]
    parsed = chat(
        messages=messages,
        tools=[tool],
        tool_choice=choice,
        stop=["a", "b"],
        logprobs=True,
        top_logprobs=2,
        response_format=schema,
    )
    sent = orjson.loads(build_upstream_body(parsed, "m", stream=False, verify=True, max_tokens=None))
    assert sent["messages"] == [messages[0], messages[1] | {"content": ""}]
    assert (sent["tools"], sent["tool_choice"], sent["stop"]) == ([tool], choice, ["a", "b"])
    assert (sent["logprobs"], sent["top_logprobs"], sent["response_format"]) == (True, 2, schema)
    assert parsed.needs_tool


def test_a_text_format_is_no_format() -> None:
    """`response_format: text` is what is answered anyway."""
    assert chat(response_format={"type": "text"}).response_format is None


def test_what_an_openai_client_sends_back_of_an_answer_is_read() -> None:
    """An assistant message with null extras, as clients echo it, is no error; a developer message is a system one."""
    echoed: dict[str, Any] = {"role": "assistant", "content": "hi", "refusal": None, "annotations": [], "audio": None}
    parsed = chat(messages=[{"role": "developer", "content": "x"}, echoed, {"role": "user", "content": "y"}])
    assert parsed.messages[0]["role"] == "system"
    assert parsed.messages[1] == {"role": "assistant", "content": "hi"}
