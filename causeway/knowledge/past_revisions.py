"""Revisions after their time: what an answer cited stays what it was, for as long as the settings say.

When a revision is replaced, or its document deleted, its row, the chunks that no later revision has and the words of its
scanned pages are kept, and so is its file. None of it is searched. A chunk that a later revision has in the same place
is kept once, where the searchable ones are. A revision's chunks are named in its row, in order.

What is too old is purged: row, chunks and words first, then the file, in one transaction that a crash undoes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Select,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal
from causeway.errors import NotFoundError
from causeway.knowledge.document import Chunk, unpacked
from causeway.knowledge.originals import Originals
from causeway.knowledge.sight import Sight
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collections, documents, page_words, past_chunks, past_revisions


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRevision:
    """A revision that can be opened.

    Attributes:
        path: Where its document was when the revision was replaced.
        blob: sha256 of its bytes.
        retired_at: When it was replaced, or its document deleted; None for the one that is searchable.
    """

    document_id: str
    revision: int
    collection: str
    source: str
    path: str
    title: str
    media_type: str
    blob: str
    pages: int | None
    metadata: Mapping[str, object]
    retired_at: datetime | None


async def retire(
    connection: AsyncConnection, document_id: str, chunk_ids: Sequence[str], gone: Sequence[str]
) -> None:
    """Keep the searchable revision of a document that the caller's transaction is about to replace or delete.

    ``chunk_ids`` are all its chunks in order, ``gone`` those that the caller deletes.
    """
    columns = [documents.c[name] for name in ("collection_id", "source", "path", "title", "media_type")]
    revision = select(
        documents.c.id,
        documents.c.ready_revision,
        *columns,
        documents.c.ready_blob,
        documents.c.pages,
        documents.c.metadata,
        bindparam(None, list(chunk_ids), ARRAY(Text)),
    ).where(documents.c.id == document_id, documents.c.ready_revision.is_not(None))
    names = [
        "document_id",
        "revision",
        *(each.name for each in columns),
        "blob",
        "pages",
        "metadata",
        "chunk_ids",
    ]
    await connection.execute(insert(past_revisions).from_select(names, revision))
    if gone:
        names = ["id", "document_id", "heading", "text", "page", "tokens", "places"]
        kept = select(*(chunks.c[name] for name in names)).where(chunks.c.id == func.any(_texts(gone)))
        await connection.execute(insert(past_chunks).from_select(names, kept))


class PastRevisions:
    """Finds revisions that were kept, and purges them."""

    def __init__(self, *, database: Database, originals: Originals) -> None:
        self._database = database
        self._originals = originals
        self._sight = Sight(database, None)

    def seen_by(self, principal: Principal) -> PastRevisions:
        """Those that a caller sees: a document's as the document, a deleted one's as it was seen at last."""
        seen = copy(self)
        seen._sight = Sight.of(principal, self._database)
        return seen

    async def all(self, document_id: str) -> tuple[KeptRevision, ...]:
        """Those of a document, the newest first; none when there are none."""
        listed = _rows().where(past_revisions.c.document_id == document_id, self._sight.past)
        async with self._sight.connect() as connection:
            rows = await connection.execute(listed.order_by(past_revisions.c.revision.desc()))
            return tuple(KeptRevision(**row._mapping) for row in rows)

    async def one(self, document_id: str, revision: int) -> KeptRevision:
        """One of them.

        Raises:
            NotFoundError: It is not kept, or not any more.
        """
        found = _rows().where(
            past_revisions.c.document_id == document_id,
            past_revisions.c.revision == revision,
            self._sight.past,
        )
        async with self._sight.connect() as connection:
            row = (await connection.execute(found)).one_or_none()
        if row is None:
            raise NotFoundError(
                f"revision {revision} of document '{document_id}' is not kept any more; "
                "knowledge.keep_versions_days says how long they are"
            )
        return KeptRevision(**row._mapping)

    async def text_of(self, document_id: str, revision: int) -> tuple[Chunk, ...]:
        """The chunks of one of them in order, as they were; none when it is not kept."""
        named = select(past_revisions.c.chunk_ids).where(
            past_revisions.c.document_id == document_id,
            past_revisions.c.revision == revision,
            self._sight.past,
        )
        names = ("id", "heading", "text", "page", "tokens", "places")
        async with self._sight.connect() as connection:
            chunk_ids: Sequence[str] = await connection.scalar(named) or ()
            # one statement, so that a swap does not take a chunk from the one table to the other in between
            found = union_all(
                *(
                    select(*(table.c[name] for name in names)).where(
                        table.c.id == func.any(_texts(chunk_ids))
                    )
                    for table in (chunks, past_chunks)
                )
            )
            known = {row.id: row for row in await connection.execute(found)}
        rows = [known[chunk_id] for chunk_id in chunk_ids if chunk_id in known]
        return tuple(
            Chunk(
                ordinal=ordinal,
                heading=row.heading,
                text=row.text,
                page=row.page,
                tokens=row.tokens,
                places=unpacked(row.places),
            )
            for ordinal, row in enumerate(rows)
        )

    async def purge(self, document_id: str) -> int:
        """Forget all of a document's, at once and for good; how many there were."""
        return await self._purge(document_id, self._sight.past)

    async def purge_before(self, moment: datetime) -> int:
        """Forget those that were replaced or deleted before ``moment``, and what crashes left; how many there were."""
        old = select(past_revisions.c.document_id).where(past_revisions.c.retired_at < moment).distinct()
        async with self._database.connect() as connection:
            document_ids = (await connection.execute(old)).scalars().all()
        purged = 0
        for document_id in document_ids:
            purged += await self._purge(document_id, past_revisions.c.retired_at < moment)
        async with self._database.begin() as connection:
            await connection.execute(delete(page_words).where(_is_orphan()))
        return purged

    async def _purge(self, document_id: str, *which: ColumnElement[bool]) -> int:
        async with self._database.begin() as connection:
            return await self.purge_within(connection, document_id, *which)

    async def purge_within(
        self, connection: AsyncConnection, document_id: str, *which: ColumnElement[bool]
    ) -> int:
        """Forget those of one document, and what only they needed, in the caller's transaction; how many there were."""
        gone = delete(past_revisions).where(past_revisions.c.document_id == document_id, *which)
        gone_words = delete(page_words).where(page_words.c.document_id == document_id, _is_orphan())
        named = select(func.unnest(past_revisions.c.chunk_ids))
        unnamed = past_chunks.c.id.not_in(named.where(past_revisions.c.document_id == document_id))
        blobs = (await connection.execute(gone.returning(past_revisions.c.blob))).scalars().all()
        await connection.execute(gone_words)
        await connection.execute(delete(past_chunks).where(past_chunks.c.document_id == document_id, unnamed))
        await self._originals.forget_within(connection, blobs)
        return len(blobs)


def _rows() -> Select[Any]:
    names = ("document_id", "revision", "source", "path", "title", "media_type", "blob", "pages", "metadata")
    columns = (*(past_revisions.c[name] for name in names), past_revisions.c.retired_at)
    return select(*columns, collections.c.name.label("collection")).join_from(past_revisions, collections)


def _is_orphan() -> ColumnElement[bool]:
    """Whether a page's words belong to no revision that is searchable, on its way, or kept."""
    live = exists().where(
        documents.c.id == page_words.c.document_id,
        or_(
            documents.c.revision == page_words.c.revision, documents.c.ready_revision == page_words.c.revision
        ),
    )
    kept = exists().where(
        past_revisions.c.document_id == page_words.c.document_id,
        past_revisions.c.revision == page_words.c.revision,
    )
    return not_(or_(live, kept))


def _texts(values: Sequence[str]) -> BindParameter[Sequence[str]]:
    return bindparam(None, list(values), ARRAY(Text))
