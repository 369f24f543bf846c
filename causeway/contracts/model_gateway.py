"""The only door to a model: products and the knowledge base hold this Protocol and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest
from causeway.contracts.identity import Principal
from causeway.contracts.images import ImageRequest, Images
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf a model is called, and what for.

    Attributes:
        purpose: A short fixed word for ledgers and dashboards: ``api``, ``answer``, ``search``, ``ingest``.
        traceparent: The span that this call belongs to, as a W3C Trace Context header value
            (https://www.w3.org/TR/trace-context/); None starts a trace of its own.
        prompt: Name and version of the prompt that made the messages, such as ``answer@1``.
        may_cache: False for a caller that wants neither a stored reply nor its reply stored.
        deadline_s: The longest the whole call may take, tries on other providers included; None leaves it to the
            settings.
    """

    principal: Principal
    purpose: str
    traceparent: str | None = None
    prompt: str | None = None
    conversation_id: str | None = None
    may_cache: bool = True
    deadline_s: float | None = None


class ModelGateway(Protocol):
    """Calls models: identifies, accounts and traces every call.

    Every method raises `UnknownModelError`, `ModelNotAllowedError`, `RateLimitedError`, `BudgetSpentError`,
    `ModelUnavailableError`, `UpstreamError`, `DeadlineError`, `ContextLengthError` or another `CausewayError`.
    """

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        """The whole reply."""
        ...

    def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; closing the iterator early stops the model."""
        ...

    async def embed(self, request: EmbedRequest, call: Call) -> Embeddings:
        """One unit vector a text."""
        ...

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:
        """One score a text."""
        ...

    async def draw(self, request: ImageRequest, call: Call) -> Images:
        """Pictures of what the prompt describes."""
        ...


class ChatAssistant(Protocol):
    """Something that answers a chat as a model does, but is a product: the knowledge base at ``/v1``.

    It makes its own model calls, and accounts for them, through a `ModelGateway`.
    """

    def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; the last chunk carries the stop reason and the usage of all its calls."""
        ...
