"""OpenAI's chat completions as a client writes and reads them: contracts to JSON, streamed JSON to contracts.

Shapes after https://platform.openai.com/docs/api-reference/chat. What a server adds beyond them is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from causeway.contracts.chat import (
    ChatChunk,
    ChatRequest,
    ImagePart,
    Message,
    StopReason,
    TextPart,
    Tool,
    ToolCallDelta,
    Usage,
)
from causeway.errors import UpstreamError
from causeway.models.event_stream import EventStream
from causeway.models.refusals import refusal_in_stream

_STOP_REASONS = {
    "stop": StopReason.END,
    "length": StopReason.LENGTH,
    "tool_calls": StopReason.TOOL_CALLS,
    "function_call": StopReason.TOOL_CALLS,
    "content_filter": StopReason.CONTENT_FILTER,
}

# --- requests ----------------------------------------------------------------------------------------


def request_body(request: ChatRequest, *, max_tokens_name: str = "max_tokens") -> dict[str, Any]:
    """The JSON body of ``request``, streamed and with usage; its own fields win over ``options``."""
    body: dict[str, Any] = {
        **request.options,
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional: dict[str, Any] = {
        max_tokens_name: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": request.tool_choice,
        "response_format": _response_format(request.json_schema),
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _message(message: Message) -> dict[str, Any]:
    content: object = message.content
    if isinstance(message.content, tuple):
        content = [_part(part) for part in message.content]
    elif not message.content and message.tool_calls:
        content = None
    written: dict[str, Any] = {"role": message.role, "content": content}
    if message.name is not None:
        written["name"] = message.name
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return written


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "image_url", "image_url": {"url": part.url, **detail}}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.parameters:
        function["parameters"] = tool.parameters
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _response_format(schema: Mapping[str, object] | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}


# --- replies -----------------------------------------------------------------------------------------


class _FunctionDelta(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _ToolCallDelta(msgspec.Struct, frozen=True):
    index: int = 0
    id: str | None = None
    function: _FunctionDelta = _FunctionDelta()


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    tool_calls: tuple[_ToolCallDelta, ...] | None = None


class _Token(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    top_logprobs: tuple[_Token, ...] = ()


class _Logprobs(msgspec.Struct, frozen=True):
    content: tuple[_Token, ...] | None = None


class _Choice(msgspec.Struct, frozen=True):
    index: int = 0
    delta: _Delta | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None


class _Event(msgspec.Struct, frozen=True):
    model: str | None = None
    choices: tuple[_Choice, ...] | None = None
    usage: _Usage | None = None
    error: Any = None


class Reading:
    """Turns the bytes of one streamed reply into chunks; keeps back its end, so that one last chunk has all of it.

    Args:
        provider: For messages.
        model: The model that was asked for, until the reply names one.
    """

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model
        self._events = EventStream()
        self._stop_reason: StopReason | None = None
        self._usage: Usage | None = None
        self.is_done = False
        """Whether the server said that nothing follows."""

    @property
    def is_finished(self) -> bool:
        """Whether the reply is whole: what may still come is bookkeeping."""
        return self.is_done or self._stop_reason is not None

    def feed(self, received: bytes) -> Iterator[ChatChunk]:
        """The chunks that ``received`` completes.

        Raises:
            CausewayError: The server reports a failure, or sends what cannot be read.
        """
        for text in self._events.feed(received):
            if text == b"[DONE]":
                self.is_done = True
            elif chunk := self._read(self._decoded(text)):
                yield chunk

    def last(self) -> ChatChunk:
        """The last chunk."""
        return ChatChunk(
            stop_reason=self._stop_reason or StopReason.END, usage=self._usage, model=self._model
        )

    def _decoded(self, text: bytes) -> _Event:
        try:
            event = msgspec.json.decode(text, type=_Event)
        except msgspec.DecodeError as exc:
            raise UpstreamError(
                f"the provider '{self._provider}' sent an event that cannot be read: {exc}"
            ) from exc
        if event.error is not None:
            raise refusal_in_stream(self._provider, self._model, event.error)
        return event

    def _read(self, event: _Event) -> ChatChunk | None:
        self._model = event.model or self._model
        if event.usage is not None:
            details = event.usage.prompt_tokens_details
            self._usage = Usage(
                input_tokens=event.usage.prompt_tokens,
                output_tokens=event.usage.completion_tokens,
                cached_input_tokens=(details.cached_tokens or 0) if details else 0,
            )
        for choice in event.choices or ():
            if choice.index == 0:  # of several choices the first is read
                if choice.finish_reason:
                    self._stop_reason = _STOP_REASONS.get(choice.finish_reason, StopReason.END)
                return self._chunk(choice.delta or _Delta(), choice.logprobs or _Logprobs())
        return None

    def _chunk(self, delta: _Delta, logprobs: _Logprobs) -> ChatChunk | None:
        calls = tuple(
            ToolCallDelta(
                index=call.index,
                id=call.id,
                name=call.function.name,
                arguments=call.function.arguments or "",
            )
            for call in delta.tool_calls or ()
        )
        if not delta.content and not calls:
            return None
        return ChatChunk(
            text=delta.content or "", likely=_likely(logprobs), tool_calls=calls, model=self._model
        )


def _likely(logprobs: _Logprobs) -> dict[str, float]:
    first = next(iter(logprobs.content or ()), None)
    if first is None:
        return {}
    return {one.token: one.logprob for one in (first, *first.top_logprobs)}
