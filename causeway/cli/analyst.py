"""``causeway analyst``: questions to databases from a terminal, and a first semantic layer of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.analyst.analyst import Answer
    from causeway.analyst.result import Value
    from causeway.wiring import Platform

_MOST_SHOWN = 40


class _AskByDefault(click.Group):
    """``causeway analyst "QUESTION"`` asks; its other commands go by their names."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            return super().resolve_command(ctx, ["ask", *args])
        return super().resolve_command(ctx, args)


@click.group(cls=_AskByDefault, invoke_without_command=False)
def analyst() -> None:
    """Ask a database: causeway analyst "QUESTION".

    It answers with the SQL that it ran, the rows, a chart and what was computed in words. It only reads.
    """


@analyst.command()
@click.argument("question")
@click.option("--database", help="Which of analyst.databases.  [default: the first]")
@click.option(
    "--chart",
    "chart_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the chart into FILE.svg or FILE.png.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ask(question: str, database: str | None, chart_file: Path | None, as_json: bool) -> None:
    """Answer QUESTION from a database."""
    from causeway.analyst.analyst import Question
    from causeway.contracts.identity import COMMAND_LINE
    from causeway.contracts.model_gateway import Call

    if chart_file is not None and chart_file.suffix not in (".svg", ".png"):
        raise click.BadParameter(f"'{chart_file}' ends with neither .svg nor .png", param_hint="--chart")

    async def answer(platform: Platform) -> Answer:
        call = Call(principal=COMMAND_LINE, purpose="analyst")
        return await platform.analyst.ask(Question(text=question, database=database), call)

    given = with_platform(answer)
    if as_json:
        from causeway.web.analyst_shapes import answer_shape

        click.echo(answer_shape(given).model_dump_json())
    else:
        _show(given)
    if chart_file is not None and given.chart is not None:
        _draw(given, chart_file)
    if given.state == "failed":
        raise click.exceptions.Exit(1)


@analyst.command()
@click.argument("database")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to a file.  [default: stdout]"
)
def inspect(database: str, out: Path | None) -> None:
    """Draft the semantic layer of DATABASE from its schema: what is offered, what words mean, what is hidden."""
    from causeway.analyst import semantic_layer
    from causeway.contracts.identity import COMMAND_LINE

    async def draft(platform: Platform) -> str:
        asked = await platform.analyst.databases.asked(database, COMMAND_LINE)
        return semantic_layer.draft(asked.schema)

    drafted = with_platform(draft, models=False)
    if out is None:
        click.echo(drafted, nl=False)
        return
    if out.exists():
        raise click.ClickException(f"'{out}' is there already; remove it, or write to another file")
    out.write_text(drafted, encoding="utf-8")
    click.echo(f"written to {out}; name it in analyst.databases.{database}.layer", err=True)


@analyst.command()
def databases() -> None:
    """List the databases that may be asked."""

    async def listed(platform: Platform) -> list[str]:
        return platform.analyst.databases.names()

    names = with_platform(listed, models=False)
    for name in names:
        click.echo(name)
    if not names:
        click.echo(
            "none: name one in analyst.databases, or start 'causeway up --demo' for the sample shop", err=True
        )


def _show(answer: Answer) -> None:
    if answer.sql:
        click.secho(answer.sql, dim=True)
        click.echo()
    if answer.message:
        click.echo(answer.message)
    if answer.result is not None:
        _table([column.name for column in answer.result.columns], answer.result.rows)
    if answer.explanation is not None:
        click.echo(f"\n{answer.explanation.text}")
        for word, meaning in answer.explanation.terms:
            click.echo(f"  {word}: {meaning}")
        for assumption in answer.explanation.assumptions:
            click.echo(f"  - {assumption}")
    drafts = f", {len(answer.attempts)} drafts" if len(answer.attempts) > 1 else ""
    wrote = f"{answer.model}, " if answer.model else ""
    click.secho(
        f"\n{wrote}{answer.took_ms / 1000:.1f} s{drafts}, trace {answer.trace_id}", dim=True, err=True
    )


def _table(names: list[str], rows: tuple[tuple[Value, ...], ...]) -> None:
    from causeway.guard.plain_output import without_unseen

    def written(value: Value) -> str:
        if isinstance(value, float):
            return f"{value:,.2f}"
        shown = "" if value is None else str(value)
        return "".join(c for c in without_unseen(" ".join(shown.split())) if c.isprintable())[:60]

    cells = [[written(value) for value in row] for row in rows[:_MOST_SHOWN]]
    widths = [max([len(name), *(len(row[place]) for row in cells)]) for place, name in enumerate(names)]
    is_number = [
        all(isinstance(row[place], int | float | None) for row in rows) for place in range(len(names))
    ]

    def line(parts: list[str]) -> str:
        padded = (
            part.rjust(width) if right else part.ljust(width)
            for part, width, right in zip(parts, widths, is_number, strict=True)
        )
        return "  ".join(padded).rstrip()

    click.secho(line(names), bold=True)
    for row in cells:
        click.echo(line(row))
    if len(rows) > _MOST_SHOWN:
        click.secho(f"... and {len(rows) - _MOST_SHOWN:,} more rows", dim=True)


def _draw(answer: Answer, file: Path) -> None:
    from causeway.analyst import draw_chart

    if answer.chart is None or answer.chart.spec is None:
        click.echo("no chart: the result is a single number or a table", err=True)
        return
    spec = answer.chart.spec
    if file.suffix == ".png":
        file.write_bytes(draw_chart.png(spec))
    else:
        file.write_text(draw_chart.svg(spec), encoding="utf-8")
    click.echo(f"chart written to {file}", err=True)
