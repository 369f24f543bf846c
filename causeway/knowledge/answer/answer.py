"""A question becomes a cited stream: search, refuse or write, check every citation.

An answer is refused in three places: no passage is relevant enough; the model says that the passages do not tell;
or no passage supports the first full sentence that it writes, which is therefore held back until it is checked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from causeway.contracts.chat import ChatRequest, Usage
from causeway.contracts.clock import Clock
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.money import Micros
from causeway.errors import InvalidInputError
from causeway.knowledge.answer.citations import CitedText
from causeway.knowledge.answer.context import choose
from causeway.knowledge.answer.events import AnswerEvent, Cited, Finished, Retrieved, TextDelta
from causeway.knowledge.answer.support import codes
from causeway.knowledge.search.request import Hit, SearchRequest
from causeway.knowledge.search.search import Search
from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.prompts.shelf import Shelf
from causeway.settings import KnowledgeSettings

REFUSAL = "The documents don't say. I found no passage that answers this question."
SENTINEL = "not in the documents"
"""What the prompt tells the model to write when the passages do not contain the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    """A question; ``collection`` None asks all of them."""

    question: str
    collection: str | None = None
    conversation_id: str | None = None


@dataclass(slots=True)
class _Draft:
    """An answer under way."""

    cited: CitedText
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    cost_micros: Micros = Micros(0)  # noqa: RUF009 - an int
    model: str = ""
    is_refused: bool = False


class Answerer:
    """Answers questions from the documents."""

    def __init__(
        self,
        *,
        search: Search,
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
                    names.PURPOSE: call.purpose,
                }
            )
            span.set({names.CONVERSATION: request.conversation_id})
            inner = replace(call, traceparent=span.traceparent, conversation_id=request.conversation_id)
            hits = await self._passages(replace(request, question=question), inner)
            yield Retrieved(hits=hits)
            draft = _Draft(CitedText(hits, question), is_refused=not self._is_relevant(question, hits))
            if not draft.is_refused:
                async with aclosing(self._write(question, hits, draft, inner)) as pieces:
                    async for piece in pieces:
                        yield piece
            if draft.is_refused:
                yield TextDelta(text=REFUSAL)
            finished = self._finish(draft, span, request, round((self._clock.monotonic() - started) * 1000))
            yield finished

    async def _passages(self, request: AskRequest, call: Call) -> tuple[Hit, ...]:
        asked = SearchRequest(
            query=request.question, collection=request.collection, top_k=2 * self._settings.passages
        )
        found = await self._search.search(asked, call)
        return choose(found.hits, most=self._settings.passages, budget_tokens=self._settings.context_tokens)

    def _is_relevant(self, question: str, hits: tuple[Hit, ...]) -> bool:
        """Whether any passage is worth writing from; a relevance that was not measured does not refuse.

        A question about error E-4055 is not answered from passages about E-4017, however alike they are.
        """
        asked = codes(question)
        known = frozenset[str]().union(*(codes(f"{hit.heading} {hit.text}") for hit in hits))
        if not hits or (asked and not asked & known):
            return False
        scores = [hit.scores.rerank for hit in hits if hit.scores.rerank is not None]
        return not scores or max(scores) >= self._settings.refuse_below

    async def _write(
        self, question: str, hits: tuple[Hit, ...], draft: _Draft, call: Call
    ) -> AsyncGenerator[TextDelta | Cited, None]:
        """The model's answer, checked; nothing when ``draft`` turns out to be refused."""
        prompt = self._prompts.get("answer")
        passages = [{"n": n, "heading": hit.heading, "text": hit.text} for n, hit in enumerate(hits, start=1)]
        request = ChatRequest(
            model="chat",
            messages=prompt.messages({"question": question, "passages": passages}),
            max_tokens=self._settings.answer_tokens,
            temperature=0.0,
        )
        held: list[TextDelta | Cited] = []
        is_open = False
        stream = self._gateway.stream(request, replace(call, purpose="answer", prompt=prompt.reference))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                draft.usage = chunk.usage or draft.usage
                draft.cost_micros = chunk.cost_micros or draft.cost_micros
                draft.model = chunk.model or draft.model
                held += draft.cited.feed(chunk.text)
                if not is_open and _says_nothing(draft.cited):
                    draft.is_refused = True
                    return
                is_open = is_open or bool(draft.cited.citations)
                while is_open and held:
                    yield held.pop(0)
        held += draft.cited.finish()
        draft.is_refused = not draft.cited.citations
        for piece in held if not draft.is_refused else ():
            yield piece

    def _finish(self, draft: _Draft, span: Span, request: AskRequest, took_ms: int) -> Finished:
        finished = Finished(
            answer=REFUSAL if draft.is_refused else draft.cited.text.strip(),
            refused=draft.is_refused,
            citations=() if draft.is_refused else tuple(draft.cited.citations),
            trace_id=span.trace_id,
            conversation_id=request.conversation_id,
            usage=draft.usage,
            cost_micros=draft.cost_micros,
            model=draft.model,
            took_ms=took_ms,
        )
        span.set({names.ANSWER: finished.answer if self._capture_content else None})
        span.set({names.REFUSED: finished.refused})
        span.set(
            {
                "causeway.citations": [
                    {"n": c.n, "chunk_id": c.chunk_id, "score": c.score} for c in finished.citations
                ]
            }
        )
        return finished


def _says_nothing(cited: CitedText) -> bool:
    """Whether the answer so far can only be a refusal: the sentinel, or a full first sentence without support."""
    first = cited.sentences[0] if cited.sentences else None
    return (first is not None and not first.passages) or SENTINEL in cited.text.lower()
