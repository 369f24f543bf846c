"""``causeway evals``: suites of questions, run, compared and gated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from causeway.cli.dollars import Dollars, shown
from causeway.cli.eval_reports import (
    ALL,
    MAIN,
    baseline_path,
    finished,
    kept_baseline,
    print_report,
    print_reports,
    run_shape,
    wait,
)
from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.cli.eval_reports import Finished
    from causeway.evals.record import Record
    from causeway.evals.run import Forecast, Preferences
    from causeway.evals.suite import Case, Suite
    from causeway.wiring import Platform


@click.group()
def evals() -> None:
    """Run suites of questions, compare runs, and gate changes."""


@evals.command("run")
@click.argument("suite")
@click.option(
    "--subject",
    default="knowledge",
    show_default=True,
    help="What is asked: knowledge, retrieval, analyst, gateway, prompts, router, tenants, model:NAME, prompt:NAME; all is"
    " everything that the suite has cases for.",
)
@click.option("--half", type=click.Choice(["development", "held-out"]), help="Only this half of the suite.")
@click.option("--tag", help="Only the cases with this tag.")
@click.option(
    "--repeats",
    default=1,
    show_default=True,
    type=click.IntRange(1, 20),
    help="How often each case is asked.",
)
@click.option(
    "--concurrency",
    default=2,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Cases asked at the same time.",
)
@click.option(
    "--reuse",
    is_flag=True,
    help="Take earlier answers to the same question, where nothing has changed since.",
)
@click.option(
    "--judge",
    "judges",
    multiple=True,
    metavar="RUBRIC",
    help="Have a model judge: correctness, groundedness, relevance, style; repeatable.",
)
@click.option("--judge-model", default="chat", show_default=True, help="The model that judges.")
@click.option("--judged", type=click.IntRange(1), help="Judge no more than the first N cases.")
@click.option("--max-cost", type=Dollars(), metavar="USD", help="Stop when the answers have cost this much.")
@click.option("--label", help="A name for the run.")
@click.option(
    "--baseline", metavar="RUN|NAME|FILE", help="Compare with this: 'main' is evals/baselines/main."
)
@click.option(
    "--gate", is_flag=True, help="Exit with 1 when the run is worse than the baseline or breaks an invariant."
)
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a report.")
@click.option(
    "--junit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the cases as a build server's tests.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def run_suite(
    suite: str, *, subject: str, baseline: str | None, gate: bool, as_json: bool, **chosen: Any
) -> None:
    """Run SUITE, a file or a packaged suite, and show its scores with their intervals."""
    asked = _choose(suite, chosen["half"], chosen["tag"])
    subjects = _every_subject(asked, baseline) if subject == ALL else [subject]
    beside = kept_baseline(baseline, asked.name, subject) if baseline else None

    async def work(platform: Platform) -> tuple[list[Finished], Record | None]:
        from causeway.evals.run import RunOptions

        options = RunOptions(
            repeats=chosen["repeats"],
            concurrency=chosen["concurrency"],
            reuse=chosen["reuse"],
            judges=chosen["judges"],
            judge_model=chosen["judge_model"],
            judged=chosen["judged"],
            limit_micros=chosen["max_cost"],
        )
        earlier = await platform.evals.record(baseline) if baseline and beside is None else beside
        ended = []
        for each in subjects:
            if not as_json:
                _announce(await platform.evals.forecast(asked, each, options), asked, each)
            run = await platform.evals.start(asked, each, options, label=chosen["label"])
            ended.append(await finished(platform, await wait(platform, run)))
        return ended, earlier

    done, earlier = with_platform(work, works=True)
    files = {"markdown": chosen["markdown"], "junit": chosen["junit"]}
    if subject == ALL:
        is_let_through = print_reports(done, as_json=as_json, **files)
    else:
        is_let_through = print_report(done[0], earlier, as_json=as_json, **files)
    if any(each.run.problem is not None for each in done) or (gate and not is_let_through):
        raise SystemExit(1)


@evals.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def resume(run: str, as_json: bool) -> None:
    """Go on with RUN: ask what it has not asked yet, and again what could not be answered."""

    async def work(platform: Platform) -> Finished:
        return await finished(platform, await wait(platform, await platform.evals.resume(run)))

    done = with_platform(work, works=True)
    print_report(done, None, as_json=as_json)
    if done.run.problem is not None:
        raise SystemExit(1)


@evals.command()
@click.argument("run")
def stop(run: str) -> None:
    """Have RUN end after the cases that are being asked; 'resume' goes on with it."""

    async def work(platform: Platform) -> None:
        stopped = await platform.evals.stop(run)
        click.echo(f"{stopped.id} is {stopped.state}")

    with_platform(work, models=False)


@evals.command("list")
@click.option("--suite", help="Only runs of this suite.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="Most runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_runs(suite: str | None, limit: int, as_json: bool) -> None:
    """List the newest runs."""
    import json

    async def work(platform: Platform) -> None:
        found = [
            await platform.evals.progress(run.id)
            for run in await platform.evals.store.runs(suite=suite, limit=limit)
        ]
        if as_json:
            click.echo(json.dumps({"runs": [run_shape(*each) for each in found]}, ensure_ascii=False))
            return
        for run, progress in found:
            moment = run.created_at.strftime("%Y-%m-%d %H:%M")
            named = f"  {run.label}" if run.label else ""
            click.echo(
                f"{run.id[:12]}  {moment}  {run.state:<8} {progress.done:>4}/{run.total:<4} "
                f"{run.suite} / {run.subject}{named}"
            )
        if not found:
            click.echo("no runs; 'causeway evals run sample-company --subject retrieval' makes one", err=True)

    with_platform(work, models=False)


@evals.command()
@click.argument("run")
@click.option("--case", help="Show this case's answer, passages and checks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(run: str, case: str | None, as_json: bool) -> None:
    """Show RUN: its scores with intervals, and what did not pass."""
    import json

    async def work(platform: Platform) -> Finished:
        found, _ = await platform.evals.progress(run)
        return await finished(platform, found)

    done = with_platform(work, models=False)
    if case is None:
        print_report(done, None, as_json=as_json)
        return
    from msgspec import to_builtins

    shape = [
        {"outcome": each.outcome.as_json(), "scores": to_builtins(each.scores)}
        for each in done.results
        if each.case == case
    ]
    if not shape:
        raise click.ClickException(f"run '{done.run.id}' has no case '{case}' yet")
    click.echo(json.dumps(shape, ensure_ascii=False, indent=None if as_json else 2))


@evals.command()
@click.argument("earlier")
@click.argument("later")
@click.option("--judge-model", help="Have this model say which answers are better, in both orders.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(earlier: str, later: str, judge_model: str | None, as_json: bool) -> None:
    """Compare two runs over the cases that they share."""

    async def work(platform: Platform) -> tuple[Finished, Record, Preferences | None]:
        found, _ = await platform.evals.progress(later)
        asked = await platform.evals.preferences(earlier, later, model=judge_model) if judge_model else None
        return await finished(platform, found), await platform.evals.record(earlier), asked

    done, before, preferred = with_platform(work, models=judge_model is not None)
    print_report(done, before, as_json=as_json)
    if preferred is not None:
        click.echo(
            f"answers that differ: {preferred.later} better now, {preferred.earlier} better before, "
            f"{preferred.neither} undecided (p = {preferred.p:.3f})",
            err=as_json,
        )


@evals.command()
@click.argument("run")
@click.option("--name", default=MAIN, show_default=True, help="What the baseline is called.")
def baseline(run: str, name: str) -> None:
    """Keep RUN as a baseline below evals/baselines, to be committed."""

    async def work(platform: Platform) -> Finished:
        found, progress = await platform.evals.progress(run)
        if found.state != "done" or progress.faults:
            raise click.ClickException(
                f"run '{found.id}' is {found.state} with {progress.faults} cases that could not be answered; "
                "a baseline is made of a whole run"
            )
        return await finished(platform, found)

    done = with_platform(work, models=False)
    path = baseline_path(name, done.run.suite, done.run.subject)
    done.record.write(path)
    click.echo(f"wrote {path}")


@evals.command()
@click.argument("suite")
def prepare(suite: str) -> None:
    """Put the documents that come with SUITE into collections of their own."""
    from causeway.evals.suite_files import packaged_documents

    folders = packaged_documents(suite)

    async def work(platform: Platform) -> None:
        from causeway.cli.ingest import show as told
        from causeway.cli.ingest import wait as until_ready
        from causeway.contracts.identity import COMMAND_LINE
        from causeway.evals.tenants import READERS
        from causeway.gateway import audit
        from causeway.knowledge import AccessRules

        rules = AccessRules(platform.database, audit.record)
        for collection, folder in folders.items():
            await platform.collections.ensure(collection)
            if collection in READERS:
                await rules.allow_collection(collection, READERS[collection], by=COMMAND_LINE)
            found = await platform.folders.sync(folder, collection)
            click.echo(f"{collection}: ", nl=False)
            told(await until_ready(platform, found))

    with_platform(work, works=True)


@evals.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 10_000), help="Most votes.")
@click.option(
    "--asked",
    default=0,
    show_default=True,
    type=click.IntRange(0, 200),
    help="Also the questions of the newest N traces of the knowledge base that nobody voted on.",
)
def collect(file: Path, limit: int, asked: int) -> None:
    """Write the questions that people voted on to FILE, a suite to be completed: what has to be in an answer."""
    from causeway.errors import InvalidInputError

    if file.suffix != ".jsonl" or file.exists():
        raise InvalidInputError(f"'{file}' has to be a new file whose name ends in .jsonl")

    async def work(platform: Platform) -> list[Case]:
        from causeway.evals.collect import collect as collected
        from causeway.evals.collect import collect_asked
        from causeway.observability.trace_search import TraceQuery

        votes = await platform.feedback.newest(limit=limit)
        cases = await collected(votes, traces=platform.traces, library=platform.library)
        if asked:
            wanted = TraceQuery(product="ask", vote="none", limit=asked)
            newest = [each.trace_id for each in await platform.traces.find(wanted)]
            cases += await collect_asked(
                newest, traces=platform.traces, library=platform.library, known=cases
            )
        return cases

    cases = with_platform(work, models=False)
    lines = [case.model_dump_json(exclude_defaults=True) for case in cases]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    click.echo(f"wrote {len(cases)} cases to {file}; add the facts that a right answer has to say")


@evals.command()
def suites() -> None:
    """List the packaged suites."""
    from causeway.evals.suite_files import find_suite, packaged_names

    for name in packaged_names():
        click.echo(f"{name:<20} {len(find_suite(name).cases):>4} cases")


def _choose(named: str, half: str | None, tag: str | None) -> Suite:
    from causeway.errors import InvalidInputError
    from causeway.evals.suite_files import find_suite

    suite = find_suite(named)
    try:
        suite = suite.half(half) if half else suite  # type: ignore[arg-type]  # click has checked the word
        return suite.tagged(tag) if tag else suite
    except ValueError as exc:
        raise InvalidInputError(str(exc)) from exc


def _every_subject(suite: Suite, baseline: str | None) -> list[str]:
    from causeway.errors import InvalidInputError

    if baseline:
        msg = "a baseline is one subject's; run each subject beside its own, or leave it out"
        raise InvalidInputError(msg)
    if not suite.subjects:
        raise InvalidInputError(
            f"the cases of suite '{suite.name}' name no subjects in their metadata; say which one with --subject"
        )
    return list(suite.subjects)


def _announce(forecast: Forecast, suite: Suite, subject: str) -> None:
    """What the run will take, before it begins."""
    said = f"{forecast.cases} answers of '{suite.name}' by {subject}"
    if forecast.seconds is None:
        said += "; what they take is not known yet"
    else:
        minutes = forecast.seconds / 60
        cost = f"{shown(forecast.cost_micros)} dollars"
        said += f", about {minutes:.1f} min and {cost} as in {(forecast.based_on or '')[:12]}"
    click.secho(said, dim=True, err=True)
