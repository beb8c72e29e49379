"""What is known of a request before any call: who may answer it, and inside which bounds."""

from dataclasses import dataclass

from modelcascade.api.documents import Routes, RouteTier
from modelcascade.api.reasons import ErrorCode
from modelcascade.routing.chat import ChatRequest, Problem

__all__ = ["AUTO", "RequestFacts", "classify_request", "estimate_tokens", "model_names"]

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Fixed for the life of a request."""

    request_id: str
    chat: ChatRequest
    candidates: tuple[RouteTier, ...]
    """Tiers that can do what is asked, in ascending rank; never empty."""

    pinned: bool
    """The request names its one tier: no verification, no escalation, no fallback."""

    streamed_at_once: bool
    """A streaming request under PreRoute: the first token decides the tier, so nothing is verified."""

    prompt_tokens: int
    """An estimate; the engine's own count comes with the answer."""

    deadline_s: float


def estimate_tokens(chat: ChatRequest) -> int:
    """Tokens of the prompt, at four characters a token and four tokens around each message [a guess]."""
    return chat.text_chars // 4 + 4 * len(chat.messages)


def model_names(routes: Routes) -> tuple[str, ...]:
    """Every name that `model` may have, `auto` aside."""
    return (routes.cascade, *(f"{routes.cascade}/{tier.name}" for tier in routes.tiers))


def _asked_capabilities(chat: ChatRequest) -> tuple[str, ...]:
    asked = ["Chat"]
    if chat.tools:
        asked.append("Tools")
    if chat.response_format is not None and chat.response_format["type"] == "json_schema":
        asked.append("JSONSchema")
    return tuple(asked)


def _named_tiers(model: str, routes: Routes) -> tuple[tuple[RouteTier, ...], bool] | Problem:
    if model in (AUTO, routes.cascade):
        return routes.tiers, False
    prefix = f"{routes.cascade}/"
    if model.startswith(prefix):
        named = tuple(tier for tier in routes.tiers if tier.name == model[len(prefix) :])
        if named:
            return named, True
    known = ", ".join((AUTO, *model_names(routes)))
    return Problem(404, ErrorCode.MODEL_NOT_FOUND, f"The model does not exist here. Known: {known}.", "model")


def classify_request(chat: ChatRequest, routes: Routes, request_id: str) -> RequestFacts | Problem:
    """
    The facts, or why no tier can ever serve this request.

    `CASCADE` and `auto` route; `CASCADE/TIER` pins. A tier fits when it has every capability asked and its context
    holds the estimated prompt and `max_tokens`.
    """
    named = _named_tiers(chat.model, routes)
    if isinstance(named, Problem):
        return named
    tiers, pinned = named
    for capability in _asked_capabilities(chat):
        tiers = tuple(tier for tier in tiers if capability in tier.capabilities)
        if not tiers:
            return Problem(
                400,
                ErrorCode.INVALID_REQUEST,
                f"No tier that may answer has the capability {capability}: "
                "ask without it, or list it in the capabilities of a tier that can do it.",
                None,
            )
    prompt_tokens = estimate_tokens(chat)
    needed = prompt_tokens + (chat.max_tokens or 1)
    fitting = tuple(tier for tier in tiers if needed <= tier.context_length)
    if not fitting:
        largest = max(tier.context_length for tier in tiers)
        if prompt_tokens >= largest:
            return Problem(
                400,
                ErrorCode.INVALID_REQUEST,
                f"The prompt has about {prompt_tokens} tokens; the largest context here holds {largest}.",
                "messages",
            )
        # Only max_tokens is too much: the tiers with the most room, which end the answer where their context ends.
        fitting = tuple(tier for tier in tiers if tier.context_length == largest)
    return RequestFacts(
        request_id=request_id,
        chat=chat,
        candidates=fitting,
        pinned=pinned,
        streamed_at_once=chat.stream and routes.streaming == "PreRoute",
        prompt_tokens=prompt_tokens,
        deadline_s=float(routes.escalation.deadline_seconds),
    )
