"""``causeway keys``: who may call, and how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from causeway.cli.dollars import Dollars, limit, shown
from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.gateway.keys import Bounds, Key
    from causeway.wiring import Platform

SCOPES = ("models", "ask", "ingest", "traces", "admin")
ENDPOINTS = ("chat", "embeddings", "rerank", "images")

Command = TypeVar("Command", bound=Callable[..., Any])
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _bounds_options(*, may_be_none: bool) -> Callable[[Command], Command]:
    """The options that say what a key may use and spend."""
    dollars, away = Dollars(may_be_none=may_be_none), "; 'none' takes the limit away" if may_be_none else ""
    options = (
        click.option("--tier", help="Its tier's limits apply.  [default: gateway.default_tier]"),
        click.option("--team", help="A team's name or id; its budget pays too."),
        click.option("--model", "models", multiple=True, help="Only models like this pattern; repeatable."),
        click.option(
            "--endpoint",
            "endpoints",
            multiple=True,
            type=click.Choice(ENDPOINTS),
            help="Only this kind of call; repeatable.",
        ),
        click.option("--budget-day", type=dollars, help=f"Most US dollars it may spend a day (UTC){away}."),
        click.option("--budget-month", type=dollars, help=f"Most US dollars a month (UTC){away}."),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group()
def keys() -> None:
    """Make, list, change and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What the key may do; repeat for several.  [default: models, ask]",
)
@_bounds_options(may_be_none=False)
@click.option("--days", type=click.IntRange(1), help="Days until the key expires.  [default: never]")
@click.option(
    "--user", help="E-mail of whose rights bound it.  [default: a program's own, which reads every document]"
)
@_as_json
def create(
    name: str,
    scopes: tuple[str, ...],
    days: int | None,
    user: str | None,
    as_json: bool,
    **bounds: Any,
) -> None:
    """Make a key called NAME and print it; it is not shown again."""
    import json
    from datetime import timedelta

    from causeway.contracts.identity import COMMAND_LINE, Scope

    async def make(platform: Platform) -> None:
        from causeway.accounts.users import Users
        from causeway.gateway.keys import UNBOUNDED

        expires_at = platform.clock.now() + timedelta(days=days) if days else None
        wanted = [Scope(scope) for scope in scopes or ("models", "ask")]
        allowed = await _changed(platform, UNBOUNDED, bounds)
        owner = (await Users(platform.database, platform.clock).find(user)).id if user else None
        key = await platform.keys.create(
            name, wanted, expires_at=expires_at, bounds=allowed, user=owner, by=COMMAND_LINE
        )
        if as_json:
            click.echo(json.dumps({"id": key.id, "key": key.secret, "scopes": wanted}))
        else:
            click.echo(key.secret)
            click.echo(f"may: {', '.join(wanted)}; this key is not shown again", err=True)

    with_platform(make, models=False)


@keys.command("list")
@_as_json
def list_keys(as_json: bool) -> None:
    """List the keys, newest first, without their secrets."""
    import json

    async def show(platform: Platform) -> None:
        from causeway.gateway.teams import Teams

        now = platform.clock.now()
        names = {team.id: team.name for team in await Teams(platform.database).list()}
        rows = [_described(key, names, now) for key in await platform.keys.list()]
        if as_json:
            click.echo(json.dumps({"keys": rows}))
            return
        for row in rows:
            scopes, who = ",".join(row["scopes"]), f"{row['tier']}{'/' + row['team'] if row['team'] else ''}"
            budgets = f"{shown(row['budget_day_micros'])}/{shown(row['budget_month_micros'])}"
            click.echo(
                f"{row['prefix']}...  {row['state']:8}  {row['created_at']}  {scopes:20}  {who:16}  "
                f"{budgets:12}  {row['name']}"
            )

    with_platform(show, models=False)


@keys.command()
@click.argument("key")
@click.option("--name", help="Call it this from now on.")
@_bounds_options(may_be_none=True)
def update(key: str, name: str | None, **bounds: Any) -> None:
    """Change what KEY, an id or the shown prefix, may use and spend; what is not given stays. In force at once."""
    from causeway.contracts.identity import COMMAND_LINE

    async def change(platform: Platform) -> None:
        present = await platform.keys.find(key)
        allowed = await _changed(platform, present.bounds, bounds)
        await platform.keys.update(present.id, name=name, bounds=allowed, by=COMMAND_LINE)
        click.echo(f"changed {key}", err=True)

    with_platform(change, models=False)


@keys.command()
@click.argument("key")
@click.option(
    "--grace-hours", type=click.FloatRange(min=0), default=0.0, help="Hours that the old secret still works."
)
@_as_json
def rotate(key: str, grace_hours: float, as_json: bool) -> None:
    """Give KEY, an id or the shown prefix, a new secret and print it; the old one ends at once without a grace."""
    import json
    from datetime import timedelta

    from causeway.contracts.identity import COMMAND_LINE

    async def change(platform: Platform) -> None:
        fresh = await platform.keys.rotate(key, grace=timedelta(hours=grace_hours), by=COMMAND_LINE)
        if as_json:
            click.echo(json.dumps({"id": fresh.id, "key": fresh.secret}))
            return
        click.echo(fresh.secret)
        ends = f"works for {grace_hours:g} more hours" if grace_hours else "has ended"
        click.echo(f"the old secret {ends}; the new one is not shown again", err=True)

    with_platform(change, models=False)


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """End KEY, an id or the shown prefix, at once."""
    from causeway.contracts.identity import COMMAND_LINE

    async def end(platform: Platform) -> None:
        await platform.keys.revoke(key, by=COMMAND_LINE)
        click.echo(f"revoked {key}", err=True)

    with_platform(end, models=False)


async def _changed(platform: Platform, bounds: Bounds, options: dict[str, Any]) -> Bounds:
    """``bounds`` with what the options say; what they do not say stays."""
    from dataclasses import replace

    from causeway.errors import InvalidInputError
    from causeway.gateway.teams import Teams

    tier, team = options["tier"], options["team"]
    if tier is not None and tier not in platform.settings.tiers:
        known = ", ".join(sorted(platform.settings.tiers))
        raise InvalidInputError(f"no tier is called '{tier}'; the settings have: {known}")
    return replace(
        bounds,
        tier=tier or bounds.tier,
        team=bounds.team if team is None else (await Teams(platform.database).find(team)).id,
        models=options["models"] or bounds.models,
        endpoints=frozenset(options["endpoints"]) or bounds.endpoints,
        budget_per_day=limit(options["budget_day"], bounds.budget_per_day),
        budget_per_month=limit(options["budget_month"], bounds.budget_per_month),
    )


def _described(key: Key, team_names: dict[str, str], now: Any) -> dict[str, Any]:
    def moment(at: Any) -> str | None:
        return at.isoformat(timespec="seconds") if at else None

    is_expired = key.expires_at is not None and key.expires_at <= now
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "tier": key.bounds.tier,
        "team": team_names.get(key.bounds.team) if key.bounds.team else None,
        "models": list(key.bounds.models),
        "endpoints": sorted(key.bounds.endpoints),
        "budget_day_micros": key.bounds.budget_per_day,
        "budget_month_micros": key.bounds.budget_per_month,
        "created_at": moment(key.created_at),
        "created_by": key.created_by,
        "user": key.user,
        "expires_at": moment(key.expires_at),
        "last_used_at": moment(key.last_used_at),
        "state": "revoked" if key.revoked_at else "expired" if is_expired else "in force",
    }
