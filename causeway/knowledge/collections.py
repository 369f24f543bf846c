"""Collections: sets of documents that are searched as one, each bound to the embedding model it was made with."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Select, Text, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from causeway.errors import InvalidInputError, SettingsError
from causeway.knowledge.index.sight import Sight
from causeway.settings import KnowledgeSettings
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collections, documents

_LONGEST_NAME = 100
_COLUMNS = ("id", "name", "embedding_model", "dimensions", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """The model that documents are embedded with now."""

    name: str
    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection and what is in it; ``ready`` counts the documents that can be searched."""

    id: str
    name: str
    embedding_model: str
    dimensions: int
    documents: int
    ready: int
    chunks: int
    created_at: datetime


class Collections:
    """Makes collections and lists them."""

    def __init__(self, *, database: Database, embedding: EmbeddingModel, settings: KnowledgeSettings) -> None:
        self._database = database
        self._embedding = embedding
        self._settings = settings

    def name(self, name: str | None) -> str:
        """``name`` as it is kept; the default collection's for None.

        Raises:
            InvalidInputError: It cannot name a collection.
        """
        if name is None:
            return self._settings.collection
        cleaned = unicodedata.normalize("NFC", name).strip()
        if not cleaned or len(cleaned) > _LONGEST_NAME or not cleaned.isprintable():
            raise InvalidInputError(
                f"{name!r} cannot name a collection: use 1 to {_LONGEST_NAME} printable characters"
            )
        return cleaned

    async def ensure(self, name: str | None = None) -> str:
        """The id of the collection called ``name`` (None: the default one), made when it is not there.

        Raises:
            InvalidInputError: The name cannot be used.
            SettingsError: Its vectors are of another model than the one configured now.
        """
        name = self.name(name)
        wanted = self._embedding
        made = insert(collections).values(
            id=f"col_{uuid4().hex}",
            name=name,
            embedding_model=wanted.name,
            dimensions=wanted.dimensions,
        )
        async with self._database.begin() as connection:
            found = (await connection.execute(_called(name))).one_or_none()
            if found is None:
                await connection.execute(made.on_conflict_do_nothing(index_elements=["name"]))
                found = (await connection.execute(_called(name))).one()
        if (found.embedding_model, found.dimensions) != (wanted.name, wanted.dimensions):
            raise SettingsError(
                f"collection '{name}' holds vectors of '{found.embedding_model}' ({found.dimensions} numbers each)"
                f" and models.embed is now '{wanted.name}' ({wanted.dimensions}); set models.embed back, or"
                " ingest into a new collection"
            )
        return str(found.id)

    async def open_to(self, name: str, readers: Iterable[str]) -> str | None:
        """The id of the collection called ``name`` if one of ``readers`` may see what is added to it.

        The default collection is made when it is not there.
        """
        if name == self._settings.collection:
            await self.ensure(name)
        is_open = collections.c.readers.bool_op("&&")(literal(sorted(readers), ARRAY(Text)))
        async with self._database.connect() as connection:
            wanted = select(collections.c.id).where(collections.c.name == name, is_open)
            return await connection.scalar(wanted)

    async def all(self, sight: Sight) -> tuple[Collection, ...]:
        """Every collection that may be seen, by name, with the numbers of what may be seen of it."""
        per_document = (
            select(documents.c.collection_id, func.count().label("documents"))
            .add_columns(func.count(documents.c.ready_revision).label("ready"))
            .where(sight.documents)
            .group_by(documents.c.collection_id)
            .subquery()
        )
        chunk_counts = select(chunks.c.collection_id, func.count().label("chunks"))
        if sight.is_bounded:
            chunk_counts = chunk_counts.join(documents, documents.c.id == chunks.c.document_id)
            chunk_counts = chunk_counts.where(sight.documents)
        per_chunk = chunk_counts.group_by(chunks.c.collection_id).subquery()
        columns = [collections.c[name] for name in _COLUMNS]
        counted = (
            select(
                *columns,
                func.coalesce(per_document.c.documents, 0).label("documents"),
                func.coalesce(per_document.c.ready, 0).label("ready"),
                func.coalesce(per_chunk.c.chunks, 0).label("chunks"),
            )
            .outerjoin(per_document, per_document.c.collection_id == collections.c.id)
            .outerjoin(per_chunk, per_chunk.c.collection_id == collections.c.id)
            .where(sight.collections)
            .order_by(collections.c.name)
        )
        async with sight.connect() as connection:
            return tuple(Collection(**row._mapping) for row in await connection.execute(counted))


def _called(name: str) -> Select[Any]:
    return select(collections).where(collections.c.name == name)
