"""``causeway teams``: keys that are paid for together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from causeway.cli.dollars import Dollars, limit, shown
from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.contracts.money import Micros
    from causeway.wiring import Platform

_DAY_HELP = "Most US dollars its keys may spend a day (UTC)"
_MONTH_HELP = "Most US dollars its keys may spend a month (UTC)"


@click.group()
def teams() -> None:
    """Make and list teams, and set what they may spend."""


@teams.command()
@click.argument("name")
@click.option("--day", type=Dollars(), help=f"{_DAY_HELP}.")
@click.option("--month", type=Dollars(), help=f"{_MONTH_HELP}.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def create(name: str, day: Micros | None, month: Micros | None, as_json: bool) -> None:
    """Make a team called NAME; 'causeway keys create --team NAME' makes its keys."""
    import json

    from causeway.contracts.identity import COMMAND_LINE
    from causeway.gateway.teams import Teams

    async def make(platform: Platform) -> None:
        team = await Teams(platform.database).create(
            name, budget_per_day=day, budget_per_month=month, by=COMMAND_LINE
        )
        click.echo(json.dumps({"id": team.id, "name": team.name}) if as_json else team.id)

    with_platform(make, models=False)


@teams.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_teams(as_json: bool) -> None:
    """List the teams with their budgets a day and a month."""
    import json

    from causeway.gateway.teams import Teams

    async def show(platform: Platform) -> None:
        found = await Teams(platform.database).list()
        if as_json:
            rows = [
                {
                    "id": team.id,
                    "name": team.name,
                    "budget_day_micros": team.budget_per_day,
                    "budget_month_micros": team.budget_per_month,
                }
                for team in found
            ]
            click.echo(json.dumps({"teams": rows}))
            return
        for team in found:
            click.echo(
                f"{team.id}  {shown(team.budget_per_day):>12}  {shown(team.budget_per_month):>12}  {team.name}"
            )

    with_platform(show, models=False)


@teams.command()
@click.argument("team")
@click.option("--day", type=Dollars(may_be_none=True), help=f"{_DAY_HELP}; 'none' takes the limit away.")
@click.option("--month", type=Dollars(may_be_none=True), help=f"{_MONTH_HELP}; 'none' takes it away.")
def budget(team: str, day: Micros | Literal["none"] | None, month: Micros | Literal["none"] | None) -> None:
    """Set what TEAM, a name or id, may spend; a budget that is not given stays. In force at once."""
    from causeway.contracts.identity import COMMAND_LINE
    from causeway.gateway.teams import Teams

    async def change(platform: Platform) -> None:
        all_teams = Teams(platform.database)
        present = await all_teams.find(team)
        changed = await all_teams.set_budget(
            present.id,
            per_day=limit(day, present.budget_per_day),
            per_month=limit(month, present.budget_per_month),
            by=COMMAND_LINE,
        )
        click.echo(
            f"{changed.name}: {shown(changed.budget_per_day)} a day, {shown(changed.budget_per_month)} a month",
            err=True,
        )

    with_platform(change, models=False)
