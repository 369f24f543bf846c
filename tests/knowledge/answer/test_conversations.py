from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest
from sqlalchemy import update

from causeway.contracts.chat import Usage
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Principal, Scope, viewer_names
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.errors import InvalidInputError, NotFoundError
from causeway.knowledge.answer.answer import Answerer, AskRequest
from causeway.knowledge.answer.conversations import Conversations
from causeway.knowledge.answer.conversing import ConversingAnswerer
from causeway.knowledge.answer.events import AnswerEvent, Cited, Finished, Retrieved
from causeway.knowledge.answer.follow_up import Exchange
from causeway.knowledge.document import Place
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.storage.database import Database
from causeway.storage.schema import documents
from causeway.testing.documents import Sheet, SheetPile
from tests.knowledge.answer.passages import passage

ANN = Principal(id="key_ann", name="Ann", scopes=frozenset({Scope.ASK}))
BEN = Principal(id="key_ben", name="Ben", scopes=frozenset({Scope.ASK}))
HITS = (passage(1, "You have 45 days."), passage(2, "Boots are waxed."))
CITED = Cited(
    n=1,
    document_id="doc_1",
    chunk_id="chk_1",
    ordinal=0,
    title="Title 1",
    source="upload",
    path="a.md",
    page=3,
    heading="Title 1",
    quote="You have 45 days.",
    score=0.9,
    places=(Place(3, 0.1, 0.2, 0.3, 0.4),),
)


def finished(question: str, answer: str, *, refused: bool = False) -> Finished:
    return Finished(
        question=question,
        answer=answer,
        refused=refused,
        citations=() if refused else (CITED,),
        trace_id="0" * 32,
        conversation_id=None,
        usage=Usage(),
        cost_micros=Micros(0),
        model="m",
        took_ms=1,
    )


class _Echo:
    """Answers with what it was asked before."""

    async def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AnswerEvent, None]:
        yield Retrieved(hits=HITS, question=request.question)
        yield finished(request.question, " | ".join(one.question for one in request.before) or "nothing")


@pytest.fixture
def conversations(database: Database) -> Conversations:
    return Conversations(database)


async def say(
    conversations: Conversations, who: Principal, question: str, into: str | None = None
) -> Finished:
    answerer = ConversingAnswerer(cast("Answerer", _Echo()), conversations)
    request = AskRequest(question=question, conversation_id=into)
    events = [event async for event in answerer.ask(request, Call(principal=who, purpose="ask"))]
    assert isinstance(events[-1], Finished)
    return events[-1]


async def test_a_question_goes_on_from_those_before_it(conversations: Conversations) -> None:
    assert (await say(conversations, ANN, "first", "c")).answer == "nothing"
    assert (await say(conversations, ANN, "second", "c")).answer == "first"
    assert (await say(conversations, ANN, "third", "c")).answer == "first | second"
    kept = await conversations.read("c", ANN)
    assert [(turn.number, turn.question) for turn in kept.turns] == [
        (1, "first"),
        (2, "second"),
        (3, "third"),
    ]


async def test_what_is_kept_is_what_was_shown(conversations: Conversations) -> None:
    await say(conversations, ANN, "  first  ", "c")
    (turn,) = (await conversations.read("c", ANN)).turns
    assert (turn.question, turn.hits, turn.citations) == ("first", HITS, (CITED,))


async def test_a_refused_question_is_kept_and_not_leaned_on(conversations: Conversations) -> None:
    for question, refused in (("first", False), ("second", True)):
        await conversations.keep(
            "c", ANN, question, finished(question, "a", refused=refused), hits=HITS, collection=None
        )
    assert await conversations.before("c", ANN) == (Exchange("first", "a"),)
    assert [turn.is_refused for turn in (await conversations.read("c", ANN)).turns] == [False, True]


async def test_without_an_id_a_conversation_of_its_own_begins(conversations: Conversations) -> None:
    await say(conversations, ANN, "first")
    await say(conversations, ANN, "second")
    assert sorted(one.title for one in await conversations.of(ANN)) == ["first", "second"]


async def test_one_s_own_are_found_by_words_of_their_titles(conversations: Conversations) -> None:
    for question in ("How long may I return a tent?", "How warm is a sleeping bag?", "100% wool?"):
        await say(conversations, ANN, question)
    await say(conversations, BEN, "May I return a tent?")
    found = await conversations.of(ANN, text="TENT return")
    assert [one.title for one in found] == ["How long may I return a tent?"]
    assert [one.title for one in await conversations.of(ANN, text="0%")] == ["100% wool?"]
    assert await conversations.of(ANN, text="tent bag") == []


async def test_another_one_s_conversation_is_not_there_by_any_door(conversations: Conversations) -> None:
    await say(conversations, ANN, "a secret", "c")
    doors = (
        lambda: conversations.before("c", BEN),
        lambda: conversations.read("c", BEN),
        lambda: conversations.change("c", BEN, title="mine now", shared=True),
        lambda: conversations.delete("c", BEN),
        lambda: say(conversations, BEN, "and?", "c"),
        lambda: conversations.keep("c", BEN, "q", finished("q", "a"), hits=(), collection=None),
    )
    for door in doors:
        with pytest.raises(NotFoundError) as refusal:
            await door()
        assert "secret" not in refusal.value.message
    assert await conversations.of(BEN) == []
    assert [turn.question for turn in (await conversations.read("c", ANN)).turns] == ["a secret"]


async def test_a_shared_one_is_read_by_others_and_changed_by_none_of_them(
    conversations: Conversations,
) -> None:
    await say(conversations, ANN, "first", "c")
    await conversations.change("c", ANN, shared=True)
    assert [turn.question for turn in (await conversations.read("c", BEN)).turns] == ["first"]
    with pytest.raises(NotFoundError):
        await say(conversations, BEN, "second", "c")
    await conversations.change("c", ANN, shared=False)
    with pytest.raises(NotFoundError):
        await conversations.read("c", BEN)


async def test_two_questions_at_once_are_two_turns(conversations: Conversations) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(say(conversations, ANN, f"question {number}", "c"))
    kept = await conversations.read("c", ANN)
    assert [turn.number for turn in kept.turns] == list(range(1, 9))
    assert {turn.question for turn in kept.turns} == {f"question {number}" for number in range(8)}


async def test_a_title_is_a_line_and_can_be_changed(conversations: Conversations) -> None:
    await say(conversations, ANN, "long " * 100, "c")
    (listed,) = await conversations.of(ANN)
    assert len(listed.title) == 120
    assert (await conversations.change("c", ANN, title=" My\n tents ")).title == "My tents"
    with pytest.raises(InvalidInputError, match="empty"):
        await conversations.change("c", ANN, title="  ")


async def test_old_ones_are_forgotten_and_deleted_ones_gone(conversations: Conversations) -> None:
    await say(conversations, ANN, "first", "c")
    assert await conversations.forget_before(SystemClock().now() - timedelta(days=1)) == 0
    assert await conversations.forget_before(SystemClock().now() + timedelta(days=1)) == 1
    await say(conversations, ANN, "first", "c")
    await conversations.delete("c", ANN)
    with pytest.raises(NotFoundError):
        await conversations.read("c", ANN)


async def test_what_rests_on_documents_that_the_reader_may_not_see_is_withheld(
    conversations: Conversations, database: Database
) -> None:
    index = PostgresIndex(database)
    await index.prepare()
    pile = SheetPile(database, index)
    await pile.add(Sheet(id="doc_1", path="a.md", texts=("a",)), Sheet(id="doc_2", path="b.md", texts=("b",)))
    cat = replace(ANN, id="key_cat", user="usr_cat", sees_as=viewer_names("usr_cat", ()))
    await say(conversations, cat, "first", "c")
    assert await conversations.before("c", cat) == (Exchange("first", "nothing"),)
    await conversations.change("c", cat, shared=True)
    async with database.begin() as connection:
        await connection.execute(
            update(documents).where(documents.c.id == "doc_2").values(own_readers=["user:usr_dan"])
        )
    dan = replace(ANN, id="key_dan", user="usr_dan", sees_as=viewer_names("usr_dan", ()))
    for reader, is_withheld in ((cat, True), (dan, False), (ANN, False)):
        (turn,) = (await conversations.read("c", reader)).turns
        assert (turn.is_withheld, turn.answer, len(turn.hits)) == (
            (True, "", 0) if is_withheld else (False, "nothing", 2)
        )
    assert await conversations.before("c", cat) == ()
