"""``causeway prompts``: other wordings of the prompts, tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.evals.improve import Improvement
    from causeway.wiring import Platform


@click.group()
def prompts() -> None:
    """Try other wordings of prompts."""


@prompts.command()
@click.argument("name")
@click.option("--suite", "named", required=True, help="A suite with a development and a held-out half.")
@click.option(
    "--edits",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML list of edits to try.",
)
@click.option("--model", help="Have this model rewrite the prompt.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write the prompt that won.  [default: NAME.prompt]",
)
def improve(name: str, named: str, edits: Path | None, model: str | None, out: Path | None) -> None:
    """Try other wordings of the prompt NAME; write one that wins on the half it was not chosen on.

    Exits with 1 when none wins: the present prompt stays.
    """
    from causeway.evals.improve import as_file, read_edits
    from causeway.evals.suite_files import find_suite

    suite = find_suite(named)
    listed = read_edits(edits.read_text(encoding="utf-8"), origin=edits.name) if edits else []

    async def work(platform: Platform) -> Improvement:
        return await platform.improver.improve(name, suite, edits=listed, model=model)

    found = with_platform(work)
    _show(found)
    if found.best is None or not found.is_won:
        click.echo("no wording won; the prompt stays as it is")
        raise SystemExit(1)
    path = out or Path(f"{name}.prompt")
    path.write_text(as_file(found.best.prompt), encoding="utf-8")
    click.echo(f"'{found.best.name}' won; wrote {path}")


def _show(found: Improvement) -> None:
    click.echo(f"{found.present:.2f}  as it is (development half)")
    for trial in found.trials:
        click.echo(f"{trial.passed:.2f}  {trial.candidate.name}")
    for name, reason in found.dropped:
        click.secho(f"  not tried: {name}: {reason}", fg="yellow", err=True)
    if found.best is None or found.comparison is None or found.ruling is None:
        return
    click.echo(f"\n'{found.best.name}' on the held-out half:")
    for line in found.comparison.lines:
        if line.is_gated:
            click.echo(
                f"  {line.check}: {line.earlier:.2f} to {line.later:.2f} "
                f"({line.paired.fixed} better, {line.paired.broken} worse, p of better {line.paired.p_better:.3f})"
            )
    for reason in found.ruling.reasons:
        click.secho(f"  {reason}", fg="yellow")
