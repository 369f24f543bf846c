from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, cast

import pytest

from causeway.contracts.chat import ChatChunk, ChatRequest, StopReason, Usage
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import Relevance, RerankRequest
from causeway.errors import InvalidInputError, ModelUnavailableError
from causeway.knowledge.answer.answer import REFUSAL, Answerer, AskRequest
from causeway.knowledge.answer.assistant import KnowledgeAssistant
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


YES = {"yes": -0.01, "no": -5.0}
NO = {"yes": -5.0, "no": -0.01}


class _Writer:
    """A gateway whose model writes ``text``, a word at a time, and remembers what it was asked.

    Asked whether passages state the answer, it is as sure as the next of ``verdicts`` says; the last one stays.
    """

    def __init__(
        self, text: str, *verdicts: dict[str, float], relevance: tuple[float, ...] | None = None
    ) -> None:
        self._text = text
        self._verdicts = list(verdicts) or [YES]
        self._relevance = relevance
        self.checks: list[ChatRequest] = []
        self.asked: list[ChatRequest] = []
        self.ranked: list[RerankRequest] = []
        self.is_closed = False

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:
        self.ranked.append(request)
        if self._relevance is None:
            msg = "the model 'rerank' is not there"
            raise ModelUnavailableError(msg)
        return Relevance(scores=self._relevance[: len(request.texts)], model="r", usage=Usage())

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        if "yes or no" in request.messages[-1].text:
            self.checks.append(request)
            likely = self._verdicts.pop(0) if len(self._verdicts) > 1 else self._verdicts[0]
            is_yes = likely.get("yes", 0) > likely.get("no", 0)
            told = [{"token": token, "logprob": logprob} for token, logprob in likely.items()]
            logprobs = {"content": [{"top_logprobs": told}]} if request.options else None
            yield ChatChunk(text="yes" if is_yes else "no", logprobs=logprobs, model="m")
            yield ChatChunk(stop_reason=StopReason.LENGTH, usage=Usage(5, 1), model="m")
            return
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
    *,
    check: Literal["logprobs", "words", "off"] = "logprobs",
    spans: Spans | None = None,
    captures: bool = True,
) -> Answerer:
    return Answerer(
        search=cast("Search", _Found(hits)),
        gateway=cast("ModelGateway", writer),
        prompts=Shelf.packaged(),
        spans=spans or Spans(),
        clock=SystemClock(),
        settings=KnowledgeSettings(check=check),
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
    assert (finished.refused, finished.usage, finished.model) == (False, Usage(17, 5), "m")


async def test_an_answer_without_support_is_refused_and_nothing_of_it_shown() -> None:
    writer = _Writer("The moon is made of green cheese. You have 45 days to return an item.")
    events = await _ask(_answerer(writer))
    assert [e.text for e in events if isinstance(e, TextDelta)] == [REFUSAL]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.refused, finished.answer, finished.citations) == (True, REFUSAL, ())
    assert writer.is_closed


@pytest.mark.parametrize(
    ("question", "hits"),
    [
        ("What does E-4055 mean?", HITS),
        ("What does the Nightjar 1200 weigh?", (passage(1, "The Nightjar 900 weighs 1.2 kg."),)),
        ("How many days?", ()),
    ],
)
async def test_without_a_passage_about_what_is_named_no_model_is_asked(
    question: str, hits: tuple[Hit, ...]
) -> None:
    writer = _Writer("You have 45 days.")
    finished = (await _ask(_answerer(writer, hits), question))[-1]
    assert isinstance(finished, Finished)
    assert finished.refused
    assert (writer.asked, writer.checks) == ([], [])


@pytest.mark.parametrize("check", ["logprobs", "words"])
async def test_a_model_that_finds_no_answer_in_the_passages_is_not_asked_to_write(
    check: Literal["logprobs", "words"],
) -> None:
    writer = _Writer("You have 45 days to return an item.", NO)
    finished = (await _ask(_answerer(writer, check=check)))[-1]
    assert isinstance(finished, Finished)
    assert finished.refused
    assert (len(writer.checks), writer.asked) == (1, [])


async def test_what_the_first_sentence_rests_on_has_to_answer_the_question_too() -> None:
    writer = _Writer("You have 45 days to return an item. More follows.", YES, NO)
    events = await _ask(_answerer(writer))
    assert [e.text for e in events if isinstance(e, TextDelta)] == [REFUSAL]
    first, second = (check.messages[-1].text for check in writer.checks)
    assert "annual leave" in first
    assert "annual leave" not in second
    assert "You have 45 days from delivery to return an item." in second
    assert writer.is_closed


async def test_the_check_goes_on_from_where_the_prompt_ends_so_that_the_model_reads_it_once() -> None:
    writer = _Writer("You have 45 days to return an item.")
    await _ask(_answerer(writer))
    assert writer.checks[0].messages[-1].text.startswith(writer.asked[0].messages[-1].text.rstrip())


async def test_without_the_check_only_support_decides() -> None:
    writer = _Writer("You have 45 days to return an item.", NO)
    finished = (await _ask(_answerer(writer, check="off")))[-1]
    assert isinstance(finished, Finished)
    assert (finished.refused, finished.signals, writer.checks) == (False, None, [])


async def test_the_model_reads_the_statements_that_the_cross_encoder_likes() -> None:
    long = passage(
        1, " ".join(f"Rule {n} is about boots and tents and laces." for n in range(200)), rerank=0.9
    )
    writer = _Writer(
        "Rule 150 is about boots.", relevance=tuple(0.99 if n == 150 else 0.01 for n in range(200))
    )
    await _ask(_answerer(writer, (long,)), "Which rule is about boots?")
    assert "Rule 150 is about boots" in writer.asked[0].messages[-1].text
    assert writer.ranked[0].texts[0] == "Title 1\nRule 0 is about boots and tents and laces."


async def test_a_cross_encoder_that_fails_costs_the_choice_and_not_the_answer() -> None:
    writer = _Writer("You have 45 days to return an item.")
    finished = (await _ask(_answerer(writer)))[-1]
    assert isinstance(finished, Finished)
    assert (finished.refused, len(writer.ranked)) == (False, 1)


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
