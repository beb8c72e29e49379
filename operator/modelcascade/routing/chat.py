"""A chat request as the rooms know it: parsed, bounded, allow-listed; or the problem that refused it."""

from dataclasses import dataclass
from typing import Any

from modelcascade.api.reasons import ErrorCode

__all__ = ["ChatRequest", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request is refused, in the words of the public error contract."""

    status: int
    code: ErrorCode
    message: str
    param: str | None = None
    """The field, such as `messages[0].content`; absent when the whole body is meant."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """
    What the client asked, built anew from allow-listed fields.

    `messages`, `tools` and `options` hold plain JSON values that were made by the parser and are never changed.
    """

    model: str
    messages: tuple[dict[str, Any], ...]
    stream: bool
    include_usage: bool
    max_tokens: int | None
    """Tokens of the answer; absent: what the context leaves."""

    logprobs: bool
    """The client itself wants token logprobs in its answer."""

    top_logprobs: int | None
    tools: tuple[dict[str, Any], ...]
    tool_choice: str | dict[str, Any] | None
    response_format: dict[str, Any] | None
    options: dict[str, Any]
    """Sampling fields that go on to the engine as they are: temperature, top_p, stop, seed, penalties, user."""

    text_chars: int
    """Characters of all message texts and tool descriptions, for the token estimate."""

    dropped: tuple[str, ...] = ()
    """Fields that clients send harmlessly and that were left out."""

    @property
    def constrained(self) -> bool:
        """The engine answers under a grammar, so its token logprobs measure the wrong thing (engines.md 11)."""
        return self.response_format is not None and self.response_format["type"] != "text"

    @property
    def needs_tool(self) -> bool:
        """An answer without a tool call is no answer."""
        return self.tool_choice is not None and self.tool_choice not in ("auto", "none")
