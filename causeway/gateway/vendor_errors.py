"""Errors as each vendor's clients expect them, so that they raise the right exception and retry when that helps.

OpenAI: https://platform.openai.com/docs/guides/error-codes. Anthropic: https://docs.anthropic.com/en/api/errors. Both
official clients read ``retry-after-ms``, ``retry-after`` and ``x-should-retry``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from causeway.errors import (
    CausewayError,
    InvalidInputError,
    NoAccessError,
    NotFoundError,
    TooLargeError,
    TryLaterError,
    UnknownModelError,
)

ErrorShape = Callable[[CausewayError], bytes]
"""Writes an error as a vendor's JSON."""

_RETRIED_BY_CLIENTS = (408, 409, 429)


def openai_error(error: CausewayError) -> bytes:
    """``{"error": {"message", "type", "param", "code"}}``."""
    return msgspec.json.encode({"error": openai_error_fields(error)})


def openai_error_fields(error: CausewayError) -> dict[str, object]:
    """What stands under ``error``."""
    match error:
        case InvalidInputError():
            kind = "invalid_request_error"
        case NoAccessError():
            kind = "authentication_error" if error.http_status == 401 else "permission_error"
        case TryLaterError() if error.http_status == 429:
            kind = "rate_limit_error"
        case _:
            kind = "server_error"
    return {"message": error.message, "type": kind, "param": None, "code": error.code}


def anthropic_error(error: CausewayError) -> bytes:
    """``{"type": "error", "error": {"type", "message"}, "request_id"}``."""
    kind = _anthropic_kind(error)
    return msgspec.json.encode(
        {
            "type": "error",
            "error": {"type": kind, "message": error.message, "code": error.code},
            "request_id": error.trace_id,
        }
    )


def _anthropic_kind(error: CausewayError) -> str:
    match error:
        case NotFoundError() | UnknownModelError():
            return "not_found_error"
        case TooLargeError():
            return "request_too_large"
        case InvalidInputError():
            return "invalid_request_error"
        case NoAccessError():
            return "authentication_error" if error.http_status == 401 else "permission_error"
        case TryLaterError() if error.http_status == 429:
            return "rate_limit_error"
        case TryLaterError() if error.http_status == 503:
            return "overloaded_error"
        case TryLaterError() if error.http_status in (408, 504):
            return "timeout_error"
        case _:
            return "api_error"


def error_headers(error: CausewayError) -> dict[str, str]:
    """When to come back, and whether to come back at all."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        wait_ms = max(0, math.ceil(error.retry_after_s * 1000))
        headers = {"retry-after": str(math.ceil(wait_ms / 1000)), "retry-after-ms": str(wait_ms)}
    status = error.http_status
    if not error.retryable and (status in _RETRIED_BY_CLIENTS or status >= 500):
        headers["x-should-retry"] = "false"
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status == 408:
        headers["connection"] = "close"  # the rest of its body would be read as the next request
    return headers
