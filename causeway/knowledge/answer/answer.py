"""A question becomes a cited stream: search, choose statements, refuse or write, check every citation.

An answer is refused in four places: the question names something by a number or code that no passage has; the model is
too little sure that the passages state the answer; no passage supports the first full sentence that it writes; or it
is too little sure that the statements which do support it answer the question. That sentence is therefore held back
until it has been checked. The calls share one prompt, of which the model has to read only what is new each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Final

from causeway.contracts.chat import ChatChunk, ChatRequest, Usage
from causeway.contracts.clock import Clock
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.money import Micros
from causeway.contracts.vectors import RerankRequest
from causeway.errors import CausewayError, InvalidInputError
from causeway.knowledge.answer.answerability import Signals, likeliest, log_odds_of_yes, probability
from causeway.knowledge.answer.citations import CitedText
from causeway.knowledge.answer.context import Candidate, Passage, choose, cut
from causeway.knowledge.answer.events import AnswerEvent, Cited, Finished, Retrieved, TextDelta
from causeway.knowledge.answer.examples import Example, Examples, with_examples
from causeway.knowledge.answer.follow_up import Exchange, standalone
from causeway.knowledge.answer.support import codes, is_of_another, proper_names
from causeway.knowledge.answer.support import names as names_in
from causeway.knowledge.search.request import Hit, SearchRequest
from causeway.knowledge.search.search import Search
from causeway.knowledge.search.sections import SectionSearch
from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.prompts.prompt import Prompt
from causeway.prompts.shelf import Shelf
from causeway.settings import KnowledgeSettings

log = logging.getLogger(__name__)

REFUSAL: Final = "The documents don't say. I found no passage that answers this question."
_RERANK_TIMEOUT_S: Final = 15.0
_WORDS_OF_A_VERDICT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    """A question.

    Attributes:
        collection: The collection to ask; None asks all of them.
        filters: Which documents may answer; as `SearchRequest.filters`.
        literal: As in `SearchRequest`, like ``time_zone``.
        before: What was said before it, oldest first: a question that leans on it is made to stand alone.
    """

    question: str
    collection: str | None = None
    conversation_id: str | None = None
    filters: Mapping[str, object] = field(default_factory=dict)
    literal: tuple[str, ...] = ()
    time_zone: str = ""
    before: tuple[Exchange, ...] = ()


@dataclass(slots=True)
class _Draft:
    """An answer under way."""

    question: str
    passages: tuple[Passage, ...]
    cited: CitedText
    call: Call
    prompt: Prompt
    examples: tuple[Example, ...] = ()
    signals: Signals | None = None
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    cost_micros: Micros = Micros(0)  # noqa: RUF009 - an int
    model: str = ""
    is_refused: bool = False

    def count(self, chunk: ChatChunk) -> None:
        """Add what a call used, which its last chunk tells."""
        self.usage += chunk.usage or Usage()
        self.cost_micros = Micros(self.cost_micros + (chunk.cost_micros or 0))
        self.model = chunk.model or self.model


class Answerer:
    """Answers questions from the documents."""

    def __init__(
        self,
        *,
        search: Search | SectionSearch,
        gateway: ModelGateway,
        prompts: Shelf,
        spans: Spans,
        clock: Clock,
        settings: KnowledgeSettings,
        capture_content: bool = True,
    ) -> None:
        self._search = search
        self._gateway = gateway
        self._prompts = prompts
        self._spans = spans
        self._clock = clock
        self._settings = settings
        self._capture_content = capture_content
        self._examples: Examples | None = None

    def shown(self, examples: Examples) -> Answerer:
        """This answerer with its model shown ``examples``."""
        taught = copy(self)
        taught._examples = examples
        return taught

    async def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AnswerEvent, None]:
        """The answer as it is made; closing the iterator early stops the model.

        Raises:
            InvalidInputError: The question is empty.
            CausewayError: Search or the model failed.
        """
        question = request.question.strip()
        if not question:
            msg = "the question is empty; ask something"
            raise InvalidInputError(msg)
        started = self._clock.monotonic()
        with self._spans.start("ask", kind="server", parent=call.traceparent) as span:
            span.set(
                {
                    names.QUESTION: question if self._capture_content else None,
                    names.PRINCIPAL: call.principal.id,
                    names.OWNER: call.principal.owner,
                    names.TEAM: call.principal.team,
                    names.PURPOSE: call.purpose,
                }
            )
            span.set({names.CONVERSATION: request.conversation_id})
            inner = replace(call, traceparent=span.traceparent, conversation_id=request.conversation_id)
            meant = await standalone(
                question, request.before, gateway=self._gateway, prompts=self._prompts, call=inner
            )
            if meant.question != question:
                span.set({"causeway.understood": meant.question if self._capture_content else None})
            question = meant.question
            passages, understood = await self._passages(replace(request, question=question), inner)
            hits = tuple(passage.hit for passage in passages)
            yield Retrieved(
                hits=hits,
                question=question,
                understood=understood,
                conversation_id=request.conversation_id,
            )
            # what said a filter has been done by then, and would only make a model doubt
            sought = str(understood.get("query") or question)
            prompt = self._prompts.get("answer", key=request.conversation_id or span.trace_id)
            draft = _Draft(sought, passages, CitedText(hits, sought), inner, prompt)
            draft.usage, draft.cost_micros = meant.usage, meant.cost_micros
            if self._examples is not None:
                draft.examples = await self._examples.near(sought, request.collection, inner)
                span.set({"causeway.examples": len(draft.examples) or None})
            draft.is_refused = not _is_about(sought, hits) or not await self._is_told(draft)
            if not draft.is_refused:
                async with aclosing(self._write(draft)) as pieces:
                    async for piece in pieces:
                        yield piece
            if draft.is_refused:
                yield TextDelta(text=REFUSAL)
            finished = self._finish(draft, span, request, round((self._clock.monotonic() - started) * 1000))
            yield finished

    # --- passages ------------------------------------------------------------------------------------

    async def _passages(
        self, request: AskRequest, call: Call
    ) -> tuple[tuple[Passage, ...], Mapping[str, object]]:
        """The passages to answer from, and how search read the question."""
        asked = SearchRequest(
            query=request.question,
            collection=request.collection,
            filters=request.filters,
            top_k=self._settings.passages,
            literal=request.literal,
            time_zone=request.time_zone,
        )
        found = await self._search.search(asked, call)
        hits = found.hits
        candidates = cut(hits)
        relevance = await self._relevance(request.question, hits, candidates, call)
        chosen = choose(hits, candidates, relevance, budget_tokens=self._settings.context_tokens)
        return chosen, found.understood

    async def _relevance(
        self, question: str, hits: Sequence[Hit], candidates: Sequence[Candidate], call: Call
    ) -> Sequence[float]:
        """How well each statement answers, by the cross-encoder; all the same where search did without it."""
        nothing_known = [0.5] * len(candidates)
        if not any(hit.scores.rerank is not None for hit in hits):
            return nothing_known
        texts = tuple(f"{hits[one.hit].heading}\n{one.statement.words}" for one in candidates)
        try:
            async with asyncio.timeout(_RERANK_TIMEOUT_S):
                return (
                    await self._gateway.rerank(
                        RerankRequest(model="rerank", query=question, texts=texts),
                        replace(call, purpose="answer"),
                    )
                ).scores
        except (CausewayError, TimeoutError) as exc:
            reason = exc.code if isinstance(exc, CausewayError) else "timeout"
            log.warning("statements in the order of their passages", extra={"reason": reason})
            return nothing_known

    # --- whether they answer -------------------------------------------------------------------------

    async def _is_told(self, draft: _Draft) -> bool:
        """Whether the model may be sure enough, once it has written, that the passages state the answer."""
        if self._settings.check == "off":
            return True
        draft.signals = Signals(told=await self._verdict(draft, draft.passages))
        return probability(draft.signals) >= self._settings.refuse_below

    async def _is_confirmed(self, draft: _Draft) -> bool:
        """Whether the first sentence has support, which answers the question by itself."""
        evidence = draft.cited.sentences[0].evidence
        if not evidence or draft.signals is None:
            return bool(evidence)
        shown = [
            Passage(draft.passages[n - 1].hit, statements or draft.passages[n - 1].statements)
            for n, statements in evidence.items()
        ]
        said = " ".join(f"{one.hit.heading} {one.hit.text}" for one in shown).lower()
        draft.signals = replace(
            draft.signals,
            confirmed=await self._verdict(draft, shown),
            is_unnamed=any(name not in said for name in proper_names(draft.question)),
        )
        return probability(draft.signals) >= self._settings.refuse_below

    async def _verdict(self, draft: _Draft, passages: Sequence[Passage]) -> float:
        """Log-odds that ``passages`` state the answer."""
        is_measured = self._settings.check == "logprobs"
        request = ChatRequest(
            model="chat",
            messages=with_examples(
                draft.prompt.messages(_values(draft.question, passages, is_check=True)), draft.examples
            ),
            max_tokens=1 if is_measured else _WORDS_OF_A_VERDICT,
            temperature=0.0,
            options={"logprobs": True, "top_logprobs": 10} if is_measured else {},
        )
        said = ""
        likely: dict[str, float] = {}
        async with aclosing(self._gateway.stream(request, _as_answer(draft))) as chunks:
            async for chunk in chunks:
                draft.count(chunk)
                likely = likely or likeliest(chunk.logprobs)
                said += chunk.text
        return log_odds_of_yes(said, likely)

    # --- the text ------------------------------------------------------------------------------------

    async def _write(self, draft: _Draft) -> AsyncGenerator[TextDelta | Cited, None]:
        """The model's answer, checked; nothing when ``draft`` turns out to be refused."""
        request = ChatRequest(
            model="chat",
            messages=with_examples(
                draft.prompt.messages(_values(draft.question, draft.passages)), draft.examples
            ),
            max_tokens=self._settings.answer_tokens,
            temperature=0.0,
        )
        held: list[TextDelta | Cited] = []
        is_open = False
        async with aclosing(self._gateway.stream(request, _as_answer(draft))) as chunks:
            async for chunk in chunks:
                draft.count(chunk)
                held += draft.cited.feed(chunk.text)
                if not is_open and draft.cited.sentences:
                    is_open = await self._is_confirmed(draft)
                    if not is_open:
                        draft.is_refused = True
                        return
                while is_open and held:
                    yield held.pop(0)
        held += draft.cited.finish()
        if not is_open:
            draft.is_refused = not draft.cited.sentences or not await self._is_confirmed(draft)
        for piece in held if not draft.is_refused else ():
            yield piece

    def _finish(self, draft: _Draft, span: Span, request: AskRequest, took_ms: int) -> Finished:
        finished = Finished(
            answer=REFUSAL if draft.is_refused else draft.cited.text.strip(),
            refused=draft.is_refused,
            citations=() if draft.is_refused else tuple(draft.cited.citations),
            trace_id=span.trace_id,
            conversation_id=request.conversation_id,
            question=draft.question,
            usage=draft.usage,
            cost_micros=draft.cost_micros,
            model=draft.model,
            took_ms=took_ms,
            signals=draft.signals,
        )
        values = {"answer": _values(draft.question, draft.passages)}
        span.set({names.PROMPT_VALUES: values if self._capture_content and draft.passages else None})
        span.set({names.ANSWER: finished.answer if self._capture_content else None})
        span.set({names.REFUSED: finished.refused})
        if draft.signals is not None:
            span.set({"causeway.answerable": round(probability(draft.signals), 3)})
        span.set(
            {
                "causeway.citations": [
                    {"n": c.n, "chunk_id": c.chunk_id, "revision": c.revision, "score": c.score}
                    for c in finished.citations
                ]
            }
        )
        return finished


def _values(question: str, passages: Sequence[Passage], *, is_check: bool = False) -> Mapping[str, object]:
    """What the prompt is filled with; to check whether there is an answer, it goes on from where the other ends."""
    shown = [
        {"n": n, "heading": passage.hit.heading, "text": passage.text}
        for n, passage in enumerate(passages, start=1)
    ]
    return {"question": question, "passages": shown, "is_check": is_check}


def _as_answer(draft: _Draft) -> Call:
    return replace(draft.call, purpose="answer", prompt=draft.prompt.reference)


def _is_about(question: str, hits: Sequence[Hit]) -> bool:
    """Whether there are passages, and they are not about other things of the kind that the question names.

    A question about error E-4055 is not answered from passages about E-4017, however alike they are, nor one about the
    Nightjar 1200 from passages about the Nightjar 900.
    """
    asked = names_in(question)
    known = frozenset[str]().union(
        *(names_in(f"{hit.heading}\n{hit.text}", in_any_case=True) for hit in hits)
    )
    if not hits or asked & known:
        return bool(hits)
    return not codes(question) and not is_of_another(asked, known)
