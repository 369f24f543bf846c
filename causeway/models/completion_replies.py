"""OpenAI's chat completions as a client reads them, whole or streamed: JSON to contracts.

Servers differ in what they add and leave out; what is not needed to understand a reply is read when it has the shape
that is known, and left out when it has not. A reply's own extras (``refusal``, ``annotations``, ``audio``) travel as
``extensions``; ``service_tier`` and ``system_fingerprint`` do not, as they describe the provider's machine, which a
gateway stands in front of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from causeway.models.token_estimate import estimated_usage, text_bytes

_STOP_REASONS = {
    "stop": StopReason.END,
    "length": StopReason.LENGTH,
    "tool_calls": StopReason.TOOL_CALLS,
    "function_call": StopReason.TOOL_CALLS,
    "content_filter": StopReason.CONTENT_FILTER,
}


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None  # an object where a server forgot to write it as text


class _Call(msgspec.Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: _Function = _Function()


class _Said(msgspec.Struct, frozen=True):
    """A whole message, or a streamed piece of one."""

    content: str | list[dict[str, Any]] | None = None
    reasoning_content: Any = None  # DeepSeek, llama.cpp, older vLLM
    reasoning: Any = None  # OpenRouter, Groq, Ollama, newer vLLM
    tool_calls: tuple[_Call, ...] | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    audio: dict[str, Any] | None = None


_NOTHING = _Said()


class _Choice(msgspec.Struct, frozen=True):
    index: int = 0
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class _PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek


class _Answer(msgspec.Struct, frozen=True):
    """A ``chat.completion`` or a ``chat.completion.chunk``."""

    model: str | None = None
    choices: tuple[_Choice, ...] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def read_reply(body: bytes, request: ChatRequest, *, provider: str) -> ChatReply:
    """A whole reply.

    Raises:
        CausewayError: It cannot be read, or is a failure that the server sent as if all were well.
    """
    answer = _decoded(body, provider, request.model)
    for choice in answer.choices or ():
        if choice.index == 0:
            break
    else:
        raise UpstreamError(f"the provider '{provider}' sent no reply for '{request.model}'; try again")
    said = choice.message or choice.delta or _NOTHING
    text, reasoning = _texts(said)
    calls = _calls(said.tool_calls) if said.tool_calls else ()
    return ChatReply(
        text=text,
        reasoning=reasoning,
        logprobs=choice.logprobs,
        model=answer.model or request.model,
        stop_reason=_STOP_REASONS.get(choice.finish_reason or "", StopReason.END),
        usage=_usage(answer.usage)
        or estimated_usage(
            request, text_bytes(text + reasoning) + sum(text_bytes(call.arguments) for call in calls)
        ),
        tool_calls=calls,
        extensions=_extensions(said) if said.refusal or said.annotations or said.audio else {},
    )


def _calls(called: tuple[_Call, ...]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(call.id or f"call_{place}", call.function.name or "", _arguments(call.function))
        for place, call in enumerate(called)
    )


class Reading:
    """Turns the bytes of one streamed reply into chunks; keeps back its end, so that one last chunk has all of it."""

    def __init__(self, provider: str, request: ChatRequest) -> None:
        self._provider = provider
        self._request = request
        self._model = request.model
        self._events = EventStream()
        self._stop_reason: StopReason | None = None
        self._usage: Usage | None = None
        self._written_bytes = 0
        self._last_call = -1
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
        for event in self._events.feed(received):
            if event == b"[DONE]":
                self.is_done = True
                break
            chunk = self._read(_decoded(event, self._provider, self._request.model))
            if chunk is not None:
                yield chunk

    def last(self) -> ChatChunk:
        """The last chunk."""
        return ChatChunk(
            stop_reason=self._stop_reason or StopReason.END,
            usage=self._usage or estimated_usage(self._request, self._written_bytes),
            model=self._model,
        )

    def _read(self, answer: _Answer) -> ChatChunk | None:
        self._model = answer.model or self._model
        if answer.usage is not None:
            self._usage = _usage(answer.usage) or self._usage
        for choice in answer.choices or ():
            if choice.index == 0:  # of several choices the first is read
                if choice.finish_reason:
                    self._stop_reason = _STOP_REASONS.get(choice.finish_reason, StopReason.END)
                return self._chunk(choice.delta or choice.message or _NOTHING, choice.logprobs)
        return None

    def _chunk(self, said: _Said, logprobs: Mapping[str, object] | None) -> ChatChunk | None:
        text, reasoning = _texts(said)
        calls = tuple(self._call(call) for call in said.tool_calls) if said.tool_calls else ()
        extensions = _extensions(said)
        if not (text or reasoning or calls or logprobs or extensions):
            return None
        self._written_bytes += text_bytes(text) + text_bytes(reasoning)
        for call in calls:
            self._written_bytes += text_bytes(call.arguments)
        return ChatChunk(
            text=text,
            reasoning=reasoning,
            logprobs=logprobs,
            tool_calls=calls,
            model=self._model,
            extensions=extensions,
        )

    def _call(self, call: _Call) -> ToolCallDelta:
        """A piece of a call; some servers do not count, and then every id begins the next call."""
        if call.index is not None:
            self._last_call = call.index
        elif call.id is not None or self._last_call < 0:
            self._last_call += 1
        return ToolCallDelta(
            index=self._last_call, id=call.id, name=call.function.name, arguments=_arguments(call.function)
        )


def _decoded(body: bytes, provider: str, model: str) -> _Answer:
    try:
        answer = _decode(body)
    except (ValueError, RecursionError) as exc:  # msgspec's own errors are ValueErrors, as bad UTF-8 is
        raise UpstreamError(
            f"the provider '{provider}' sent a reply that cannot be read ({exc}); try again, or check"
            f" providers.{provider}.base_url"
        ) from exc
    if answer.error is not None:
        raise refusal_in_reply(provider, model, answer.error)
    return answer


def _texts(said: _Said) -> tuple[str, str]:
    """What is said and what is thought; Mistral's thinking models send both as parts of the content."""
    thought = said.reasoning_content if isinstance(said.reasoning_content, str) else said.reasoning
    reasoning = thought if isinstance(thought, str) else ""
    if isinstance(said.content, list):
        parts = said.content
        reasoning += "".join(
            str(piece.get("text", ""))
            for part in parts
            if part.get("type") == "thinking" and isinstance(part.get("thinking"), list)
            for piece in part["thinking"]
        )
        return "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text"), reasoning
    return said.content or "", reasoning


def _arguments(function: _Function) -> str:
    if isinstance(function.arguments, dict):
        return msgspec.json.encode(function.arguments).decode()
    return function.arguments or ""


def _extensions(said: _Said) -> dict[str, object]:
    extensions: dict[str, object] = {}
    if said.refusal:
        extensions["refusal"] = said.refusal
    if said.annotations:
        extensions["annotations"] = said.annotations
    if said.audio:
        extensions["audio"] = said.audio
    return extensions


def _usage(counted: _Usage | None) -> Usage | None:
    """The provider's count; None when it did not count, for which some servers write zeros."""
    if counted is None or not (counted.prompt_tokens or counted.completion_tokens):
        return None
    prompt, completion = counted.prompt_tokens_details, counted.completion_tokens_details
    cached = prompt.cached_tokens if prompt else counted.prompt_cache_hit_tokens
    return Usage(
        input_tokens=counted.prompt_tokens or 0,
        output_tokens=counted.completion_tokens or 0,
        cached_input_tokens=cached or 0,
        reasoning_tokens=(completion.reasoning_tokens or 0) if completion else 0,
        cache_write_tokens=(prompt.cache_write_tokens or 0) if prompt else 0,
    )
