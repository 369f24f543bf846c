"""Replies as OpenAI's Responses, whole or as typed server-sent events.

https://platform.openai.com/docs/api-reference/responses-streaming. An item is opened when its first piece comes and
closed when another kind follows; a response ends with ``completed``, ``incomplete`` or ``failed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from causeway.contracts.chat import ChatChunk, ChatReply, StopReason, ToolCallDelta, Usage
from causeway.contracts.money import Micros
from causeway.errors import CausewayError
from causeway.gateway.openai_reply import COMMENT, causeway_fields
from causeway.gateway.responses_wire import ResponseCall
from causeway.storage.random_hex import random_hex

_INCOMPLETE = {StopReason.LENGTH: "max_output_tokens", StopReason.CONTENT_FILTER: "content_filter"}

Kind = Literal["reasoning", "message", "function_call"]


def whole_response(reply: ChatReply, call: ResponseCall, *, response_id: str, created: int) -> bytes:
    """A finished ``response``."""
    output: list[dict[str, Any]] = []
    if reply.reasoning:
        output.append(_Item("reasoning", 0, [reply.reasoning]).closed())
    if reply.text:
        output.append(_Item("message", 0, [reply.text], logprobs=_tokens(reply.logprobs)).closed())
    for called in reply.tool_calls:
        item = _Item("function_call", 0, [called.arguments], call_id=called.id, name=called.name)
        output.append(item.closed())
    beginning = _begun(call, response_id, created, reply.model or call.request.model)
    response = beginning | _outcome(reply.stop_reason) | {"output": output, "usage": _usage(reply.usage)}
    response["causeway"] = {**causeway_fields(reply.trace_id, reply.cost_micros), **reply.extensions}
    return msgspec.json.encode(response)


def _begun(call: ResponseCall, response_id: str, created: int, model: str) -> dict[str, Any]:
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        **call.repeated,
    }


def _outcome(stop_reason: StopReason | None) -> dict[str, Any]:
    if stop_reason in _INCOMPLETE:
        return {"status": "incomplete", "incomplete_details": {"reason": _INCOMPLETE[stop_reason]}}
    return {"status": "completed"}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _tokens(logprobs: Mapping[str, object] | None) -> list[Any]:
    content = logprobs.get("content") if logprobs else None
    return list(content) if isinstance(content, list) else []


@dataclass(slots=True)
class _Item:
    """One thing that a response puts out, while it is written."""

    kind: Kind
    index: int
    said: list[str] = field(default_factory=list)
    call_id: str = ""
    name: str = ""
    logprobs: list[Any] = field(default_factory=list)
    id: str = ""

    def __post_init__(self) -> None:
        prefix = {"reasoning": "rs", "message": "msg", "function_call": "fc"}[self.kind]
        self.id = f"{prefix}_{random_hex()}"

    def opened(self) -> dict[str, Any]:
        """As it is first shown: empty."""
        match self.kind:
            case "reasoning":
                return {"id": self.id, "type": "reasoning", "summary": [], "content": []}
            case "message":
                fields = {"id": self.id, "type": "message", "role": "assistant"}
                return {**fields, "status": "in_progress", "content": []}
            case "function_call":
                fields = {"id": self.id, "type": "function_call", "call_id": self.call_id}
                return {**fields, "name": self.name, "arguments": "", "status": "in_progress"}

    def part(self) -> dict[str, Any]:
        """Its content so far; a function call has none."""
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": "".join(self.said)}
        text = {"type": "output_text", "text": "".join(self.said), "annotations": []}
        return {**text, "logprobs": self.logprobs}

    def closed(self) -> dict[str, Any]:
        """As it stands in the finished response."""
        item = self.opened()
        if self.kind == "reasoning":
            return {**item, "content": [self.part()]}
        if self.kind == "message":
            return {**item, "status": "completed", "content": [self.part()]}
        return {**item, "status": "completed", "arguments": "".join(self.said)}


class ResponseEvents:
    """An `EventWriter` of ``response.*`` events."""

    heartbeat = COMMENT

    def __init__(self, call: ResponseCall, *, response_id: str, created: int) -> None:
        self._response = _begun(call, response_id, created, call.request.model)
        self._has_begun = False
        self._sequence = 0
        self._frames: list[bytes] = []
        self._items: list[_Item] = []
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._stop_reason: StopReason | None = None
        self._usage = Usage()
        self._cost: Micros | None = None
        self._trace_id: str | None = None
        self._extensions: dict[str, object] = {}

    def write(self, chunk: ChatChunk) -> bytes:
        """See `EventWriter.write`."""
        self._begin(chunk.model)
        if chunk.reasoning:
            self._reason(chunk.reasoning)
        if chunk.text:
            self._speak(chunk.text, _tokens(chunk.logprobs))
        for piece in chunk.tool_calls:
            self._call(piece)
        self._stop_reason = chunk.stop_reason or self._stop_reason
        self._usage = chunk.usage or self._usage
        self._cost = self._cost if chunk.cost_micros is None else chunk.cost_micros
        self._trace_id = chunk.trace_id or self._trace_id
        self._extensions.update(chunk.extensions)
        return self._taken()

    def end(self) -> bytes:
        """See `EventWriter.end`."""
        self._close()
        for item in self._calls.values():
            self._close_call(item)
        outcome = _outcome(self._stop_reason)
        self._finish(outcome["status"], outcome)
        return self._taken()

    def fail(self, error: CausewayError) -> bytes:
        """See `EventWriter.fail`: ``response.failed`` with what had been written."""
        self._begin("")
        code = "rate_limit_exceeded" if error.http_status == 429 else "server_error"
        self._finish("failed", {"status": "failed", "error": {"code": code, "message": error.message}})
        return self._taken()

    def _begin(self, model: str) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        self._response["model"] = model or self._response["model"]
        self._event("response.created", response=self._response)
        self._event("response.in_progress", response=self._response)

    def _finish(self, status: str, outcome: Mapping[str, Any]) -> None:
        response = {**self._response, **outcome, "output": [item.closed() for item in self._items]}
        response["usage"] = _usage(self._usage)
        response["causeway"] = {**causeway_fields(self._trace_id, self._cost), **self._extensions}
        self._event(f"response.{status}", response=response)

    def _reason(self, text: str) -> None:
        item = self._opened("reasoning")
        item.said.append(text)
        self._piece("response.reasoning_text.delta", item, delta=text, content_index=0)

    def _speak(self, text: str, logprobs: list[Any]) -> None:
        item = self._opened("message")
        item.said.append(text)
        item.logprobs += logprobs
        self._piece("response.output_text.delta", item, delta=text, content_index=0, logprobs=logprobs)

    def _call(self, piece: ToolCallDelta) -> None:
        self._close()
        item = self._calls.get(piece.index)
        if item is None:
            call_id = piece.id or f"call_{random_hex()}"
            item = _Item("function_call", len(self._items), call_id=call_id, name=piece.name or "")
            self._calls[piece.index] = item
            self._add(item)
        if piece.arguments:
            item.said.append(piece.arguments)
            self._piece("response.function_call_arguments.delta", item, delta=piece.arguments)

    def _opened(self, kind: Kind) -> _Item:
        """The open item of ``kind``; another kind's is closed."""
        if self._open is not None and self._open.kind == kind:
            return self._open
        self._close()
        item = self._open = _Item(kind, len(self._items))
        self._add(item)
        self._piece("response.content_part.added", item, content_index=0, part=item.part())
        return item

    def _add(self, item: _Item) -> None:
        self._items.append(item)
        self._event("response.output_item.added", output_index=item.index, item=item.opened())

    def _close(self) -> None:
        item, self._open = self._open, None
        if item is None:
            return
        part = item.part()
        if item.kind == "reasoning":
            self._piece("response.reasoning_text.done", item, content_index=0, text=part["text"])
        else:
            more = {"text": part["text"], "logprobs": item.logprobs}
            self._piece("response.output_text.done", item, content_index=0, **more)
        self._piece("response.content_part.done", item, content_index=0, part=part)
        self._event("response.output_item.done", output_index=item.index, item=item.closed())

    def _close_call(self, item: _Item) -> None:
        said = "".join(item.said)
        self._piece("response.function_call_arguments.done", item, arguments=said, name=item.name)
        self._event("response.output_item.done", output_index=item.index, item=item.closed())

    def _piece(self, kind: str, item: _Item, **fields: Any) -> None:
        self._event(kind, item_id=item.id, output_index=item.index, **fields)

    def _event(self, kind: str, **fields: Any) -> None:
        fields = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        self._frames += (b"event: ", kind.encode(), b"\ndata: ", msgspec.json.encode(fields), b"\n\n")

    def _taken(self) -> bytes:
        frames, self._frames = b"".join(self._frames), []
        return frames
