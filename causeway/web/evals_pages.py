"""Evals for people: the runs and their trends, one run, two beside each other, and one case in both."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from causeway.errors import NotFoundError
from causeway.evals.calibration import SUITE as CALIBRATION
from causeway.evals.calibration import Calibration, calibrate
from causeway.evals.checks import PASSED
from causeway.evals.gate import compare_runs, judge_gate
from causeway.evals.run import Result, Run, RunOptions, RunState
from causeway.evals.suite_files import find_suite, packaged_names
from causeway.web.parts import EvalDoor
from causeway.web.rendering import is_fragment, link, page
from causeway.web.sign_in import Admin, Parts

router = APIRouter(include_in_schema=False)

RunId = Annotated[str, Path(pattern="^run_[0-9a-f]{4,32}$")]
_SUBJECTS = (
    "knowledge",
    "retrieval",
    "analyst",
    "gateway",
    "prompts",
    "router",
    "tenants",
    "model:chat",
    "judge:correctness:chat",
)
_FIRST = "sample-company"
_RUNS = 60
_TREND_RUNS = 30
_WORD = re.compile(r"\s+|[^\s]+")


@dataclass(frozen=True, slots=True)
class Trend:
    """How a suite went against a subject, oldest run first; shares from 0 to 1."""

    suite: str
    subject: str
    runs: tuple[Run, ...]

    @property
    def points(self) -> list[tuple[float, float]]:
        """The line, in a box of 100 by 28."""
        of = max(1, len(self.runs) - 1)
        return [(100 * n / of, 28 - 28 * _passed(run)) for n, run in enumerate(self.runs)]

    @property
    def latest(self) -> float:
        """The share that passed in the newest."""
        return _passed(self.runs[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """A case in a list: what became of it, here and in the run beside it."""

    name: str
    question: str
    tags: Sequence[str]
    result: Result | None
    beside: Result | None = None

    @property
    def change(self) -> Literal["broken", "fixed", "same"]:
        """Whether it passed in one of both alone."""
        now, before = is_passed(self.result), is_passed(self.beside)
        if now is None or before is None or now == before:
            return "same"
        return "fixed" if now else "broken"


def _door(parts: Parts) -> EvalDoor:
    if parts.evals is None:
        msg = "there are no evals here"
        raise NotFoundError(msg)
    return parts.evals


Evals = Annotated[EvalDoor, Depends(_door)]


@router.get("/evals", name="evals")
async def show(request: Request, evals: Evals, parts: Parts, _admin: Admin) -> Response:
    """The runs; their table alone when htmx asks."""
    runs = await evals.runs(limit=_RUNS)
    found = [await evals.progress(run.id) for run in runs]
    is_busy = any(run.state in (RunState.QUEUED, RunState.RUNNING) for run in runs)
    values = {
        "found": found,
        "is_busy": is_busy,
        "trends": _trends(runs),
        "suites": [
            *sorted(packaged_names(), key=lambda name: (name != _FIRST, name)),
            *(await parts.review.collected.names() if parts.review else ()),
        ],
        "subjects": _SUBJECTS,
    }
    return page(request, "evals_table.html" if is_fragment(request) else "evals.html", values)


@router.post("/evals", name="eval_start")
async def start(
    request: Request,
    evals: Evals,
    parts: Parts,
    admin: Admin,
    suite: Annotated[str, Form(max_length=80)],
    subject: Annotated[str, Form(max_length=200)],
    reuse: Annotated[bool, Form()] = False,
) -> Response:
    """Run a packaged or a collected suite, from a plain form."""
    collected = await parts.review.collected.names() if parts.review else {}
    if suite not in packaged_names() and suite not in collected:
        raise NotFoundError(
            f"no suite is called '{suite[:80]}'; there are {', '.join((*packaged_names(), *collected))}"
        )
    asked = (
        await parts.review.collected.suite(suite)
        if parts.review and suite in collected
        else find_suite(suite)
    )
    run = await evals.start(asked, subject, RunOptions(reuse=reuse), principal=admin)
    return RedirectResponse(link(request, "eval_run", run_id=run.id), status_code=303)


@router.get("/evals/{run_id}", name="eval_run")
async def show_run(run_id: RunId, request: Request, evals: Evals, _admin: Admin) -> Response:
    """One run: its scores with intervals, its cases, and runs to put beside it."""
    run, progress = await evals.progress(run_id)
    record = await evals.record(run.id)
    others = [
        other
        for other in await evals.runs(suite=run.suite, subject=run.subject, limit=_RUNS)
        if other.id != run.id and other.state is RunState.DONE
    ]
    values = {
        "run": run,
        "progress": progress,
        "record": record,
        "scores": [(check, *record.interval(check)) for check in record.checks()],
        "tags": [(tag, *record.interval(PASSED, tag=tag)) for tag in record.tags()],
        "lines": await _lines(evals, run),
        "others": others,
        "calibration": await _calibration(evals, run),
        "is_passed": is_passed,
    }
    return page(request, "eval_run.html", values)


@router.post("/evals/{run_id}/{doing}", name="eval_change")
async def change(
    run_id: RunId, doing: Literal["stop", "resume"], request: Request, evals: Evals, _admin: Admin
) -> Response:
    """Stop a run, or go on with it."""
    await (evals.stop(run_id) if doing == "stop" else evals.resume(run_id))
    return RedirectResponse(link(request, "eval_run", run_id=run_id), status_code=303)


@router.get("/evals/{run_id}/beside", name="eval_compare")
async def show_comparison(
    run_id: RunId,
    request: Request,
    evals: Evals,
    _admin: Admin,
    earlier: Annotated[str, Query(pattern="^run_[0-9a-f]{4,32}$")],
) -> Response:
    """Two runs, check by check and case by case; what changed comes first."""
    run, _ = await evals.progress(run_id)
    before, _ = await evals.progress(earlier)
    record = await evals.record(run.id)
    comparison = compare_runs(await evals.record(before.id), record)
    lines = sorted(
        await _lines(evals, run, before), key=lambda line: ("broken", "fixed", "same").index(line.change)
    )
    values = {
        "run": run,
        "before": before,
        "comparison": comparison,
        "gate": judge_gate(record, comparison),
        "lines": lines,
        "is_passed": is_passed,
    }
    return page(request, "eval_compare.html", values)


@router.get("/evals/{run_id}/cases/{case_name}", name="eval_case")
async def show_case(
    run_id: RunId,
    case_name: Annotated[str, Path(max_length=200)],
    request: Request,
    evals: Evals,
    _admin: Admin,
    earlier: Annotated[str | None, Query(pattern="^run_[0-9a-f]{4,32}$")] = None,
) -> Response:
    """One case: answer, passages and checks, beside those of another run when one is named."""
    run, _ = await evals.progress(run_id)
    case = next((each for each in (await evals.suite_of(run)).cases if each.name == case_name), None)
    if case is None:
        raise NotFoundError(f"run '{run.id}' has no case '{case_name}'")
    sides = [(run, await _result(evals, run, case_name))]
    if earlier is not None:
        before, _ = await evals.progress(earlier)
        sides.insert(0, (before, await _result(evals, before, case_name)))
    answers = [result.outcome.text for _, result in sides if result is not None]
    values = {
        "run": run,
        "case": case,
        "sides": sides,
        "pieces": difference(answers[0], answers[1]) if len(answers) > 1 else [],
        "is_passed": is_passed,
        "gold": set(case.metadata.documents),
    }
    return page(request, "eval_case.html", values)


def is_passed(result: Result | None) -> bool | None:
    """Whether a case passed; None when nothing decides that."""
    scores = result.scores if result is not None else ()
    return next((score.passed for score in scores if score.name == PASSED), None)


def difference(before: str, after: str) -> list[tuple[Literal["same", "gone", "new"], str]]:
    """Two texts as one, in pieces that are in both or in one of them."""
    left, right = _WORD.findall(before), _WORD.findall(after)
    pieces: list[tuple[Literal["same", "gone", "new"], str]] = []
    for kind, low, high, start_at, end in difflib.SequenceMatcher(
        None, left, right, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            pieces.append(("same", "".join(left[low:high])))
            continue
        if high > low:
            pieces.append(("gone", "".join(left[low:high])))
        if end > start_at:
            pieces.append(("new", "".join(right[start_at:end])))
    return pieces


async def _calibration(evals: EvalDoor, run: Run) -> Calibration | None:
    """How well a judge agrees with people, where that is what the run measured."""
    if run.suite != CALIBRATION:
        return None
    return calibrate(await evals.suite_of(run), await evals.results(run.id))


def _trends(runs: Sequence[Run]) -> list[Trend]:
    """A line for each suite and subject with two runs or more."""
    grouped: dict[tuple[str, str], list[Run]] = {}
    for run in reversed(runs):
        if run.state is RunState.DONE and run.summary and PASSED in run.summary:
            grouped.setdefault((run.suite, run.subject), []).append(run)
    return [Trend(*names, tuple(each[-_TREND_RUNS:])) for names, each in grouped.items() if len(each) > 1]


def _passed(run: Run) -> float:
    return run.summary[PASSED][0] if run.summary else 0.0


async def _lines(evals: EvalDoor, run: Run, before: Run | None = None) -> list[CaseLine]:
    results = {result.case: result for result in reversed(await evals.results(run.id))}
    beside = {} if before is None else {each.case: each for each in reversed(await evals.results(before.id))}
    return [
        CaseLine(
            name=case.name,
            question=case.inputs.question,
            tags=case.metadata.tags,
            result=results.get(case.name),
            beside=beside.get(case.name),
        )
        for case in (await evals.suite_of(run)).cases
    ]


async def _result(evals: EvalDoor, run: Run, name: str) -> Result | None:
    return next((each for each in await evals.results(run.id) if each.case == name), None)
