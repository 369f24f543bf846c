"""The life of one model call: route, call, settle.

Every call of every product and outside program comes through here; limits, budgets, caches and failover are further
steps of the same methods.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, ImagePart, Message, Usage
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Operation
from causeway.contracts.images import ImageRequest, Images
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest
from causeway.errors import CausewayError, UnknownModelError
from causeway.gateway.entries import Entry, Opening
from causeway.gateway.ledger import Ledger, new_call_id
from causeway.gateway.pricing import cost
from causeway.gateway.routing import Route, Routes
from causeway.models.provider import collect
from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.settings import PriceSettings

_CHARACTERS_PER_TOKEN = 4
"""To estimate the input of a call that ended before its provider counted it."""


@dataclass(slots=True, kw_only=True)
class _Record:
    """A call under way: what it has used so far, and how it ended once it has."""

    span: Span
    price: PriceSettings
    usage: Usage | None = None
    outcome: str = "cancelled"


class Gateway:
    """The `ModelGateway` of this process."""

    def __init__(
        self, *, routes: Routes, ledger: Ledger, spans: Spans, clock: Clock, capture_content: bool
    ) -> None:
        self._routes = routes
        self._ledger = ledger
        self._spans = spans
        self._clock = clock
        self._capture_content = capture_content

    @property
    def model_names(self) -> list[str]:
        """Every name that can be called."""
        return self._routes.names()

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        """The whole reply; see `ModelGateway.complete`."""
        return await collect(self.stream(request, call))

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; see `ModelGateway.stream`."""
        route = self._routes.chat(request.model)
        asked = replace(request, model=route.model)
        async with self._recorded("chat", request.model, route, call) as record:
            record.span.set(self._described(asked))
            said: list[str] = []
            started = self._clock.monotonic()
            try:
                async with aclosing(route.provider.stream(asked)) as chunks:
                    async for chunk in chunks:
                        if not said:
                            record.span.set({names.TIME_TO_FIRST_CHUNK: self._clock.monotonic() - started})
                        said.append(chunk.text)
                        yield self._settled(chunk, record, asked)
            finally:
                record.usage = record.usage or _estimate(asked, said)
                if self._capture_content:
                    record.span.set(
                        {names.OUTPUT_MESSAGES: [{"role": "assistant", "content": "".join(said)}]}
                    )

    async def embed(self, request: EmbedRequest, call: Call) -> Embeddings:
        """One unit vector a text; see `ModelGateway.embed`."""
        route = self._routes.embed(request.model)
        async with self._recorded("embeddings", request.model, route, call) as record:
            record.span.set({"causeway.texts": len(request.texts)})
            embeddings = await route.provider.embed(replace(request, model=route.model))
            record.usage = embeddings.usage
            return embeddings

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:
        """One score a text; see `ModelGateway.rerank`."""
        route = self._routes.rerank(request.model)
        async with self._recorded("rerank", request.model, route, call) as record:
            record.span.set({"causeway.texts": len(request.texts)})
            relevance = await route.provider.rerank(replace(request, model=route.model))
            record.usage = relevance.usage
            return relevance

    async def draw(self, request: ImageRequest, call: Call) -> Images:  # noqa: ARG002
        """Pictures; see `ModelGateway.draw`."""
        raise UnknownModelError(
            f"no image model is called '{request.model}'; configure a provider that has one"
        )

    @asynccontextmanager
    async def _recorded(
        self, operation: Operation, requested: str, route: Route[Any], call: Call
    ) -> AsyncIterator[_Record]:
        """A span and a ledger line around a call, whichever way it ends."""
        provider, model = route.provider.name, route.model
        span = self._spans.start(f"{operation} {model}", kind="client", parent=call.traceparent)
        with span:
            span.set(
                {
                    names.OPERATION: operation,
                    names.PROVIDER: provider,
                    names.REQUEST_MODEL: model,
                    names.PRINCIPAL: call.principal.id,
                    names.PURPOSE: call.purpose,
                    names.PROMPT: call.prompt and call.prompt.partition("@")[0],
                    names.PROMPT_VERSION: call.prompt and call.prompt.partition("@")[2],
                    names.CONVERSATION: call.conversation_id,
                }
            )
            record = _Record(span=span, price=route.price)
            opening = self._opening(operation, requested, call, span.trace_id)
            started = self._clock.monotonic()
            self._ledger.opened(opening)
            try:
                yield record
                record.outcome = "ok"
            except CausewayError as exc:
                record.outcome = exc.code
                raise
            finally:
                usage = record.usage or Usage()
                spent = cost(usage, route.price)
                span.set(
                    {
                        names.RESPONSE_MODEL: model,
                        names.INPUT_TOKENS: usage.input_tokens,
                        names.OUTPUT_TOKENS: usage.output_tokens,
                        names.CACHED_INPUT_TOKENS: usage.cached_input_tokens,
                        names.COST_MICROS: spent,
                    }
                )
                entry = Entry(
                    id=opening.id,
                    at=opening.at,
                    principal_id=opening.principal_id,
                    team=opening.team,
                    tier=opening.tier,
                    purpose=opening.purpose,
                    operation=operation,
                    requested_model=requested,
                    model=model,
                    provider=provider,
                    usage=usage,
                    cost=spent,
                    outcome=record.outcome,
                    latency_ms=round((self._clock.monotonic() - started) * 1000),
                    prompt=opening.prompt,
                    trace_id=opening.trace_id,
                )
                self._ledger.closed(entry)

    def _opening(self, operation: Operation, requested: str, call: Call, trace_id: str) -> Opening:
        return Opening(
            id=new_call_id(),
            at=self._clock.now(),
            principal_id=call.principal.id,
            team=call.principal.team,
            tier=call.principal.tier,
            purpose=call.purpose,
            operation=operation,
            model=requested,
            input_tokens=0,
            output_tokens=0,
            cost=Micros(0),
            prompt=call.prompt,
            trace_id=trace_id,
        )

    def _settled(self, chunk: ChatChunk, record: _Record, asked: ChatRequest) -> ChatChunk:
        """``chunk`` as callers see it: under the model's own name, with the cost once the usage is known."""
        if chunk.stop_reason is not None:
            record.span.set({names.FINISH_REASONS: chunk.stop_reason.value})
        spent = None
        if chunk.usage is not None:
            record.usage = chunk.usage
            spent = cost(chunk.usage, record.price)
        return replace(chunk, model=asked.model, cost_micros=spent, trace_id=record.span.trace_id)

    def _described(self, asked: ChatRequest) -> dict[str, object]:
        described: dict[str, object] = {
            names.REQUEST_STREAM: True,
            names.REQUEST_TEMPERATURE: asked.temperature,
            names.REQUEST_MAX_TOKENS: asked.max_tokens,
        }
        if self._capture_content:
            described[names.INPUT_MESSAGES] = [_shown(message) for message in asked.messages]
        return described


def _shown(message: Message) -> dict[str, object]:
    """A message for a trace: its text, and a word for each picture instead of its bytes."""
    pictures = (
        0 if isinstance(message.content, str) else sum(isinstance(p, ImagePart) for p in message.content)
    )
    return {"role": message.role, "content": message.text + " [picture]" * pictures}


def _estimate(asked: ChatRequest, said: list[str]) -> Usage | None:
    """What a call used that ended early; None when it never began to write."""
    if not said:
        return None
    characters = sum(len(message.text) for message in asked.messages)
    return Usage(input_tokens=characters // _CHARACTERS_PER_TOKEN, output_tokens=len(said))
