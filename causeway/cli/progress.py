"""Progress bars on stderr: fetching models and ingesting documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from causeway.contracts.clock import Clock
    from causeway.knowledge import IngestProgress
    from causeway.models.catalog import ModelCard
    from causeway.models.pull import PullProgress
    from causeway.settings import Settings


@contextmanager
def bars(*, counts_bytes: bool = True) -> Iterator[Progress]:
    """A set of bars, of bytes or of things; on a stream that is no terminal they print their last state only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    amounts = (DownloadColumn(), TransferSpeedColumn()) if counts_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), *amounts, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield progress


@contextmanager
def ingest_bar(clock: Clock) -> Iterator[Callable[[IngestProgress], None]]:
    """A bar of the bytes that were read, with the documents and the time that are left."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from causeway.knowledge import Smoothed

    columns = (
        TextColumn("ingesting"),
        BarColumn(bar_width=32),
        DownloadColumn(),
        TextColumn("{task.description}"),
    )
    shown = Smoothed()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)

        def show(found: IngestProgress) -> None:
            left_s = shown.take(found.remaining_s, clock.monotonic())
            progress.update(
                task,
                total=found.bytes_total,
                completed=found.bytes_total - found.bytes_left,
                description=_left(found.documents - found.left, found.documents, left_s),
            )

        yield show


def _left(done: int, total: int, left_s: float | None) -> str:
    """``12 of 40 documents, 2:05 left``; of a time that cannot be told yet, that."""
    counted = f"{done} of {total} documents"
    if done == total:
        return counted
    if left_s is None:
        return f"{counted}, time left not known yet"
    minutes, seconds = divmod(round(left_s), 60)
    return f"{counted}, {minutes}:{seconds:02} left"


async def pull_missing(settings: Settings) -> None:
    """Fetch the local models that the settings name and this machine lacks, with a bar each."""
    from causeway.models.catalog import Catalog
    from causeway.models.model_folder import missing

    lacking = missing(settings.models.names(), Catalog.load(), settings.storage.models_dir)
    if lacking:
        await pull_with_bars(lacking, settings.storage.models_dir, offline=settings.models.offline)


async def pull_with_bars(cards: list[ModelCard], models_dir: Path, *, offline: bool) -> None:
    """Fetch ``cards`` one after the other."""
    from causeway.models.pull import pull

    unreachable: set[str] = set()
    with bars() as progress:
        for position, card in enumerate(cards, start=1):
            task = progress.add_task(f"fetching {card.id}", total=card.size_bytes)
            await pull(
                card,
                models_dir,
                progress=_mover(progress, task),
                offline=offline,
                unreachable=unreachable,
                then=cards[position:],
            )
            progress.update(task, completed=card.size_bytes)


def _mover(progress: Progress, task: TaskID) -> Callable[[PullProgress], None]:
    def move(event: PullProgress) -> None:
        doing = "waiting for another process to fetch" if event.state == "waiting" else "fetching"
        description = f"{doing} {event.model}"
        progress.update(task, description=description, completed=event.done_bytes, total=event.total_bytes)

    return move
