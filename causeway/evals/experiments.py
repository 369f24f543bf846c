"""Experiments: whether what was learnt from feedback does a collection good and no harm, measured as durable work.

An experiment takes its questions when it is started, scores one after the other and keeps each score at once, so that a
crash loses one question. Its proof lets somebody switch the improvement on; see `causeway.knowledge.proofs`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import uuid4

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from causeway.contracts.clock import Clock
from causeway.errors import (
    CausewayError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotFoundError,
    TryLaterError,
)
from causeway.evals.collected import CollectedSuites
from causeway.evals.measures import Measure
from causeway.evals.no_harm import Proof, Question, Scores, learnt_for, prove
from causeway.evals.suite import Case, Suite
from causeway.evals.suite_files import find_suite, packaged_names
from causeway.knowledge import KINDS, ConfirmedAnswer, ConfirmedAnswers, Kind, Proofs, Standing
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.storage.feedback_schema import experiment_scores, experiments, improvements
from causeway.storage.schema import collections, documents

log = logging.getLogger(__name__)

Progress = Literal["queued", "running", "done", "failed"]
WORK: Final = "experiments"
"""What the queue calls this work."""
CONFIRMED: Final = "confirmed"
"""Stands for a suite: the confirmed answers' own questions, with the documents that they cite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One, as far as it is.

    Attributes:
        problem: Why it failed.
        done: Questions that have been scored.
        proof: Once it is done.
    """

    id: str
    kind: Kind
    collection_id: str
    collection: str
    suite: str
    state: Progress
    problem: str | None
    total: int
    done: int
    conditions: Mapping[str, Any]
    proof: Proof | None
    is_accepted: bool
    started_by: str
    created_at: datetime
    finished_at: datetime | None


class Experiments:
    """Starts experiments, does their work, and switches what they prove.

    Args:
        database: Where they are kept.
        durable: What does their work.
        answers: What was learnt.
        proofs: What holds for which collection.
        suites: Those that reviewers collected.
        measures: How each kind is measured.
    """

    def __init__(
        self,
        database: Database,
        durable: Durable,
        *,
        answers: ConfirmedAnswers,
        proofs: Proofs,
        suites: CollectedSuites,
        measures: Mapping[Kind, Measure],
        clock: Clock,
    ) -> None:
        self._database = database
        self._durable = durable
        self._answers = answers
        self._proofs = proofs
        self._suites = suites
        self._measures = measures
        self._clock = clock

    def register(self, durable: Durable) -> None:
        """Have ``durable`` do the work of experiments; before its launch."""
        durable.register(WORK, self.execute, concurrency=1)

    # --- what people ask for -------------------------------------------------------------------------

    async def start(self, kind: Kind, collection: str, suite: str, *, by: str) -> Experiment:
        """Queue an experiment.

        Args:
            kind: What is tried.
            collection: Its name.
            suite: Whose questions are asked: a collected or packaged suite, or `CONFIRMED`.
            by: The principal who starts it.

        Raises:
            NotFoundError: There is no such collection or suite.
            InvalidInputError: None of the suite's questions can be asked, or nothing was learnt yet.
        """
        collection_id = await self._id_of(collection)
        learnt = await self._answers.of(collection_id)
        if not learnt:
            raise InvalidInputError(
                f"nothing was learnt for '{collection}' yet; confirm answers in the review queue first"
            )
        questions = await self._questions(kind, collection_id, collection, suite, learnt)
        if not questions:
            raise InvalidInputError(
                f"'{suite}' has no question that can be asked of '{collection}': it takes gold documents that are in it"
            )
        conditions = await self._proofs.conditions(collection_id, kind)
        experiment_id = f"exp_{uuid4().hex}"
        queued = insert(experiments).values(
            id=experiment_id,
            kind=kind,
            collection_id=collection_id,
            suite=suite,
            state="queued",
            questions=[question.as_json() for question in questions],
            conditions=conditions.as_json(),
            started_by=by,
            created_at=self._clock.now(),
        )
        async with self._database.begin() as connection:
            await connection.execute(queued)
        await self._durable.enqueue(WORK, experiment_id, key=f"{WORK}:{experiment_id}")
        return await self.one(experiment_id)

    async def all(self, *, limit: int = 50) -> list[Experiment]:
        """The newest experiments."""
        listed = _listed().order_by(experiments.c.created_at.desc(), experiments.c.id).limit(limit)
        async with self._database.connect() as connection:
            return [_experiment(row) for row in await connection.execute(listed)]

    async def one(self, experiment_id: str) -> Experiment:
        """An experiment.

        Raises:
            NotFoundError: There is none of that id.
        """
        async with self._database.connect() as connection:
            row = (await connection.execute(_listed().where(experiments.c.id == experiment_id))).first()
        if row is None:
            raise NotFoundError(f"there is no experiment '{experiment_id[:60]}'; its collection may be gone")
        return _experiment(row)

    async def suites(self) -> list[str]:
        """What may be asked: the confirmed answers' questions, collected suites, packaged ones."""
        return [CONFIRMED, *await self._suites.names(), *packaged_names()]

    async def confirmed(self) -> Mapping[str, int]:
        """How many confirmed answers there are, by the id of the collection."""
        return await self._answers.counts()

    async def standings(self) -> list[Standing]:
        """How every improvement stands."""
        return await self._proofs.standings()

    async def switch(self, kind: Kind, collection: str, *, on: bool, by: str) -> None:
        """Switch an improvement of a collection on or off; other processes follow within half a minute.

        Raises:
            NotFoundError: There is no such collection.
            InvalidInputError: It is to be on without a proof that holds.
        """
        collection_id = await self._id_of(collection)
        standing = next(
            each
            for each in await self._proofs.standings()
            if (each.collection_id, each.kind) == (collection_id, kind)
        )
        if on and not standing.may_be_on:
            because = standing.void_because or "no experiment was accepted"
            raise InvalidInputError(
                f"'{collection}' has no proof that this does no harm: {because}; run an experiment"
            )
        row = {"experiment_id": standing.experiment_id, "switched_by": by}
        table = improvements.c
        async with self._database.begin() as connection:
            if on:
                switched = insert(improvements).values(collection_id=collection_id, kind=kind, **row)
                await connection.execute(
                    switched.on_conflict_do_update(
                        index_elements=["collection_id", "kind"], set_={**row, "at": func.now()}
                    )
                )
            else:
                await connection.execute(
                    delete(improvements).where(table.collection_id == collection_id, table.kind == kind)
                )
        self._proofs.reread()

    # --- the work ------------------------------------------------------------------------------------

    async def execute(self, experiment_id: str) -> None:
        """Score what has no score yet, and prove; safe to be called again.

        Raises:
            CausewayError: The database or the queue failed; the same call goes on later.
        """
        row = await self._row(experiment_id)
        if row is None or row.state in ("done", "failed"):
            return
        await self._change(experiment_id, state="running")
        questions = [Question.of_json(each) for each in row.questions]
        try:
            scores = await self._score_all(row, questions)
        except (TryLaterError, DatabaseUnavailableError):
            raise  # the queue tries again
        except CausewayError as exc:
            await self._change(
                experiment_id, state="failed", problem=exc.message, finished_at=self._clock.now()
            )
            return
        except Exception:
            await self._change(
                experiment_id, state="failed", problem="an error inside Causeway; its log has it"
            )
            raise
        proof = prove(questions, scores, metric=self._measures[row.kind].metric)
        await self._change(
            experiment_id,
            state="done",
            proof=asdict(proof),
            is_accepted=proof.is_accepted,
            finished_at=self._clock.now(),
        )
        self._proofs.reread()

    async def _score_all(self, row: Row[Any], questions: Sequence[Question]) -> list[Scores]:
        answers = await self._answers.of(row.collection_id)
        measure = self._measures[row.kind]
        async with self._database.connect() as connection:
            collection = await connection.scalar(
                select(collections.c.name).where(collections.c.id == row.collection_id)
            )
            kept = select(experiment_scores.c.number, experiment_scores.c.scores).where(
                experiment_scores.c.experiment_id == row.id
            )
            scored: dict[int, Scores] = {each.number: each.scores for each in await connection.execute(kept)}
        for number, question in enumerate(questions):
            if number in scored:
                continue
            learnt = learnt_for(question, answers)
            scored[number] = await measure.scores(question, learnt, collection=collection or "")
            done = {"experiment_id": row.id, "number": number, "scores": scored[number]}
            async with self._database.begin() as connection:
                await connection.execute(insert(experiment_scores).values(**done).on_conflict_do_nothing())
        return [scored[number] for number in range(len(questions))]

    async def scores(self, experiment_id: str) -> list[tuple[Question, Scores]]:
        """The questions that have been scored, those that changed most first."""
        row = await self._row(experiment_id)
        kept = select(experiment_scores).where(experiment_scores.c.experiment_id == experiment_id)
        async with self._database.connect() as connection:
            found = {each.number: each.scores for each in await connection.execute(kept)}
        questions = [] if row is None else [Question.of_json(each) for each in row.questions]
        listed = [(question, found[n]) for n, question in enumerate(questions) if n in found]
        return sorted(listed, key=lambda pair: (-_moved(pair[1]), pair[0].text))

    # --- questions -----------------------------------------------------------------------------------

    async def _questions(
        self,
        kind: Kind,
        collection_id: str,
        collection: str,
        suite: str,
        learnt: Sequence[ConfirmedAnswer],
    ) -> list[Question]:
        if suite == CONFIRMED:
            if kind != "retrieval-votes":
                msg = "confirmed answers have no facts that an answer is checked for; choose a suite that has"
                raise InvalidInputError(msg)
            newest = {each.question.casefold(): each for each in reversed(learnt)}
            return [
                Question(text=each.question, documents=each.document_ids, origin=each.trace_id)
                for each in newest.values()
            ]
        cases = [case for case in (await self._suite(suite)).cases if _is_asked(case, collection)]
        paths = {path for case in cases for path in case.metadata.documents}
        wanted = select(documents.c.path, documents.c.id).where(
            documents.c.collection_id == collection_id, documents.c.path.in_(paths)
        )
        async with self._database.connect() as connection:
            ids = {row.path: row.id for row in await connection.execute(wanted)}
        return [
            Question(
                text=case.inputs.question,
                documents=tuple(ids[path] for path in case.metadata.documents),
                origin=case.metadata.origin,
                case=case.model_dump(mode="json"),
            )
            for case in cases
            if all(path in ids for path in case.metadata.documents)
        ]

    async def _suite(self, name: str) -> Suite:
        if name in await self._suites.names():
            return await self._suites.suite(name)
        if name not in packaged_names():
            raise NotFoundError(
                f"no suite is called '{name[:80]}'; there are {', '.join(await self.suites())}"
            )
        return find_suite(name)

    async def _id_of(self, collection: str) -> str:
        async with self._database.connect() as connection:
            found = await connection.scalar(select(collections.c.id).where(collections.c.name == collection))
        if found is None:
            raise NotFoundError(f"there is no collection '{collection[:80]}'")
        return str(found)

    async def _row(self, experiment_id: str) -> Row[Any] | None:
        async with self._database.connect() as connection:
            return (
                await connection.execute(select(experiments).where(experiments.c.id == experiment_id))
            ).first()

    async def _change(self, experiment_id: str, **values: object) -> None:
        async with self._database.begin() as connection:
            await connection.execute(
                update(experiments).where(experiments.c.id == experiment_id).values(**values)
            )


def kind_of(name: str) -> Kind:
    """The kind called ``name``.

    Raises:
        InvalidInputError: There is none.
    """
    for kind in KINDS:
        if kind == name:
            return kind
    raise InvalidInputError(f"'{name[:40]}' is nothing that is tried; there are {', '.join(KINDS)}")


def _is_asked(case: Case, collection: str) -> bool:
    is_elsewhere = case.inputs.collection not in (None, collection)
    return bool(case.metadata.documents) and not case.expected_output.refused and not is_elsewhere


def _moved(scores: Scores) -> float:
    return max((abs(arms["on"] - arms["off"]) for arms in scores.values()), default=0.0)


def _listed() -> Any:
    done = select(func.count()).where(experiment_scores.c.experiment_id == experiments.c.id).scalar_subquery()
    return select(
        experiments,
        collections.c.name.label("collection"),
        func.jsonb_array_length(experiments.c.questions).label("total"),
        done.label("done"),
    ).join(collections, collections.c.id == experiments.c.collection_id)


def _experiment(row: Row[Any]) -> Experiment:
    return Experiment(
        id=row.id,
        kind=row.kind,
        collection_id=row.collection_id,
        collection=row.collection,
        suite=row.suite,
        state=row.state,
        problem=row.problem,
        total=row.total,
        done=row.done,
        conditions=row.conditions,
        proof=Proof.of_json(row.proof) if row.proof else None,
        is_accepted=row.is_accepted,
        started_by=row.started_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
