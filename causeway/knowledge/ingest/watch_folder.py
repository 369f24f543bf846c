"""Folders: a collection is kept equal to what lies in them.

A file is its path under its root, never its content; a file that moved is recognised by its hash and keeps its
document. What has vanished is forgotten, under that root only, and never when the whole root has: a disk that is
not mounted looks just like an empty folder. A file whose size and time are as they were is not read again.

Follows `causeway.knowledge.ingest.folder_scan` for what counts as a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath

from causeway.contracts.clock import Clock
from causeway.errors import CausewayError, DeadlineError, DiskFullError, NotFoundError, OperatorError
from causeway.knowledge.document import DocumentState
from causeway.knowledge.incoming import Incoming, Known
from causeway.knowledge.ingest.folder_scan import FileState, Scan, look_at, reason_of, scan
from causeway.knowledge.ingest.in_parallel import in_parallel
from causeway.knowledge.library import UNFINISHED, Library
from causeway.settings import KnowledgeSettings

log = logging.getLogger(__name__)

_PREFIX = "folder:"
_ADDED_AT_ONCE = 4
_POLL_S = 0.2
NOTHING_MOVES_S = 1800.0
"""Waiting gives up when no document has advanced for this long: a 3000-page file alone takes 10 minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSummary:
    """What a sync did with each file; paths are relative to the folder's root.

    Attributes:
        failed: Paths with the reason, for a person.
        documents: Id -> path of each document that is not known to be ready or failed yet.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    documents: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: SyncSummary) -> SyncSummary:
        """Both, as one."""
        return SyncSummary(
            new=self.new + other.new,
            changed=self.changed + other.changed,
            unchanged=self.unchanged + other.unchanged,
            deleted=self.deleted + other.deleted,
            failed=self.failed + other.failed,
            documents={**self.documents, **other.documents},
        )

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "new": list(self.new),
            "changed": list(self.changed),
            "unchanged": list(self.unchanged),
            "deleted": list(self.deleted),
            "failed": [{"path": path, "reason": reason} for path, reason in self.failed],
            "documents": list(self.documents),
        }

    def settled(self, failures: Mapping[str, str]) -> SyncSummary:
        """This, now that its documents are ready or have failed: id -> reason."""
        reasons = {self.documents[document_id]: reason for document_id, reason in failures.items()}
        return SyncSummary(
            new=tuple(path for path in self.new if path not in reasons),
            changed=tuple(path for path in self.changed if path not in reasons),
            unchanged=tuple(path for path in self.unchanged if path not in reasons),
            deleted=self.deleted,
            failed=self.failed + tuple(sorted(reasons.items())),
            documents=self.documents,
        )


@dataclass(slots=True)
class _Sync:
    """A sync under way."""

    root: Path
    collection: str | None
    known: Mapping[str, Known]
    retry_failed: bool
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return f"{_PREFIX}{self.root}"

    def is_due(self, path: str, state: FileState) -> bool:
        """Whether a file has to be read."""
        before = self.known.get(path)
        if before is None or (before.size_bytes, before.modified_at) != (state.size_bytes, state.modified_at):
            return True
        return self.retry_failed and before.state == DocumentState.FAILED

    def keep(self, path: str) -> None:
        """Note that a file is as it was."""
        before = self.known[path]
        self.unchanged.append(path)
        if before.state in UNFINISHED:
            self.documents[before.document_id] = path

    def summary(self) -> SyncSummary:
        return SyncSummary(
            new=tuple(sorted(self.new)),
            changed=tuple(sorted(self.changed)),
            unchanged=tuple(sorted(self.unchanged)),
            deleted=tuple(sorted(self.deleted)),
            failed=tuple(sorted(self.failed.items())),
            documents=self.documents,
        )


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
        known = await self._library.known(collection, f"{_PREFIX}{root}")
        known = {each: known[each] for each in known if _is_under(each, under)}
        found = await self._look(path, root, under, known, is_folder=is_folder)
        sync = _Sync(root, collection, known, retry_failed, failed=dict(found.unreadable))
        if known and not found.files and not found.unreadable:
            reason = f"it is empty, and {len(known)} documents came from it: they stay, in case its disk is missing"
            return SyncSummary(
                failed=((str(path), f"{reason}; delete them on the documents page if they are to go"),)
            )
        await self._apply(sync, found)
        if found.links:
            log.info("links are not followed", extra={"root": str(root), "links": len(found.links)})
        return sync.summary()

    async def _place(self, path: Path, collection: str | None, *, is_folder: bool) -> tuple[Path, str]:
        """The root that ``path`` belongs to, and its path under that root."""
        roots = {each.removeprefix(_PREFIX) for each in await self._library.sources(collection)}
        for outer in reversed(path.parents):
            if str(outer) in roots:
                return outer, path.relative_to(outer).as_posix()
        return (path, "") if is_folder or str(path) in roots else (path.parent, path.name)

    async def _look(
        self, path: Path, root: Path, under: str, known: Mapping[str, Known], *, is_folder: bool
    ) -> Scan:
        try:
            if is_folder:
                return await asyncio.to_thread(scan, root, under)
            return Scan(files={under: await asyncio.to_thread(look_at, path)})
        except FileNotFoundError as exc:
            stays = f"; the {len(known)} documents that came from it stay searchable" if known else ""
            raise NotFoundError(f"there is nothing at '{path}'; restore or mount it{stays}") from exc
        except OSError as exc:
            return Scan(unreadable={under: reason_of(exc)})

    async def _apply(self, sync: _Sync, found: Scan) -> None:
        """Bring the library in line with what was found."""
        due = {path: state for path, state in found.files.items() if sync.is_due(path, state)}
        for path in found.files.keys() - due.keys():
            sync.keep(path)
        vanished = {
            path: before
            for path, before in sync.known.items()
            if path not in found.files and not found.may_hold(path)
        }
        await self._follow_moves(sync, due, vanished)
        horizon = self._clock.now() - timedelta(seconds=self._settle_s)
        young = {path: state for path, state in due.items() if state.modified_at > horizon}
        looked = self._clock.monotonic()
        await in_parallel(
            (self._add(sync, path, due[path]) for path in sorted(due.keys() - young.keys())),
            at_once=_ADDED_AT_ONCE,
        )
        if young:
            await asyncio.sleep(max(0.0, self._settle_s - (self._clock.monotonic() - looked)))
            await in_parallel(
                (self._add_settled(sync, path, young[path]) for path in sorted(young)), at_once=_ADDED_AT_ONCE
            )
        await in_parallel(
            (self._forget(sync, before) for before in vanished.values()), at_once=_ADDED_AT_ONCE
        )

    async def _follow_moves(self, sync: _Sync, due: dict[str, FileState], vanished: dict[str, Known]) -> None:
        """Give vanished documents the new paths of their files; takes those out of both."""
        by_size: dict[int, list[Known]] = {}
        for before in vanished.values():
            by_size.setdefault(before.size_bytes, []).append(before)
        for path in [path for path in due if path not in sync.known and due[path].size_bytes in by_size]:
            try:
                sha256 = await asyncio.to_thread(_sha256, sync.root / path)
            except OSError:
                continue  # adding it says why
            same = [
                each
                for each in by_size[due[path].size_bytes]
                if each.blob == sha256 and each.path in vanished
            ]
            for before in same[:1]:
                modified_at = due[path].modified_at
                if await self._library.move(before.document_id, path=path, modified_at=modified_at):
                    del due[path], vanished[before.path]
                    sync.changed.append(path)
                    sync.documents[before.document_id] = path

    async def _add_settled(self, sync: _Sync, path: str, state: FileState) -> None:
        """Add a file unless it is still being written."""
        try:
            now = await asyncio.to_thread(look_at, sync.root / path)
        except OSError as exc:
            sync.failed[path] = reason_of(exc)
            return
        if now == state:
            await self._add(sync, path, state)
        else:
            sync.failed[path] = "it is still being written; ingest it again when it is complete"

    async def _add(self, sync: _Sync, path: str, state: FileState) -> None:
        most = self._settings.max_file_bytes
        if state.size_bytes > most:
            sync.failed[path] = (
                f"it has {state.size_bytes:,} bytes and knowledge.max_file_bytes allows {most:,}"
            )
            return
        incoming = Incoming(
            collection=sync.collection,
            source=sync.source,
            path=path,
            file=sync.root / path,
            modified_at=state.modified_at,
        )
        try:
            added = await self._library.add(incoming, retry_failed=sync.retry_failed)
        except OperatorError as exc:
            if isinstance(exc, DiskFullError) or not isinstance(exc.__cause__, OSError):
                raise
            is_this_file = exc.__cause__.filename == str(incoming.file)
            sync.failed[path] = reason_of(exc.__cause__) if is_this_file else exc.message
            return
        {"new": sync.new, "changed": sync.changed, "unchanged": sync.unchanged}[added.change].append(path)
        if added.state in UNFINISHED:
            sync.documents[added.document_id] = path

    async def _forget(self, sync: _Sync, before: Known) -> None:
        try:
            await self._library.delete(before.document_id)
        except NotFoundError:
            return
        sync.deleted.append(before.path)

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
                    on_sync(await self.wait(found))
                told[path] = found.failed
            try:
                await asyncio.wait_for(stop.wait(), every_s)
            except TimeoutError:
                continue

    async def _sweep(self, path: Path, collection: str | None) -> SyncSummary:
        try:
            return await self.sync(path, collection, retry_failed=False)
        except CausewayError as exc:
            return SyncSummary(failed=((str(path), exc.message),))


def _is_under(path: str, under: str) -> bool:
    return not under or PurePosixPath(path).is_relative_to(under)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
