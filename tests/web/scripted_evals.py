"""Runs in memory for the pages: a suite of the sample company, asked twice, worse the second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM, Principal
from causeway.errors import NotFoundError
from causeway.evals.checks import grade
from causeway.evals.outcome import Mark, Outcome, Shown
from causeway.evals.record import Record
from causeway.evals.run import Progress, Result, Run, RunOptions, RunState, Started
from causeway.evals.suite import Case, Suite
from causeway.evals.suite_files import find_suite

EARLIER, LATER, STOPPED = "run_" + "a" * 32, "run_" + "b" * 32, "run_" + "c" * 32
HOSTILE = "<script>alert(1)</script> 45 days [1]"
_TRACE = "0" * 32


class ScriptedEvals:
    """Three runs: a good one, a worse one, and one that stopped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        whole = find_suite("sample-company")
        self._suite = whole.model_copy(update={"cases": whole.cases[:24]})
        self._runs: dict[str, Run] = {}
        self._results: dict[str, list[Result]] = {}
        self._add(EARLIER, "before", hours=30, wrong=(3, 7), identity={"knowledge.rerank": True})
        self._add(
            LATER,
            "without rerank",
            hours=2,
            wrong=(0, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 15, 16, 17, 19),
            identity={"knowledge.rerank": False},
        )
        self._add(STOPPED, None, hours=1, wrong=(), identity={}, asked=5)
        self.started: list[tuple[str, str, bool]] = []

    def clear(self) -> None:
        """As on the first day."""
        self._runs.clear()

    async def runs(
        self, *, suite: str | None = None, subject: str | None = None, limit: int = 50
    ) -> Sequence[Run]:
        found = [
            run
            for run in self._runs.values()
            if suite in (None, run.suite) and subject in (None, run.subject)
        ]
        return sorted(found, key=lambda run: run.created_at, reverse=True)[:limit]

    async def progress(self, run_id: str) -> tuple[Run, Progress]:
        run = next((run for run in self._runs.values() if run.id.startswith(run_id)), None)
        if run is None:
            raise NotFoundError(f"no run is called '{run_id}'")
        results = self._results[run.id]
        faults = sum(result.outcome.fault is not None for result in results)
        cost = sum(result.outcome.cost_micros for result in results)
        left = 90.0 if run.state is RunState.RUNNING else None
        return run, Progress(done=len(results), total=run.total, faults=faults, cost_micros=cost, left_s=left)

    async def record(self, run_id: str) -> Record:
        run, _ = await self.progress(run_id)
        return Record.of_results(Started(run=run, suite=self._suite), self._results[run.id])

    async def results(self, run_id: str) -> Sequence[Result]:
        return self._results[(await self.progress(run_id))[0].id]

    async def suite_of(self, run: Run) -> Suite:
        return self._suite

    async def start(
        self,
        suite: Suite,
        subject: str,
        options: RunOptions,
        *,
        principal: Principal = SYSTEM,
        label: str | None = None,
    ) -> Run:
        self.started.append((suite.name, subject, options.reuse))
        run_id = "run_" + "d" * 32
        self._results[run_id] = []
        self._runs[run_id] = replace(
            self._runs[EARLIER], id=run_id, state=RunState.RUNNING, summary=None, label=None
        )
        return self._runs[run_id]

    async def resume(self, run_id: str) -> Run:
        return self._change(run_id, RunState.RUNNING, None)

    async def stop(self, run_id: str) -> Run:
        return self._change(run_id, RunState.STOPPED, "somebody stopped it")

    def _change(self, run_id: str, state: RunState, problem: str | None) -> Run:
        self._runs[run_id] = replace(self._runs[run_id], state=state, problem=problem)
        return self._runs[run_id]

    def _add(
        self,
        run_id: str,
        label: str | None,
        *,
        hours: int,
        wrong: tuple[int, ...],
        identity: dict[str, object],
        asked: int = 24,
    ) -> None:
        at = self._clock.now() - timedelta(hours=hours)
        run = Run(
            id=run_id,
            suite=self._suite.name,
            suite_version=self._suite.version,
            subject="knowledge",
            label=label,
            options=RunOptions(),
            identity=identity,
            state=RunState.DONE if asked == 24 else RunState.STOPPED,
            problem=None if asked == 24 else "5 cases in a row could not be answered: model_unavailable",
            attempt=1,
            total=24,
            summary=None,
            started_by="system",
            created_at=at,
            started_at=at,
            finished_at=at + timedelta(minutes=14),
        )
        results = []
        for n, case in enumerate(self._suite.cases[:asked]):
            outcome = _outcome(case, is_right=n not in wrong, is_gone=asked < 24)
            scores = grade(
                case,
                outcome,
                aspects=("text", "passages"),
                budgets=self._suite.budgets,
                personal_data=lambda _text: [],
            )
            results.append(Result(case=case.name, repeat=0, outcome=outcome, scores=scores, at=at))
        self._results[run_id] = results
        record = Record.of_results(Started(run=run, suite=self._suite), results)
        summary = {}
        for check in record.checks():
            interval, cases = record.interval(check)
            summary[check] = (interval.estimate, interval.low, interval.high, cases)
        self._runs[run_id] = replace(run, summary=summary if asked == 24 else None)


def _outcome(case: Case, *, is_right: bool, is_gone: bool) -> Outcome:
    if is_gone:
        return Outcome(fault="model_unavailable: the model is starting", took_ms=900)
    document = case.metadata.documents[0]
    quote = case.metadata.evidence[0].quote
    shown = (
        Shown(path=document, heading="Where it stands", text=quote, score=0.9),
        Shown(path="handbook/leave.md", heading="Leave", text="25 days of annual leave.", score=0.4),
    )
    text = f"{case.expected_output.reference} [1]" if is_right else HOSTILE
    return Outcome(
        text=text,
        shown=shown,
        marks=(Mark(n=1, path=document, quote=quote),),
        trace_id=_TRACE,
        model="qwen2.5-coder-1.5b-instruct",
        cost_micros=120,
        took_ms=14_200,
    )
