from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from causeway.errors import NotFoundError
from causeway.evals.collect import collect, collect_asked
from causeway.evals.suite import Case
from causeway.evals.suite_files import parse_suite
from causeway.knowledge import Document
from causeway.observability import genai_names as names
from causeway.observability.feedback import Feedback
from causeway.observability.spans import Spans
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.storage.database import Database

SHOWN = [{"id": "chk_1", "document_id": "doc_leave"}, {"id": "chk_2", "document_id": "doc_pay"}]


class Shelf:
    """A library with one document; the other was deleted."""

    async def document(self, document_id: str) -> Document:
        if document_id != "doc_leave":
            raise NotFoundError(f"no document '{document_id}'")
        return cast("Document", SimpleNamespace(path="handbook/leave.md"))


@pytest.fixture
def spans(database: Database) -> Iterator[Spans]:
    recorder = Spans(SpanWriter(database.url))
    yield recorder
    recorder.close()


def _asked(spans: Spans, question: str | None, answer: str, *, is_refused: bool = False) -> str:
    with spans.start("ask", attributes={names.QUESTION: question}) as root:
        with spans.start("search", parent=root.traceparent) as step:
            step.set({names.RETRIEVAL_DOCUMENTS: SHOWN})
        cited = [] if is_refused else [{"n": 1, "chunk_id": "chk_1"}, {"n": 2, "chunk_id": "chk_2"}]
        root.set({names.ANSWER: answer, names.REFUSED: is_refused, "causeway.citations": cited})
    return root.trace_id


async def _collected(database: Database, spans: Spans) -> dict[str, Case]:
    votes = await Feedback(database, spans).newest(limit=50)
    cases = await collect(votes, traces=TraceStore(database, spans), library=Shelf())
    return {case.inputs.question: case for case in cases}


async def test_votes_become_cases(database: Database, spans: Spans) -> None:
    feedback = Feedback(database, spans)
    liked = _asked(spans, "How many days?", "25 days [1].")
    wrong = _asked(spans, "When is pay day?", "On the 1st [2].")
    refused = _asked(spans, "What is the wifi password?", "The documents don't say.", is_refused=True)
    await feedback.vote(liked, "key", is_up=True)
    await feedback.vote(wrong, "key", is_up=False, correction="On the 26th.")
    await feedback.vote(refused, "key", is_up=True)
    found = await _collected(database, spans)
    right = found["How many days?"]
    assert right.expected_output.reference == "25 days [1]."
    assert list(right.metadata.documents) == ["handbook/leave.md"]
    assert right.metadata.origin == liked
    corrected = found["When is pay day?"]
    assert corrected.expected_output.reference == "On the 26th."
    assert list(corrected.metadata.documents) == [], "what a wrong answer cited is not gold"
    assert list(corrected.metadata.tags) == ["voted down", "corrected"]
    assert found["What is the wifi password?"].expected_output.refused
    lines = "\n".join(case.model_dump_json(exclude_defaults=True) for case in found.values())
    assert len(parse_suite(lines, origin="voted.jsonl").cases) == 3


async def test_a_question_counts_once_by_its_newest_vote(database: Database, spans: Spans) -> None:
    feedback = Feedback(database, spans)
    await feedback.vote(_asked(spans, "How many days?", "30 days"), "key", is_up=True)
    await feedback.vote(_asked(spans, "How many days?", "25 days"), "key", is_up=False, correction="25.")
    found = await _collected(database, spans)
    assert [case.expected_output.reference for case in found.values()] == ["25."]


async def test_questions_that_were_not_kept_are_left_out(database: Database, spans: Spans) -> None:
    await Feedback(database, spans).vote(_asked(spans, None, "x"), "key", is_up=True)
    assert await _collected(database, spans) == {}


async def test_questions_without_votes_become_cases_once(database: Database, spans: Spans) -> None:
    """Those that a vote has made a case of, that were not kept or are gone are left out."""
    asked = [
        _asked(spans, "How many days?", "25 days [1]."),
        _asked(spans, "How many days?", "25 days [1]."),
        _asked(spans, "When is pay day?", "On the 1st [2]."),
        _asked(spans, None, "On the 1st [2]."),
        "f" * 32,
    ]
    traces = TraceStore(database, spans)
    await Feedback(database, spans).vote(asked[2], "key", is_up=True)
    known = list((await _collected(database, spans)).values())
    cases = await collect_asked(asked, traces=traces, library=Shelf(), known=known)
    assert [case.inputs.question for case in cases] == ["How many days?"]
    assert cases[0].metadata.origin == asked[0]
    assert list(cases[0].metadata.tags) == ["asked"]
