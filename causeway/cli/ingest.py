"""``causeway ingest``: files and folders into a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.knowledge import SyncSummary
    from causeway.wiring import Platform


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--collection", help="Where they go.  [default: knowledge.collection]")
@click.option("--watch", is_flag=True, help="Keep the collection equal to the folders until stopped.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ingest(paths: tuple[Path, ...], collection: str | None, watch: bool, as_json: bool) -> None:
    """Make the files and folders at PATHS searchable, and forget what has gone from the folders."""
    import json

    async def work(platform: Platform) -> bool:
        from causeway.knowledge import SyncSummary

        total = SyncSummary()
        for path in paths:
            found = await platform.folders.sync(path.resolve(), collection)
            total += await wait(platform, found)
        if as_json:
            click.echo(json.dumps(total.as_dict(), ensure_ascii=False))
        else:
            show(total)
        if watch:
            await platform.folders.watch([path.resolve() for path in paths], collection, on_sync=show)
        return not total.failed

    if not with_platform(work, works=True):
        raise SystemExit(1)


async def wait(platform: Platform, found: SyncSummary) -> SyncSummary:
    """``found`` once each of its documents is ready or failed, with a bar meanwhile."""
    from causeway.cli.progress import bars

    with bars(counts_bytes=False) as progress:
        task = progress.add_task("ingesting", total=len(found.documents))
        return await platform.folders.wait(found, lambda done: progress.update(task, completed=done))


def show(summary: SyncSummary) -> None:
    """Say what a sync did."""
    counts = {
        "new": len(summary.new),
        "changed": len(summary.changed),
        "unchanged": len(summary.unchanged),
        "deleted": len(summary.deleted),
        "failed": len(summary.failed),
    }
    click.echo(", ".join(f"{count} {word}" for word, count in counts.items()))
    for path, reason in summary.failed:
        click.secho(f"  {path}: {reason}", fg="yellow", err=True)
