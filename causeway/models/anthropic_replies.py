"""Anthropic's Messages API as a client reads it, whole or streamed: JSON to contracts.

Events after https://platform.claude.com/docs/en/build-with-claude/streaming; kinds of events, blocks and deltas that
are not known are skipped, as that page asks. Thinking becomes ``reasoning``; because a chat with tools must give the
thinking back with its signature, the blocks themselves travel as the extension ``thinking_blocks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from causeway.contracts.chat import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    StopReason,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from causeway.errors import UpstreamError
from causeway.models.event_stream import EventStream
from causeway.models.refusals import refusal_in_reply

_LONGEST_THINKING = 4_000_000
"""Characters of thinking that are kept to be given back; nobody thinks so long, but a broken server may."""

_STOP_REASONS = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "pause_turn": StopReason.END,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "tool_use": StopReason.TOOL_CALLS,
    "refusal": StopReason.CONTENT_FILTER,
}


class _OutputDetails(msgspec.Struct, frozen=True):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    """Counts; in a stream the later ones replace the earlier."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Block(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str | None = None
    data: str = ""
    id: str = ""
    name: str = ""
    input: Any = None


class _Message(msgspec.Struct, frozen=True):
    model: str | None = None
    content: tuple[_Block, ...] = ()
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: _Usage = _Usage()
    type: str = "message"
    error: Any = None


class _Delta(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def read_reply(body: bytes, request: ChatRequest, *, provider: str) -> ChatReply:
    """A whole reply.

    Raises:
        CausewayError: It cannot be read, or is a failure that the server sent as if all were well.
    """
    try:
        message = _decode_message(body)
    except (ValueError, RecursionError) as exc:
        raise _unreadable(provider, exc) from exc
    if message.error is not None:
        raise refusal_in_reply(provider, request.model, message.error)
    if message.type != "message" or message.stop_reason is None:
        raise UpstreamError(f"the provider '{provider}' sent no reply for '{request.model}'; try again")
    blocks = message.content
    return ChatReply(
        text="".join(block.text for block in blocks if block.type == "text"),
        reasoning="".join(block.thinking for block in blocks if block.type == "thinking"),
        model=message.model or request.model,
        stop_reason=_STOP_REASONS.get(message.stop_reason, StopReason.END),
        usage=_usage(message.usage),
        tool_calls=tuple(
            ToolCall(block.id, block.name, msgspec.json.encode(block.input or {}).decode())
            for block in blocks
            if block.type == "tool_use"
        ),
        extensions=_extensions([_thought(block) for block in blocks], message.stop_sequence),
    )


class Reading:
    """Turns the bytes of one streamed reply into chunks; keeps back its end, so that one last chunk has all of it."""

    def __init__(self, provider: str, request: ChatRequest) -> None:
        self._provider = provider
        self._model = request.model
        self._events = EventStream()
        self._usage = _Usage()
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._calls = 0
        self._block = _Block()  # the one that is open, and what has come of it
        self._has_arguments = False
        self._thinking: list[str] = []
        self._room = _LONGEST_THINKING
        self._signature = ""
        self._thoughts: list[dict[str, str] | None] = []
        self.is_done = False
        """Whether the server said that nothing follows."""

    @property
    def is_finished(self) -> bool:
        """Whether the reply is whole."""
        return self.is_done or self._stop_reason is not None

    def feed(self, received: bytes) -> Iterator[ChatChunk]:
        """The chunks that ``received`` completes.

        Raises:
            CausewayError: The server reports a failure, or sends what cannot be read.
        """
        for text in self._events.feed(received):
            try:
                event = _decode_event(text)
            except (ValueError, RecursionError) as exc:
                raise _unreadable(self._provider, exc) from exc
            chunk = self._read(event)
            if chunk is not None:
                yield chunk

    def last(self) -> ChatChunk:
        """The last chunk."""
        return ChatChunk(
            stop_reason=_STOP_REASONS.get(self._stop_reason or "", StopReason.END),
            usage=_usage(self._usage),
            model=self._model,
            extensions=_extensions(self._thoughts, self._stop_sequence),
        )

    def _read(self, event: _Event) -> ChatChunk | None:
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._piece(event.delta)
            case "content_block_start" if event.content_block is not None:
                return self._opened(event.content_block)
            case "content_block_stop":
                return self._closed()
            case "message_start" if event.message is not None:
                self._model = event.message.model or self._model
                self._count(event.message.usage)
            case "message_delta" if event.delta is not None:
                self._stop_reason = event.delta.stop_reason or self._stop_reason
                self._stop_sequence = event.delta.stop_sequence
                self._count(event.usage or _Usage())
            case "message_stop":
                self.is_done = True
            case "error":
                raise refusal_in_reply(self._provider, self._model, event.error)
            case _:  # ping, and whatever comes to be
                pass
        return None

    def _opened(self, block: _Block) -> ChatChunk | None:
        self._block = block
        self._has_arguments = False
        self._thinking = []
        self._signature = block.signature or ""
        if block.type == "tool_use":
            self._calls += 1
            call = ToolCallDelta(self._calls - 1, block.id, block.name)
            return ChatChunk(tool_calls=(call,), model=self._model)
        if block.type == "text" and block.text:
            return ChatChunk(text=block.text, model=self._model)
        return None

    def _piece(self, delta: _Delta) -> ChatChunk | None:
        match delta.type:
            case "text_delta":
                return ChatChunk(text=delta.text, model=self._model)
            case "thinking_delta":
                self._room -= len(delta.thinking)
                if self._room >= 0:
                    self._thinking.append(delta.thinking)
                return ChatChunk(reasoning=delta.thinking, model=self._model)
            case "input_json_delta" if delta.partial_json and self._block.type == "tool_use":
                self._has_arguments = True
                call = ToolCallDelta(self._calls - 1, arguments=delta.partial_json)
                return ChatChunk(tool_calls=(call,), model=self._model)
            case "signature_delta":
                self._signature += delta.signature
            case _:  # citations, and whatever comes to be
                pass
        return None

    def _closed(self) -> ChatChunk | None:
        block, self._block = self._block, _Block()
        if block.type == "tool_use" and not self._has_arguments:
            arguments = msgspec.json.encode(block.input or {}).decode()
            call = ToolCallDelta(self._calls - 1, arguments=arguments)
            return ChatChunk(tool_calls=(call,), model=self._model)
        if block.type in ("thinking", "redacted_thinking") and self._room >= 0:
            whole = _Block(
                type=block.type,
                thinking=block.thinking + "".join(self._thinking),
                signature=self._signature,
                data=block.data,
            )
            self._thoughts.append(_thought(whole))
            extensions = _extensions(self._thoughts, None)
            if extensions:
                return ChatChunk(extensions=extensions, model=self._model)
        return None

    def _count(self, usage: _Usage) -> None:
        before = self._usage
        self._usage = _Usage(
            *(
                getattr(before if getattr(usage, name) is None else usage, name)
                for name in _Usage.__struct_fields__
            )
        )


def _thought(block: _Block) -> dict[str, str] | None:
    """A block of thinking as it has to be given back; None for what is none, or cannot be."""
    if block.type == "thinking" and block.signature:
        return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}
    if block.type == "redacted_thinking":
        return {"type": "redacted_thinking", "data": block.data}
    return None


def _extensions(thoughts: list[dict[str, str] | None], stop_sequence: str | None) -> dict[str, object]:
    extensions: dict[str, object] = {}
    signed = [thought for thought in thoughts if thought is not None]
    if signed:
        extensions["thinking_blocks"] = signed
    if stop_sequence is not None:
        extensions["stop_sequence"] = stop_sequence
    return extensions


def _usage(counted: _Usage) -> Usage:
    read, written = counted.cache_read_input_tokens or 0, counted.cache_creation_input_tokens or 0
    details = counted.output_tokens_details
    return Usage(
        input_tokens=(counted.input_tokens or 0) + read + written,
        output_tokens=counted.output_tokens or 0,
        cached_input_tokens=read,
        reasoning_tokens=(details.thinking_tokens or 0) if details else 0,
        cache_write_tokens=written,
    )


def _unreadable(provider: str, cause: Exception) -> UpstreamError:
    return UpstreamError(f"the provider '{provider}' sent a reply that cannot be read: {cause}")
