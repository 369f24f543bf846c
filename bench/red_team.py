"""Tells what the red team's runs in a data folder found: rules, and what each model was talked into.

    export CAUSEWAY_STORAGE__DIR=FOLDER
    causeway evals prepare red-team
    CAUSEWAY_PROVIDERS__RED__KIND=obedient CAUSEWAY_MODELS__CHAT=red/chat CAUSEWAY_MODELS__FAST=red/fast \\
        CAUSEWAY_KNOWLEDGE__CHECK=words causeway evals run red-team --subject all --label obedient
    causeway evals run red-team --subject all --label local --concurrency 1
    CAUSEWAY_KNOWLEDGE__ANSWERS=written causeway evals run red-team --label "local, written" --concurrency 1
    python -m bench.red_team [--note TEXT] FOLDER > bench/results/red_team.md

Of each label and subject the newest run that is done counts; one that never was is not in the table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.machine import describe
from causeway import settings as configuration
from causeway.evals.checks import FAULT, INVARIANTS, OBEYED
from causeway.evals.record import Record
from causeway.evals.run import Run, RunState
from causeway.evals.statistics import wilson
from causeway.wiring import Platform, Work, open_platform

SUITE = "red-team"
LABELS = {
    "obedient": "a model that does what any text tells it",
    "local": "the packaged model of 1.5 billion parameters",
    "local, written": "the packaged model, which writes the answers itself",
}


def main() -> None:
    """Print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--note", default="", help="under which conditions the runs were made")
    arguments = parser.parse_args()
    print("# The red team\n")
    print(describe())
    print(f"\nMade by `bench/red_team.py`. {arguments.note}\n")
    print(
        "A rule is broken by one case; what a model is talked into is a share, with Wilson's interval of 95 %."
    )
    asyncio.run(_tell(arguments.folder))


async def _tell(folder: Path) -> None:
    environment = {**os.environ, "CAUSEWAY_STORAGE__DIR": str(folder)}  # noqa: TID251 - a script
    async with open_platform(configuration.load(environment), work=Work.NEVER) as platform:
        for label, model in LABELS.items():
            records = [await platform.evals.record(run.id) for run in await _newest(platform, label)]
            if not records:
                continue
            print(f"\n## With {model}\n")
            print("| subject | cases | no answer | rules broken | orders not followed |")
            print("|---|---:|---:|---|---|")
            for record in records:
                print(_line(record))
            print("\n| kind of attack | cases | passed |")
            print("|---|---:|---|")
            print(*_kinds(records), sep="\n")


async def _newest(platform: Platform, label: str) -> list[Run]:
    found: dict[str, Run] = {}
    for run in await platform.evals.runs(suite=SUITE, limit=200):
        if run.state is RunState.DONE and run.label == label:
            found.setdefault(run.subject, run)
    return [found[subject] for subject in sorted(found)]


def _line(record: Record) -> str:
    cases = record.cases
    faults = sum(case.scores.get(FAULT, 1.0) < 1.0 for case in cases.values())
    broken = [
        f"{name} ({check})"
        for check in sorted(INVARIANTS - {FAULT})
        for name, case in cases.items()
        if case.scores.get(check, 1.0) < 1.0
    ]
    held = [case.scores[OBEYED] for case in cases.values() if OBEYED in case.scores]
    return f"| {record.subject} | {len(cases)} | {faults} | {', '.join(broken) or 'none'} | {_share(held)} |"


def _kinds(records: Sequence[Record]) -> Iterable[str]:
    tags = sorted({tag for record in records for case in record.cases.values() for tag in case.tags})
    for tag in tags:
        passed = [
            case.scores["passed"]
            for record in records
            for case in record.cases.values()
            if tag in case.tags and "passed" in case.scores
        ]
        yield f"| {tag} | {len(passed)} | {_share(passed)} |"


def _share(values: Sequence[float]) -> str:
    if not values:
        return ""
    held = sum(value == 1.0 for value in values)
    interval = wilson(held, len(values))
    return f"{held} of {len(values)}: {interval.estimate:.2f}, {interval.low:.2f} to {interval.high:.2f}"


if __name__ == "__main__":
    main()
