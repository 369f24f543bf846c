"""``causeway settings``: what was changed on the administrators' pages, and how to undo it from a shell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from causeway.cli.running import load_settings, run

if TYPE_CHECKING:
    from causeway.gateway.overrides import Overrides
    from causeway.settings import Layer

T = TypeVar("T")


@click.group()
def settings() -> None:
    """See and undo what was changed on the administrators' pages."""


@settings.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_changes(as_json: bool) -> None:
    """List what was changed on pages; 'causeway doctor' prints everything that is in force."""
    import json

    async def show(overrides: Overrides) -> None:
        layer = await overrides.read()
        if as_json:
            click.echo(json.dumps(layer))
            return
        for section, values in layer.items():
            for key, value in values.items():
                click.echo(f"{section}.{key} = {json.dumps(value)}")

    _over_the_database(show)


@settings.command()
@click.argument("section")
def reset(section: str) -> None:
    """Leave SECTION, such as tiers.free or gateway, to file and environment again.

    It works when Causeway no longer starts with what a page changed. Running processes follow within a second.
    """
    from causeway.contracts.identity import COMMAND_LINE
    from causeway.errors import NotFoundError
    from causeway.gateway.overrides import Change

    async def undo(overrides: Overrides) -> None:
        async def nothing_left(layer: Layer) -> Change:
            if section not in layer:
                known = ", ".join(layer) or "nothing"
                raise NotFoundError(f"nothing of '{section}' was changed on pages; what was: {known}")
            return Change(action="setting.reset", overrides={}, before=layer[section], after=None)

        await overrides.change(section, nothing_left, by=COMMAND_LINE)
        click.echo(f"reset {section}", err=True)

    _over_the_database(undo)


def _over_the_database(work: Callable[[Overrides], Awaitable[T]]) -> T:
    """Run ``work`` over the database alone: what pages changed may keep everything else from opening."""
    from causeway.gateway.overrides import Overrides
    from causeway.storage.data_folder import DataFolder
    from causeway.storage.database import open_database

    loaded = load_settings()

    async def opened() -> T:
        database = await open_database(loaded.database, DataFolder(loaded.storage.dir).postgres)
        try:
            return await work(Overrides(database))
        finally:
            await database.close()

    return run(opened())
