"""Documents that are searchable at once, without files, parsers or queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from causeway.contracts.vectors import Vectors
from causeway.knowledge.document import Chunk
from causeway.knowledge.index.stores import ChunkIndex
from causeway.storage.database import Database
from causeway.storage.schema import collections, documents
from causeway.testing.gateway import bags_of_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A document to be; each of ``texts`` becomes a chunk."""

    id: str
    texts: Sequence[str]
    title: str = ""
    collection: str = "default"
    source: str = "upload"
    path: str = ""
    media_type: str = "text/plain"
    modified_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    metadata: Mapping[str, object] = field(default_factory=dict)


class SheetPile:
    """Puts sheets into a database; their vectors are bags of words unless given."""

    def __init__(self, database: Database, index: ChunkIndex, *, dimensions: int = 64) -> None:
        self._database = database
        self._index = index
        self._dimensions = dimensions

    async def add(self, *sheets: Sheet, embedding_model: str = "fake") -> None:
        """Make each of ``sheets`` a ready document of revision 1."""
        for sheet in sheets:
            await self.register(sheet, embedding_model=embedding_model)
            if not await self.index(sheet):
                raise AssertionError(f"document '{sheet.id}' was changed by somebody else meanwhile")

    async def register(self, sheet: Sheet, *, revision: int = 1, embedding_model: str = "fake") -> None:
        """Write the document's row, or bring it to ``revision``."""
        async with self._database.begin() as connection:
            await connection.execute(
                insert(collections)
                .values(
                    id=f"col_{sheet.collection}",
                    name=sheet.collection,
                    embedding_model=embedding_model,
                    dimensions=self._dimensions,
                )
                .on_conflict_do_nothing()
            )
            row = {
                "id": sheet.id,
                "collection_id": f"col_{sheet.collection}",
                "source": sheet.source,
                "path": sheet.path or f"{sheet.id}.txt",
                "title": sheet.title or sheet.id,
                "media_type": sheet.media_type,
                "size_bytes": 1,
                "blob": f"blob-{revision}",
                "modified_at": sheet.modified_at,
                "revision": revision,
                "state": "processing",
                "metadata": dict(sheet.metadata),
            }
            new = insert(documents).values(row)
            await connection.execute(
                new.on_conflict_do_update(index_elements=["id"], set_={"revision": revision})
            )

    async def index(self, sheet: Sheet, *, revision: int = 1, vectors: Vectors | None = None) -> bool:
        """Make the sheet's texts searchable as ``revision``; False when it is no longer the newest."""
        heading = sheet.title or sheet.id
        pieces = [
            Chunk(ordinal=n, heading=heading, text=text, page=None, tokens=len(text.split()))
            for n, text in enumerate(sheet.texts)
        ]
        searchable = [piece.searchable for piece in pieces]
        return await self._index.replace_document(
            sheet.id,
            revision,
            pieces,
            bags_of_words(searchable, self._dimensions) if vectors is None else vectors,
            media_type=sheet.media_type,
            title=heading,
            pages=None,
            blob=f"blob-{revision}",
        )

    async def row(self, document_id: str) -> Mapping[str, object]:
        """The document's row as it is now."""
        async with self._database.connect() as connection:
            found = await connection.execute(select(documents).where(documents.c.id == document_id))
            return dict(found.mappings().one())
