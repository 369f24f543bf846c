"""What one run of the ingestion may change of a document: only the revision it works for, and only while it is the newest.

Every statement names the revision, so a run that an edit or a delete has overtaken changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB

from causeway.knowledge.collection_options import CollectionOptions, options_of
from causeway.knowledge.document import DocumentState
from causeway.knowledge.holds import is_held
from causeway.knowledge.library import UNFINISHED
from causeway.knowledge.originals import Originals
from causeway.knowledge.past_revisions import PastRevisions
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collections, documents, page_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision that is being ingested.

    Attributes:
        blob: sha256 of its bytes.
        replaces: The bytes that are searchable until this revision is ready.
        dimensions: Numbers in each vector of its collection.
        embedding_model: What its collection's vectors are made with.
        options: How its collection wants it cut, and what becomes of personal data.
        metadata: Its document's, before it is read.
    """

    document_id: str
    number: int
    collection: str
    path: str
    title: str
    blob: str
    replaces: str | None
    dimensions: int
    embedding_model: str
    options: CollectionOptions
    metadata: Mapping[str, object]


class Revisions:
    """Marks revisions as they are worked on."""

    def __init__(self, *, database: Database, originals: Originals) -> None:
        self._database = database
        self._originals = originals
        self._past = PastRevisions(database=database, originals=originals)

    async def start(self, document_id: str, number: int) -> Revision | None:
        """Mark a revision as being worked on; None when it is finished, or not the newest, or its document is gone.

        One that somebody holds, alone or with its source or collection, is marked as paused instead.
        """
        held = (
            update(documents)
            .where(*_newest(document_id, number), documents.c.state.in_(UNFINISHED), is_held())
            .values(state=DocumentState.PAUSED, updated_at=func.now())
        )
        started = (
            update(documents)
            .where(
                *_newest(document_id, number),
                documents.c.state.in_(UNFINISHED),
                collections.c.id == documents.c.collection_id,
            )
            .values(state=DocumentState.PROCESSING, started_at=func.now(), updated_at=func.now())
            .returning(
                documents.c.path,
                documents.c.title,
                documents.c.blob,
                documents.c.ready_blob.label("replaces"),
                collections.c.name.label("collection"),
                collections.c.dimensions,
                collections.c.embedding_model,
                collections.c.options,
                documents.c.metadata,
            )
        )
        async with self._database.begin() as connection:
            await connection.execute(held)
            row = (await connection.execute(started)).one_or_none()
        if row is None:
            return None
        fields = {**row._mapping, "options": options_of(row.options)}
        return Revision(document_id=document_id, number=number, **fields)

    async def is_wanted(self, revision: Revision) -> bool:
        """Whether a revision that is worked on still is to be: nobody paused, cancelled, replaced or deleted it."""
        wanted = select(documents.c.id).where(
            *_newest(revision.document_id, revision.number), documents.c.state == DocumentState.PROCESSING
        )
        async with self._database.connect() as connection:
            return (await connection.execute(wanted)).first() is not None

    async def note(self, revision: Revision, notice: str | None) -> None:
        """Tell a document's owner what was left out or replaced; None clears what was told before."""
        noted = update(documents).where(
            *_newest(revision.document_id, revision.number), documents.c.notice.is_distinct_from(notice)
        )
        async with self._database.begin() as connection:
            await connection.execute(noted.values(notice=notice))

    def file(self, revision: Revision) -> Path:
        """Where its bytes are.

        Raises:
            NotFoundError: They have gone, as they do when the revision is overtaken.
        """
        return self._originals.path(revision.blob)

    def require_room(self, size_bytes: int) -> None:
        """Return when so many bytes more fit where files are kept, or in a database beside them.

        Raises:
            DiskFullError: They do not.
        """
        self._originals.require_room(size_bytes)

    async def describe(self, revision: Revision, found: Mapping[str, str]) -> None:
        """Add what a file says about itself to its document's metadata; what its owner said has precedence."""
        described = (
            update(documents)
            .where(*_newest(revision.document_id, revision.number))
            .values(metadata=literal(dict(found), JSONB).concat(documents.c.metadata))
        )
        async with self._database.begin() as connection:
            await connection.execute(described)

    async def redescribe(self, revision: Revision, metadata: Mapping[str, object]) -> None:
        """Have nothing else as its document's metadata, as where personal data in it is masked."""
        described = (
            update(documents)
            .where(*_newest(revision.document_id, revision.number))
            .values(metadata=dict(metadata))
        )
        async with self._database.begin() as connection:
            await connection.execute(described)

    async def keep_words(self, revision: Revision, words: Mapping[int, bytes]) -> None:
        """Keep where the words stand on pages that were read from their picture; what a repeat kept is replaced."""
        mine = (
            page_words.c.document_id == revision.document_id,
            page_words.c.revision == revision.number,
        )
        rows = [
            {"document_id": revision.document_id, "revision": revision.number, "page": page, "words": packed}
            for page, packed in words.items()
        ]
        async with self._database.begin() as connection:
            await connection.execute(delete(page_words).where(*mine))
            if rows:
                await connection.execute(insert(page_words), rows)

    async def fail(self, revision: Revision, reason: str, *, is_emptied: bool = False) -> None:
        """Say why a revision cannot be searched; an older one that can be stays searchable, unless it was emptied."""
        states = (*UNFINISHED, DocumentState.READY) if is_emptied else UNFINISHED
        failed = (
            update(documents)
            .where(*_newest(revision.document_id, revision.number), documents.c.state.in_(states))
            .values(state=DocumentState.FAILED, failure=reason, updated_at=func.now())
        )
        if is_emptied:
            failed = failed.values(ready_revision=None, ready_blob=None)
        async with self._database.begin() as connection:
            await connection.execute(failed)

    async def refuse(
        self, revision: Revision, reason: str, *, title: str, metadata: Mapping[str, object]
    ) -> None:
        """Say why a document must not be searched at all: what was searchable of it goes, and what was kept.

        ``title`` and ``metadata`` are what may be shown of it.
        """
        refused = (
            update(documents)
            .where(*_newest(revision.document_id, revision.number), documents.c.state.in_(UNFINISHED))
            .values(
                state=DocumentState.FAILED,
                failure=reason,
                title=title,
                metadata=dict(metadata),
                notice=None,
                ready_revision=None,
                ready_blob=None,
                updated_at=func.now(),
            )
            .returning(documents.c.id)
        )
        async with self._database.begin() as connection:
            if (await connection.execute(refused)).first() is not None:
                mine = chunks.c.document_id == revision.document_id
                await connection.execute(delete(chunks).where(mine))
                await self._past.purge_within(connection, revision.document_id)
        await self._originals.forget([revision.replaces])

    async def forget_past(self, revision: Revision) -> None:
        """Keep nothing of what a document said before, as where personal data is masked since."""
        await self._past.purge(revision.document_id)

    async def forget_replaced(self, revision: Revision) -> None:
        """Delete the bytes that were searchable before, unless they are needed or kept for those who cited them."""
        await self._originals.forget([revision.replaces])


def _newest(document_id: str, number: int) -> tuple[ColumnElement[bool], ...]:
    return documents.c.id == document_id, documents.c.revision == number
