"""What an OpenAI-compatible server's refusal means for whoever made the call."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from causeway.errors import (
    CausewayError,
    ContextLengthError,
    DeadlineError,
    InvalidInputError,
    ModelUnavailableError,
    OperatorError,
    UnknownModelError,
    UpstreamError,
    UpstreamRateLimitError,
)

_LONGEST_REASON = 300
_CONTEXT_CODES = ("context_length_exceeded", "exceed_context_size_error")
_CONTEXT_WORDS = re.compile(r"context (length|size|window)|maximum context|too many tokens", re.IGNORECASE)


class _Complaint(msgspec.Struct, frozen=True):
    """The ``error`` object; llama.cpp adds the two counts."""

    message: str = ""
    type: str | None = None
    code: str | int | None = None
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


def refusal(
    provider: str, model: str, *, status: int, body: bytes, retry_after: str | None = None
) -> CausewayError:
    """The error to raise for an HTTP answer other than 200."""
    return _meaning(provider, model, status, _complaint(body), retry_after)


def refusal_in_stream(provider: str, model: str, error: Any) -> CausewayError:
    """The error to raise for an ``error`` object in the middle of a stream."""
    complaint = _complaint(msgspec.json.encode({"error": error}))
    status = complaint.code if isinstance(complaint.code, int) else 500
    return _meaning(provider, model, status, complaint, None)


def _complaint(body: bytes) -> _Complaint:
    """The complaint in one of its shapes: ``{"error": {...}}``, ``{"error": "text"}``, ``{"message": ...}`` or text."""
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, dict):
            found = found.get("error", found)
        if isinstance(found, dict):
            return msgspec.convert(found, _Complaint)
    except (msgspec.DecodeError, msgspec.ValidationError):
        found = body.decode(errors="replace")
    return _Complaint(message=str(found))


def _meaning(
    provider: str, model: str, status: int, complaint: _Complaint, retry_after: str | None
) -> CausewayError:
    who = f"the provider '{provider}'"
    reason = " ".join(complaint.message.split())[:_LONGEST_REASON] or f"status {status}"
    if status in (400, 413, 422) and _is_about_context(complaint):
        return ContextLengthError(_about_context(model, complaint, reason))
    match status:
        case 401 | 403:
            return OperatorError(
                f"{who} refused Causeway's key ({status}); mend providers.{provider}.api_key"
            )
        case 404:
            return UnknownModelError(f"{who} has no model '{model}': {reason}")
        case 408 | 504:
            return DeadlineError(f"{who} did not answer in time: {reason}")
        case 429:
            after = f"; it asks to wait {retry_after} s" if retry_after else ""
            return UpstreamRateLimitError(f"{who} asks for fewer calls: {reason}{after}")
        case 503:
            return ModelUnavailableError(f"{who} cannot take the call now: {reason}")
        case _ if 400 <= status < 500:
            return InvalidInputError(f"{who} refused the call ({status}): {reason}")
        case _:
            return UpstreamError(f"{who} failed ({status}): {reason}")


def _is_about_context(complaint: _Complaint) -> bool:
    named = complaint.code in _CONTEXT_CODES or complaint.type in _CONTEXT_CODES
    return named or bool(_CONTEXT_WORDS.search(complaint.message))


def _about_context(model: str, complaint: _Complaint, reason: str) -> str:
    if complaint.n_prompt_tokens and complaint.n_ctx:
        counts = f"{complaint.n_prompt_tokens} tokens where {complaint.n_ctx} fit"
    else:
        counts = reason
    return f"the messages are too long for '{model}': {counts}; send fewer or shorter ones"
