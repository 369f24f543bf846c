"""Runs suites: starts them, does their work wherever the process that works is, and resumes what a crash broke off.

A run is a piece of durable work (`causeway.storage.durable`). Its cases are asked a few at a time through the gateway, as
whoever started it, and each result is kept at once. A case that cannot be answered is kept with its fault and never counts
as passed; when several in a row cannot, the run stops and says why, and resuming it asks them again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM, Principal
from causeway.contracts.model_gateway import Call
from causeway.errors import (
    CausewayError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotFoundError,
    TryLaterError,
    first_failure,
)
from causeway.evals.checks import FindsPersonalData, grade
from causeway.evals.outcome import Outcome, Score
from causeway.evals.record import Record
from causeway.evals.run import Forecast, Preferences, Progress, Result, Run, RunOptions, RunState, Started
from causeway.evals.run_store import RunStore
from causeway.evals.statistics import mcnemar
from causeway.evals.subject import EVALS, PURPOSE, Subject
from causeway.evals.suite import Case, Suite
from causeway.storage.durable import Durable

log = logging.getLogger(__name__)

WORK: Final = "evals"
"""What the queue calls this work."""
_RUNS_AT_ONCE: Final = 1
"""Two at the same time would each tell the other's model how slow it is."""
_MOST_FAULTS_IN_A_ROW: Final = 5
_SHOWN: Final = 5


class Judges(Protocol):
    """Models that judge answers; `causeway.evals.judge.Judge`."""

    async def scores(
        self, case: Case, outcome: Outcome, *, rubrics: Sequence[str], model: str, call: Call
    ) -> Sequence[Score]:
        """A score for each of ``rubrics`` that applies."""
        ...

    async def prefer(
        self, question: str, one: str, other: str, *, reference: str = "", model: str, call: Call
    ) -> Literal["one", "other"] | None:
        """The better of two answers, asked in both orders; None when that cannot be told."""
        ...

    def check(self, rubrics: Sequence[str]) -> None:
        """Pass when there are such rubrics; `NotFoundError` when not."""
        ...


class SubjectDoor(Protocol):
    """`causeway.evals.subjects.Subjects`."""

    @property
    def judge(self) -> Judges:
        """What judges answers."""
        ...

    def named(self, name: str) -> Subject:
        """The subject of a name; `NotFoundError` when there is none."""
        ...

    async def missing(self, paths: Sequence[str]) -> Sequence[str]:
        """Which of these documents the library does not have."""
        ...


@dataclass(slots=True)
class _UnderWay:
    """A run that is being worked on."""

    started: Started
    subject: Subject
    call: Call
    identity: Mapping[str, object]
    pending: Iterator[tuple[Case, int]]
    spent_micros: int
    problem: str | None = None
    faults: list[str] = field(default_factory=list)

    def note(self, outcome: Outcome) -> None:
        """Add what one case cost, and stop when it is enough."""
        limit = self.started.run.options.limit_micros
        self.spent_micros += 0 if outcome.reused_from else outcome.cost_micros
        self.faults = [*self.faults, outcome.fault] if outcome.fault else []
        if limit is not None and self.spent_micros >= limit:
            self.problem = f"its answers have cost {self.spent_micros / 1e6:.4f} dollars of {limit / 1e6:.4f}"
        if len(self.faults) >= _MOST_FAULTS_IN_A_ROW:
            self.problem = f"{len(self.faults)} cases in a row could not be answered: {self.faults[-1]}"


class Evals:
    """Suites, run against subjects.

    Args:
        store: Where runs are kept.
        durable: What does their work.
        subjects: What can be asked, and what judges answers.
        personal_data: What the guard finds in a text.
    """

    def __init__(
        self,
        store: RunStore,
        durable: Durable,
        *,
        subjects: SubjectDoor,
        personal_data: FindsPersonalData,
        clock: Clock,
    ) -> None:
        self.store = store
        self._durable = durable
        self._subjects = subjects
        self._personal_data = personal_data
        self._clock = clock

    def register(self, durable: Durable) -> None:
        """Have ``durable`` do the work of runs; before its launch."""
        durable.register(WORK, self.execute, concurrency=_RUNS_AT_ONCE)

    # --- what people ask for -------------------------------------------------------------------------

    async def start(
        self,
        suite: Suite,
        subject: str,
        options: RunOptions,
        *,
        principal: Principal = SYSTEM,
        label: str | None = None,
    ) -> Run:
        """Queue a run of the cases that are for ``subject``.

        Raises:
            NotFoundError: There is no such subject or rubric.
            InvalidInputError: The suite has nothing for it, or gold documents are not in the library; the message names
                them and their cases.
        """
        asked = self._subjects.named(subject)
        suite = _put_to(suite, asked.name)
        self._subjects.judge.check(options.judges)
        if "passages" in asked.aspects:
            await self._require_documents(suite)
        identity = await asked.identity()
        run = await self.store.create(
            suite,
            subject=asked.name,
            options=options,
            identity=identity,
            label=label,
            started_by=principal.id,
        )
        await self._durable.enqueue(WORK, run.id, key=f"{WORK}:{run.id}:{run.attempt}")
        return run

    async def resume(self, run_id: str) -> Run:
        """Queue the rest of a run, the cases with faults among it; one that is queued or being worked on stays so.

        Raises:
            NotFoundError: There is no such run.
            InvalidInputError: It is done, and no case has a fault.
        """
        run = await self.store.run(run_id)
        is_open = run.state in (RunState.QUEUED, RunState.RUNNING)
        if is_open and await self._durable.state(f"{WORK}:{run.id}:{run.attempt}") == "pending":
            return run
        forgotten = await self.store.forget_faults(run.id)
        if run.state is RunState.DONE and not forgotten:
            raise InvalidInputError(f"run '{run.id}' is done; start another")
        await self.store.change(run.id, state=RunState.QUEUED, attempt=run.attempt + 1, problem=None)
        await self._durable.enqueue(WORK, run.id, key=f"{WORK}:{run.id}:{run.attempt + 1}")
        return await self.store.run(run.id)

    async def stop(self, run_id: str) -> Run:
        """Have a run end after the cases that are being asked.

        Raises:
            NotFoundError: There is no such run.
        """
        run = await self.store.run(run_id)
        if run.state in (RunState.QUEUED, RunState.RUNNING):
            await self.store.change(run.id, state=RunState.STOPPED, problem="somebody stopped it")
        return await self.store.run(run.id)

    async def runs(
        self, *, suite: str | None = None, subject: str | None = None, limit: int = 50
    ) -> list[Run]:
        """The newest runs."""
        return await self.store.runs(suite=suite, subject=subject, limit=limit)

    async def suite_of(self, run: Run) -> Suite:
        """The suite as it was when ``run`` began."""
        return await self.store.suite(run.suite_version)

    async def progress(self, run_id: str) -> tuple[Run, Progress]:
        """A run and how far it is."""
        run = await self.store.run(run_id)
        return run, await self.store.progress(run, self._clock.now())

    async def record(self, run_id: str) -> Record:
        """A run's scores, as they are compared.

        Raises:
            NotFoundError: There is no such run.
        """
        started = await self.store.started(run_id)
        return Record.of_results(
            started,
            await self.store.results(started.run.id),
            is_exact=self._is_exact(started.run.subject),
        )

    def _is_exact(self, subject: str) -> bool:
        """Whether a subject does the same when it is asked twice; one that is gone, such as a prompt, may not."""
        try:
            return self._subjects.named(subject).is_exact
        except NotFoundError:
            return False

    async def results(self, run_id: str) -> list[Result]:
        """What became of a run's cases."""
        return await self.store.results((await self.store.run(run_id)).id)

    async def preferences(self, earlier: str, later: str, *, model: str) -> Preferences:
        """Which run's answers the judge on ``model`` finds better, where both answered and differ.

        Raises:
            NotFoundError: There is no such run.
            CausewayError: The judge cannot be reached.
        """
        after = await self.store.started(later)
        before = {result.case: result.outcome for result in await self.results(earlier)}
        now = {result.case: result.outcome for result in await self.results(later)}
        counts = {"one": 0, "other": 0, None: 0}
        for case in after.suite.cases:
            one, other = before.get(case.name), now.get(case.name)
            if one is None or other is None or not _differ(one, other):
                continue
            preferred = await self._subjects.judge.prefer(
                case.inputs.question,
                one.text,
                other.text,
                reference=case.expected_output.reference or "",
                model=model,
                call=Call(principal=EVALS, purpose=PURPOSE),
            )
            counts[preferred] += 1
        return Preferences(
            earlier=counts["one"],
            later=counts["other"],
            neither=counts[None],
            p=mcnemar(counts["other"], counts["one"]),
        )

    async def forecast(self, suite: Suite, subject: str, options: RunOptions) -> Forecast:
        """What a run will probably take, by the newest one of the same suite and subject."""
        named = self._subjects.named(subject).name
        asked = len(_put_to(suite, named).cases) * options.repeats
        for run in await self.store.runs(suite=suite.name, subject=named, limit=10):
            fresh = [
                result.outcome
                for result in await self.store.results(run.id)
                if result.outcome.reused_from is None and result.outcome.fault is None
            ]
            if fresh:
                seconds = sum(outcome.took_ms for outcome in fresh) / 1000 / len(fresh)
                cost = sum(outcome.cost_micros for outcome in fresh) / len(fresh)
                return Forecast(
                    cases=asked,
                    # at the same time as others each takes longer; so this is for those of that run
                    seconds=seconds * asked / run.options.concurrency,
                    cost_micros=round(cost * asked),
                    based_on=run.id,
                )
        return Forecast(cases=asked, seconds=None, cost_micros=None, based_on=None)

    # --- the work ------------------------------------------------------------------------------------

    async def execute(self, run_id: str) -> None:
        """Ask what has not been answered yet; safe to be called again.

        Raises:
            CausewayError: The database or the queue failed; the same call goes on later.
        """
        started = await self.store.started(run_id)
        if started.run.state in (RunState.DONE, RunState.STOPPED):
            return
        await self.store.change(run_id, state=RunState.RUNNING, started_at=self._clock.now())
        try:
            under_way = await self._begin(started)
            if under_way.problem is None:
                await self._ask_all(under_way)
        except (TryLaterError, DatabaseUnavailableError):
            raise  # the queue tries again
        except CausewayError as exc:
            await self._end(run_id, exc.message)
            return
        except Exception:
            await self._end(run_id, "an error inside Causeway; its log has it")
            raise
        await self._end(run_id, under_way.problem)

    async def _begin(self, started: Started) -> _UnderWay:
        run = started.run
        subject = self._subjects.named(run.subject)
        identity = await subject.identity()
        answered = await self.store.answered(run.id)
        pending = [
            (case, repeat)
            for repeat in range(run.options.repeats)
            for case in started.suite.cases
            if (case.name, repeat) not in answered
        ]
        spent = sum(
            result.outcome.cost_micros
            for result in await self.store.results(run.id)
            if not result.outcome.reused_from
        )
        changed = sorted(
            key for key in {*identity, *run.identity} if identity.get(key) != run.identity.get(key)
        )
        problem = f"{', '.join(changed)} changed since it began; start another run" if changed else None
        call = Call(principal=EVALS, purpose=PURPOSE, may_cache=run.options.reuse)
        return _UnderWay(started, subject, call, identity, iter(pending), spent, problem)

    async def _ask_all(self, under_way: _UnderWay) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(under_way.started.run.options.concurrency):
                    group.create_task(self._ask_next(under_way))
        except ExceptionGroup as failed:
            raise first_failure(failed) from failed

    async def _ask_next(self, under_way: _UnderWay) -> None:
        """Take cases one after the other until there are no more."""
        run = under_way.started.run
        for case, repeat in under_way.pending:
            if under_way.problem is not None:
                return
            if (await self.store.run(run.id)).state is RunState.STOPPED:
                under_way.problem = "somebody stopped it"
                return
            asked = _digest(run.subject, under_way.identity, case, repeat)
            outcome = await self._outcome(under_way, case, asked)
            scores = await self._scores(under_way, case, outcome)
            result = Result(
                case=case.name, repeat=repeat, outcome=outcome, scores=tuple(scores), at=self._clock.now()
            )
            await self.store.keep(run.id, result, asked=asked)
            under_way.note(outcome)

    async def _outcome(self, under_way: _UnderWay, case: Case, asked: str) -> Outcome:
        if under_way.started.run.options.reuse:
            earlier = await self.store.earlier(asked)
            if earlier is not None:
                return earlier
        started = self._clock.monotonic()
        try:
            return await under_way.subject.answer(case.inputs, under_way.call)
        except CausewayError as exc:
            took_ms = round((self._clock.monotonic() - started) * 1000)
            log.warning("a case could not be answered", extra={"case": case.name, "reason": exc.code})
            return Outcome(fault=f"{exc.code}: {exc.message}", took_ms=took_ms, trace_id=exc.trace_id)

    async def _scores(self, under_way: _UnderWay, case: Case, outcome: Outcome) -> Sequence[Score]:
        run, suite = under_way.started.run, under_way.started.suite
        checked = grade(
            case,
            outcome,
            aspects=under_way.subject.aspects,
            budgets=suite.budgets,
            personal_data=self._personal_data,
        )
        is_judged = run.options.judged is None or case in suite.cases[: run.options.judged]
        if not run.options.judges or not is_judged or outcome.fault is not None:
            return checked
        judged = await self._subjects.judge.scores(
            case,
            outcome,
            rubrics=run.options.judges,
            model=run.options.judge_model,
            call=under_way.call,
        )
        return (*checked, *judged)

    async def _end(self, run_id: str, problem: str | None) -> None:
        state = RunState.DONE if problem is None else RunState.STOPPED
        record = await self.record(run_id)
        summary = {}
        for check in record.checks():
            interval, cases = record.interval(check)
            summary[check] = (interval.estimate, interval.low, interval.high, cases)
        await self.store.change(
            run_id, state=state, problem=problem, summary=summary, finished_at=self._clock.now()
        )

    async def _require_documents(self, suite: Suite) -> None:
        needed = suite.documents
        missing = await self._subjects.missing(sorted(needed))
        if missing:
            named = ", ".join(f"'{path}' (case {needed[path][0]})" for path in missing[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise InvalidInputError(
                f"suite '{suite.name}' needs {len(missing)} documents that the library does not have: {named}{more}; "
                "ingest them, or mend their paths in the suite"
            )


def _put_to(suite: Suite, subject: str) -> Suite:
    try:
        return suite.put_to(subject)
    except ValueError as exc:
        raise InvalidInputError(str(exc)) from exc


def _differ(one: Outcome, other: Outcome) -> bool:
    """Whether both say something, and not the same."""
    are_answers = all(each.text and not each.refused and each.fault is None for each in (one, other))
    return are_answers and one.text != other.text


def _digest(subject: str, identity: Mapping[str, object], case: Case, repeat: int) -> str:
    asked = {
        "subject": subject,
        "identity": identity,
        "inputs": case.inputs.told,
        "repeat": repeat,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
