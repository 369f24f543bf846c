"""A chat with a model, free of any vendor's JSON: what the gateway, providers and products exchange.

Made several times by every call, and for every piece of a stream, so most are msgspec's structs: frozen as our dataclasses
are, at a tenth of what making one of those takes; `msgspec.structs.replace` makes a changed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import msgspec

from causeway.contracts.money import Micros

Role = Literal["system", "user", "assistant", "tool"]


class StopReason(StrEnum):
    """Why a model stopped writing."""

    END = "end"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text in a message of several parts."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture in a message: an ``https:`` or ``data:`` URL, passed through untouched."""

    url: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class RawPart:
    """A part that Causeway does not read, such as audio or a file, passed through in OpenAI's own JSON."""

    content: Mapping[str, object]


Part = TextPart | ImagePart | RawPart


class ToolCall(msgspec.Struct, frozen=True):
    """A function the model wants called; ``arguments`` is the JSON text it wrote, which may be invalid."""

    id: str
    name: str
    arguments: str


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of the ``index``-th tool call of a streamed reply; pieces of ``arguments`` are concatenated."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; ``parameters`` is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    strict: bool | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of a chat."""

    role: Role
    content: str | tuple[Part, ...] = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The message's text, pictures left out."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a chat model.

    Attributes:
        model: An alias of the settings (``chat``, ``fast``) or a model's own name.
        max_tokens: Most tokens to write; None leaves it to the provider.
        json_schema: The reply must be JSON that satisfies this schema.
        options: Further parameters of the OpenAI chat API, passed to the provider untouched.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | Mapping[str, object] | None = None
    json_schema: Mapping[str, object] | None = None
    options: Mapping[str, object] = msgspec.field(default_factory=dict)


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call, as the provider counted them.

    Attributes:
        input_tokens: All of the input, the cached part included.
        cached_input_tokens: The part of the input that the provider read from its prompt cache.
        reasoning_tokens: The part of the output that was thought and not said.
        is_estimate: The call ended before its provider counted, or its provider never counts.
        cache_write_tokens: The part of the input that the provider wrote to its prompt cache, where it charges for that.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimate: bool = False
    cache_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.is_estimate or other.is_estimate,
            self.cache_write_tokens + other.cache_write_tokens,
        )


class ChatChunk(msgspec.Struct, frozen=True, kw_only=True):
    """The next piece of a streamed reply; the last one has ``stop_reason``, ``usage`` and the settled cost.

    Attributes:
        reasoning: A piece of what the model thinks before it answers, where its provider shows that.
        logprobs: Log-probabilities of this piece's tokens in OpenAI's JSON (``{"content": [...]}``), when asked for.
        headers: On the first piece of a gateway's stream: what a door may show as HTTP headers.
        extensions: Fields beyond OpenAI's shape, such as the citations of an answer.
    """

    text: str = ""
    reasoning: str = ""
    logprobs: Mapping[str, object] | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    tool_calls: tuple[ToolCallDelta, ...] = ()
    stop_reason: StopReason | None = None
    usage: Usage | None = None
    model: str = ""
    cost_micros: Micros | None = None
    trace_id: str | None = None
    extensions: Mapping[str, object] = msgspec.field(default_factory=dict)


class ChatReply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole reply; its attributes are those of `ChatChunk`, put together."""

    text: str
    reasoning: str = ""
    logprobs: Mapping[str, object] | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    model: str
    stop_reason: StopReason
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()
    cost_micros: Micros = Micros(0)
    trace_id: str | None = None
    extensions: Mapping[str, object] = msgspec.field(default_factory=dict)

    def told(self, headers: Mapping[str, str], cost_micros: Micros, trace_id: str) -> ChatReply:
        """The same reply with what the gateway knows of the call."""
        return msgspec.structs.replace(self, headers=headers, cost_micros=cost_micros, trace_id=trace_id)
