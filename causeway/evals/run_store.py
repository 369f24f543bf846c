"""Suites, runs and results in PostgreSQL: every result is kept the moment it is known, so that a crash loses one case."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Integer, Row, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from causeway.errors import NotFoundError
from causeway.evals.outcome import Outcome, Score
from causeway.evals.run import Progress, Result, Run, RunOptions, RunState, Started
from causeway.evals.suite import Suite
from causeway.storage.database import Database
from causeway.storage.product_schema import eval_results, eval_runs, eval_suites


class RunStore:
    """What is known of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        suite: Suite,
        *,
        subject: str,
        options: RunOptions,
        identity: Mapping[str, object],
        label: str | None,
        started_by: str,
    ) -> Run:
        """A queued run of ``suite``."""
        run_id = f"run_{uuid4().hex}"
        content = suite.model_dump(mode="json")
        kept = insert(eval_suites).values(version=suite.version, name=suite.name, content=content)
        async with self._database.begin() as connection:
            await connection.execute(kept.on_conflict_do_nothing())
            await connection.execute(
                insert(eval_runs).values(
                    id=run_id,
                    suite_version=suite.version,
                    suite=suite.name,
                    subject=subject,
                    label=label,
                    options=options.as_json(),
                    identity=dict(identity),
                    state=RunState.QUEUED,
                    total=len(suite.cases) * options.repeats,
                    started_by=started_by,
                )
            )
        return await self.run(run_id)

    async def run(self, run_id: str) -> Run:
        """The run called ``run_id``, or by the beginning of its id when no other begins so.

        Raises:
            NotFoundError: There is none.
        """
        async with self._database.connect() as connection:
            named = select(eval_runs).where(eval_runs.c.id.startswith(run_id, autoescape=True)).limit(2)
            rows = (await connection.execute(named)).all()
        if len(rows) != 1:
            raise NotFoundError(f"no run is called '{run_id}'; 'causeway evals list' names the runs")
        return _run(rows[0])

    async def started(self, run_id: str) -> Started:
        """The run and its suite."""
        run = await self.run(run_id)
        return Started(run=run, suite=await self.suite(run.suite_version))

    async def suite(self, version: str) -> Suite:
        """The suite as it was when a run began."""
        async with self._database.connect() as connection:
            content = await connection.scalar(
                select(eval_suites.c.content).where(eval_suites.c.version == version)
            )
        return Suite.model_validate(content)

    async def runs(
        self, *, suite: str | None = None, subject: str | None = None, limit: int = 50
    ) -> list[Run]:
        """The newest runs."""
        listed = select(eval_runs).order_by(eval_runs.c.created_at.desc(), eval_runs.c.id).limit(limit)
        if suite is not None:
            listed = listed.where(eval_runs.c.suite == suite)
        if subject is not None:
            listed = listed.where(eval_runs.c.subject == subject)
        async with self._database.connect() as connection:
            return [_run(row) for row in await connection.execute(listed)]

    async def change(self, run_id: str, **values: object) -> None:
        """Write some of a run's columns."""
        async with self._database.begin() as connection:
            await connection.execute(update(eval_runs).where(eval_runs.c.id == run_id).values(**values))

    async def keep(self, run_id: str, result: Result, *, asked: str) -> None:
        """Keep a result; one that is there already stays, since a case that was running at a crash runs twice."""
        row = {
            "run_id": run_id,
            "case_name": result.case,
            "repeat": result.repeat,
            "asked": asked,
            "outcome": result.outcome.as_json(),
            "scores": msgspec.to_builtins(result.scores),
            "is_faulty": result.outcome.fault is not None,
            "at": result.at,
        }
        async with self._database.begin() as connection:
            await connection.execute(insert(eval_results).values(row).on_conflict_do_nothing())

    async def forget_faults(self, run_id: str) -> int:
        """Forget the cases that could not be answered, to ask them again; how many they were."""
        faulty = (eval_results.c.run_id == run_id) & eval_results.c.is_faulty
        async with self._database.begin() as connection:
            return (await connection.execute(delete(eval_results).where(faulty))).rowcount

    async def results(self, run_id: str) -> list[Result]:
        """What became of the cases so far, by name."""
        kept = (
            select(eval_results)
            .where(eval_results.c.run_id == run_id)
            .order_by(eval_results.c.case_name, eval_results.c.repeat)
        )
        async with self._database.connect() as connection:
            return [_result(row) for row in await connection.execute(kept)]

    async def answered(self, run_id: str) -> set[tuple[str, int]]:
        """The cases and repeats that a run has results of."""
        columns = select(eval_results.c.case_name, eval_results.c.repeat)
        async with self._database.connect() as connection:
            rows = await connection.execute(columns.where(eval_results.c.run_id == run_id))
            return {(row.case_name, row.repeat) for row in rows}

    async def earlier(self, asked: str) -> Outcome | None:
        """The newest outcome of the same question to the same subject, if there is one without a fault."""
        newest = (
            select(eval_results.c.outcome, eval_results.c.run_id)
            .where(eval_results.c.asked == asked, ~eval_results.c.is_faulty)
            .order_by(eval_results.c.at.desc())
            .limit(1)
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(newest)).first()
        if row is None:
            return None
        outcome = Outcome.of_json(row.outcome)
        return msgspec.structs.replace(outcome, reused_from=outcome.reused_from or row.run_id)

    async def progress(self, run: Run, now: datetime) -> Progress:
        """How far ``run`` is."""
        counted = select(
            func.count().label("done"),
            func.coalesce(func.sum(case((eval_results.c.is_faulty, 1), else_=0)), 0).label("faults"),
            func.coalesce(func.sum(eval_results.c.outcome["cost_micros"].astext.cast(Integer)), 0).label(
                "cost"
            ),
            func.count().filter(eval_results.c.at >= (run.started_at or run.created_at)).label("lately"),
        ).where(eval_results.c.run_id == run.id)
        async with self._database.connect() as connection:
            row = (await connection.execute(counted)).one()
        left = None
        if run.state is RunState.RUNNING and run.started_at is not None and row.lately:
            # of this attempt alone: a run that was resumed next day did not take a day
            left = (now - run.started_at).total_seconds() / row.lately * (run.total - row.done)
        return Progress(done=row.done, total=run.total, faults=row.faults, cost_micros=row.cost, left_s=left)


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    values["options"] = msgspec.convert(values["options"], RunOptions)
    values["state"] = RunState(values["state"])
    return Run(**values)


def _result(row: Row[Any]) -> Result:
    return Result(
        case=row.case_name,
        repeat=row.repeat,
        outcome=Outcome.of_json(row.outcome),
        scores=tuple(msgspec.convert(row.scores, list[Score])),
        at=row.at,
    )
