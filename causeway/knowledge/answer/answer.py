"""A question becomes a cited stream: gather passages, refuse or answer, check every sentence.

How it is answered depends on the model. A strong one writes: it is asked whether the passages state the answer, and every
sentence that it writes needs support. For a small one on this machine the strongest statements are quoted instead, and it
says in one word whether they state what is asked: faster, and right more often. Either way one probability decides whether there is an answer at all
(`causeway.knowledge.answer.answerability`), and quotes are what is left when nothing that was written has support.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import msgspec

from causeway.contracts.chat import ChatChunk, ChatRequest, Message, Usage
from causeway.contracts.clock import Clock
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.money import Micros
from causeway.errors import CausewayError, InvalidInputError
from causeway.knowledge.answer.answerability import ADAPTER, Signals, probability
from causeway.knowledge.answer.citations import CitedText
from causeway.knowledge.answer.context import Candidate, Passage, choose
from causeway.knowledge.answer.events import AnswerEvent, Cited, Finished, Retrieved, TextDelta
from causeway.knowledge.answer.evidence import Evidence, in_turn, strongest
from causeway.knowledge.answer.examples import Example, Examples, with_examples
from causeway.knowledge.answer.follow_up import Exchange, standalone
from causeway.knowledge.answer.freshness import day
from causeway.knowledge.answer.gathering import Gathered, gather, rated
from causeway.knowledge.answer.quoting import quotes
from causeway.knowledge.answer.support import codes, is_of_another
from causeway.knowledge.answer.support import names as names_in
from causeway.knowledge.answer.thinking import Spoken
from causeway.knowledge.answer.yes_or_no import ask_yes_or_no
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
_QUOTED: Final = "quotes"
"""What stands for the model's name where none wrote."""
_TOKENS_OF_QUOTES: Final = 150
"""Of the statements that a model is shown before they are quoted: it reads as much in a second or two."""
_STATED_TIMEOUT_S: Final = 20.0

Check = Literal["", "answer", "sentence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    """A question.

    Attributes:
        collection: The collection to ask; None asks all of them.
        filters: Which documents may answer; as `SearchRequest.filters`.
        literal: As in `SearchRequest`, like ``time_zone`` and ``facets``.
        before: What was said before it, oldest first: a question that leans on it is made to stand alone.
    """

    question: str
    collection: str | None = None
    conversation_id: str | None = None
    filters: Mapping[str, object] = field(default_factory=dict)
    literal: tuple[str, ...] = ()
    time_zone: str = ""
    facets: tuple[str, ...] = ()
    before: tuple[Exchange, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An answer under way."""

    gathered: Gathered
    settings: KnowledgeSettings
    call: Call
    prompt: Prompt
    rated: tuple[tuple[Evidence, ...], ...] = ()
    passages: tuple[Passage, ...] = ()
    examples: tuple[Example, ...] = ()
    signals: Signals | None = None
    text: str = ""
    citations: tuple[Cited, ...] = ()
    is_sure: bool = True
    left_out: int = 0
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    cost_micros: Micros = Micros(0)  # noqa: RUF009 - an int
    model: str = ""
    is_refused: bool = False

    @property
    def is_written(self) -> bool:
        """Whether a model is asked to write it."""
        return self.settings.answers != "quoted"

    def count(self, chunk: ChatChunk) -> None:
        """Add what a call used, which its last chunk tells."""
        self.usage += chunk.usage or Usage()
        self.cost_micros = Micros(self.cost_micros + (chunk.cost_micros or 0))
        self.model = chunk.model or self.model


class Answerer:
    """Answers questions from the documents.

    Args:
        settings: Those in force, asked for each question. Where they leave it open whether a model writes, it does.
    """

    def __init__(
        self,
        *,
        search: Search | SectionSearch,
        gateway: ModelGateway,
        prompts: Shelf,
        spans: Spans,
        clock: Clock,
        settings: Callable[[], KnowledgeSettings],
        capture_content: bool = True,
    ) -> None:
        self._search = search
        self._gateway = gateway
        self._prompts = prompts
        self._spans = spans
        self._clock = clock
        self._settings_now = settings
        self._adapters: Callable[[], Collection[str]] = tuple
        self._capture_content = capture_content
        self._examples: Examples | None = None

    def shown(self, examples: Examples) -> Answerer:
        """This answerer with its model shown ``examples``."""
        taught = copy(self)
        taught._examples = examples
        return taught

    def adapted(self, adapters: Callable[[], Collection[str]]) -> Answerer:
        """This answerer with a chat model that has adapters of these names, asked for each question.

        See `causeway.models.catalog.Adapter`; what they are used for is `causeway.knowledge.answer.answerability.ADAPTER`.
        """
        taught = copy(self)
        taught._adapters = adapters
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
        settings = self._settings_now()
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
            inner = msgspec.structs.replace(
                call, traceparent=span.traceparent, conversation_id=request.conversation_id
            )
            meant = await standalone(
                question, request.before, gateway=self._gateway, prompts=self._prompts, call=inner
            )
            if meant.question != question:
                span.set({"causeway.understood": meant.question if self._capture_content else None})
            gathered = await gather(
                _wanted(request, meant.question, top_k=settings.passages), self._search, inner
            )
            yield Retrieved(
                hits=gathered.hits,
                question=meant.question,
                understood=gathered.understood,
                facets=gathered.facets,
                conversation_id=request.conversation_id,
            )
            draft = _Draft(
                gathered=gathered,
                settings=settings,
                call=inner,
                prompt=self._prompts.get("answer", key=request.conversation_id or span.trace_id),
                usage=meant.usage,
                cost_micros=meant.cost_micros,
            )
            if self._examples is not None and draft.is_written:
                draft.examples = await self._examples.near(gathered.question, request.collection, inner)
                span.set({"causeway.examples": len(draft.examples) or None})
            async with aclosing(self._answer(draft)) as pieces:
                async for piece in pieces:
                    yield piece
            yield self._finish(draft, span, request, round((self._clock.monotonic() - started) * 1000))

    # --- whether and how to answer -------------------------------------------------------------------

    async def _answer(self, draft: _Draft) -> AsyncGenerator[TextDelta | Cited, None]:
        """The pieces of the answer, or the words of a refusal."""
        draft.is_refused = not _is_about(draft.gathered.question, draft.gathered.hits)
        if not draft.is_refused:
            await self._weigh(draft)
        if not draft.is_refused and draft.is_written:
            async with aclosing(self._write(draft)) as pieces:
                async for piece in pieces:
                    yield piece
        if not draft.is_refused and not draft.citations:
            for piece in self._quote(draft):
                yield piece
        if draft.is_refused:
            draft.text = REFUSAL
            yield TextDelta(text=REFUSAL)

    async def _weigh(self, draft: _Draft) -> None:
        """Rate the statements, choose what a model would read, and decide whether there is an answer."""
        candidates, draft.rated = await rated(draft.gathered, self._gateway, draft.call)
        if not candidates:
            draft.is_refused = True
            return
        draft.passages = choose(
            draft.gathered.hits,
            candidates,
            in_turn(draft.rated),
            budget_tokens=draft.settings.context_tokens,
        )
        draft.signals = Signals.of([strongest(evidence)[0].traits for evidence in draft.rated])
        if draft.is_written and draft.settings.check != "off":
            question = draft.gathered.question
            asked = _messages(draft, question, draft.passages, check="answer")
            told = await self._verdict(draft, asked, draft.prompt)
            draft.signals = replace(draft.signals, told=told)
        if not draft.is_written and draft.settings.check_quotes:
            draft.signals = await self._read(draft, draft.signals, candidates)
        if not draft.is_written or draft.settings.check != "off":
            draft.is_refused = probability(draft.signals) < draft.settings.refuse_below

    async def _read(self, draft: _Draft, signals: Signals, candidates: Sequence[Candidate]) -> Signals:
        """With what the chat model says of the statements that would be quoted; as they are when it does not answer."""
        shown = choose(draft.gathered.hits, candidates, in_turn(draft.rated), budget_tokens=_TOKENS_OF_QUOTES)
        is_taught = ADAPTER in self._adapters()
        prompt = self._prompts.get("answerable" if is_taught else "stated", key=draft.call.conversation_id)
        values = {"question": draft.gathered.question, "passages": _shown(shown)}
        try:
            async with asyncio.timeout(_STATED_TIMEOUT_S):
                said = await self._verdict(
                    draft, prompt.messages(values), prompt, adapter=ADAPTER if is_taught else ""
                )
        except (CausewayError, TimeoutError) as exc:
            reason = exc.code if isinstance(exc, CausewayError) else "timeout"
            log.warning("whether quotes answer is decided by rules alone", extra={"reason": reason})
            return signals
        return replace(signals, taught=said) if is_taught else replace(signals, stated=said)

    async def _verdict(
        self, draft: _Draft, messages: tuple[Message, ...], prompt: Prompt, *, adapter: str = ""
    ) -> float:
        """Log-odds of yes, of a question that asks for yes or no."""
        is_measured = draft.settings.check == "logprobs"
        call = _as_answer(draft, prompt)
        return await ask_yes_or_no(
            self._gateway, messages, call, is_measured=is_measured, adapter=adapter, count=draft.count
        )

    # --- the text ------------------------------------------------------------------------------------

    async def _write(self, draft: _Draft) -> AsyncGenerator[TextDelta | Cited, None]:
        """The model's answer, of which only sentences with support are given out."""

        async def states(sentence: str, n: int) -> bool:
            shown = [passage for passage in draft.passages if passage.n == n]
            if not shown or draft.settings.check == "off":
                return False
            asked = _messages(draft, sentence, shown, check="sentence")
            return await self._verdict(draft, asked, draft.prompt) > 0

        request = ChatRequest(
            model="chat",
            messages=_messages(draft, draft.gathered.question, draft.passages),
            max_tokens=draft.settings.answer_tokens,
            temperature=0.0,
        )
        cited, aloud = CitedText(draft.gathered.hits, draft.gathered.question, states), Spoken()
        async with aclosing(self._gateway.stream(request, _as_answer(draft, draft.prompt))) as chunks:
            async for chunk in chunks:
                draft.count(chunk)
                async for piece in cited.feed(aloud.feed(chunk.text)):
                    yield piece
        async for piece in cited.feed(aloud.finish()):
            yield piece
        async for piece in cited.finish():
            yield piece
        draft.text, draft.citations, draft.left_out = (
            cited.text.strip(),
            tuple(cited.citations),
            cited.left_out,
        )

    def _quote(self, draft: _Draft) -> list[TextDelta | Cited]:
        """The documents' own words; a caution before them when it is not sure that they answer."""
        likely = probability(draft.signals) if draft.signals else 0.0
        draft.is_sure = likely >= draft.settings.sure_above and not draft.left_out
        gathered = draft.gathered
        pieces = list(quotes(gathered.parts, draft.rated, gathered.hits, is_sure=draft.is_sure))
        draft.text = "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
        draft.citations = tuple(piece for piece in pieces if isinstance(piece, Cited))
        draft.model = draft.model if draft.is_written and draft.model else _QUOTED
        return pieces

    def _finish(self, draft: _Draft, span: Span, request: AskRequest, took_ms: int) -> Finished:
        finished = Finished(
            answer=draft.text,
            refused=draft.is_refused,
            citations=draft.citations,
            trace_id=span.trace_id,
            conversation_id=request.conversation_id,
            question=draft.gathered.question,
            usage=draft.usage,
            cost_micros=draft.cost_micros,
            model=draft.model,
            took_ms=took_ms,
            signals=draft.signals,
            is_sure=draft.is_sure,
            left_out=draft.left_out,
        )
        values = {"answer": _values(draft.gathered.question, draft.passages)}
        span.set({names.PROMPT_VALUES: values if self._capture_content and draft.passages else None})
        span.set({names.ANSWER: finished.answer if self._capture_content else None})
        span.set({names.REFUSED: finished.refused, "causeway.left_out": finished.left_out})
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


def _messages(
    draft: _Draft, question: str, passages: Sequence[Passage], *, check: Check = ""
) -> tuple[Message, ...]:
    """The prompt to answer; to check whether there is an answer, it goes on from where the other ends."""
    messages = draft.prompt.messages(_values(question, passages, check=check))
    return with_examples(messages, () if check == "sentence" else draft.examples)


def _values(question: str, passages: Sequence[Passage], *, check: Check = "") -> Mapping[str, object]:
    """What the prompt is filled with."""
    return {"question": question, "passages": _shown(passages), "check": check}


def _shown(passages: Sequence[Passage]) -> list[dict[str, object]]:
    """Passages as prompts have them."""
    return [
        {
            "n": passage.n,
            "heading": passage.hit.heading,
            "written": day(passage.hit),
            "text": passage.text,
        }
        for passage in passages
    ]


def _as_answer(draft: _Draft, prompt: Prompt) -> Call:
    return msgspec.structs.replace(draft.call, purpose="answer", prompt=prompt.reference)


def _wanted(request: AskRequest, question: str, *, top_k: int) -> SearchRequest:
    return SearchRequest(
        query=question,
        collection=request.collection,
        filters=request.filters,
        top_k=top_k,
        literal=request.literal,
        time_zone=request.time_zone,
        facets=request.facets,
    )


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
