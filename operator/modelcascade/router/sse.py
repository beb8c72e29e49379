"""Server-sent events: an engine's bytes become event payloads, and an answer becomes the events of a chat stream."""

from collections.abc import Iterator
from typing import Any

import orjson

from modelcascade.routing.answers import FINISH_REASONS, clean_usage
from modelcascade.routing.attempts import Answer

__all__ = ["DONE", "MAX_EVENT_BYTES", "ChunkFrame", "EventTooLargeError", "SseParser", "answer_chunks", "read_delta"]

DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 1024 * 1024
_PIECE_CHARS = 512
_DELTA_TEXTS = ("content", "reasoning_content", "refusal")


class EventTooLargeError(Exception):
    """An engine sends an event that never ends, or one that is too large to be a part of an answer."""


class SseParser:
    """Payloads of `data:` fields; comments and other fields are dropped."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[bytes]:
        """
        The payloads that are complete now.

        Raises:
            EventTooLargeError: a line is larger than `MAX_EVENT_BYTES`.
        """
        lines = (self._rest + received).split(b"\n") if self._rest else received.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLargeError
        # OpenAI-compatible engines put each event on one line, so a line is an event.
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


class ChunkFrame:
    """The fields that all chunks of one answer share."""

    def __init__(self, request_id: str, created: int, model: str) -> None:
        self._common = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }

    def event(self, delta: dict[str, Any], logprobs: dict[str, Any] | None = None) -> bytes:
        """One chunk with one choice."""
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        return b"data: " + orjson.dumps({**self._common, "choices": [choice]}) + b"\n\n"

    def finish(self, finish_reason: str, facts: dict[str, Any]) -> bytes:
        """The finish chunk, with our facts in it."""
        choice = {"index": 0, "delta": {}, "finish_reason": finish_reason}
        return b"data: " + orjson.dumps({**self._common, "choices": [choice], "modelcascade": facts}) + b"\n\n"

    def usage(self, usage: dict[str, int]) -> bytes:
        """The usage chunk: no choice."""
        return b"data: " + orjson.dumps({**self._common, "choices": [], "usage": usage}) + b"\n\n"


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARS):
        yield text[start : start + _PIECE_CHARS]


def answer_chunks(frame: ChunkFrame, answer: Answer, *, logprobs: bool) -> bytes:
    """A whole answer as events: role, texts, tool calls. Tool calls go out in one piece each, unaltered."""
    events = [frame.event({"role": "assistant", "content": None if answer.message.get("tool_calls") else ""})]
    for key in ("reasoning_content", "refusal"):
        events += [frame.event({key: piece}) for piece in _pieces(answer.message.get(key, ""))]
    content = answer.message.get("content") or ""
    if logprobs and answer.logprobs is not None:
        # Tokens and pieces of text need not meet, so they stay together.
        events.append(frame.event({"content": content}, logprobs=answer.logprobs))
    else:
        events += [frame.event({"content": piece}) for piece in _pieces(content)]
    for index, call in enumerate(answer.message.get("tool_calls", ())):
        events.append(frame.event({"tool_calls": [{"index": index, **call}]}))
    return b"".join(events)


def read_delta(
    event: dict[str, Any],
) -> tuple[dict[str, Any], str | None, dict[str, Any] | None, dict[str, int] | None]:
    """
    Delta, finish reason, logprobs and usage of an engine's event, each empty or `None` when it is not in it.

    Engines send a last event without choices, and a first one with `content: null`; what they add is dropped.
    """
    usage = clean_usage(event.get("usage"))
    choices = event.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return {}, None, None, usage
    choice = choices[0]
    given = choice.get("delta")
    delta: dict[str, Any] = {}
    if isinstance(given, dict):
        for key in _DELTA_TEXTS:
            if isinstance(given.get(key), str) and given[key]:
                delta[key] = given[key]
        if isinstance(given.get("tool_calls"), list) and given["tool_calls"]:
            delta["tool_calls"] = given["tool_calls"]
    reason = choice.get("finish_reason")
    finish = reason if isinstance(reason, str) and reason in FINISH_REASONS else None
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return delta, finish, {"content": content} if content else None, usage
