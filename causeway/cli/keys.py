"""``causeway keys``: who may call."""

from __future__ import annotations

import click

from causeway.cli.running import with_platform

SCOPES = ("models", "ask", "ingest", "admin")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What the key may do; repeat for several.  [default: models, ask]",
)
@click.option("--days", type=click.IntRange(1), help="Days until the key expires.  [default: never]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def create(name: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Make a key called NAME and print it; it is not shown again."""
    import json
    from datetime import timedelta

    from causeway.contracts.identity import Scope
    from causeway.wiring import Platform

    async def make(platform: Platform) -> None:
        expires_at = platform.clock.now() + timedelta(days=days) if days else None
        wanted = [Scope(scope) for scope in scopes or ("models", "ask")]
        key = await platform.keys.create(name, wanted, expires_at=expires_at)
        if as_json:
            click.echo(json.dumps({"id": key.id, "key": key.secret, "scopes": wanted}))
        else:
            click.echo(key.secret)
            click.echo(f"may: {', '.join(wanted)}; this key is not shown again", err=True)

    with_platform(make, models=False)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_keys(as_json: bool) -> None:
    """List the keys, newest first, without their secrets."""
    import json

    from causeway.wiring import Platform

    async def show(platform: Platform) -> None:
        found = await platform.keys.list()
        now = platform.clock.now()
        rows = [
            {
                "id": key.id,
                "name": key.name,
                "prefix": key.prefix,
                "scopes": sorted(key.scopes),
                "created_at": key.created_at.isoformat(timespec="seconds"),
                "expires_at": key.expires_at.isoformat(timespec="seconds") if key.expires_at else None,
                "state": "revoked"
                if key.revoked_at
                else "expired"
                if key.expires_at and key.expires_at <= now
                else "in force",
            }
            for key in found
        ]
        if as_json:
            click.echo(json.dumps({"keys": rows}))
            return
        for row in rows:
            scopes = ",".join(row["scopes"] or [])
            click.echo(
                f"{row['prefix']}...  {row['state']:8}  {row['created_at']}  {scopes:20}  {row['name']}"
            )

    with_platform(show, models=False)


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """End KEY, an id or the shown prefix, at once."""
    from causeway.wiring import Platform

    async def end(platform: Platform) -> None:
        await platform.keys.revoke(key)
        click.echo(f"revoked {key}", err=True)

    with_platform(end, models=False)
