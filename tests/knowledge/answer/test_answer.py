from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import cast

import pytest

from causeway.contracts.chat import ChatChunk, ChatRequest, StopReason, Usage
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.errors import InvalidInputError
from causeway.knowledge.answer.answer import REFUSAL, Answerer, AskRequest
from causeway.knowledge.answer.assistant import KnowledgeAssistant
from causeway.knowledge.answer.context import choose
from causeway.knowledge.answer.events import AnswerEvent, Cited, Finished, Retrieved, TextDelta
from causeway.knowledge.search.request import Hit, SearchRequest, SearchResult
from causeway.knowledge.search.search import Search
from causeway.models.provider import collect
from causeway.observability import genai_names as names
from causeway.observability.spans import Spans
from causeway.prompts.shelf import Shelf
from causeway.settings import KnowledgeSettings
from causeway.testing.spans import CollectedSpans
from tests.knowledge.answer.passages import passage

HITS = (
    passage(1, "You have 45 days from delivery to return an item. Code E-4017 means not paired.", rerank=0.9),
    passage(2, "A full-time colleague has 25 days of annual leave.", rerank=0.2),
)
CALL = Call(principal=SYSTEM, purpose="test")


class _Found:
    """A search that always finds the same."""

    def __init__(self, hits: tuple[Hit, ...]) -> None:
        self._hits = hits

    async def search(self, request: SearchRequest, call: Call) -> SearchResult:
        return SearchResult(hits=self._hits, understood={}, took_ms=1)


class _Writer:
    """A gateway whose model writes ``text``, a word at a time, and remembers what it was asked."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.asked: list[ChatRequest] = []
        self.is_closed = False

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        self.asked.append(request)
        try:
            for word in self._text.split(" "):
                yield ChatChunk(text=word + " ", model="m")
            yield ChatChunk(stop_reason=StopReason.END, usage=Usage(7, 3), model="m")
        finally:
            self.is_closed = True


def _answerer(
    writer: _Writer,
    hits: tuple[Hit, ...] = HITS,
    refuse_below: float = 0.0,
    *,
    spans: Spans | None = None,
    captures: bool = True,
) -> Answerer:
    return Answerer(
        search=cast("Search", _Found(hits)),
        gateway=cast("ModelGateway", writer),
        prompts=Shelf.packaged(),
        spans=spans or Spans(),
        clock=SystemClock(),
        settings=KnowledgeSettings(refuse_below=refuse_below),
        capture_content=captures,
    )


async def _ask(answerer: Answerer, question: str = "How many days to return an item?") -> list[AnswerEvent]:
    return [event async for event in answerer.ask(AskRequest(question=question), CALL)]


async def test_passages_come_first_then_checked_text_then_the_end() -> None:
    events = await _ask(_answerer(_Writer("You have 45 days to return an item.")))
    assert isinstance(events[0], Retrieved)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.answer == "You have 45 days to return an item [1]."
    assert "".join(e.text for e in events if isinstance(e, TextDelta)).strip() == finished.answer
    assert [e for e in events if isinstance(e, Cited)] == list(finished.citations)
    assert (finished.refused, finished.usage, finished.model) == (False, Usage(7, 3), "m")


@pytest.mark.parametrize(
    "written",
    ["NOT IN THE DOCUMENTS", "The moon is made of green cheese. You have 45 days to return an item."],
)
async def test_an_answer_without_support_is_refused_and_nothing_of_it_shown(written: str) -> None:
    writer = _Writer(written)
    events = await _ask(_answerer(writer))
    assert [e.text for e in events if isinstance(e, TextDelta)] == [REFUSAL]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.refused, finished.answer, finished.citations) == (True, REFUSAL, ())
    assert writer.is_closed


@pytest.mark.parametrize(
    ("question", "hits", "refuse_below"),
    [("anything?", (), 0.0), ("What does E-4055 mean?", HITS, 0.0), ("anything?", HITS, 0.95)],
)
async def test_without_a_relevant_passage_no_model_is_asked(
    question: str, hits: tuple[Hit, ...], refuse_below: float
) -> None:
    writer = _Writer("You have 45 days.")
    finished = (await _ask(_answerer(writer, hits, refuse_below), question))[-1]
    assert isinstance(finished, Finished)
    assert finished.refused
    assert writer.asked == []


async def test_a_code_that_a_passage_has_is_answered() -> None:
    finished = (await _ask(_answerer(_Writer("Code E-4017 means not paired.")), "What does E-4017 mean?"))[-1]
    assert isinstance(finished, Finished)
    assert not finished.refused


async def test_leaving_early_stops_the_model() -> None:
    writer = _Writer("You have 45 days to return an item. " * 50)
    events = _answerer(writer).ask(AskRequest(question="How many days?"), CALL)
    async for event in events:
        if isinstance(event, TextDelta):
            break
    await events.aclose()
    assert writer.is_closed


@pytest.mark.parametrize("is_captured", [True, False])
async def test_question_and_answer_are_in_the_trace_only_where_content_may_be(is_captured: bool) -> None:
    memory = CollectedSpans()
    spans = Spans(memory)
    answerer = _answerer(_Writer("You have 45 days to return an item."), spans=spans, captures=is_captured)
    await _ask(answerer)
    spans.flush()
    (ask,) = memory.finished
    stored = ask.attributes
    assert (names.QUESTION in stored, names.ANSWER in stored) == (is_captured, is_captured)
    assert stored[names.REFUSED] is False


async def test_an_empty_question_is_refused_as_such() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        await _ask(_answerer(_Writer("")), "  ")


async def test_as_a_model_it_answers_the_last_user_message_with_citations() -> None:
    from causeway.contracts.chat import Message

    assistant = KnowledgeAssistant(_answerer(_Writer("You have 45 days to return an item.")))
    request = ChatRequest(
        model="knowledge", messages=(Message("user", "old"), Message("user", "How many days?"))
    )
    reply = await collect(assistant.stream(request, CALL))
    assert reply.text.strip() == "You have 45 days to return an item [1]."
    citations = cast("list[dict[str, object]]", reply.extensions["citations"])
    assert citations[0]["document_id"] == "doc_1"


def test_passages_are_chosen_in_order_within_the_budget() -> None:
    hits = [
        passage(1, "a", tokens=300),
        passage(2, "b", tokens=900),
        passage(3, "c", tokens=200),
        passage(4, "d"),
    ]
    assert [hit.document_id for hit in choose(hits, most=3, budget_tokens=550)] == ["doc_1", "doc_3", "doc_4"]
    assert [hit.document_id for hit in choose(hits[1:], most=3, budget_tokens=100)] == ["doc_2"]
