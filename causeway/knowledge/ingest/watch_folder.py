"""Folders that somebody names: a collection is kept equal to them, once or again and again.

What happens to each file is `causeway.knowledge.ingest.sync`'s to say, what counts as one
`causeway.knowledge.ingest.folder_source`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from causeway.contracts.clock import Clock
from causeway.errors import CausewayError, DeadlineError
from causeway.knowledge.ingest.folder_source import PREFIX, FolderSource
from causeway.knowledge.ingest.sync import SizeLimit, Synchroniser
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.ingest.unpacking import Unpacking
from causeway.knowledge.library import Library
from causeway.settings import KnowledgeSettings
from causeway.storage.background import rest

_POLL_S = 0.2
NOTHING_MOVES_S = 1800.0
"""Waiting gives up when no document has advanced for this long: a 3000-page file alone takes 10 minutes."""


class Folders:
    """Keeps collections equal to folders."""

    def __init__(
        self, *, library: Library, clock: Clock, settings: KnowledgeSettings, settle_s: float = 2.0
    ) -> None:
        """``settle_s``: a file that changed more recently than this is looked at twice, so far apart."""
        self._library = library
        self._clock = clock
        self._settings = settings
        self._settle_s = settle_s
        self._synchroniser = Synchroniser(library)

    async def sync(
        self, path: Path, collection: str | None = None, *, retry_failed: bool = True
    ) -> SyncSummary:
        """Make ``collection`` equal to the folder, or file, at ``path``; returns when all is queued, see `wait`.

        A folder or file inside one that has been synced before is taken as a part of that one.

        Raises:
            NotFoundError: There is nothing at ``path``; what came from it stays.
            SettingsError: The collection's vectors are of another embedding model.
            DiskFullError: There is no room to store the files.
        """
        is_folder = await asyncio.to_thread(path.is_dir)
        root, under = await self._place(path, collection, is_folder=is_folder)
        source = FolderSource(
            root, clock=self._clock, settle_s=self._settle_s, under=under, is_folder=is_folder
        )
        known = await self._library.known(collection, source.source)
        with Unpacking(source) as unpacking:
            return await self._synchroniser.sync(
                unpacking,
                collection,
                known={each: known[each] for each in known if _is_under(each, under)},
                retry_failed=retry_failed,
                limit=SizeLimit(self._settings.max_file_bytes, "knowledge.max_file_bytes"),
            )

    async def _place(self, path: Path, collection: str | None, *, is_folder: bool) -> tuple[Path, str]:
        """The root that ``path`` belongs to, and its path under that root."""
        roots = {each.removeprefix(PREFIX) for each in await self._library.sources(collection)}
        for outer in reversed(path.parents):
            if str(outer) in roots:
                return outer, path.relative_to(outer).as_posix()
        return (path, "") if is_folder or str(path) in roots else (path.parent, path.name)

    async def wait(self, found: SyncSummary, on_done: Callable[[int], object] | None = None) -> SyncSummary:
        """``found`` once each of its documents is ready or failed, whichever process works on them.

        ``on_done`` is told how many are, again and again.

        Raises:
            DeadlineError: Nothing has moved for half an hour.
        """
        ids = list(found.documents)
        before, moved_at = (-1, -1), self._clock.monotonic()
        while True:
            progress = await self._library.progress(ids)
            if on_done is not None:
                on_done(progress.done)
            if progress.done == progress.total:
                return found.settled(progress.failures)
            if (now := (progress.done, progress.chunks)) != before:
                before, moved_at = now, self._clock.monotonic()
            elif self._clock.monotonic() - moved_at > NOTHING_MOVES_S:
                left = progress.total - progress.done
                raise DeadlineError(f"{left} documents do not advance; is `causeway up` or a worker running?")
            await asyncio.sleep(_POLL_S)

    async def watch(
        self,
        paths: Sequence[Path],
        collection: str | None = None,
        *,
        on_sync: Callable[[SyncSummary], object],
        stop: asyncio.Event | None = None,
        every_s: float = 3.0,
    ) -> None:
        """Sync ``paths`` again and again until ``stop`` is set or the task is cancelled.

        ``on_sync`` is told whenever something was done, or fails in another way than before.
        """
        stop = stop or asyncio.Event()
        told: dict[Path, tuple[tuple[str, str], ...]] = {}
        while not stop.is_set():
            for path in paths:
                found = await self._sweep(path, collection)
                is_news = found.new or found.changed or found.deleted or found.documents
                if is_news or found.failed != told.get(path, ()):
                    on_sync(await self._finished(path, found))
                told[path] = found.failed
            await rest(stop, every_s)

    async def _finished(self, path: Path, found: SyncSummary) -> SyncSummary:
        """As `wait`; when there is no waiting any longer, the summary says why, and watching goes on."""
        try:
            return await self.wait(found)
        except CausewayError as exc:
            return replace(found, failed=(*found.failed, (str(path), exc.message)))

    async def _sweep(self, path: Path, collection: str | None) -> SyncSummary:
        try:
            return await self.sync(path, collection, retry_failed=False)
        except CausewayError as exc:
            return SyncSummary(failed=((str(path), exc.message),))


def _is_under(path: str, under: str) -> bool:
    return not under or PurePosixPath(path).is_relative_to(under)
