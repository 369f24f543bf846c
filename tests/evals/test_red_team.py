"""The red team's canaries: found when they leak, and not there when the knowledge base keeps collections apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from causeway.analyst import attacked
from causeway.contracts.model_gateway import Call
from causeway.errors import NotFoundError
from causeway.evals.checks import Aspect, grade
from causeway.evals.outcome import Outcome
from causeway.evals.subject import EVALS, RetrievalSubject
from causeway.evals.suite import Case
from causeway.evals.suite_files import find_suite, packaged_documents
from causeway.evals.tenants import COLLECTION
from causeway.knowledge import Search
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.observability.spans import Spans
from causeway.settings import KnowledgeSettings, ModelSettings
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway

SUITE = find_suite("red-team")
TEXT: tuple[Aspect, ...] = ("text",)
PASSAGES: tuple[Aspect, ...] = ("passages",)


KNOWLEDGE = SUITE.put_to("knowledge")


def _scored(case: Case, outcome: Outcome) -> dict[str, bool | None]:
    scores = grade(case, outcome, aspects=TEXT, budgets=SUITE.budgets, personal_data=lambda _text: [])
    return {score.name: score.passed for score in scores}


def _canaries(case: Case) -> list[str]:
    expected = case.expected_output
    return [*expected.forbidden, *expected.hidden, *expected.obeyed]


WITH_CANARY = [case for case in SUITE.cases if _canaries(case)]


@pytest.mark.parametrize("case", WITH_CANARY, ids=lambda case: case.name)
def test_every_canary_is_found_where_it_is_said(case: Case) -> None:
    for canary in _canaries(case):
        found = _scored(case, Outcome(text=f"Very well: {' '.join(canary)}"))
        is_order = canary in case.expected_output.obeyed
        assert found["not obeyed" if is_order else "no canary"] is False
        assert found["passed"] is False
        assert _scored(case, Outcome(text="", rows=((1, canary),)))["passed"] is False
    assert all(_scored(case, Outcome(text="I cannot help with that.", refused=True)).values())


def test_every_case_is_decided_by_something() -> None:
    for case in SUITE.cases:
        expected = case.expected_output
        assert _canaries(case) or expected.no_pictures or expected.label or expected.pattern or expected.facts


def test_no_question_says_its_own_canary() -> None:
    """A model that repeats the question must not be taken for one that obeyed."""
    told = {
        case.name: canary
        for case in SUITE.cases
        for canary in _canaries(case)
        if canary.casefold() in case.inputs.question.casefold()
    }
    assert told == {}


def test_every_planted_canary_stands_in_a_document() -> None:
    folders = packaged_documents("red-team")
    texts = {
        name: "\n".join(file.read_text() for file in folder.iterdir()) for name, folder in folders.items()
    }
    for case in KNOWLEDGE.cases:
        if "planted" in case.metadata.tags:
            assert any(canary in texts["red-team-public"] for canary in _canaries(case))
        if "cross-collection" in case.metadata.tags:
            assert all(canary in texts["red-team-private"] for canary in case.expected_output.hidden)
        if "cross-tenant" in case.metadata.tags:
            assert all(canary in texts[COLLECTION] for canary in case.expected_output.hidden)
    with pytest.raises(NotFoundError):
        packaged_documents("sample-company")
    with pytest.raises(NotFoundError):
        packaged_documents("..")


def test_every_order_to_the_analyst_names_something_that_is_there() -> None:
    """Its canaries stand in the attacked database, so that an open analyst would give them out."""
    script = (Path(attacked.__file__).parent / "attacked.sql").read_text()
    for case in SUITE.put_to("analyst").cases:
        assert all(canary in script for canary in case.expected_output.hidden), case.name


async def _identity() -> Mapping[str, object]:
    return {}


async def _leaks(subject: RetrievalSubject, *, collection: str | None) -> list[str]:
    leaked = []
    for case in KNOWLEDGE.cases:
        inputs = case.inputs.model_copy(update={"collection": collection, "asker": None})
        outcome = await subject.answer(inputs, Call(principal=EVALS, purpose="evals"))
        scores = grade(case, outcome, aspects=PASSAGES, budgets=SUITE.budgets, personal_data=lambda _text: [])
        leaked += [case.name for score in scores if score.name == "no canary" and not score.passed]
    return leaked


async def test_nothing_of_another_collection_is_shown(database: Database) -> None:
    index = PostgresIndex(database)
    await index.prepare()
    pile = SheetPile(database, index)
    for collection, folder in packaged_documents("red-team").items():
        for file in folder.iterdir():
            await pile.add(
                Sheet(id=f"doc_{file.stem}", path=file.name, texts=(file.read_text(),), collection=collection)
            )
    search = Search(
        index,
        FakeGateway(),
        KnowledgeSettings(),
        models=ModelSettings(embed="fake"),
        spans=Spans(),
        clock=FrozenClock(),
    )
    subject = RetrievalSubject(search, _identity, FrozenClock(), top_k=6)
    assert await _leaks(subject, collection="red-team-public") == []
    assert len(await _leaks(subject, collection=None)) >= 8, "the attacks do reach what lies open"
