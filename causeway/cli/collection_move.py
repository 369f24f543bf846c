"""``causeway collections move``: where the vectors of a collection are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform
from causeway.contracts.identity import COMMAND_LINE

if TYPE_CHECKING:
    from causeway.knowledge import Move
    from causeway.wiring import Platform

_POLL_S = 0.5


@click.command()
@click.argument("name")
@click.option(
    "--to", "target", type=click.Choice(["postgres", "pinecone"]), required=True, help="Where they go."
)
@click.option("--no-wait", is_flag=True, help="Ask for it and end; whatever process works does it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def move(name: str, target: str, no_wait: bool, as_json: bool) -> None:
    """Move the vectors of the collection NAME; it is searched and written meanwhile.

    Nothing is embedded again. Stopped and started again, it goes on where it was.
    """
    import json

    async def work(platform: Platform) -> Move:
        status = await platform.moves.request(name, target, by=COMMAND_LINE)
        return status if no_wait else await _wait(platform, status)

    status = with_platform(work, works=not no_wait, models=not no_wait)
    if as_json:
        click.echo(json.dumps(status.as_dict(), ensure_ascii=False))
    else:
        click.echo(_said(status))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def moves(as_json: bool) -> None:
    """List the collections whose vectors are moved, or were."""
    import json

    async def show(platform: Platform) -> None:
        found = await platform.moves.all()
        if as_json:
            click.echo(json.dumps({"moves": [each.as_dict() for each in found]}, ensure_ascii=False))
        else:
            for each in found:
                click.echo(_said(each))

    with_platform(show, models=False)


async def _wait(platform: Platform, status: Move) -> Move:
    """The move once it is done, with a bar meanwhile; what it waits for is said once."""
    import asyncio

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    amounts = (MofNCompleteColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), *amounts)
    told: str | None = None
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"moving to {status.target}", total=status.total or None)
        while status.state != "done":
            await asyncio.sleep(_POLL_S)
            status = await platform.moves.status(status.collection)
            progress.update(task, completed=status.copied, total=status.total or None)
            if status.problem and status.problem != told:
                told = status.problem
                progress.console.print(f"waiting: {told}")
    return status


def _said(status: Move) -> str:
    """How a move stands, in a line."""
    amount = f"{status.copied:,} of {status.total:,} vectors"
    if status.state == "done":
        return f"{status.collection}: {status.total:,} vectors are in {status.target}"
    doing = {"copying": "copied", "cleaning": "switched, the old ones are being deleted; copied"}[
        status.state
    ]
    waits = f"; waiting: {status.problem}" if status.problem else ""
    return f"{status.collection}: to {status.target}, {doing} {amount}{waits}"
