"""Chat replies in OpenAI's JSON, whole or as server-sent events.

``reasoning_content`` and ``causeway`` are additions: the first as DeepSeek and vLLM have it, the second for the cost and
the trace of the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from causeway.contracts.chat import ChatChunk, ChatReply, StopReason, ToolCallDelta, Usage
from causeway.contracts.money import Micros, to_dollars
from causeway.errors import CausewayError
from causeway.gateway.vendor_errors import openai_error

COMMENT = b": the model is at work\n\n"
"""A line of a stream that every client reads over."""

_FINISH_REASONS = {
    StopReason.END: "stop",
    StopReason.LENGTH: "length",
    StopReason.TOOL_CALLS: "tool_calls",
    StopReason.CONTENT_FILTER: "content_filter",
}


def chat_completion(
    reply: ChatReply, *, completion_id: str, created: int, model: str, is_legacy: bool = False
) -> bytes:
    """A whole ``chat.completion``; ``causeway`` holds what OpenAI's shape has no place for."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text or (None if reply.tool_calls else ""),
        "refusal": None,
        **reply.extensions,
    }
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    finish = _FINISH_REASONS[reply.stop_reason]
    if reply.tool_calls and is_legacy:
        call = reply.tool_calls[0]
        message["function_call"] = {"name": call.name, "arguments": call.arguments}
        finish = "function_call"
    elif reply.tool_calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in reply.tool_calls
        ]
    choice = {"index": 0, "message": message, "logprobs": reply.logprobs, "finish_reason": finish}
    return msgspec.json.encode(
        {
            "id": completion_id,
            "object": "chat.completion",
            "created": created,
            "model": reply.model or model,
            "choices": [choice],
            "usage": usage_fields(reply.usage),
            "causeway": causeway_fields(reply.trace_id, reply.cost_micros),
        }
    )


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Tokens as chat completions count them."""
    read, written = usage.input_tokens, usage.output_tokens
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def causeway_fields(trace_id: str | None, cost: Micros | None) -> dict[str, Any]:
    """What every shape carries beside the vendor's own fields."""
    return {"trace_id": trace_id, "cost_usd": None if cost is None else to_dollars(cost)}


class ChatEvents:
    """An `EventWriter` of ``chat.completion.chunk``; it ends with ``[DONE]``, and only when the reply is whole."""

    heartbeat = COMMENT

    def __init__(
        self, *, completion_id: str, created: int, model: str, wants_usage: bool, is_legacy: bool = False
    ) -> None:
        self._id = completion_id
        self._created = created
        self._model = model
        self._wants_usage = wants_usage
        self._is_legacy = is_legacy
        self._usage = Usage()
        self._begin = b""

    def write(self, chunk: ChatChunk) -> bytes:
        """See `EventWriter.write`."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        is_first = not self._begin
        if is_first:
            self._begin = self._beginning(chunk.model or self._model)
        delta = self._delta(chunk)
        if is_first:
            delta = {"role": "assistant", "content": "", **delta}
        elif not delta and chunk.stop_reason is None:
            return b""
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": self._finish(chunk)}
        if chunk.logprobs is not None:
            choice["logprobs"] = chunk.logprobs
        more: dict[str, Any] = {"usage": None} if self._wants_usage else {}
        if chunk.stop_reason is not None:
            more["causeway"] = causeway_fields(chunk.trace_id, chunk.cost_micros)
        return self._event([choice], more)

    def end(self) -> bytes:
        """See `EventWriter.end`: the usage, for a caller who asked for it, and ``[DONE]``."""
        usage = self._event([], {"usage": usage_fields(self._usage)}) if self._wants_usage else b""
        return usage + b"data: [DONE]\n\n"

    def fail(self, error: CausewayError) -> bytes:
        """See `EventWriter.fail`."""
        return b"data: " + openai_error(error) + b"\n\n"

    def _beginning(self, model: str) -> bytes:
        """What every event of this reply repeats, written once."""
        fixed = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": model,
        }
        return b"data: " + msgspec.json.encode(fixed)[:-1] + b',"choices":'

    def _event(self, choices: list[dict[str, Any]], more: Mapping[str, Any]) -> bytes:
        rest = b"," + msgspec.json.encode(more)[1:] if more else b"}"
        return b"".join((self._begin, msgspec.json.encode(choices), rest, b"\n\n"))

    def _delta(self, chunk: ChatChunk) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls and self._is_legacy:
            first = [piece for piece in chunk.tool_calls if piece.index == 0]
            if first:
                delta["function_call"] = _function(first[0])
        elif chunk.tool_calls:
            delta["tool_calls"] = [_tool_call(piece) for piece in chunk.tool_calls]
        if chunk.extensions:
            delta.update(chunk.extensions)
        return delta

    def _finish(self, chunk: ChatChunk) -> str | None:
        if chunk.stop_reason is None:
            return None
        if chunk.stop_reason is StopReason.TOOL_CALLS and self._is_legacy:
            return "function_call"
        return _FINISH_REASONS[chunk.stop_reason]


def _tool_call(piece: ToolCallDelta) -> dict[str, Any]:
    call: dict[str, Any] = {"index": piece.index, "function": _function(piece)}
    return {**call, "id": piece.id, "type": "function"} if piece.id else call


def _function(piece: ToolCallDelta) -> dict[str, Any]:
    return (
        {"name": piece.name, "arguments": piece.arguments} if piece.name else {"arguments": piece.arguments}
    )
