"""Experiments over a database: from votes to a proof, and the switch that it lets somebody turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import delete, insert, update

from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.collected import CollectedSuites
from causeway.evals.experiments import CONFIRMED, Experiments
from causeway.evals.measures import RetrievalMeasure
from causeway.evals.no_harm import Question, Scores, learnt_for, prove
from causeway.evals.suite import Case, Inputs, Metadata
from causeway.knowledge import ConfirmedAnswers, Proofs, RetrievalVotes, Search, SearchRequest
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.observability.spans import Spans
from causeway.settings import KnowledgeSettings, ModelSettings
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.storage.feedback_schema import experiments as table
from causeway.storage.schema import documents, votes
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway

CALL = Call(principal=SYSTEM, purpose="test")
KIND: Final = "retrieval-votes"
SHEETS = tuple(
    Sheet(id=f"doc_{name}", path=f"{name}.md", texts=(f"{name} parcels are returned within {days} days.",))
    for name, days in (("blue", 14), ("green", 30), ("red", 45))
)


class Lab:
    """The pieces, over documents that differ in a word."""

    def __init__(self, database: Database, durable: Durable, clock: FrozenClock, spans: Spans) -> None:
        self.database = database
        self.gateway = FakeGateway()
        self.index = PostgresIndex(database)
        self.settings = KnowledgeSettings(rerank=False)
        self.answers = ConfirmedAnswers(database, self.gateway)
        self.clock = clock
        self.proofs = Proofs(database, self.settings, clock)
        self.search = Search(
            self.index, self.gateway, self.settings, models=ModelSettings(), spans=spans, clock=clock
        )
        self.suites = CollectedSuites(database)
        self.measure = RetrievalMeasure(self.gateway, self.search.moved_by)
        self.experiments = Experiments(
            database,
            durable,
            answers=self.answers,
            proofs=self.proofs,
            suites=self.suites,
            measures={KIND: self.measure},
            clock=clock,
        )

    async def like(self, trace_id: str, question: str, *chunk_ids: str) -> None:
        async with self.database.begin() as connection:
            row = {"trace_id": trace_id, "principal_id": "key", "is_up": True, "state": "confirmed"}
            await connection.execute(insert(votes).values(**row))
        await self.answers.learn(
            trace_id, "key", question=question, answer="Yes. [1]", chunk_ids=chunk_ids, call=CALL
        )

    async def accept(self, experiment_id: str) -> None:
        """As if it had asked 200 questions, after the documents were ingested."""
        long_ago = self.clock.now() - timedelta(days=1)
        async with self.database.begin() as connection:
            await connection.execute(update(documents).values(updated_at=long_ago, created_at=long_ago))
            await connection.execute(
                update(table).where(table.c.id == experiment_id).values(is_accepted=True)
            )
        self.proofs.reread()

    async def first_hit(self) -> str:
        votes = RetrievalVotes(self.answers, self.proofs, self.clock)
        request = SearchRequest(query="parcels returned within days", collection="default")
        return (await self.search.moved_by(votes).search(request, CALL)).hits[0].document_id


@pytest.fixture
async def lab(database: Database, durable: Durable, clock: FrozenClock) -> AsyncIterator[Lab]:
    spans = Spans()
    made = Lab(database, durable, clock, spans)
    await made.index.prepare()
    await SheetPile(database, made.index).add(*SHEETS)
    yield made
    spans.close()


async def test_an_experiment_asks_every_question_in_every_arm_and_keeps_a_proof(lab: Lab) -> None:
    await lab.like("t1", "parcels returned within days?", "chk_red_1_0")
    await lab.like("t2", "when are parcels returned within days", "chk_red_1_0")
    begun = await lab.experiments.start(KIND, "default", CONFIRMED, by="key_admin")
    assert (begun.state, begun.total, begun.done) == ("queued", 2, 0)
    await lab.experiments.execute(begun.id)
    done = await lab.experiments.one(begun.id)
    assert (done.state, done.done, done.is_accepted) == ("done", 2, False)
    assert done.proof
    assert set(done.proof.groups) == {"untouched", "touched"}
    assert done.proof.groups["touched"].on.points >= 0
    assert "it takes 200" in done.proof.objections[0]
    assert done.conditions["confirmed"] == 2
    await lab.experiments.execute(begun.id)
    assert (await lab.experiments.one(begun.id)).finished_at == done.finished_at, "it is not done twice"


async def test_a_crash_loses_no_score(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    await lab.like("t1", "parcels returned?", "chk_red_1_0")
    await lab.like("t2", "blue parcels?", "chk_blue_1_0")
    begun = await lab.experiments.start(KIND, "default", CONFIRMED, by="key_admin")
    asked: list[str] = []

    class Dying:
        metric = "nDCG@10"

        async def scores(self, question: Question, learnt: object, *, collection: str) -> Scores:
            asked.append(question.text)
            if len(asked) == 2:
                raise KeyboardInterrupt
            return {"untouched": {"off": 1.0, "on": 1.0, "placebo": 1.0}}

    monkeypatch.setattr(lab.experiments, "_measures", {KIND: Dying()})
    with pytest.raises(KeyboardInterrupt):
        await lab.experiments.execute(begun.id)
    await lab.experiments.execute(begun.id)
    assert (await lab.experiments.one(begun.id)).state == "done"
    assert len(asked) == 3


async def test_a_suite_s_questions_are_those_whose_documents_are_there(lab: Lab) -> None:
    await lab.like("t1", "parcels returned?", "chk_red_1_0")
    for name, paths in (("here", ("red.md",)), ("gone", ("black.md",)), ("none", ())):
        case = Case(name=name, inputs=Inputs(question=f"{name}?"), metadata=Metadata(documents=paths))
        await lab.suites.add("parcels", case, trace_id="t", by="key_admin")
    begun = await lab.experiments.start(KIND, "default", "parcels", by="key_admin")
    assert begun.total == 1
    with pytest.raises(NotFoundError, match="no suite is called"):
        await lab.experiments.start(KIND, "default", "made up", by="key_admin")
    with pytest.raises(NotFoundError, match="no collection"):
        await lab.experiments.start(KIND, "made up", CONFIRMED, by="key_admin")


async def test_nothing_learnt_cannot_be_tried(lab: Lab) -> None:
    with pytest.raises(InvalidInputError, match="confirm answers"):
        await lab.experiments.start(KIND, "default", CONFIRMED, by="key_admin")


async def test_the_switch_needs_a_proof_and_moves_what_was_confirmed(lab: Lab) -> None:
    plain = await lab.first_hit()
    liked = "red" if plain != "doc_red" else "green"
    await lab.like("t1", "parcels returned within days", f"chk_{liked}_1_0")
    with pytest.raises(InvalidInputError, match="no experiment was accepted"):
        await lab.experiments.switch(KIND, "default", on=True, by="key_admin")
    assert await lab.first_hit() == plain, "learnt, and off"
    begun = await lab.experiments.start(KIND, "default", CONFIRMED, by="key_admin")
    await lab.experiments.execute(begun.id)
    await lab.accept(begun.id)
    await lab.experiments.switch(KIND, "default", on=True, by="key_admin")
    assert await lab.first_hit() == f"doc_{liked}"
    await lab.experiments.switch(KIND, "default", on=False, by="key_admin")
    assert await lab.first_hit() == plain


@pytest.mark.parametrize("change", ["documents", "age", "votes", "settings", "newer"])
async def test_a_proof_is_void_when_what_it_was_measured_on_is_gone(lab: Lab, change: str) -> None:
    await lab.like("t1", "parcels returned within days", "chk_red_1_0")
    begun = await lab.experiments.start(KIND, "default", CONFIRMED, by="key_admin")
    await lab.experiments.execute(begun.id)
    await lab.accept(begun.id)
    await lab.experiments.switch(KIND, "default", on=True, by="key_admin")
    assert await lab.proofs.on(KIND) == {"col_default"}
    proofs = lab.proofs
    if change == "documents":
        async with lab.database.begin() as connection:
            await connection.execute(delete(documents).where(documents.c.id == "doc_blue"))
    elif change == "age":
        lab.clock.advance(timedelta(days=91).total_seconds())
    elif change == "votes":
        for number in range(25):
            await lab.like(f"more{number}", f"question {number}", "chk_red_1_0")
    elif change == "settings":
        proofs = Proofs(lab.database, KnowledgeSettings(rerank=False, vector_weight=0.1), lab.clock)
    else:
        lab.clock.advance(1)
        await lab.experiments.execute(
            (await lab.experiments.start(KIND, "default", CONFIRMED, by="key_admin")).id
        )
    proofs.reread()
    assert await proofs.on(KIND) == frozenset()
    standing = next(each for each in await proofs.standings() if each.kind == KIND)
    assert standing.is_switched_on
    assert not standing.is_on
    assert (standing.void_because is not None) == (change != "newer")


async def test_a_score_follows_from_what_is_learnt(lab: Lab) -> None:
    """The arms differ where a vote moves what is found, and the placebo is another passage."""
    await lab.like("t1", "when are parcels returned within days", "chk_red_1_0")
    question = Question(text="parcels returned within days", documents=("doc_red",))
    learnt = learnt_for(question, await lab.answers.of("col_default"))
    scores = await lab.measure.scores(question, learnt, collection="default")
    assert scores["touched"]["on"] == 1.0
    assert scores["touched"]["on"] >= scores["touched"]["off"]
    assert scores["untouched"]["on"] == scores["untouched"]["off"], "nothing is left that could disturb"
    assert asdict(prove([question], [scores], metric="nDCG@10"))["groups"]["touched"]["questions"] == 1
