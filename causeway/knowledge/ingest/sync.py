"""A collection is kept equal to a source, whatever the source is.

Owns the rules: what is new, changed, unchanged, moved, gone or failed. An item whose revision is as it was is not
fetched. One that moved keeps its document: by the source's id, else (where the connector says so) by its hash. What
has vanished is forgotten, but only what a listing could see, and never when all of it has: a disk that is not
mounted, or an integration that nothing is shared with any more, looks just like an empty source.

Each document's row, its source's revision and its queued work are committed in one transaction (see
`causeway.knowledge.library`), so a sync that is killed anywhere and started again takes every item exactly once. Files
that were but touched, as all are in a fresh checkout, are compared by their hashes and noted many at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from causeway.errors import (
    DeadlineError,
    DiskFullError,
    NotFoundError,
    OperatorError,
    TryLaterError,
    UnreadableDocumentError,
)
from causeway.knowledge.document import DocumentState
from causeway.knowledge.incoming import Incoming, Known, Touched
from causeway.knowledge.ingest.connector import Before, Connector, Fetched, Item, Listing, owner_of
from causeway.knowledge.ingest.content_hashes import hashes_of
from causeway.knowledge.ingest.folder_scan import reason_of
from causeway.knowledge.ingest.in_parallel import in_parallel
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.library import UNFINISHED, Library
from causeway.storage.blobs import Draft

_AT_ONCE = 4
_NOTED_AT_ONCE = 500
_LONGEST_PATH_BYTES = 2000
"""An entry of a database's index holds 2,700, and the source is in it, too."""
_MOST_IN_A_ROW = 20
"""When this many items fail one after the other for want of an answer, the source is down and the sync ends."""


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """The largest item that is taken, and the setting that says so."""

    size_bytes: int
    setting: str

    def refusal(self, size_bytes: int | None) -> str:
        """Why an item is not taken; None where its size is not known to the end."""
        if size_bytes is None:
            return f"it is larger than the {self.size_bytes:,} bytes that {self.setting} allows"
        return f"it has {size_bytes:,} bytes and {self.setting} allows {self.size_bytes:,}"


@dataclass(frozen=True, slots=True)
class _Owner:
    """A document in whose content further items were found; its revision is noted when those are taken."""

    document_id: str
    revision: str
    attached: tuple[Item, ...]


@dataclass(slots=True)
class _Sync:
    """A sync under way."""

    connector: Connector
    collection: str | None
    known: dict[str, Known]
    retry_failed: bool
    limit: SizeLimit
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    attached: dict[str, Item] = field(default_factory=dict)
    owners: list[_Owner] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    unanswered: int = 0

    def is_due(self, item: Item) -> bool:
        """Whether an item has to be fetched."""
        before = self.known.get(item.path)
        if before is None or before.revision != item.revision:
            return True
        return self.retry_failed and before.state == DocumentState.FAILED

    def may_be_touched(self, item: Item) -> bool:
        """Whether an item that is due may have its document's bytes, so that nothing but its times is to be noted."""
        before = self.known.get(item.path)
        return (
            before is not None
            and item.size_bytes == before.size_bytes <= self.limit.size_bytes
            and not (item.identity or before.identity or item.metadata)
            and not (self.retry_failed and before.state == DocumentState.FAILED)
        )

    def owners_of_failed(self) -> set[str]:
        """Ids of the items in which something was found that failed and is to be tried again: it comes with them."""
        failed = [each for each in self.known.values() if each.state == DocumentState.FAILED]
        return {owner_of(each.identity) for each in failed if self.retry_failed} - {""}

    def keep(self, path: str) -> None:
        """Note that an item is as it was."""
        before = self.known[path]
        self.unchanged.append(path)
        if before.state in UNFINISHED:
            self.documents[before.document_id] = path

    def fail(self, path: str, reason: str) -> None:
        self.failed[path] = reason
        if path in self.changed:  # it moved, and then could not be taken
            self.changed.remove(path)

    def summary(self) -> SyncSummary:
        return SyncSummary(
            new=tuple(sorted(self.new)),
            changed=tuple(sorted(self.changed)),
            unchanged=tuple(sorted(self.unchanged)),
            deleted=tuple(sorted(self.deleted)),
            failed=tuple(sorted(self.failed.items())),
            documents=self.documents,
        )


class Synchroniser:
    """Makes collections equal to sources."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def sync(
        self,
        connector: Connector,
        collection: str | None = None,
        *,
        known: Mapping[str, Known] | None = None,
        since: datetime | None = None,
        retry_failed: bool = True,
        limit: SizeLimit,
    ) -> SyncSummary:
        """Make ``collection`` equal to a source; returns when all is queued.

        Args:
            connector: The source, opened.
            collection: None is the default one.
            known: The documents to compare with; None is all of the source's.
            since: See `Connector.listing`.
            retry_failed: Whether documents that failed are taken again though nothing changed.
            limit: Larger items fail.

        Raises:
            NotFoundError: The source is not there; what came from it stays.
            SettingsError: The source refuses its credentials, or the collection's vectors are of another model.
            DiskFullError: There is no room to store the content.
            TryLaterError: The source does not answer.
        """
        if known is None:
            known = await self._library.known(collection, connector.source)
        listing = await connector.listing(self._before(known), since=since)
        sync = _Sync(connector, collection, dict(known), retry_failed, limit)
        sync.failed.update({path or connector.source: why for path, why in listing.unseen.items()})
        sync.failed.update(listing.failed)
        if known and not listing.items and not sync.failed:
            reason = f"it is empty, and {len(known)} documents came from it: they stay, in case it is only out of reach"
            place = connector.source.removeprefix("folder:")
            return SyncSummary(
                failed=((place, f"{reason}; delete them on the documents page if they are to go"),)
            )
        await self._apply(sync, listing)
        return sync.summary()

    def _before(self, known: Mapping[str, Known]) -> dict[str, Before]:
        return {
            path: Before(
                path=path,
                revision=each.revision,
                identity=each.identity,
                modified_at=each.modified_at,
                find=partial(self._content, each.blob),
            )
            for path, each in known.items()
        }

    def _content(self, sha256: str) -> Path | None:
        try:
            return self._library.originals.path(sha256)
        except NotFoundError:
            return None

    async def _apply(self, sync: _Sync, listing: Listing) -> None:
        """Bring the library in line with what was listed."""
        items = {item.path: item for item in listing.items}
        await self._follow_identities(sync, items)
        hidden = {each.identity for each in sync.known.values() if listing.may_hold(each.path)}
        owners = ({item.identity for item in listing.items} | hidden) - {""}
        vanished = {
            path: before
            for path, before in sync.known.items()
            if path not in items and not listing.may_hold(path) and owner_of(before.identity) not in owners
        }
        again = sync.owners_of_failed()
        due = {path: item for path, item in items.items() if sync.is_due(item) or (item.identity in again)}
        moved = set(sync.changed)
        for path in items.keys() - due.keys() - moved:
            sync.keep(path)
        if sync.connector.follows_content:
            hashes = await self._note_touched(sync, due)
            await self._follow_content(sync, due, vanished, hashes)
        for is_settling in (False, True):
            turn = sorted(path for path, item in due.items() if item.is_settling == is_settling)
            await in_parallel((self._take(sync, due[path]) for path in turn), at_once=sync.connector.at_once)
        vanished |= await self._take_attached(sync, items, owners)
        await in_parallel((self._forget(sync, before) for before in vanished.values()), at_once=_AT_ONCE)

    async def _take_attached(
        self, sync: _Sync, items: Mapping[str, Item], owners: set[str]
    ) -> dict[str, Known]:
        """Take what was found in the items that were fetched; returns what is found in them no more."""
        found = {path: item for path, item in sync.attached.items() if path not in items}
        await self._follow_identities(sync, found)
        due = {path: item for path, item in found.items() if sync.is_due(item)}
        identities = {item.identity for item in found.values()}
        gone: dict[str, Known] = {}
        for path, before in sync.known.items():
            owner = owner_of(before.identity)
            if owner in sync.opened and before.identity not in identities:
                gone[path] = before
            elif owner in owners and path not in due and path not in sync.changed:
                sync.keep(path)
        await in_parallel(
            (self._take(sync, due[path]) for path in sorted(due)), at_once=sync.connector.at_once
        )
        for each in sync.owners:
            if not any(item.path in sync.lost for item in each.attached):
                await self._library.note_revision(each.document_id, each.revision)
        return gone

    async def _follow_identities(self, sync: _Sync, items: Mapping[str, Item]) -> None:
        """Give documents the new paths of the items whose ids they carry; two may change places."""
        by_identity = {each.identity: each for each in sync.known.values() if each.identity}
        moves: dict[str, Item] = {}
        for item in items.values():
            before = by_identity.get(item.identity)
            if item.identity and before is not None and before.path != item.path:
                moves[before.path] = item
        await self._carry_out(sync, moves)

    async def _carry_out(
        self, sync: _Sync, moves: dict[str, Item], *, is_same_content: bool = False
    ) -> dict[str, str]:
        """Give the documents at paths the paths of items; returns which were given which, from -> to.

        ``is_same_content``: their bytes are the items', so the items' revisions are noted with them.
        """
        done: dict[str, str] = {}
        began = {path: path for path in moves}
        while moves:
            free = [path for path, item in moves.items() if item.path not in sync.known]
            for path in free:
                item = moves.pop(path)
                revision = item.revision if is_same_content else None
                if await self._move(sync, path, item.path, item.modified_at, revision):
                    sync.changed.append(item.path)
                    sync.documents[sync.known[item.path].document_id] = item.path
                    done[began[path]] = item.path
            if not free:  # a ring, or a path whose owner is gone: make way
                path, item = next(iter(moves.items()))
                blocked = sync.known[item.path]
                aside = f"{item.path}~{blocked.document_id}"
                if not await self._move(sync, item.path, aside, blocked.modified_at):
                    del moves[path]
                elif item.path in moves:
                    moves[aside] = moves.pop(item.path)
                    began[aside] = item.path
        return done

    async def _move(
        self, sync: _Sync, path: str, target: str, modified_at: datetime, revision: str | None = None
    ) -> bool:
        before = sync.known[path]
        if not await self._library.move(
            before.document_id, path=target, modified_at=modified_at, source_revision=revision
        ):
            return False
        del sync.known[path]
        sync.known[target] = replace(before, path=target)
        return True

    async def _note_touched(self, sync: _Sync, due: dict[str, Item]) -> dict[str, str]:
        """Note the items that have their documents' bytes, many at once, and take them out of ``due``.

        Returns:
            Path -> sha256 of all that had to be read.
        """
        hashes: dict[str, str] = {}
        turn = [item for item in due.values() if sync.may_be_touched(item)]
        turn.sort(key=lambda item: (item.is_settling, item.path))
        for start in range(0, len(turn), _NOTED_AT_ONCE):
            batch = turn[start : start + _NOTED_AT_ONCE]
            read = await hashes_of(sync.connector, batch)
            hashes |= read.by_path
            touched = [
                Touched(before=sync.known[each.path], modified_at=each.modified_at, revision=each.revision)
                for each in batch
                if each.path in read.plain and read.by_path.get(each.path) == sync.known[each.path].blob
            ]
            if touched:
                await self._keep_touched(sync, due, touched)
        return hashes

    async def _keep_touched(self, sync: _Sync, due: dict[str, Item], touched: list[Touched]) -> None:
        noted = await self._library.note_touched(
            sync.collection, sync.connector.source, touched, retry_failed=sync.retry_failed
        )
        for each in touched:
            before = each.before
            if (state := noted.get(before.document_id)) is not None:
                sync.known[before.path] = replace(
                    before, state=state, modified_at=each.modified_at, revision=each.revision
                )
                sync.keep(before.path)
                del due[before.path]

    async def _follow_content(
        self, sync: _Sync, due: dict[str, Item], vanished: dict[str, Known], read: Mapping[str, str]
    ) -> None:
        """Give documents the new paths of their bytes; takes those out of both. ``read``: hashes that are known already.

        A path that is known is given to another document only when its own document's bytes are elsewhere now, as when
        files change places. Else whoever saves over a file goes on with that file's document.
        """
        moves = await self._moves_of_content(sync, due, vanished, read)
        for path, target in (await self._carry_out(sync, moves, is_same_content=True)).items():
            del due[target]
            vanished.pop(path, None)

    async def _moves_of_content(
        self, sync: _Sync, due: Mapping[str, Item], vanished: dict[str, Known], read: Mapping[str, str]
    ) -> dict[str, Item]:
        """The paths whose bytes are elsewhere now, and the items where they are; takes what is not sure out of ``vanished``."""
        left = {**vanished, **{path: sync.known[path] for path in due if path in sync.known}}
        hashes, missed = await self._hashes(sync, due, left, read)
        for path in [path for path, before in vanished.items() if before.size_bytes in missed]:
            del vanished[path]  # what moved on since it was listed may be it: the next sync sees where to
        by_blob: dict[str, list[str]] = {}
        for path, before in left.items():
            if hashes.get(path) != before.blob:  # else it was but touched
                by_blob.setdefault(before.blob, []).append(path)
        moves: dict[str, Item] = {}
        for target in sorted(hashes, key=lambda path: (path in sync.known, path)):
            is_touched = target in left and hashes[target] == left[target].blob
            if not is_touched and (paths := by_blob.get(hashes[target])):
                moves[paths.pop()] = due[target]
        while taken := [
            path for path, item in moves.items() if item.path in sync.known and item.path not in moves
        ]:
            for path in taken:
                del moves[path]
        return moves

    async def _hashes(
        self, sync: _Sync, due: Mapping[str, Item], left: Mapping[str, Known], read: Mapping[str, str]
    ) -> tuple[dict[str, str], set[int | None]]:
        """Path -> sha256 of the items whose bytes may be those of a document of another path; sizes of those that went."""
        owners: dict[int | None, set[str]] = {}
        for path, before in left.items():
            owners.setdefault(before.size_bytes, set()).add(path)
        how_many = Counter(item.size_bytes for item in due.values())
        wanted: list[Item] = []
        for path, item in due.items():
            candidates = owners.get(item.size_bytes, set())
            is_wanted = candidates - {path} or (candidates and how_many[item.size_bytes] > 1)
            if is_wanted and path not in read:
                wanted.append(item)
        found = await hashes_of(sync.connector, wanted)
        hashes = {path: sha256 for path, sha256 in read.items() if path in due} | found.by_path
        return hashes, {due[path].size_bytes for path in found.gone}

    async def _take(self, sync: _Sync, item: Item) -> None:
        """Fetch an item and add it, or note why not."""
        if item.size_bytes is not None and item.size_bytes > sync.limit.size_bytes:
            sync.fail(item.path, sync.limit.refusal(item.size_bytes))
            return
        if len(item.path.encode("utf-8", "replace")) > _LONGEST_PATH_BYTES:
            sync.fail(item.path, f"its path is longer than {_LONGEST_PATH_BYTES:,} bytes; shorten it")
            return
        try:
            fetched = await sync.connector.fetch(item)
            async with self._file(fetched, sync.limit) as file:
                await self._add(sync, item, fetched, file)
            if item.identity and fetched.is_whole:
                sync.opened.add(item.identity)
                sync.attached.update({each.path: each for each in fetched.attached})
        except UnreadableDocumentError as exc:
            sync.fail(item.path, exc.message)
            sync.unanswered = 0
        except TryLaterError as exc:
            sync.unanswered += 1
            if sync.unanswered >= _MOST_IN_A_ROW:
                raise DeadlineError(
                    f"{sync.unanswered} items of {sync.connector.source} failed in a row, the last because"
                    f" {exc.message}; the rest is left for the next sync"
                ) from exc
            sync.fail(item.path, exc.message)
            sync.lost.add(item.path)
        else:
            sync.unanswered = 0

    async def _add(self, sync: _Sync, item: Item, fetched: Fetched, file: Path | Draft) -> None:
        revision = fetched.revision or item.revision
        incoming = Incoming(
            collection=sync.collection,
            source=sync.connector.source,
            path=item.path,
            file=file,
            modified_at=fetched.modified_at or item.modified_at,
            metadata={**item.metadata, **fetched.metadata},
            identity=item.identity,
            revision="" if fetched.attached else revision,
        )
        try:
            added = await self._library.add(incoming, retry_failed=sync.retry_failed)
        except OperatorError as exc:
            if isinstance(exc, DiskFullError) or not isinstance(exc.__cause__, OSError):
                raise
            is_this_file = exc.__cause__.filename == str(file)
            sync.fail(item.path, reason_of(exc.__cause__) if is_this_file else exc.message)
            return
        if item.path not in sync.changed:
            outcomes = {"new": sync.new, "changed": sync.changed, "unchanged": sync.unchanged}
            outcomes[added.change].append(item.path)
        if added.state in UNFINISHED:
            sync.documents[added.document_id] = item.path
        if fetched.attached:
            sync.owners.append(_Owner(added.document_id, revision, fetched.attached))

    @asynccontextmanager
    async def _file(self, fetched: Fetched, limit: SizeLimit) -> AsyncIterator[Path | Draft]:
        """The content as a file, or as a draft that is gone after the block unless it was added."""
        if isinstance(fetched.content, Path):
            yield fetched.content
            return
        async with self._library.originals.draft() as draft:
            if isinstance(fetched.content, bytes):
                if len(fetched.content) > limit.size_bytes:
                    raise UnreadableDocumentError(limit.refusal(len(fetched.content)))
                await draft.write(fetched.content)
            else:
                async with aclosing(fetched.content) as pieces:
                    async for piece in pieces:
                        if draft.size_bytes + len(piece) > limit.size_bytes:
                            raise UnreadableDocumentError(limit.refusal(None))
                        await draft.write(piece)
            yield draft

    async def _forget(self, sync: _Sync, before: Known) -> None:
        try:
            await self._library.delete(before.document_id)
        except NotFoundError:
            if not owner_of(before.identity):
                return  # else it went with its owner a moment ago
        sync.deleted.append(before.path)
