from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from sqlalchemy import delete, insert, update

from causeway.contracts.chat import Message
from causeway.contracts.identity import SYSTEM, Principal, Scope, viewer_names
from causeway.contracts.model_gateway import Call
from causeway.errors import ModelUnavailableError
from causeway.knowledge.answer.examples import AnswerExamples, Example, by_nearness, with_examples
from causeway.knowledge.confirmed_answers import ConfirmedAnswer, ConfirmedAnswers
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.proofs import Proofs
from causeway.settings import KnowledgeSettings
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collections, votes
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway

ASKED = "How many days may I send a web order back?"
ANSWER = "You have 45 days. [1]"


class Proved(Proofs):
    """Everything is proved."""

    async def on(self, kind: Literal["retrieval-votes", "answer-examples"]) -> frozenset[str]:
        return frozenset({"col_default"})


def _call(principal: Principal = SYSTEM) -> Call:
    return Call(principal=principal, purpose="ask")


@pytest.fixture
async def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
async def bank(database: Database, gateway: FakeGateway, clock: FrozenClock) -> AnswerExamples:
    """With one confirmed answer."""
    index = PostgresIndex(database)
    await index.prepare()
    sheet = Sheet(id="doc_returns", path="returns.md", texts=("Web orders may be sent back for 45 days.",))
    await SheetPile(database, index).add(sheet)
    answers = ConfirmedAnswers(database, gateway)
    async with database.begin() as connection:
        await connection.execute(insert(votes).values(trace_id="t1", principal_id="key", is_up=True))
    await answers.learn(
        "t1", "key", question=ASKED, answer=ANSWER, chunk_ids=["chk_returns_1_0"], call=_call()
    )
    proofs = Proved(database, KnowledgeSettings(), clock)
    return AnswerExamples(answers, proofs, database=database, gateway=gateway, clock=clock)


async def test_an_answer_to_nearly_the_same_question_is_an_example(bank: AnswerExamples) -> None:
    near = ASKED.replace("web order", "order")
    assert await bank.near(near, None, _call()) == (Example(ASKED, ANSWER),)
    assert await bank.near(near, "default", _call()) == (Example(ASKED, ANSWER),)
    assert await bank.near(near, "another", _call()) == ()
    assert await bank.near("What does the tent weigh?", None, _call()) == ()


async def test_nobody_is_shown_an_example_of_documents_that_they_may_not_see(
    bank: AnswerExamples, database: Database
) -> None:
    ann = Principal(
        id="key_ann", name="ann", scopes=frozenset({Scope.ASK}), sees_as=viewer_names("usr_ann", ())
    )
    assert await bank.near(ASKED, None, _call(ann)) != ()
    async with database.begin() as connection:
        await connection.execute(update(collections).values(readers=["user:usr_ben"]))
    assert await bank.near(ASKED, None, _call(ann)) == ()


async def test_an_example_goes_with_the_passage_that_it_rests_on(
    bank: AnswerExamples, database: Database
) -> None:
    async with database.begin() as connection:
        await connection.execute(delete(chunks))
    assert await bank.near(ASKED, None, _call()) == ()


async def test_answers_go_on_without_examples_when_the_question_cannot_be_embedded(
    bank: AnswerExamples, gateway: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.embed_error = ModelUnavailableError("away")
    assert await bank.near(ASKED, None, _call()) == ()
    assert "answered without examples" in caplog.text


def test_examples_stand_between_the_rules_and_the_question() -> None:
    prompt = (Message("system", "Rules."), Message("user", "Passages: … Question: q"))
    shown = with_examples(prompt, [Example("a?", "A. [1]"), Example("b?", "B. [1]")])
    assert [(message.role, message.content) for message in shown] == [
        ("system", "Rules."),
        ("user", "Question: a?"),
        ("assistant", "A. [1]"),
        ("user", "Question: b?"),
        ("assistant", "B. [1]"),
        ("user", "Passages: … Question: q"),
    ]
    assert with_examples(prompt, []) == prompt


def test_the_nearest_comes_first() -> None:
    def answer(trace_id: str, *vector: float) -> ConfirmedAnswer:
        return ConfirmedAnswer(
            trace_id=trace_id,
            question="q",
            answer="a",
            chunk_ids=("c",),
            document_ids=("d",),
            embedding_model="fake",
            vector=np.array(vector, np.float32),
        )

    ranked = by_nearness([answer("far", 0, 1), answer("same", 1, 0)], {"fake": np.array([1, 0], np.float32)})
    assert [(cosine, each.trace_id) for cosine, each in ranked] == [(1.0, "same"), (0.0, "far")]
