"""What ``causeway evals`` prints: a run's report, for people, programs and build servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from causeway.evals.calibration import Calibration
    from causeway.evals.gate import Comparison, Ruling
    from causeway.evals.record import Record
    from causeway.evals.run import Progress, Result, Run
    from causeway.wiring import Platform

MAIN = "main"
ALL = "all"
_BASELINES = Path("evals") / "baselines"
_POLL_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run that has ended."""

    run: Run
    record: Record
    results: list[Result]
    calibration: Calibration | None


def baseline_path(name: str, suite: str, subject: str) -> Path:
    """Where the baseline called ``name`` is kept."""
    return _BASELINES / name / f"{suite}.{subject.replace(':', '-').replace('/', '-')}.json"


def kept_baseline(named: str, suite: str, subject: str) -> Record | None:
    """The baseline of that name or file; None when it has to be a run's id."""
    from causeway.evals.record import Record

    kept = baseline_path(named, suite, subject)
    if named == MAIN or kept.is_file():
        return Record.read(kept)
    return Record.read(Path(named)) if Path(named).is_file() else None


async def wait(platform: Platform, run: Run) -> Run:
    """The run once it has ended, with a bar meanwhile."""
    import asyncio

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from causeway.evals.run import RunState

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), MofNCompleteColumn())
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(f"asking ({run.id[:12]})", total=run.total)
        while True:
            run, done = await platform.evals.progress(run.id)
            bars.update(task, completed=done.done)
            if run.state in (RunState.DONE, RunState.STOPPED):
                return run
            await asyncio.sleep(_POLL_S)


async def finished(platform: Platform, run: Run) -> Finished:
    """``run`` with what became of its cases."""
    from causeway.evals.calibration import SUITE, calibrate

    results = await platform.evals.results(run.id)
    is_of_judge = run.suite == SUITE
    return Finished(
        run=run,
        record=await platform.evals.record(run.id),
        results=results,
        calibration=calibrate(await platform.evals.suite_of(run), results) if is_of_judge else None,
    )


def print_report(
    done: Finished,
    beside: Record | None,
    *,
    as_json: bool,
    markdown: Path | None = None,
    junit: Path | None = None,
) -> bool:
    """Print and write what became of a run; whether the gate lets it through."""
    import json

    from causeway.evals import report
    from causeway.evals.gate import compare_runs, judge_gate

    comparison = compare_runs(beside, done.record) if beside is not None else None
    ruling = judge_gate(done.record, comparison)
    page = report.agreement(done.calibration) + "\n\n" if done.calibration else ""
    page += report.markdown(done.record, done.results, comparison=comparison, ruling=ruling)
    if markdown is not None:
        markdown.write_text(page, encoding="utf-8")
    if junit is not None:
        junit.write_text(report.junit(done.record, done.results, ruling), encoding="utf-8")
    click.echo(json.dumps(report_shape(done, comparison, ruling), ensure_ascii=False) if as_json else page)
    _tell_problem(done)
    return ruling.is_passed


def _tell_problem(done: Finished) -> None:
    if done.run.problem:
        remedy = f"'causeway evals resume {done.run.id[:12]}' goes on"
        click.secho(f"stopped: {done.run.problem}; {remedy}", fg="yellow", err=True)


def print_reports(
    done: list[Finished],
    *,
    as_json: bool,
    markdown: Path | None = None,
    junit: Path | None = None,
) -> bool:
    """Print and write what became of runs against several subjects; whether the gate lets all of them through."""
    import json

    from causeway.evals import report
    from causeway.evals.gate import judge_gate

    ruled = [(each, judge_gate(each.record, None)) for each in done]
    page = report.overview([(each.record, ruling) for each, ruling in ruled])
    page += "\n" + "\n".join(
        report.markdown(each.record, each.results, ruling=ruling) for each, ruling in ruled
    )
    if markdown is not None:
        markdown.write_text(page, encoding="utf-8")
    if junit is not None:
        suites = [report.junit_suite(each.record, each.results, ruling) for each, ruling in ruled]
        junit.write_text(report.junit_of(suites), encoding="utf-8")
    shapes = [report_shape(each, None, ruling) for each, ruling in ruled]
    click.echo(json.dumps({"runs": shapes}, ensure_ascii=False) if as_json else page)
    for each in done:
        _tell_problem(each)
    return all(ruling.is_passed for _, ruling in ruled)


def run_shape(run: Run, progress: Progress) -> dict[str, object]:
    """A run as JSON."""
    return {
        "id": run.id,
        "suite": run.suite,
        "suite_version": run.suite_version,
        "subject": run.subject,
        "label": run.label,
        "state": run.state,
        "problem": run.problem,
        "done": progress.done,
        "total": run.total,
        "faults": progress.faults,
        "cost_usd": progress.cost_micros / 1e6,
        "created_at": run.created_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
    }


def report_shape(done: Finished, comparison: Comparison | None, ruling: Ruling) -> dict[str, object]:
    """A report as JSON."""
    scores = {}
    for check in done.record.checks():
        interval, cases = done.record.interval(check)
        scores[check] = {
            "mean": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "cases": cases,
            "informs": check in done.record.informing,
        }
    shape: dict[str, object] = {
        "run": done.run.id,
        "suite": done.run.suite,
        "subject": done.run.subject,
        "state": done.run.state,
        "problem": done.run.problem,
        "scores": scores,
        "gate": {"passed": ruling.is_passed, "reasons": ruling.reasons, "notes": ruling.notes},
    }
    if done.calibration is not None:
        held_out = done.calibration.held_out
        shape["agreement"] = {
            "kappa": held_out.kappa,
            "accuracy": held_out.accuracy,
            "abstained": held_out.abstained,
            "threshold": done.calibration.threshold,
            "may_gate": done.calibration.trust.may_gate,
        }
    if comparison is not None:
        shape["comparison"] = {
            "baseline": comparison.earlier.run,
            "shared": len(comparison.shared),
            "broken": comparison.broken,
            "fixed": comparison.fixed,
            "checks": {
                line.check: {
                    "before": line.earlier,
                    "now": line.later,
                    "p_worse": line.paired.p_worse,
                    "worse": line.is_worse,
                    "better": line.is_better,
                }
                for line in comparison.lines
            },
        }
    return shape
