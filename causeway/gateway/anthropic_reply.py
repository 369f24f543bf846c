"""Replies as Anthropic's messages, whole or as server-sent events.

https://docs.anthropic.com/en/docs/build-with-claude/streaming. Blocks follow each other: one is closed before the next
begins. ``causeway`` is an addition, for the cost and the trace of the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from causeway.contracts.chat import ChatChunk, ChatReply, StopReason, ToolCallDelta, Usage
from causeway.contracts.money import Micros
from causeway.errors import CausewayError
from causeway.gateway.openai_reply import causeway_fields
from causeway.gateway.vendor_errors import anthropic_error

_PLACED = ("thinking_blocks", "stop_sequence")

_STOP_REASONS = {
    StopReason.END: "end_turn",
    StopReason.LENGTH: "max_tokens",
    StopReason.TOOL_CALLS: "tool_use",
    StopReason.CONTENT_FILTER: "refusal",
}


def whole_message(reply: ChatReply, *, message_id: str, model: str) -> bytes:
    """A finished ``message``."""
    content = [dict(block) for block in _signed(reply.extensions)]
    if reply.reasoning and not content:
        content.append({"type": "thinking", "thinking": reply.reasoning, "signature": ""})
    if reply.text or not reply.tool_calls:
        content.append({"type": "text", "text": reply.text, "citations": None})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
        for call in reply.tool_calls
    ]
    message = _message(message_id, reply.model or model, reply.usage) | {
        "content": content,
        **_stop(reply.stop_reason, reply.extensions),
        "causeway": _more(reply.trace_id, reply.cost_micros, reply.extensions),
    }
    return msgspec.json.encode(message)


def _message(message_id: str, model: str, usage: Usage) -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(usage),
    }


def _usage(usage: Usage) -> dict[str, Any]:
    """Tokens as Anthropic counts them: what the provider's cache was read or written for, apart from the rest."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }


def _signed(extensions: Mapping[str, object]) -> list[Mapping[str, Any]]:
    """The blocks that Anthropic's own models thought, signed, as a caller has to give them back."""
    blocks = extensions.get("thinking_blocks")
    return [block for block in blocks if isinstance(block, Mapping)] if isinstance(blocks, list) else []


def _stop(reason: StopReason, extensions: Mapping[str, object]) -> dict[str, Any]:
    sequence = extensions.get("stop_sequence")
    if sequence is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    return {"stop_reason": _STOP_REASONS[reason], "stop_sequence": None}


def _more(trace_id: str | None, cost: Micros | None, extensions: Mapping[str, object]) -> dict[str, Any]:
    """What Anthropic's shape has no place for."""
    others = {name: value for name, value in extensions.items() if name not in _PLACED}
    return {**causeway_fields(trace_id, cost), **others}


def _input(arguments: str) -> dict[str, Any]:
    """What a tool is called with; text that is no JSON object is kept under ``INVALID_JSON``, as Anthropic advises."""
    try:
        return msgspec.json.decode(arguments or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {"INVALID_JSON": arguments}


class MessageEvents:
    """An `EventWriter` of ``message_start`` to ``message_stop``."""

    heartbeat = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, *, message_id: str, model: str) -> None:
        self._id = message_id
        self._model = model
        self._has_begun = False
        self._frames: list[bytes] = []
        self._blocks = 0
        self._open: str | None = None
        self._calls: dict[int, int] = {}
        self._thought: int | None = None
        self._signed = 0
        self._stop_reason = StopReason.END
        self._usage = Usage()
        self._cost: Micros | None = None
        self._trace_id: str | None = None
        self._extensions: dict[str, object] = {}

    def write(self, chunk: ChatChunk) -> bytes:
        """See `EventWriter.write`."""
        self._usage = chunk.usage or self._usage
        self._begin(chunk.model)
        if chunk.reasoning:
            if self._open != "thinking":
                self._thought = self._blocks
            self._say("thinking", {"thinking": "", "signature": ""}, "thinking_delta", chunk.reasoning)
        if chunk.text:
            self._say("text", {"text": "", "citations": None}, "text_delta", chunk.text)
        for piece in chunk.tool_calls:
            self._call(piece)
        self._stop_reason = chunk.stop_reason or self._stop_reason
        self._cost = self._cost if chunk.cost_micros is None else chunk.cost_micros
        self._trace_id = chunk.trace_id or self._trace_id
        if chunk.extensions:
            self._extensions.update(chunk.extensions)
            self._sign(_signed(chunk.extensions)[self._signed :])
        return self._taken()

    def end(self) -> bytes:
        """See `EventWriter.end`."""
        self._close()
        self._event(
            "message_delta",
            delta=_stop(self._stop_reason, self._extensions),
            usage=_usage(self._usage),
            causeway=_more(self._trace_id, self._cost, self._extensions),
        )
        self._event("message_stop")
        return self._taken()

    def fail(self, error: CausewayError) -> bytes:
        """See `EventWriter.fail`."""
        return b"event: error\ndata: " + anthropic_error(error) + b"\n\n"

    def _begin(self, model: str) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._event("message_start", message=_message(self._id, model or self._model, self._usage))

    def _say(self, kind: str, empty: Mapping[str, Any], delta: str, text: str) -> None:
        if self._open != kind:
            self._start(kind, {"type": kind, **empty})
        self._delta(self._blocks - 1, {"type": delta, kind: text})

    def _sign(self, blocks: list[Mapping[str, Any]]) -> None:
        """Complete the block that was thought by its signature; one that may not be read comes whole."""
        for block in blocks:
            self._signed += 1
            if block.get("type") == "redacted_thinking":
                self._start("redacted_thinking", block)
                self._close()
            elif self._thought is not None:
                self._delta(self._thought, {"type": "signature_delta", "signature": block.get("signature")})
                if self._open == "thinking":
                    self._close()

    def _call(self, piece: ToolCallDelta) -> None:
        block = self._calls.get(piece.index)
        if block is None:
            call_id = piece.id or f"toolu_{self._id}_{piece.index}"
            fields = {"type": "tool_use", "id": call_id, "name": piece.name or "", "input": {}}
            block = self._calls[piece.index] = self._start(f"tool {piece.index}", fields)
        if piece.arguments:
            self._delta(block, {"type": "input_json_delta", "partial_json": piece.arguments})

    def _start(self, kind: str, block: Mapping[str, Any]) -> int:
        self._close()
        self._open = kind
        index = self._blocks
        self._blocks += 1
        self._event("content_block_start", index=index, content_block=block)
        return index

    def _delta(self, index: int, delta: Mapping[str, Any]) -> None:
        self._event("content_block_delta", index=index, delta=delta)

    def _close(self) -> None:
        if self._open is not None:
            self._open = None
            self._event("content_block_stop", index=self._blocks - 1)

    def _event(self, kind: str, **fields: Any) -> None:
        encoded = msgspec.json.encode({"type": kind, **fields})
        self._frames += (b"event: ", kind.encode(), b"\ndata: ", encoded, b"\n\n")

    def _taken(self) -> bytes:
        frames, self._frames = b"".join(self._frames), []
        return frames
