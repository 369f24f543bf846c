"""What one run of the ingestion may change of a document: only the revision it works for, and only while it is the newest.

Every statement names the revision, so a run that an edit or a delete has overtaken changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, delete, func, insert, literal, update
from sqlalchemy.dialects.postgresql import JSONB

from causeway.knowledge.document import DocumentState
from causeway.knowledge.library import UNFINISHED
from causeway.knowledge.originals import Originals
from causeway.storage.database import Database
from causeway.storage.schema import collections, documents, page_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision that is being ingested.

    Attributes:
        blob: sha256 of its bytes.
        replaces: The bytes that are searchable until this revision is ready.
        dimensions: Numbers in each vector of its collection.
        embedding_model: What its collection's vectors are made with.
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


class Revisions:
    """Marks revisions as they are worked on."""

    def __init__(self, *, database: Database, originals: Originals) -> None:
        self._database = database
        self._originals = originals

    async def start(self, document_id: str, number: int) -> Revision | None:
        """Mark a revision as being worked on; None when it is finished, or not the newest, or its document is gone."""
        started = (
            update(documents)
            .where(
                *_newest(document_id, number),
                documents.c.state.in_(UNFINISHED),
                collections.c.id == documents.c.collection_id,
            )
            .values(state=DocumentState.PROCESSING, updated_at=func.now())
            .returning(
                documents.c.path,
                documents.c.title,
                documents.c.blob,
                documents.c.ready_blob.label("replaces"),
                collections.c.name.label("collection"),
                collections.c.dimensions,
                collections.c.embedding_model,
            )
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(started)).one_or_none()
        return None if row is None else Revision(document_id=document_id, number=number, **row._mapping)

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

    async def fail(self, revision: Revision, reason: str) -> None:
        """Say why a revision cannot be searched; an older one that can be stays searchable."""
        failed = (
            update(documents)
            .where(*_newest(revision.document_id, revision.number), documents.c.state.in_(UNFINISHED))
            .values(state=DocumentState.FAILED, failure=reason, updated_at=func.now())
        )
        async with self._database.begin() as connection:
            await connection.execute(failed)

    async def forget_replaced(self, revision: Revision) -> None:
        """Delete the bytes that were searchable before, unless they are needed or kept for those who cited them."""
        await self._originals.forget([revision.replaces])


def _newest(document_id: str, number: int) -> tuple[ColumnElement[bool], ...]:
    return documents.c.id == document_id, documents.c.revision == number
