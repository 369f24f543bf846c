"""``causeway ingest``: files and folders into a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.knowledge import SyncSummary
    from causeway.wiring import Platform


_REDRAWN_EVERY_S = 0.5


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
        started = platform.clock.monotonic()
        for path in paths:
            found = await platform.folders.sync(path.resolve(), collection)
            total += await wait(platform, found)
        if as_json:
            progress = await platform.progress.read(document_ids=total.documents)
            told = {**total.as_dict(), "progress": progress.as_dict()}
            told["took_s"] = round(platform.clock.monotonic() - started, 1)
            click.echo(json.dumps(told, ensure_ascii=False))
        else:
            show(total)
        if watch:
            await platform.folders.watch([path.resolve() for path in paths], collection, on_sync=show)
        return not total.failed

    if not with_platform(work, works=True):
        raise SystemExit(1)


async def wait(platform: Platform, found: SyncSummary) -> SyncSummary:
    """``found`` once each of its documents is ready or failed, with a bar of bytes and what is left meanwhile."""
    import asyncio

    from causeway.cli.progress import ingest_bar

    ids = list(found.documents)
    ended = asyncio.Event()
    outcome: list[SyncSummary] = []

    async def settle() -> None:
        try:
            outcome.append(await platform.folders.wait(found))
        finally:
            ended.set()

    with ingest_bar(platform.clock) as show_progress:
        async with asyncio.TaskGroup() as group:
            group.create_task(settle())
            while not ended.is_set():
                show_progress(await platform.progress.read(document_ids=ids))
                try:
                    await asyncio.wait_for(ended.wait(), _REDRAWN_EVERY_S)
                except TimeoutError:
                    continue
        show_progress(await platform.progress.read(document_ids=ids))
    return outcome[0]


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
