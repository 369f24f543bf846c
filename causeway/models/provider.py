"""What Causeway asks of a model provider, and how a streamed reply is collected.

What a provider raises is a `CausewayError`: the gateway decides by its family whether to try elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from causeway.contracts.chat import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    StopReason,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from causeway.contracts.images import ImageRequest, Images
from causeway.contracts.money import Micros
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest
from causeway.errors import UpstreamError


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that a server lists; ``context_tokens`` is its window, where the server tells."""

    name: str
    context_tokens: int | None = None


class ListingProvider(Protocol):
    """Tells which models it has."""

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        ...

    @property
    def listed(self) -> frozenset[str]:
        """The models that it listed when it was last asked."""
        ...

    async def list_models(self) -> tuple[Model, ...]:
        """The models, at most a few minutes old."""
        ...


class ChatProvider(Protocol):
    """Writes replies.

    ``stream`` raises `UnknownModelError`, `ContextLengthError`, `ModelUnavailableError`, `UpstreamError`,
    `UpstreamRateLimitError`, `DeadlineError` or `OperatorError`.
    """

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        ...

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The whole reply by one plain call: cheaper than a stream, and some servers count only there."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; the last chunk has the stop reason and the usage.

        The caller closes the generator; closing it early stops the model at once. A reply that is cut off
        raises; it never ends quietly.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and processes; streams that are open end with an error."""
        ...


class EmbeddingProvider(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        ...

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """One unit vector a text, in order."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


class RerankProvider(Protocol):
    """Scores passages against a query."""

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        ...

    async def rerank(self, request: RerankRequest) -> Relevance:
        """One score in [0, 1] a text, in order."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


class ImageProvider(Protocol):
    """Draws pictures."""

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        ...

    async def draw(self, request: ImageRequest) -> Images:
        """``request.count`` pictures."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class ReplyParts:
    """A reply that is being put together from its chunks."""

    __slots__ = (
        "_calls",
        "_cost",
        "_extensions",
        "_headers",
        "_logprobs",
        "_model",
        "_reasoning",
        "_stop_reason",
        "_text",
        "_trace_id",
        "_usage",
    )

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[object] = []
        self._headers: Mapping[str, str] = {}
        self._calls: dict[int, ToolCall] = {}
        self._extensions: dict[str, object] = {}
        self._stop_reason: StopReason | None = None
        self._usage = Usage()
        self._cost = Micros(0)
        self._model = ""
        self._trace_id: str | None = None

    def add(self, chunk: ChatChunk) -> None:
        """The next piece."""
        self._text.append(chunk.text)
        self._reasoning.append(chunk.reasoning)
        self._headers = chunk.headers or self._headers
        self._logprobs += _tokens(chunk.logprobs)
        for delta in chunk.tool_calls:
            self._calls[delta.index] = _extended(self._calls.get(delta.index), delta)
        _extend(self._extensions, chunk.extensions)
        self._stop_reason = chunk.stop_reason or self._stop_reason
        self._usage = chunk.usage or self._usage
        self._cost = chunk.cost_micros if chunk.cost_micros is not None else self._cost
        self._model = chunk.model or self._model
        self._trace_id = chunk.trace_id or self._trace_id

    @property
    def text(self) -> str:
        """What has been written so far."""
        return "".join(self._text)

    @property
    def is_whole(self) -> bool:
        """Whether the model has said why it stopped."""
        return self._stop_reason is not None

    def reply(self) -> ChatReply:
        """The whole reply.

        Raises:
            UpstreamError: There was no stop reason: the reply may be cut off.
        """
        if self._stop_reason is None:
            raise UpstreamError(
                f"the reply of '{self._model or 'the model'}' ended before it was finished; try again"
            )
        return ChatReply(
            text=self.text,
            reasoning="".join(self._reasoning),
            logprobs={"content": self._logprobs} if self._logprobs else None,
            headers=self._headers,
            model=self._model,
            stop_reason=self._stop_reason,
            usage=self._usage,
            tool_calls=tuple(self._calls[index] for index in sorted(self._calls)),
            cost_micros=self._cost,
            trace_id=self._trace_id,
            extensions=self._extensions,
        )


async def collect(stream: AsyncGenerator[ChatChunk, None]) -> ChatReply:
    """The whole reply of ``stream``, which is closed.

    Raises:
        UpstreamError: The stream ended without a stop reason: the reply may be cut off.
    """
    parts = ReplyParts()
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            parts.add(chunk)
    return parts.reply()


def _extend(extensions: dict[str, object], more: Mapping[str, object]) -> None:
    """A refusal comes in pieces, as text does; of anything else the last word counts."""
    for name, value in more.items():
        before = extensions.get(name)
        is_text = name == "refusal" and isinstance(before, str) and isinstance(value, str)
        extensions[name] = f"{before}{value}" if is_text else value


def _tokens(logprobs: Mapping[str, object] | None) -> list[object]:
    content = logprobs.get("content") if logprobs else None
    return content if isinstance(content, list) else []


def _extended(call: ToolCall | None, delta: ToolCallDelta) -> ToolCall:
    before = call or ToolCall(id="", name="", arguments="")
    return ToolCall(
        id=delta.id or before.id,
        name=delta.name or before.name,
        arguments=before.arguments + delta.arguments,
    )
