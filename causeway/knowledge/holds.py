"""Holds: collections, sources and documents whose ingestion somebody has paused.

A hold is a row, so it outlives every process. What is held is marked as paused when its turn comes, whoever's turn it
is; a document that was being worked on is let go within a second or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.storage.schema import documents, ingest_holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is controlled: a collection, one source's documents in it, or one document.

    Attributes:
        source: As documents have it; empty is every source.
        document_id: Empty is every document.
    """

    collection_id: str
    source: str = ""
    document_id: str = ""

    @property
    def documents(self) -> ColumnElement[bool]:
        """Whether a document is among them."""
        named = [documents.c.collection_id == self.collection_id]
        if self.source:
            named.append(documents.c.source == self.source)
        if self.document_id:
            named.append(documents.c.id == self.document_id)
        return and_(*named)


def is_held() -> ColumnElement[bool]:
    """Whether a document, its source or its collection is held."""
    return exists().where(
        ingest_holds.c.collection_id == documents.c.collection_id,
        or_(ingest_holds.c.source == "", ingest_holds.c.source == documents.c.source),
        or_(ingest_holds.c.document_id == "", ingest_holds.c.document_id == documents.c.id),
    )


async def held(connection: AsyncConnection) -> Sequence[Selection]:
    """Everything that is held."""
    columns = (ingest_holds.c.collection_id, ingest_holds.c.source, ingest_holds.c.document_id)
    return [Selection(**row._mapping) for row in await connection.execute(select(*columns))]
