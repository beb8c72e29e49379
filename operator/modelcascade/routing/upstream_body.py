"""The request that an engine gets, made of parsed data alone."""

from typing import Any

import orjson

from modelcascade.routing.chat import ChatRequest

__all__ = ["build_upstream_body"]


def build_upstream_body(chat: ChatRequest, model: str, *, stream: bool, verify: bool, max_tokens: int | None) -> bytes:
    """
    The JSON body of one attempt.

    Args:
        model: the name that the engine serves.
        stream: ask for server-sent events; usage is always asked with them.
        verify: ask for token logprobs, which the confidence is made of, unless the answer is constrained.
        max_tokens: what the tier allows; `None` leaves it to the engine.
    """
    body: dict[str, Any] = {"model": model, "messages": chat.messages, "stream": stream, **chat.options}
    if stream:
        body["stream_options"] = {"include_usage": True}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if chat.logprobs or (verify and not chat.constrained):
        body["logprobs"] = True
        if chat.top_logprobs is not None:
            body["top_logprobs"] = chat.top_logprobs
    if chat.tools:
        body["tools"] = chat.tools
    if chat.tool_choice is not None:
        body["tool_choice"] = chat.tool_choice
    if chat.response_format is not None:
        body["response_format"] = chat.response_format
    return orjson.dumps(body)
