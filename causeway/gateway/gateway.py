"""The life of one model call.

Every call of every product and outside program goes through the same steps, in this order: route, screen, admit (limits
and budgets, in one reservation), look in the cache, call with failover, settle, write down. The steps are objects of their
own; this file owns their order and nothing else. A call keeps the steps that it began with: new settings come in as a new
`Steps`, between two calls.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Generic

import msgspec

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, Usage
from causeway.contracts.identity import SYSTEM, Operation, Principal
from causeway.contracts.images import ImageRequest, Images
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest, Vectors
from causeway.errors import UpstreamError
from causeway.gateway.admission import Admission
from causeway.gateway.auto_route import AUTO, AutoRoute
from causeway.gateway.budgets import has_budget
from causeway.gateway.cache_key import question_of
from causeway.gateway.call_record import Books, CallRecord, Reservation
from causeway.gateway.failover import Failover
from causeway.gateway.pricing import cost, estimate, most_cost
from causeway.gateway.question_vector import QuestionVector
from causeway.gateway.replay import replay
from causeway.gateway.reply_cache import ReplyCache
from causeway.gateway.routing import Plan, Provider, Routes
from causeway.gateway.screened_reply import UNCHANGED, ChunkFilter, ReplyFilter
from causeway.gateway.screening import CLEAN, Screened, ScreenedTexts, Screening
from causeway.gateway.tiers import Tiers
from causeway.models.provider import ChatProvider, ReplyParts
from causeway.models.token_estimate import text_tokens
from causeway.observability import genai_names as names
from causeway.settings import GatewaySettings, TierSettings

_MOST_SAID_CHARACTERS = 64_000_000
"""A reply that goes on beyond this is a fault of its provider."""
_MOST_KEPT_CHARACTERS = 2_000_000
"""Longer replies are neither cached nor shown in full in their traces."""
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What calls go through; replaced as a whole when the settings change.

    Attributes:
        embedder: Which model makes the vectors of questions, for the cache and the router; empty when there is none.
    """

    settings: GatewaySettings
    tiers: Tiers
    routes: Routes
    embedder: str
    auto: AutoRoute
    screening: Screening
    admission: Admission
    cache: ReplyCache
    failover: Failover


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked(Generic[Provider]):
    """A call that is allowed: where it may go, within what time, for a caller of which tier.

    Attributes:
        is_local: Nothing can leave this machine, whichever route answers.
    """

    steps: Steps
    tier: TierSettings
    plan: Plan[Provider]
    deadline_s: float
    is_local: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What a caller was allowed before; it holds as long as the settings, the plan and the caller are the same."""

    asked: _Asked[Any]
    plan: Plan[Any]
    principal: Principal

    def holds(self, plan: Plan[Any], call: Call) -> bool:
        """Whether it answers for ``call``."""
        return self.plan is plan and self.principal is call.principal and call.deadline_s is None


class _Chat(msgspec.Struct, frozen=True, kw_only=True):
    """A chat that has been admitted: what the provider gets, and how the reply comes back to the caller."""

    asked: _Asked[ChatProvider]
    screened: Screened
    request: ChatRequest
    question: QuestionVector


class Gateway:
    """The `ModelGateway` of this process.

    Attributes:
        steps: What calls that begin now go through.
    """

    def __init__(self, steps: Steps, books: Books) -> None:
        self.steps = steps
        self._books = books
        self._known_of = steps
        self._known: dict[tuple[Operation, str, str], _Known] = {}

    @property
    def model_names(self) -> list[str]:
        """Every name that can be called."""
        return [AUTO, *self.steps.routes.names()]

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        """The whole reply; see `ModelGateway.complete`."""
        async with CallRecord("chat", request.model, call, self._books) as record:
            chat = await self._admitted(request, record)
            asked, is_kept = chat.asked, chat.asked.tier.cache != "off"
            reply = await self._from_cache(chat, record) if is_kept else None
            if reply is None:
                _, reply = await asked.steps.failover.complete(
                    asked.plan,
                    chat.request,
                    deadline_s=asked.deadline_s,
                    attempted=record.attempted,
                    priority=asked.tier.priority,
                )
                record.used(reply.usage)
                if is_kept:
                    await self._keep(chat, reply, record)
            record.replied(reply.text, reply)
            fit = asked.steps.screening.filtering(asked.tier, call.purpose)
            if fit is not None:
                reply = fit.whole(reply)
                _tell_removed(fit, record)
            if chat.screened.placeholders is not None:
                reply = chat.screened.restore_reply(reply)
            headers = record.headers | _answered_by(record)
            return reply.told(headers, record.cost, record.span.trace_id)

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; see `ModelGateway.stream`."""
        async with CallRecord("chat", request.model, call, self._books, is_stream=True) as record:
            chat = await self._admitted(request, record)
            is_kept = chat.asked.tier.cache != "off"
            stored = await self._from_cache(chat, record) if is_kept else None
            source = self._provided(chat, record) if stored is None else _replayed(stored)
            restoring = chat.screened.restoring()
            fit = chat.asked.steps.screening.filtering(chat.asked.tier, call.purpose)
            filtering: ChunkFilter = fit or UNCHANGED
            is_kept = is_kept and stored is None
            parts = ReplyParts() if record.keeps_content or is_kept else None
            is_first = True
            try:
                async with aclosing(source) as chunks:
                    async for chunk in chunks:
                        if parts is not None and record.said_characters <= _MOST_KEPT_CHARACTERS:
                            parts.add(chunk)
                        shown = restoring.feed(filtering.feed(chunk))
                        yield _stamped(shown, record, is_first=is_first)
                        is_first = False
                held = filtering.end()
                for rest in (restoring.feed(held) if held else None, restoring.end()):
                    if rest is not None:
                        yield rest
            finally:
                if fit is not None:
                    _tell_removed(fit, record)
                if parts is not None:
                    record.replied(parts.text, parts.reply() if parts.is_whole else None)
            if parts is not None and parts.is_whole and is_kept:
                await self._keep(chat, parts.reply(), record)

    async def embed(self, request: EmbedRequest, call: Call) -> Embeddings:
        """One unit vector a text; see `ModelGateway.embed`."""
        async with CallRecord("embeddings", request.model, call, self._books) as record:
            asked = self._allowed("embeddings", self.steps, self.steps.routes.embed(request.model), call)
            screened = await self._screened_texts(request.texts, asked, record)
            await record.admit(_for_texts(screened.texts, asked), asked.steps.admission)
            record.span.set({names.TEXTS: len(request.texts)})
            _, embeddings = await asked.steps.failover.call(
                asked.plan,
                lambda route: route.provider.embed(replace(request, model=route.model, texts=screened.texts)),
                deadline_s=asked.deadline_s,
                attempted=record.attempted,
                priority=asked.tier.priority,
            )
            record.used(embeddings.usage)
            return replace(embeddings, headers={**record.headers, **_answered_by(record)})

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:
        """One score a text; see `ModelGateway.rerank`."""
        async with CallRecord("rerank", request.model, call, self._books) as record:
            asked = self._allowed("rerank", self.steps, self.steps.routes.rerank(request.model), call)
            screened = await self._screened_texts((request.query, *request.texts), asked, record)
            await record.admit(_for_texts(screened.texts, asked), asked.steps.admission)
            record.span.set({names.TEXTS: len(request.texts)})
            query, *texts = screened.texts
            _, relevance = await asked.steps.failover.call(
                asked.plan,
                lambda route: route.provider.rerank(
                    RerankRequest(model=route.model, query=query, texts=tuple(texts))
                ),
                deadline_s=asked.deadline_s,
                attempted=record.attempted,
                priority=asked.tier.priority,
            )
            record.used(relevance.usage)
            return replace(relevance, headers={**record.headers, **_answered_by(record)})

    async def draw(self, request: ImageRequest, call: Call) -> Images:
        """Pictures; see `ModelGateway.draw`."""
        async with CallRecord("images", request.model, call, self._books) as record:
            asked = self._allowed("images", self.steps, self.steps.routes.draw(request.model), call)
            screened = await self._screened_texts((request.prompt,), asked, record)
            (prompt,) = screened.texts
            dearest = max(cost(Usage(), route.price, images=request.count) for route in asked.plan.routes)
            await record.admit(Reservation(_tokens(screened.texts), 0, dearest), asked.steps.admission)
            _, images = await asked.steps.failover.call(
                asked.plan,
                lambda route: route.provider.draw(replace(request, model=route.model, prompt=prompt)),
                deadline_s=asked.deadline_s,
                attempted=record.attempted,
                priority=asked.tier.priority,
            )
            record.used(images.usage, images=len(images.images))
            headers = {**record.headers, **_answered_by(record)}
            return replace(images, headers=headers, cost_micros=record.cost)

    # --- the steps of a chat -------------------------------------------------------------------------

    async def _admitted(self, request: ChatRequest, record: CallRecord) -> _Chat:
        """Route, screen and reserve."""
        steps, call = self.steps, record.call
        options = self._options(request.model, steps, call)
        asked, has_choice = options[0], len(options) > 1
        tier, is_local = asked.tier, asked.is_local and options[-1].is_local
        screened = await steps.screening.screen_without_blocking(request, tier, is_local=is_local)
        if screened.verdict is not CLEAN:
            record.span.set(screened.verdict.attributes())
        is_looked_for = has_choice or tier.cache != "off"
        text = question_of(screened.request) if is_looked_for else None
        question = QuestionVector(text or "", self._vector, model=steps.embedder)
        if has_choice:
            asked = await self._chosen(options, screened.request, question, record)
        bounded = _bounded(screened.request, asked, call)
        record.asked(bounded)
        tokens_in, tokens_out = estimate(bounded, most_output=steps.settings.reply_tokens)
        dearest = most_cost(tokens_in, tokens_out, [route.price for route in asked.plan.routes])
        await record.admit(Reservation(tokens_in, tokens_out, dearest), steps.admission)
        return _Chat(asked=asked, screened=screened, request=bounded, question=question)

    def _options(self, model: str, steps: Steps, call: Call) -> tuple[_Asked[ChatProvider], ...]:
        """What may answer: one plan, or for ``auto`` the cheap one and the strong one, as far as the caller may use them."""
        if model != AUTO:
            return (self._allowed("chat", steps, steps.routes.chat(model), call),)
        plans = [steps.routes.chat(name) for name in (steps.settings.auto_cheap, steps.settings.auto_strong)]
        usable = [
            plan for plan in plans if steps.tiers.reaches(call.principal, (plan.asked, plan.first.name))
        ]
        return tuple(self._allowed("chat", steps, plan, call) for plan in usable or plans)

    async def _chosen(
        self,
        options: tuple[_Asked[ChatProvider], ...],
        request: ChatRequest,
        question: QuestionVector,
        record: CallRecord,
    ) -> _Asked[ChatProvider]:
        cheap, strong = options
        choice = await cheap.steps.auto.choose(request, question, threshold=cheap.tier.auto_threshold)
        record.reason = choice.reason
        return strong if choice.is_hard else cheap

    def _allowed(
        self, operation: Operation, steps: Steps, plan: Plan[Provider], call: Call
    ) -> _Asked[Provider]:
        """The part of ``plan`` that the caller may use.

        Who may use a name of the operator's own may use all that it leads to; a model's name leads to that model, and
        to fallbacks as far as these may be used too.

        Raises:
            ModelNotAllowedError: That is none of it.
        """
        if steps is not self._known_of:
            self._known_of, self._known = steps, {}
        known = self._known.get((operation, plan.asked, call.principal.id))
        if known is not None and known.holds(plan, call):
            return known.asked
        tiers, principal, first = steps.tiers, call.principal, plan.first
        allowed: Plan[Provider] | None = plan
        if len(plan.routes) > 1:
            is_of_model = first.name == plan.asked or first.name.endswith(f"/{plan.asked}")
            allowed = plan.only(
                lambda route: tiers.reaches(
                    principal,
                    (route.name,) if is_of_model and route is not first else (plan.asked, route.name),
                )
            )
        tiers.may_use(principal, operation, (plan.asked, (allowed or plan).first.name))
        deadline_s = min(call.deadline_s or steps.settings.deadline_s, steps.settings.deadline_s)
        usable = allowed or plan
        asked = _Asked(
            steps=steps,
            tier=tiers.of(principal),
            plan=usable,
            deadline_s=deadline_s,
            is_local=all(route.is_local for route in usable.routes),
        )
        if call.deadline_s is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[operation, plan.asked, principal.id] = _Known(asked, plan, principal)
        return asked

    async def _from_cache(self, chat: _Chat, record: CallRecord) -> ChatReply | None:
        steps, tier, call = chat.asked.steps, chat.asked.tier, record.call
        looked_up = await steps.cache.look_up(
            chat.request,
            call.principal,
            tier,
            question=chat.question,
            may_cache=call.may_cache,
            salt=chat.screened.salt,
        )
        hit = looked_up.hit
        record.headers["x-causeway-cache"] = hit.kind if hit else "miss"
        if hit is None:
            record.span.set({names.CACHE_REASON: looked_up.reason, names.SIMILARITY: looked_up.similarity})
            return None
        record.served_from_cache(hit.kind, hit.reply.usage, chat.asked.plan.first)
        record.span.set({names.SIMILARITY: hit.similarity})
        return msgspec.structs.replace(hit.reply, usage=Usage())

    async def _keep(self, chat: _Chat, reply: ChatReply, record: CallRecord) -> None:
        await chat.asked.steps.cache.keep(
            chat.request,
            record.call.principal,
            chat.asked.tier,
            reply,
            question=chat.question,
            may_cache=record.call.may_cache,
            salt=chat.screened.salt,
        )

    async def _provided(self, chat: _Chat, record: CallRecord) -> AsyncGenerator[ChatChunk, None]:
        """The reply from a provider, counted as it comes."""
        asked = chat.asked
        source = asked.steps.failover.stream(
            asked.plan,
            chat.request,
            deadline_s=asked.deadline_s,
            attempted=record.attempted,
            priority=asked.tier.priority,
        )
        async with aclosing(source) as chunks:
            async for route, chunk in chunks:
                record.route = route
                record.said(chunk.text or chunk.reasoning)
                if record.said_characters > _MOST_SAID_CHARACTERS:
                    raise UpstreamError(
                        f"the reply of '{route.name}' has no end: it was cut after {_MOST_SAID_CHARACTERS} characters"
                    )
                if chunk.usage is not None:
                    record.used(chunk.usage)
                yield chunk

    async def _vector(self, text: str) -> Vectors:
        """A question's vector, for the cache and the router: a model call like any other, on Causeway's own account."""
        request = EmbedRequest(model="embed", texts=(text,), kind="query")
        embeddings = await self.embed(request, Call(principal=SYSTEM, purpose="cache"))
        vector: Vectors = embeddings.vectors[0]
        return vector

    # --- what traces show ----------------------------------------------------------------------------

    async def _screened_texts(
        self, texts: tuple[str, ...], asked: _Asked[Provider], record: CallRecord
    ) -> ScreenedTexts:
        screened = await asked.steps.screening.texts_without_blocking(
            texts, asked.tier, is_local=asked.is_local
        )
        record.span.set(screened.verdict.attributes())
        return screened


def _bounded(request: ChatRequest, asked: _Asked[ChatProvider], call: Call) -> ChatRequest:
    """``request`` with the longest reply that its caller may have.

    A limit on tokens or money holds only for replies that are bounded, so a metered caller who asks for no bound gets one.
    """
    tier, written = asked.tier, request.max_tokens
    most = tier.max_output_tokens
    if most is None and written is None and (tier.tokens_per_minute or has_budget(call.principal, tier)):
        most = min(asked.plan.first.most_output_tokens or sys.maxsize, asked.steps.settings.reply_tokens)
    if most is None or (written is not None and written <= most):
        return request
    return msgspec.structs.replace(request, max_tokens=most)


async def _replayed(reply: ChatReply) -> AsyncGenerator[ChatChunk, None]:
    for chunk in replay(reply):
        yield chunk


def _for_texts(texts: tuple[str, ...], asked: _Asked[Provider]) -> Reservation:
    tokens = _tokens(texts)
    return Reservation(tokens, 0, most_cost(tokens, 0, (route.price for route in asked.plan.routes)))


def _tokens(texts: tuple[str, ...]) -> int:
    return round(sum(text_tokens(text) for text in texts)) + len(texts)


def _answered_by(record: CallRecord) -> dict[str, str]:
    return {} if record.route is None else {"x-causeway-model": record.route.name}


def _tell_removed(fit: ReplyFilter, record: CallRecord) -> None:
    """Have the trace say what was taken out of a reply, by kind."""
    record.span.set({f"causeway.guard.removed.{kind}": count for kind, count in fit.removed.items()})


def _stamped(chunk: ChatChunk, record: CallRecord, *, is_first: bool) -> ChatChunk:
    """``chunk`` with what its caller is told: the headers first, the trace, and the cost once it is known."""
    if not is_first and chunk.usage is None and chunk.stop_reason is None:
        return chunk
    headers = {**record.headers, **_answered_by(record)} if is_first else {}
    spent = record.cost if chunk.usage is not None else None
    return msgspec.structs.replace(chunk, headers=headers, cost_micros=spent, trace_id=record.span.trace_id)
