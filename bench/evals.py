"""Tells how long runs of evals took and what they found, from the data folders that they were made in.

    causeway ingest samples/documents
    causeway evals run sample-company --subject retrieval
    CAUSEWAY_KNOWLEDGE__RERANK=false causeway evals run sample-company --subject retrieval --label "without rerank"
    causeway evals run sample-company --label "every answer written"
    causeway evals run sample-company --reuse --label "answers taken again"
    causeway evals run judge-calibration --subject judge:correctness:chat
    python -m bench.evals [--note TEXT] FOLDER... > bench/results/evals.md

Retrieval is compared with the committed baseline; whatever else there is, is told as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from bench.machine import describe
from causeway import settings as configuration
from causeway.evals.calibration import SUITE as CALIBRATION
from causeway.evals.calibration import calibrate
from causeway.evals.gate import compare_runs, judge_gate
from causeway.evals.record import Record
from causeway.evals.report import agreement
from causeway.evals.run import Run, RunState
from causeway.wiring import Platform, Work, open_platform

BASELINES = Path(__file__).parent.parent / "evals" / "baselines" / "main"


def main() -> None:
    """Print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--note", default="", help="under which conditions the runs were made")
    arguments = parser.parse_args()
    print("# Evals of the sample company\n")
    print(describe())
    print(f"\nMade by `bench/evals.py`. {arguments.note}\n")
    print("| suite | subject | run | answers | seconds | passed, 95 % interval | gate beside the baseline |")
    print("|---|---|---|---:|---:|---|---|")
    pages = [line for folder in arguments.folders for line in asyncio.run(_told(folder))]
    print(*pages, sep="\n")


async def _told(folder: Path) -> list[str]:
    """A line a run on stdout; what has to follow the table."""
    environment = {**os.environ, "CAUSEWAY_STORAGE__DIR": str(folder)}  # noqa: TID251 - a script
    async with open_platform(configuration.load(environment), work=Work.NEVER) as platform:
        runs = [run for run in await platform.evals.runs(limit=200) if run.state is RunState.DONE]
        after: list[str] = []
        for run in reversed(runs):
            print(await _line(platform, run))
            after += await _more(platform, run)
    return after


async def _line(platform: Platform, run: Run) -> str:
    record = await platform.evals.record(run.id)
    interval, cases = record.interval("passed")
    took = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else 0.0
    passed = f"{interval.estimate:.2f}, {interval.low:.2f} to {interval.high:.2f} of {cases}"
    return (
        f"| {run.suite} | {run.subject} | {run.label or ''} | {run.total} | {took:.0f} | {passed} | "
        f"{_gate(record)} |"
    )


async def _more(platform: Platform, run: Run) -> list[str]:
    """The agreement of a judge; every check of a whole run of the knowledge base."""
    if run.suite == CALIBRATION:
        results = await platform.evals.results(run.id)
        return [f"\n## {run.subject}\n", agreement(calibrate(await platform.evals.suite_of(run), results))]
    if run.subject != "knowledge" or run.options.reuse:
        return []
    record = await platform.evals.record(run.id)
    lines = [f"\n## {run.suite} against {run.subject}\n", "| check | mean | 95 % interval | cases |"]
    lines.append("|---|---:|---:|---:|")
    for check in record.checks():
        interval, cases = record.interval(check)
        lines.append(
            f"| {check} | {interval.estimate:.2f} | {interval.low:.2f} to {interval.high:.2f} | {cases} |"
        )
    return lines


def _gate(record: Record) -> str:
    path = BASELINES / f"{record.suite}.{record.subject.replace(':', '-')}.json"
    if not path.is_file():
        return ""
    earlier = Record.read(path)
    if earlier.run == record.run:
        return "is the baseline"
    ruling = judge_gate(record, compare_runs(earlier, record))
    return "let through" if ruling.is_passed else f"stopped: {ruling.reasons[0]}"


if __name__ == "__main__":
    main()
