"""An engine's JSON in, an `Answer` out, or why it is none. What an engine adds to the API is left behind."""

from typing import Any

import orjson

from modelcascade.routing.attempts import Answer

__all__ = ["FINISH_REASONS", "MAX_ANSWER_BYTES", "clean_usage", "parse_answer", "read_error"]

MAX_ANSWER_BYTES = 256 * 1024
"""Text of an answer that is still to be judged; more counts as truncated."""

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


def clean_usage(usage: Any) -> dict[str, int] | None:
    """The three counts of tokens, or `None` when the engine did not give them."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int) or prompt < 0 or completion < 0:
        return None
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def read_error(value: Any) -> bool:
    """Whether a parsed body or event is an error in place of an answer."""
    return not isinstance(value, dict) or value.get("error") is not None


def _clean_tool_calls(calls: Any) -> list[dict[str, Any]] | None:
    if not isinstance(calls, list):
        return None
    cleaned = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            return None
        name, arguments = function.get("name"), function.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, str):
            return None
        identity = call.get("id")
        cleaned.append(
            {
                "id": identity if isinstance(identity, str) else "",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
        )
    return cleaned


def _clean_message(message: Any) -> dict[str, Any] | None:
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        return None
    cleaned: dict[str, Any] = {"role": "assistant", "content": content}
    for key in ("reasoning_content", "refusal"):
        if isinstance(message.get(key), str):
            cleaned[key] = message[key]
    if message.get("tool_calls"):
        calls = _clean_tool_calls(message["tool_calls"])
        if calls is None:
            return None
        cleaned["tool_calls"] = calls
    elif content is None:
        cleaned["content"] = ""  # llama-server's way of saying nothing
    return cleaned


def _token_logprobs(logprobs: Any) -> tuple[float, ...]:
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(entries, list):
        return ()
    try:
        values = [entry["logprob"] for entry in entries]
    except (TypeError, KeyError):
        return ()
    # One odd entry makes all unusable; `bool` is a type of its own here.
    if not {type(value) for value in values} <= {float, int}:
        return ()
    return tuple([value if value < 0 else 0.0 for value in values])


def _text_bytes(message: dict[str, Any]) -> int:
    texts = [message.get("content") or "", message.get("reasoning_content", "")]
    texts += [call["function"]["arguments"] for call in message.get("tool_calls", ())]
    characters = sum(map(len, texts))
    if characters * 4 <= MAX_ANSWER_BYTES:
        return characters
    return sum(len(text.encode("utf-8", "replace")) for text in texts)


def parse_answer(body: bytes) -> Answer | str:
    """The answer, or a sentence about what is odd, without any of its text."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "the engine's body is not JSON"
    if read_error(value):
        return "the engine answered with an error in place of an answer"
    choices = value.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return "the engine's body has not exactly one choice"
    choice = choices[0]
    message = _clean_message(choice.get("message"))
    finish_reason = choice.get("finish_reason")
    if message is None:
        return "the engine's message cannot be read"
    if not isinstance(finish_reason, str) or finish_reason not in FINISH_REASONS:
        return "the engine gave no finish reason that the API knows"
    logprobs = choice.get("logprobs")
    return Answer(
        message=message,
        finish_reason=finish_reason,
        logprobs={"content": logprobs["content"]} if isinstance(logprobs, dict) and "content" in logprobs else None,
        token_logprobs=_token_logprobs(logprobs),
        usage=clean_usage(value.get("usage")),
        oversized=_text_bytes(message) > MAX_ANSWER_BYTES,
    )
