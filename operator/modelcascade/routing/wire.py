"""
The client's bytes in, a `ChatRequest` out, or the problem that refuses them: an allow-list, every number bounded.

What is sent on is built from this alone (`upstream_body`), never from the client's bytes. A field that would change
the answer and is not served is refused by name; fields that clients send harmlessly (`DROPPED`) are left out.
"""

from collections.abc import Callable
from typing import Any

from modelcascade.api.reasons import ErrorCode
from modelcascade.routing.chat import ChatRequest, Problem
from modelcascade.routing.fields import (
    FieldError,
    read_flag,
    read_integer,
    read_list,
    read_number,
    read_object,
    read_text,
)
from modelcascade.routing.schema_check import find_schema_problem
from modelcascade.routing.strict_json import parse_strict

__all__ = ["DROPPED", "MAX_MESSAGES", "MAX_TOKENS", "parse_chat"]

MAX_MESSAGES = 2_048
MAX_TOKENS = 1_048_576
MAX_TEXT = 4 * 1024 * 1024  # the body's own limit; texts need none of their own
MAX_TOOLS = 128
MAX_NAME = 64
INTEGER_63 = 2**63 - 1

DROPPED = frozenset({"metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
"""Bookkeeping for OpenAI's own service; without meaning here, and in the way of no answer."""

_MESSAGE_FIELDS = {
    "system": frozenset({"role", "content", "name"}),
    "developer": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset(
        {
            "role",
            "content",
            "name",
            "tool_calls",
            "refusal",
            "reasoning_content",
            "annotations",
            "audio",
            "function_call",
        }
    ),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
_IGNORED_WHEN_EMPTY = ("refusal", "annotations", "audio", "function_call")
_MEDIA = {"image_url": "Vision", "input_audio": "Audio", "video_url": "Vision", "file": "Files"}


def _part_text(part: Any, path: str) -> str:
    part = read_object(part, path)
    kind = part.get("type")
    if not isinstance(kind, str):
        raise FieldError(f"{path}.type", f"{path}.type must be 'text'.")
    if kind in _MEDIA:
        raise FieldError(
            f"{path}.type", f"{path} is {kind}: no tier of this cascade has the capability {_MEDIA[kind]}."
        )
    if kind not in ("text", "refusal"):
        raise FieldError(f"{path}.type", f"{path}.type must be 'text'.")
    read_object(part, path, frozenset({"type", kind, "cache_control", "prompt_cache_breakpoint"}))
    return read_text(part.get(kind), f"{path}.{kind}", MAX_TEXT)


def _read_content(value: Any, path: str) -> str | list[dict[str, Any]]:
    """Text, or text parts; parts stay parts, because templates may treat them differently."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise FieldError(path, f"{path} must be a string or an array of text parts.")
    parts = read_list(value, path, 256, shortest=1)
    return [{"type": "text", "text": _part_text(part, f"{path}[{n}]")} for n, part in enumerate(parts)]


def _read_tool_call(value: Any, path: str) -> dict[str, Any]:
    call = read_object(value, path, frozenset({"id", "type", "function", "index"}))
    if call.get("type", "function") != "function":
        raise FieldError(f"{path}.type", f"{path}.type must be 'function'.")
    function = read_object(call.get("function"), f"{path}.function", frozenset({"name", "arguments"}))
    return {
        "id": read_text(call.get("id"), f"{path}.id", 128),
        "type": "function",
        "function": {
            "name": read_text(function.get("name"), f"{path}.function.name", MAX_NAME, shortest=1),
            "arguments": read_text(function.get("arguments"), f"{path}.function.arguments", MAX_TEXT),
        },
    }


def _read_message(value: Any, path: str) -> dict[str, Any]:
    message = read_object(value, path)
    role = message.get("role")
    allowed = _MESSAGE_FIELDS.get(role) if isinstance(role, str) else None
    if allowed is None or not isinstance(role, str):
        raise FieldError(f"{path}.role", f"{path}.role must be system, developer, user, assistant or tool.")
    read_object(message, path, allowed)
    built: dict[str, Any] = {"role": "system" if role == "developer" else role}
    content = message.get("content")
    if role == "assistant":
        for key in _IGNORED_WHEN_EMPTY:
            if message.get(key):
                raise FieldError(f"{path}.{key}", f"{path}.{key} is not served.")
        calls = message.get("tool_calls")
        if calls:
            calls = read_list(calls, f"{path}.tool_calls", MAX_TOOLS)
            built["tool_calls"] = [_read_tool_call(call, f"{path}.tool_calls[{n}]") for n, call in enumerate(calls)]
        if content is None and "tool_calls" not in built:
            raise FieldError(f"{path}.content", f"{path} needs content or tool_calls.")
    if content is None and role == "assistant":
        built["content"] = ""  # some chat templates break on null
    else:
        built["content"] = _read_content(content, f"{path}.content")
    if message.get("name") is not None:
        built["name"] = read_text(message["name"], f"{path}.name", MAX_NAME, shortest=1)
    if message.get("reasoning_content") is not None:
        built["reasoning_content"] = read_text(message["reasoning_content"], f"{path}.reasoning_content", MAX_TEXT)
    if role == "tool":
        built["tool_call_id"] = read_text(message.get("tool_call_id"), f"{path}.tool_call_id", 128, shortest=1)
    return built


def _text_chars(messages: tuple[dict[str, Any], ...]) -> int:
    count = 0
    for message in messages:
        content = message["content"]
        count += len(content) if isinstance(content, str) else sum(len(part["text"]) for part in content)
        for call in message.get("tool_calls", ()):
            count += len(call["function"]["arguments"])
    return count


def _read_schema(value: Any, path: str) -> dict[str, Any]:
    schema = read_object(value, path)
    problem = find_schema_problem(schema)
    if problem is not None:
        raise FieldError(path, f"{path} {problem}.")
    return schema


def _read_tool(value: Any, path: str) -> dict[str, Any]:
    tool = read_object(value, path, frozenset({"type", "function"}))
    if tool.get("type") != "function":
        raise FieldError(f"{path}.type", f"{path}.type must be 'function'.")
    inner = f"{path}.function"
    function = read_object(tool.get("function"), inner, frozenset({"name", "description", "parameters", "strict"}))
    built: dict[str, Any] = {"name": read_text(function.get("name"), f"{inner}.name", MAX_NAME, shortest=1)}
    if function.get("description") is not None:
        built["description"] = read_text(function["description"], f"{inner}.description", 16_384)
    if function.get("parameters") is not None:
        built["parameters"] = _read_schema(function["parameters"], f"{inner}.parameters")
    if function.get("strict") is not None:
        built["strict"] = read_flag(function["strict"], f"{inner}.strict")
    return {"type": "function", "function": built}


def _read_tool_choice(value: Any, names: set[str]) -> str | dict[str, Any]:
    if isinstance(value, str):
        if value not in ("none", "auto", "required"):
            raise FieldError("tool_choice", "tool_choice must be none, auto, required or a function.")
        if value == "required" and not names:
            raise FieldError("tool_choice", "tool_choice is required, but tools is empty.")
        return value
    choice = read_object(value, "tool_choice", frozenset({"type", "function"}))
    function = read_object(choice.get("function"), "tool_choice.function", frozenset({"name"}))
    name = read_text(function.get("name"), "tool_choice.function.name", MAX_NAME, shortest=1)
    if choice.get("type") != "function" or name not in names:
        raise FieldError("tool_choice", "tool_choice must name one of the tools.")
    return {"type": "function", "function": {"name": name}}


def _read_response_format(value: Any) -> dict[str, Any] | None:
    form = read_object(value, "response_format", frozenset({"type", "json_schema"}))
    match form.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            path = "response_format.json_schema"
            named = read_object(form.get("json_schema"), path, frozenset({"name", "description", "schema", "strict"}))
            built: dict[str, Any] = {
                "name": read_text(named.get("name"), f"{path}.name", MAX_NAME, shortest=1),
                "schema": _read_schema(named.get("schema"), f"{path}.schema"),
            }
            if named.get("strict") is not None:
                built["strict"] = read_flag(named["strict"], f"{path}.strict")
            return {"type": "json_schema", "json_schema": built}
        case _:
            raise FieldError("response_format.type", "response_format.type must be text, json_object or json_schema.")


def _read_stop(value: Any) -> str | list[str]:
    if isinstance(value, str):
        return read_text(value, "stop", 256, shortest=1)
    entries = read_list(value, "stop", 4)
    return [read_text(entry, f"stop[{n}]", 256, shortest=1) for n, entry in enumerate(entries)]


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "temperature": lambda value: read_number(value, "temperature", 0, 2),
    "top_p": lambda value: read_number(value, "top_p", 0, 1),
    "presence_penalty": lambda value: read_number(value, "presence_penalty", -2, 2),
    "frequency_penalty": lambda value: read_number(value, "frequency_penalty", -2, 2),
    "seed": lambda value: read_integer(value, "seed", -INTEGER_63 - 1, INTEGER_63),
    "stop": _read_stop,
    "user": lambda value: read_text(value, "user", 256),
    "parallel_tool_calls": lambda value: read_flag(value, "parallel_tool_calls"),
}
_KNOWN = frozenset(_OPTIONS) | {
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "logprobs",
    "top_logprobs", "tools", "tool_choice", "response_format",
}  # fmt: skip


def _read_max_tokens(fields: dict[str, Any]) -> int | None:
    given = {key: fields[key] for key in ("max_tokens", "max_completion_tokens") if key in fields}
    limits = {read_integer(value, key, 1, MAX_TOKENS) for key, value in given.items()}
    if len(limits) > 1:
        raise FieldError("max_tokens", "max_tokens and max_completion_tokens differ: send one of them.")
    return limits.pop() if limits else None


def _read_chat(body: Any) -> ChatRequest:
    if not isinstance(body, dict):
        raise FieldError("", "The body must be a JSON object.")
    # OpenAI's clients send null for what is not set.
    fields = {key: value for key, value in body.items() if value is not None}
    for key in fields:
        if key not in _KNOWN and key not in DROPPED:
            raise FieldError(key[:64], f"{key[:64]} is not a field that this API serves.")
    model = read_text(fields.get("model"), "model", 256, shortest=1)
    entries = read_list(fields.get("messages"), "messages", MAX_MESSAGES, shortest=1)
    messages = tuple([_read_message(entry, f"messages[{n}]") for n, entry in enumerate(entries)])
    stream = "stream" in fields and read_flag(fields["stream"], "stream")
    include_usage = False
    if "stream_options" in fields:
        if not stream:
            raise FieldError("stream_options", "stream_options needs stream to be true.")
        options = read_object(
            fields["stream_options"], "stream_options", frozenset({"include_usage", "include_obfuscation"})
        )
        include_usage = read_flag(options.get("include_usage", False), "stream_options.include_usage")
    if "n" in fields:
        read_integer(fields["n"], "n", 1, 1)
    tools: tuple[dict[str, Any], ...] = ()
    if "tools" in fields:
        listed = read_list(fields["tools"], "tools", MAX_TOOLS)
        tools = tuple(_read_tool(tool, f"tools[{n}]") for n, tool in enumerate(listed))
    names = {tool["function"]["name"] for tool in tools}
    logprobs = "logprobs" in fields and read_flag(fields["logprobs"], "logprobs")
    top_logprobs = read_integer(fields["top_logprobs"], "top_logprobs", 0, 20) if "top_logprobs" in fields else None
    if top_logprobs is not None and not logprobs:
        raise FieldError("top_logprobs", "top_logprobs needs logprobs to be true.")
    return ChatRequest(
        model=model,
        messages=messages,
        stream=stream,
        include_usage=include_usage,
        max_tokens=_read_max_tokens(fields),
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        tools=tools,
        tool_choice=_read_tool_choice(fields["tool_choice"], names) if "tool_choice" in fields else None,
        response_format=_read_response_format(fields["response_format"]) if "response_format" in fields else None,
        options={key: read(fields[key]) for key, read in _OPTIONS.items() if key in fields},
        text_chars=_text_chars(messages) + sum(len(str(tool)) for tool in tools),
        dropped=tuple(key for key in fields if key in DROPPED),
    )


def parse_chat(body: bytes) -> ChatRequest | Problem:
    """The request, or the first problem, with the field that it concerns."""
    value = parse_strict(body)
    if isinstance(value, Problem):
        return value
    try:
        return _read_chat(value)
    except FieldError as error:
        return Problem(400, ErrorCode.INVALID_REQUEST, error.message, error.path or None)
