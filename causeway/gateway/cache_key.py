"""Which requests may be answered from the cache, and the key under which their replies are kept.

A key covers all that a reply can depend on: the tenant and tier, what the caller may see, the model asked for, every
message and parameter. Text is put into Unicode's normal form NFC with one kind of line end, and loses the white space
around it; nothing inside it is touched, since it may be code.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from causeway.contracts.chat import (
    ChatReply,
    ChatRequest,
    ImagePart,
    Message,
    Part,
    RawPart,
    StopReason,
    TextPart,
)
from causeway.contracts.identity import Principal

VERSION = 2
"""Of keys and of what is kept under them; entries of another version are not found."""

_IRRELEVANT_OPTIONS = frozenset({"metadata", "service_tier", "store", "stream", "stream_options"})
"""Parameters that no reply depends on. ``user`` is not among them: who sets it says that these are different people."""
_LIVE_OPTIONS = ("audio", "functions", "function_call", "web_search_options")
"""Parameters whose reply comes from more than the model."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Where a request's reply is kept.

    Attributes:
        exact: Of the request as it is.
        partition: Of everything but its question; requests of one partition differ in the question alone. None when the
            last message is not the user's, or not text alone.
    """

    exact: str
    partition: str | None


def obstacle(request: ChatRequest) -> str | None:
    """Why this request is never answered from the cache, in two or three words; None when it may be.

    A temperature that is not set asks for nothing; above zero it asks for variety, unless a seed asks for the same again.
    """
    if (
        request.tools
        or request.tool_choice is not None
        or any(name in request.options for name in _LIVE_OPTIONS)
    ):
        return "has tools"
    if request.temperature is not None and request.temperature > 0 and request.seed is None:
        return "asks for randomness"
    if request.options.get("n") not in (None, 1):
        return "asks for several replies"
    if request.options.get("logprobs"):
        return "asks for log-probabilities"
    parts = [
        part
        for message in request.messages
        if not isinstance(message.content, str)
        for part in message.content
    ]
    if any(isinstance(part, RawPart) for part in parts):
        return "has unread parts"
    if any(isinstance(part, ImagePart) and not part.url.startswith("data:") for part in parts):
        return "has a remote picture"
    return None if request.messages else "has no messages"


def is_worth_keeping(reply: ChatReply) -> bool:
    """Whether a reply is whole and depends on its request alone; one with extensions, such as citations, may not."""
    return (
        reply.stop_reason is StopReason.END
        and bool(reply.text)
        and not reply.tool_calls
        and not reply.extensions
        and reply.logprobs is None
    )


def cache_key(
    request: ChatRequest, caller: Principal, *, salt: bytes = b"", embedding_model: str = ""
) -> CacheKey:
    """The key of ``request``; ``salt`` keeps apart requests whose hidden values differ."""
    scope = {
        "version": VERSION,
        "tenant": ["team", caller.team] if caller.team else ["key", caller.id],
        "tier": caller.tier,
        # a prompt may hold passages, and a paraphrase's reply may tell of them: only who sees the same shares it
        "sees_as": None if caller.sees_as is None else sorted(caller.sees_as),
        "salt": salt.hex(),
    }
    exact = _digest({**scope, "request": _canonical(request)})
    question = question_of(request)
    if question is None:
        return CacheKey(exact, None)
    emptied = msgspec.structs.replace(request.messages[-1], content="")
    rest = msgspec.structs.replace(request, messages=(*request.messages[:-1], emptied))
    return CacheKey(
        exact, _digest({**scope, "embedding_model": embedding_model, "but_question": _canonical(rest)})
    )


def question_of(request: ChatRequest) -> str | None:
    """The text of the last message, when the user wrote it and it is nothing but text."""
    last = request.messages[-1] if request.messages else None
    if last is None or last.role != "user":
        return None
    if not isinstance(last.content, str) and not all(isinstance(part, TextPart) for part in last.content):
        return None
    return last.text


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def _canonical(request: ChatRequest) -> dict[str, object]:
    options = {name: value for name, value in request.options.items() if name not in _IRRELEVANT_OPTIONS}
    return {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": request.stop,
        "seed": request.seed,
        "json_schema": request.json_schema,
        "options": options,
    }


def _message(message: Message) -> dict[str, object]:
    content = message.content
    return {
        "role": message.role,
        "content": _text(content) if isinstance(content, str) else [_part(part) for part in content],
        "name": message.name,
        "tool_calls": [[call.id, call.name, call.arguments] for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
    }


def _part(part: Part) -> object:
    if isinstance(part, TextPart):
        return ["text", _text(part.text)]
    if isinstance(part, ImagePart):
        return ["image", part.url, part.detail]
    return ["raw", part.content]


def _text(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
