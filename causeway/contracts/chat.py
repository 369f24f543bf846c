"""A chat with a model, free of any vendor's JSON: what the gateway, providers and products exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

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
class ToolCall:
    """A function the model wants called; ``arguments`` is the JSON text it wrote, which may be invalid."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
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


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str | tuple[TextPart | ImagePart, ...] = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The message's text, pictures left out."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
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
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatChunk:
    """The next piece of a streamed reply; the last one has ``stop_reason``, ``usage`` and the settled cost.

    ``extensions`` are fields beyond OpenAI's shape, such as the citations of an answer. ``likely`` has the likeliest
    first tokens of ``text`` with their log-probabilities, where ``options`` asked for ``logprobs``.
    """

    text: str = ""
    likely: Mapping[str, float] = field(default_factory=dict)
    tool_calls: tuple[ToolCallDelta, ...] = ()
    stop_reason: StopReason | None = None
    usage: Usage | None = None
    model: str = ""
    cost_micros: Micros | None = None
    trace_id: str | None = None
    extensions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """A whole reply."""

    text: str
    model: str
    stop_reason: StopReason
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()
    cost_micros: Micros = Micros(0)  # noqa: RUF009 - an int, immutable
    trace_id: str | None = None
    extensions: Mapping[str, object] = field(default_factory=dict)
