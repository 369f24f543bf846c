"""``causeway sources``: the places that collections are kept equal to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.knowledge import LeftSource, SourceStatus
    from causeway.wiring import Platform

_PATIENCE_S = 60.0
_SHOWN = 20
_OUTCOMES = ("new", "changed", "unchanged", "deleted", "failed")


@click.group()
def sources() -> None:
    """List the sources of the settings and sync them."""


@sources.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_sources(as_json: bool) -> None:
    """List the sources, with how their last sync went and when the next is."""
    import json

    async def show(platform: Platform) -> None:
        found = await platform.sources.all()
        left = await platform.sources.left()
        if as_json:
            listed = {
                "sources": [each.as_dict() for each in found],
                "left": [each.as_dict() for each in left],
            }
            click.echo(json.dumps(listed, ensure_ascii=False))
            return
        if not found:
            click.echo("no sources; add a section [sources.NAME] to causeway.toml", err=True)
        for each in found:
            click.echo(f"{each.name:<20} {each.kind:<7} {each.collection:<16} {_said(each)}")
        for gone in left:
            stay = f"{gone.documents:,} documents stay; 'causeway sources remove {gone.name}' decides on them"
            click.echo(f"{gone.name:<20} {'removed':<7} {gone.collection:<16} {stay}")

    with_platform(show, models=False)


@sources.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sync(name: str, as_json: bool) -> None:
    """Sync the source NAME now, looking at everything again; ends when its documents are searchable."""
    import json

    async def work(platform: Platform) -> bool:
        from causeway.cli.ingest import wait
        from causeway.knowledge import SyncSummary

        before = await platform.sources.request(name)
        done = await platform.sources.wait(name, before.last.run, patience_s=_PATIENCE_S)
        waiting = SyncSummary(documents=await platform.sources.unready(name))
        settled = await wait(platform, waiting) if waiting.documents else waiting
        if as_json:
            unread = [{"path": path, "reason": reason} for path, reason in settled.failed]
            click.echo(json.dumps({**done.as_dict(), "unreadable": unread}, ensure_ascii=False))
        else:
            click.echo(_said(done))
            reasons = [(each["path"], each["reason"]) for each in done.last.failures]
            for path, reason in (*reasons, *settled.failed)[:_SHOWN]:
                click.secho(f"  {path}: {reason}", fg="yellow", err=True)
        return done.last.problem is None and not done.last.failures and not settled.failed

    if not with_platform(work, works=True):
        raise SystemExit(1)


@sources.command()
@click.argument("name")
@click.option(
    "--documents/--keep-documents",
    "documents",
    default=None,
    help="Delete the documents that it left, or keep them.  [default: ask; keep them where nobody can be asked]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def remove(name: str, documents: bool | None, as_json: bool) -> None:
    """Decide on the documents of the source NAME, which was taken out of the settings."""
    import json
    import sys

    async def look(platform: Platform) -> LeftSource | None:
        return next((each for each in await platform.sources.left() if each.name == name), None)

    async def work(platform: Platform) -> LeftSource:
        return await platform.sources.forget(name, documents=bool(documents))

    if documents is None and not as_json and sys.stdin.isatty():
        left = with_platform(look, models=False)
        if left is not None and left.documents:
            click.echo(f"'{name}' left {left.documents:,} documents in '{left.collection}'.")
            documents = click.confirm("Delete them? They vanish from every search at once", default=False)
    done = with_platform(work, models=False)
    if as_json:
        click.echo(json.dumps({**done.as_dict(), "deleted": bool(documents)}, ensure_ascii=False))
    elif documents:
        click.echo(f"{name}: removed, with its {done.documents:,} documents")
    elif done.documents:
        click.echo(f"{name}: removed; its {done.documents:,} documents stay in '{done.collection}'")
    else:
        click.echo(f"{name}: removed; it had left no documents")


def _said(status: SourceStatus) -> str:
    """How a source stands, in a line."""
    last = status.last
    if last.state != "idle" or status.is_paused:
        return status.state
    if last.problem:
        return f"failed: {last.problem}"
    if last.run == 0:
        return "never synced"
    return ", ".join(f"{last.counts.get(outcome, 0)} {outcome}" for outcome in _OUTCOMES)
