"""Documents: their identity, their revisions, and what is queued to make them searchable.

Row, file and queued work stay together whatever crashes: the file is stored first, then the row and its work are
committed in one transaction, the work under a key made of the document and its revision. Chunks belong to
`causeway.knowledge.index`; they vanish with their document by foreign key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    delete,
    func,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal
from causeway.errors import BusyError, NotFoundError
from causeway.knowledge.access import no_document
from causeway.knowledge.collection_options import options_of
from causeway.knowledge.collections import Collection, Collections
from causeway.knowledge.document import Chunk, Document, DocumentState, unpacked
from causeway.knowledge.document_rows import (
    found_in,
    insert_row,
    lock_row,
    matching,
    note_rows,
    ordered,
    queued_again,
    title_of,
    update_row,
)
from causeway.knowledge.incoming import Added, Incoming, Known, Touched
from causeway.knowledge.originals import Originals
from causeway.knowledge.page_words import PageWords
from causeway.knowledge.past_revisions import KeptRevision, PastRevisions, retire
from causeway.knowledge.sight import Sight
from causeway.storage.blobs import BlobRef
from causeway.storage.database import Database
from causeway.storage.durable import Durable, Priority
from causeway.storage.schema import chunks, collections, documents, page_words, past_revisions

INGEST = "ingest"
"""The name of the durable work that makes one revision of a document searchable."""

UPLOAD = "upload"
"""The source of what people send."""

UNFINISHED = (DocumentState.QUEUED, DocumentState.PROCESSING)

_MOST_PUTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPage:
    """A page of a listing.

    Attributes:
        total: Documents that match, on all pages.
        counts: How many match in each state, whichever state was asked for.
    """

    documents: tuple[Document, ...]
    total: int
    counts: Mapping[DocumentState, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far some documents are.

    Attributes:
        done: Ready, failed, paused, cancelled, or deleted meanwhile.
        chunks: Chunks of theirs that are searchable.
        failures: Document id -> why it is not ready.
    """

    total: int
    done: int
    chunks: int
    failures: Mapping[str, str]


class Library:
    """Keeps documents; safe for many callers in many processes at once."""

    def __init__(
        self,
        *,
        database: Database,
        collections: Collections,
        originals: Originals,
        durable: Durable,
        keeps_past: bool = True,
    ) -> None:
        """``keeps_past``: whether a deleted document can still be opened where it was cited."""
        self._database = database
        self._collections = collections
        self._originals = originals
        self._durable = durable
        self._sight = Sight(database, None)
        self._keeps_past = keeps_past
        self.past = PastRevisions(database=database, originals=originals)
        self._is_queue_reached = False

    def seen_by(self, principal: Principal) -> Library:
        """The library as a caller sees it: of what they may not see, nothing can be read, deleted or tried again."""
        seen = copy(self)
        seen._sight = Sight.of(principal, self._database)
        seen.past = self.past.seen_by(principal)
        return seen

    @property
    def originals(self) -> Originals:
        """Where the documents' files are."""
        return self._originals

    # --- in and out ----------------------------------------------------------------------------------

    async def add(self, incoming: Incoming, *, retry_failed: bool = False) -> Added:
        """Store a file and queue its ingestion; bytes that the document has already change nothing.

        When this returns, file and row are safe on disk. ``retry_failed`` queues a document that failed once more,
        though its bytes are the same.

        Raises:
            InvalidInputError: The collection's name cannot be used.
            SettingsError: The collection's vectors are of another embedding model.
            DiskFullError: There is no room for the file.
            OperatorError: The file cannot be read, or not stored.
        """
        await self._reach_queue()
        collection_id = await self._collections.ensure(incoming.collection)
        for _ in range(_MOST_PUTS):
            blob = await self._originals.put(incoming.file)
            added = await self._keep(collection_id, incoming, blob, retry_failed=retry_failed)
            if added is not None:
                return added
        raise BusyError(f"'{incoming.path}' is being deleted elsewhere over and over; try again")

    async def _keep(
        self, collection_id: str, incoming: Incoming, blob: BlobRef, *, retry_failed: bool
    ) -> Added | None:
        """Commit the row and its work; None when a deletion got in between and all must be done again."""
        overtaken: str | None = None
        async with self._database.begin() as connection:
            if not await self._originals.hold(connection, blob.sha256):
                return None
            new = await connection.execute(insert_row(collection_id, incoming, blob))
            document_id = new.scalar_one_or_none()
            if document_id is not None:
                added = Added(document_id=document_id, revision=1, change="new", state=DocumentState.QUEUED)
            else:
                before = (await connection.execute(lock_row(collection_id, incoming))).one_or_none()
                if before is None:
                    return None
                is_retried = retry_failed and before.state == DocumentState.FAILED
                is_due = before.blob != blob.sha256 or is_retried
                overtaken = before.blob if is_due else None
                added = await update_row(connection, before, incoming, blob, is_due=is_due)
            if added.change != "unchanged":
                priority = priority_of(incoming.source)
                await self._enqueue(connection, added.document_id, added.revision, priority)
        await self._originals.forget([overtaken])
        return added

    async def note_touched(
        self, collection: str | None, source: str, files: Sequence[Touched], *, retry_failed: bool = False
    ) -> dict[str, DocumentState]:
        """Note times and revisions of files without an id that have their documents' bytes: what `add` does, all at once.

        Left out is what wants `add` itself: a document that is gone, moved, changed since, or being changed right now; one
        that failed, with ``retry_failed``; and one whose stored file is not there.

        Returns:
            The ids of the documents of which it was noted, and their states.

        Raises:
            SettingsError: The collection's vectors are of another embedding model.
        """
        collection_id = await self._collections.ensure(collection)
        kept = await asyncio.to_thread(self._kept, files)
        if not kept:
            return {}
        async with self._database.begin() as connection:
            noted = note_rows(collection_id, source, kept, retry_failed=retry_failed)
            rows = (await connection.execute(noted)).all()
        return {row.id: DocumentState(row.state) for row in rows}

    def _kept(self, files: Sequence[Touched]) -> list[Touched]:
        return [each for each in files if self._originals.is_kept(each.before.blob, each.before.size_bytes)]

    async def move(
        self, document_id: str, *, path: str, modified_at: datetime, source_revision: str | None = None
    ) -> bool:
        """Give a document another path in its source and keep its id; False when it is gone or the path is taken.

        It is ingested again when its name had a say: as its title, or as a hint of its type.
        """
        await self._reach_queue()
        found = select(documents.c.title, documents.c.path).where(documents.c.id == document_id)
        try:
            async with self._database.begin() as connection:
                row = (await connection.execute(found.with_for_update())).one_or_none()
                if row is None:
                    return False
                is_named_for_file = row.title == title_of(row.path)
                is_repeated = is_named_for_file or _suffix(row.path) != _suffix(path)
                moved = update(documents).where(documents.c.id == document_id)
                moved = moved.values(path=path, modified_at=modified_at)
                if source_revision is not None:
                    moved = moved.values(source_revision=source_revision)
                if is_named_for_file:
                    moved = moved.values(title=title_of(path))
                if is_repeated:
                    moved = moved.values(queued_again())
                revision = (await connection.execute(moved.returning(documents.c.revision))).scalar_one()
                if is_repeated:
                    await self._enqueue(connection, document_id, revision, Priority.NORMAL)
        except IntegrityError:
            return False
        return True

    async def note_revision(self, document_id: str, source_revision: str) -> None:
        """Note what a document's source says of its content, once all that hangs on it is done."""
        noted = update(documents).where(documents.c.id == document_id).values(source_revision=source_revision)
        async with self._database.begin() as connection:
            await connection.execute(noted)

    async def delete(self, document_id: str, *, purge: bool = False) -> None:
        """Forget a document and what was found in it: rows and chunks vanish in one transaction, and nothing finds them.

        What answers cited of it can still be opened for as long as the settings say; not with ``purge``.

        Raises:
            NotFoundError: There is none of that id.
        """
        wanted = select(documents).where(documents.c.id == document_id, self._sight.documents)
        async with self._database.begin() as connection:
            row = (await connection.execute(wanted.with_for_update())).one_or_none()
            if row is None:
                raise no_document(document_id)
            gone = [row, *((await connection.execute(found_in(row))).all() if row.source_id else ())]
            for each in gone:
                await self._delete_within(connection, each.id, purge=purge)
        await self._originals.forget(blob for each in gone for blob in (each.blob, each.ready_blob))

    async def _delete_within(self, connection: AsyncConnection, document_id: str, *, purge: bool) -> None:
        if self._keeps_past and not purge:
            pieces = select(chunks.c.id).where(chunks.c.document_id == document_id).order_by(chunks.c.ordinal)
            chunk_ids = (await connection.execute(pieces)).scalars().all()
            await retire(connection, document_id, chunk_ids, chunk_ids)
        await connection.execute(delete(documents).where(documents.c.id == document_id))
        if purge or not self._keeps_past:
            await self.past.purge_within(connection, document_id)

    async def retry(self, document_id: str) -> None:
        """Ingest a document's newest bytes once more, whatever became of them.

        Raises:
            NotFoundError: There is none of that id.
        """
        which = (documents.c.id == document_id, self._sight.documents)
        if not await self._queue_again(*which, priority=Priority.PERSON):
            raise no_document(document_id)

    async def resume(self) -> int:
        """Queue what is unfinished and not queued, because its work gave up or the queue was lost.

        Returns:
            How many documents were queued.
        """
        left = select(documents.c.id, documents.c.revision).where(documents.c.state.in_(UNFINISHED))
        async with self._database.connect() as connection:
            rows = (await connection.execute(left.order_by(documents.c.updated_at))).all()
        queued = 0
        for row in rows:
            if await self._durable.state(work_key(row.id, row.revision)) != "pending":
                is_same = (documents.c.id == row.id, documents.c.revision == row.revision)
                queued += await self._queue_again(*is_same, documents.c.state.in_(UNFINISHED))
        return queued

    async def _queue_again(self, *which: ColumnElement[bool], priority: Priority = Priority.NORMAL) -> bool:
        """Queue a document under a revision of its own, since a key of durable work counts once."""
        await self._reach_queue()
        again = update(documents).where(*which).values(queued_again())
        async with self._database.begin() as connection:
            returned = await connection.execute(again.returning(documents.c.id, documents.c.revision))
            row = returned.one_or_none()
            if row is not None:
                await self._enqueue(connection, row.id, row.revision, priority)
        return row is not None

    async def _reach_queue(self) -> None:
        """Have the queue's tables made before a transaction is open, for which making them would wait for ever."""
        if not self._is_queue_reached:
            await self._durable.state(INGEST)
            self._is_queue_reached = True

    async def _enqueue(
        self, connection: AsyncConnection, document_id: str, revision: int, priority: Priority
    ) -> None:
        """Queue the work that a row asks for, in the row's transaction."""
        key = work_key(document_id, revision)
        argument = f"{document_id}@{revision}"
        await self._durable.enqueue(INGEST, argument, key=key, within=connection, priority=priority)

    # --- looking -------------------------------------------------------------------------------------

    async def is_original_hidden(self, document_id: str) -> bool:
        """Whether a document's file is only for those who may manage documents, as its collection wants it.

        False for a document that is not there, or is not there for who asks.
        """
        found = union_all(
            *(
                select(collections.c.options)
                .join(kept, kept.c.collection_id == collections.c.id)
                .where(mine == document_id, is_seen)
                for kept, mine, is_seen in (
                    (documents, documents.c.id, self._sight.documents),
                    (
                        past_revisions,
                        past_revisions.c.document_id,
                        self._sight.past,
                    ),  # deleted since
                )
            )
        )
        async with self._database.connect() as connection:
            options = await connection.scalar(found.limit(1))
        return options_of(options or {}).hides_originals

    async def collections(self) -> tuple[Collection, ...]:
        """Every collection, by name."""
        return await self._collections.all(self._sight)

    async def document(self, document_id: str) -> Document:
        """One document.

        Raises:
            NotFoundError: There is none of that id.
        """
        wanted = _rows().where(documents.c.id == document_id, self._sight.documents)
        async with self._sight.connect() as connection:
            found = await connection.execute(wanted)
            row = found.one_or_none()
        if row is None:
            raise no_document(document_id)
        return _document(row)

    async def documents(
        self,
        *,
        collection: str | None = None,
        state: DocumentState | None = None,
        text: str = "",
        order: str = "-updated",
        limit: int = 50,
        offset: int = 0,
    ) -> DocumentPage:
        """Documents in an ``order`` of `document_rows.ORDERS`; the words of ``text`` are looked for in titles and paths."""
        wanted = [*matching(collection, text.strip()), self._sight.documents]
        counted = select(documents.c.state, func.count().label("number")).join(collections).where(*wanted)
        listed = _rows().where(*wanted).order_by(*ordered(order))
        if state is not None:
            listed = listed.where(documents.c.state == state)
        async with self._sight.connect() as connection:
            numbers = await connection.execute(counted.group_by(documents.c.state))
            counts = dict.fromkeys(DocumentState, 0) | {
                DocumentState(row.state): row.number for row in numbers
            }
            rows = await connection.execute(listed.limit(max(limit, 1)).offset(max(offset, 0)))
            page = tuple(_document(row) for row in rows)
        total = sum(counts.values()) if state is None else counts[state]
        return DocumentPage(documents=page, total=total, counts=counts)

    async def text_of(self, document_id: str) -> tuple[Chunk, ...]:
        """The searchable revision's chunks in order; none when no revision is searchable."""
        columns = [chunks.c[name] for name in ("ordinal", "heading", "text", "page", "tokens", "places")]
        ordered = select(*columns).where(chunks.c.document_id == document_id).order_by(chunks.c.ordinal)
        is_seen = chunks.c.document_id.in_(select(documents.c.id).where(self._sight.documents))
        ordered = ordered.where(is_seen) if self._sight.is_bounded else ordered
        async with self._sight.connect() as connection:
            rows = (await connection.execute(ordered)).mappings().all()
        return tuple(Chunk(**{**row, "places": unpacked(row["places"])}) for row in rows)

    async def revision(self, document_id: str, number: int | None = None) -> KeptRevision:
        """A revision that can be opened: the searchable one, or by its number one that was before.

        Where no revision is searchable yet, the newest stands for it.

        Raises:
            NotFoundError: There is no such document, or that revision is not kept.
        """
        try:
            document = await self.document(document_id)
        except NotFoundError:
            if number is None:
                raise
            return await self.past.one(document_id, number)
        newest = document.ready_revision or document.revision
        if number not in (None, newest):
            return await self.past.one(document_id, number or newest)
        return KeptRevision(
            document_id=document.id,
            revision=newest,
            collection=document.collection,
            source=document.source,
            path=document.path,
            title=document.title,
            media_type=document.media_type,
            blob=document.ready_blob or document.blob,
            pages=document.pages,
            metadata=document.metadata,
            retired_at=None,
        )

    async def revisions(self, document_id: str) -> tuple[KeptRevision, ...]:
        """Those of a document that are kept and not searchable any more, the newest first; also of a deleted one."""
        return await self.past.all(document_id)

    async def read(self, revision: KeptRevision) -> tuple[Chunk, ...]:
        """A revision's chunks in order."""
        if revision.retired_at is None:
            return await self.text_of(revision.document_id)
        return await self.past.text_of(revision.document_id, revision.revision)

    async def purge(self, document_id: str) -> int:
        """Forget the revisions of a document that are not searchable any more, for good; how many there were."""
        return await self.past.purge(document_id)

    async def words_of(self, document_id: str, revision: int, *, page: int) -> PageWords | None:
        """The words of a page that was read from its picture; None for any other page."""
        found = select(page_words.c.words).where(
            page_words.c.document_id == document_id,
            page_words.c.revision == revision,
            page_words.c.page == page,
            self._sight.words,
        )
        async with self._sight.connect() as connection:
            packed = await connection.scalar(found)
        return None if packed is None else PageWords.unpack(packed)

    async def source_of_upload(self, collection: str | None, path: str, by: Principal) -> str:
        """Under which source a caller adds a file of this name.

        It is a new revision of a document of this name that they see, and else a document of its own, whatever is there
        that they do not see: a source that is made up keeps the two apart, and tells nothing.

        Raises:
            NotFoundError: They may not add to a collection of this name, whether or not there is one.
        """
        if by.sees_as is None:
            return UPLOAD
        name = self._collections.name(collection)
        place = await self._collections.open_to(name, by.sees_as)
        if place is None:
            raise NotFoundError(f"there is no collection '{name}' that you may add to; ask an administrator")
        sight = Sight.of(by, self._database)
        theirs = select(documents.c.source).where(
            documents.c.collection_id == place,
            documents.c.path == path,
            (documents.c.source == UPLOAD) | documents.c.source.startswith(f"{UPLOAD}:"),
            sight.documents,
        )
        async with sight.connect() as connection:
            found = (await connection.scalars(theirs.order_by(documents.c.created_at).limit(1))).first()
        return found or f"{UPLOAD}:{uuid4().hex[:16]}"

    async def known(self, collection: str | None, source: str) -> dict[str, Known]:
        """Every document of a source, by its path."""
        columns = [documents.c[name] for name in ("path", "size_bytes", "modified_at", "blob", "state")]
        told = (documents.c.source_id.label("identity"), documents.c.source_revision.label("revision"))
        listed = (
            select(documents.c.id.label("document_id"), *columns, *told)
            .join(collections)
            .where(collections.c.name == self._collections.name(collection), documents.c.source == source)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(listed)).mappings().all()
        return {row["path"]: Known(**{**row, "state": DocumentState(row["state"])}) for row in rows}

    async def sources(self, collection: str | None) -> tuple[str, ...]:
        """Where a collection's documents came from."""
        listed = (
            select(documents.c.source)
            .distinct()
            .join(collections)
            .where(collections.c.name == self._collections.name(collection))
        )
        async with self._database.connect() as connection:
            return tuple((await connection.execute(listed)).scalars())

    async def progress(self, document_ids: Sequence[str]) -> Progress:
        """How far these documents are, whichever process works on them."""
        ids = literal(list(document_ids), ARRAY(Text))
        states = select(documents.c.id, documents.c.state, documents.c.failure)
        counted = select(func.count()).select_from(chunks).where(chunks.c.document_id == func.any(ids))
        async with self._database.connect() as connection:
            rows = (await connection.execute(states.where(documents.c.id == func.any(ids)))).all()
            number = (await connection.execute(counted)).scalar_one()
        unfinished = sum(row.state in UNFINISHED for row in rows)
        return Progress(
            total=len(document_ids),
            done=len(document_ids) - unfinished,
            chunks=number,
            failures={row.id: _why(row) for row in rows if row.state in _UNREADY},
        )


_UNREADY = (DocumentState.FAILED, DocumentState.PAUSED, DocumentState.CANCELLED)


def _why(row: Any) -> str:
    """Why a document is not ready, nor about to be."""
    match DocumentState(row.state):
        case DocumentState.PAUSED:
            return "it is paused; resume it, or its source or collection, to have it read"
        case DocumentState.CANCELLED:
            return "its reading was cancelled; re-index it to have it read"
        case _:
            return row.failure or ""


def work_key(document_id: str, revision: int) -> str:
    """The key of the durable work for one revision."""
    return f"{INGEST}:{document_id}@{revision}"


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def priority_of(source: str) -> Priority:
    """Whom a document of that source overtakes: what somebody sent goes before what a sync found."""
    return Priority.PERSON if source == UPLOAD else Priority.NORMAL


def _rows() -> Select[Any]:
    number = select(func.count()).where(chunks.c.document_id == documents.c.id).scalar_subquery()
    columns = (documents, collections.c.name.label("collection"), number.label("chunks"))
    return select(*columns).join_from(documents, collections)


def _document(row: Any) -> Document:
    fields = dict(row._mapping)
    internal = ("options_version", "started_at", "own_readers", "readers")
    for name in ("collection_id", "source_id", "source_revision", *internal):
        del fields[name]
    return Document(**{**fields, "state": DocumentState(fields["state"])})
