"""The one place where a problem becomes an OpenAI-shaped error: body, status line and retry headers."""

import math

import orjson

from modelcascade.api.reasons import ErrorCode

__all__ = ["error_event", "error_headers", "to_openai_error"]

NO_RETRY = frozenset({ErrorCode.ESCALATION_EXHAUSTED, ErrorCode.DEADLINE_EXCEEDED})
"""OpenAI's clients repeat every 5xx twice; each repetition of these would cost as much as the first."""

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_FIRST_SERVER_ERROR = 500


def _fields(status: int, code: ErrorCode, message: str, param: str | None, request_id: str) -> dict[str, object]:
    fallback = "server_error" if status >= _FIRST_SERVER_ERROR else "invalid_request_error"
    kind = _TYPES.get(status, fallback)
    return {"error": {"message": message, "type": kind, "param": param, "code": code, "request_id": request_id}}


def to_openai_error(status: int, code: ErrorCode, message: str, param: str | None, request_id: str) -> bytes:
    """The JSON body of an error response."""
    return orjson.dumps(_fields(status, code, message, param, request_id))


def error_event(status: int, code: ErrorCode, message: str, request_id: str) -> bytes:
    """The same inside a stream that has begun: one event, after which the stream closes without `[DONE]`."""
    return b"data: " + orjson.dumps(_fields(status, code, message, None, request_id)) + b"\n\n"


def error_headers(code: ErrorCode, retry_after_s: float | None) -> dict[str, str]:
    """Retry-After in whole seconds, and the word to OpenAI's clients not to try again."""
    headers = {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
    if code in NO_RETRY:
        headers["x-should-retry"] = "false"
    return headers
