"""What a provider's refusal means for whoever made the call: OpenAI's, Azure's and Anthropic's shapes.

Statuses and types after https://platform.openai.com/docs/guides/error-codes and
https://platform.claude.com/docs/en/api/errors.
"""

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
_CONTEXT_WORDS = re.compile(
    r"context (length|size|window|limit)|maximum context|too many tokens|prompt is too long", re.IGNORECASE
)
_NO_CREDIT_CODES = ("insufficient_quota", "billing_error", "billing_hard_limit_reached")
_NO_CREDIT_WORDS = re.compile(r"credit balance is too low", re.IGNORECASE)
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "tokens": 429,  # OpenAI's types of a limit that was reached in the middle of a stream
    "requests": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Complaint(msgspec.Struct, frozen=True):
    """The ``error`` object; llama.cpp adds the two counts."""

    message: str | None = ""
    type: str | None = None
    code: str | int | None = None
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


def refusal(
    provider: str, model: str, *, status: int, body: bytes, retry_after_s: float | None = None
) -> CausewayError:
    """The error to raise for an HTTP answer other than 200, with the wait it asks for."""
    return _meaning(provider, model, status, _complaint(body), retry_after_s)


def refusal_in_reply(provider: str, model: str, error: Any) -> CausewayError:
    """The error to raise for an ``error`` object in a stream, or in an answer whose status said that all was well."""
    complaint = _complaint(msgspec.json.encode({"error": error}))
    if isinstance(complaint.code, int):
        status = complaint.code
    else:
        status = _STATUS_OF_TYPE.get(complaint.type or "", 0) or _STATUS_OF_TYPE.get(
            complaint.code or "", 500
        )
    return _meaning(provider, model, status, complaint, None)


def _complaint(body: bytes) -> _Complaint:
    """The complaint in one of its shapes: ``{"error": {...}}``, ``{"error": "text"}``, ``{"message": ...}`` or text."""
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, dict):
            found = found.get("error") or found
        if isinstance(found, dict):
            return msgspec.convert(found, _Complaint)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors, as bad UTF-8 is
        found = body.decode(errors="replace")
    return _Complaint(message=str(found))


def _meaning(
    provider: str, model: str, status: int, complaint: _Complaint, retry_after_s: float | None
) -> CausewayError:
    who = f"the provider '{provider}'"
    reason = " ".join((complaint.message or "").split())[:_LONGEST_REASON] or f"status {status}"
    if status in (400, 413, 422) and _is_about_context(complaint):
        return ContextLengthError(_about_context(model, complaint, reason))
    if status == 402 or _is_about_credit(complaint):
        return OperatorError(f"{who} says that its account has no credit left ({status}): {reason}")
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
            wait = "" if retry_after_s is None else f"; it asks to wait {retry_after_s:g} s"
            return UpstreamRateLimitError(f"{who} asks for fewer calls: {reason}{wait}").after(retry_after_s)
        case 503 | 529:
            return ModelUnavailableError(f"{who} cannot take the call now: {reason}").after(retry_after_s)
        case _ if 300 <= status < 400:
            return OperatorError(
                f"{who} redirects the call ({status}); set providers.{provider}.base_url to where it leads"
            )
        case _ if 400 <= status < 500:
            return InvalidInputError(f"{who} refused the call ({status}): {reason}")
        case _:
            return UpstreamError(f"{who} failed ({status}): {reason}").after(retry_after_s)


def _is_about_context(complaint: _Complaint) -> bool:
    named = complaint.code in _CONTEXT_CODES or complaint.type in _CONTEXT_CODES
    return named or bool(_CONTEXT_WORDS.search(complaint.message or ""))


def _is_about_credit(complaint: _Complaint) -> bool:
    named = complaint.code in _NO_CREDIT_CODES or complaint.type in _NO_CREDIT_CODES
    return named or bool(_NO_CREDIT_WORDS.search(complaint.message or ""))


def _about_context(model: str, complaint: _Complaint, reason: str) -> str:
    if complaint.n_prompt_tokens and complaint.n_ctx:
        counts = f"{complaint.n_prompt_tokens} tokens where {complaint.n_ctx} fit"
    else:
        counts = reason
    return f"the messages are too long for '{model}': {counts}; send fewer or shorter ones"
