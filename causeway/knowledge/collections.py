"""Collections: sets of documents that are searched as one, each bound to the embedding model it was made with.

Each has options (`causeway.knowledge.collection_options`); what follows from a change is `causeway.knowledge.ingest.control`'s.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Select, Text, delete, func, literal, select, union
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import SYSTEM, Principal
from causeway.errors import InvalidInputError, NotFoundError, SettingsError
from causeway.knowledge.collection_options import CollectionOptions, options_of
from causeway.knowledge.originals import Originals
from causeway.knowledge.sight import Sight
from causeway.settings import KnowledgeSettings
from causeway.storage.database import Database
from causeway.storage.recorder import Recorder
from causeway.storage.schema import chunks, collections, documents, page_words, past_chunks, past_revisions

_LONGEST_NAME = 100
_COLUMNS = ("id", "name", "embedding_model", "dimensions", "created_at", "options", "vectors_in")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """The model that documents are embedded with now."""

    name: str
    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection and what is in it; ``ready`` counts the documents that can be searched.

    Attributes:
        vectors_in: Where its vectors are kept: ``postgres`` or ``pinecone``.
    """

    id: str
    name: str
    embedding_model: str
    dimensions: int
    documents: int
    ready: int
    chunks: int
    created_at: datetime
    options: CollectionOptions = field(default_factory=CollectionOptions)
    vectors_in: str = "postgres"


class Collections:
    """Makes collections and lists them."""

    def __init__(
        self,
        *,
        database: Database,
        embedding: EmbeddingModel,
        settings: KnowledgeSettings,
        originals: Originals | None = None,
        record: Recorder | None = None,
    ) -> None:
        """``originals``: the documents' files, for who deletes collections; ``record`` writes down what is made and deleted."""
        self._database = database
        self._originals = originals
        self._record = record
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
                new = made.on_conflict_do_nothing(index_elements=["name"]).returning(collections.c.id)
                if (collection_id := await connection.scalar(new)) is not None:
                    await self._note_new(connection, SYSTEM, collection_id, name, CollectionOptions())
                found = (await connection.execute(_called(name))).one()
        if (found.embedding_model, found.dimensions) != (wanted.name, wanted.dimensions):
            raise SettingsError(
                f"collection '{name}' holds vectors of '{found.embedding_model}' ({found.dimensions} numbers each)"
                f" and models.embed is now '{wanted.name}' ({wanted.dimensions}); set models.embed back, or"
                " ingest into a new collection"
            )
        return str(found.id)

    async def create(self, name: str, options: CollectionOptions, *, by: Principal = SYSTEM) -> str:
        """The id of a new collection, which ``by`` makes.

        Raises:
            InvalidInputError: The name cannot be used, or is taken.
        """
        name = self.name(name)
        made = insert(collections).values(
            id=f"col_{uuid4().hex}",
            name=name,
            embedding_model=self._embedding.name,
            dimensions=self._embedding.dimensions,
            options=options.stored(),
        )
        new = made.on_conflict_do_nothing(index_elements=["name"]).returning(collections.c.id)
        async with self._database.begin() as connection:
            collection_id = await connection.scalar(new)
            if collection_id is None:
                raise InvalidInputError(f"there is a collection '{name}' already; choose another name")
            await self._note_new(connection, by, collection_id, name, options)
        return str(collection_id)

    async def _note_new(
        self,
        connection: AsyncConnection,
        by: Principal,
        collection_id: str,
        name: str,
        options: CollectionOptions,
    ) -> None:
        if self._record is not None:
            told = {"name": name, "options": options.as_dict()}
            await self._record(connection, by, "collection.create", collection_id, after=told)

    async def id_of(self, name: str) -> str:
        """The id of the collection called ``name``.

        Raises:
            NotFoundError: There is none; the message names those there are.
        """
        async with self._database.connect() as connection:
            found = (await connection.execute(_called(self.name(name)))).one_or_none()
            if found is None:
                names = (
                    await connection.scalars(select(collections.c.name).order_by(collections.c.name))
                ).all()
                known = ", ".join(names) or "none"
                raise NotFoundError(f"there is no collection '{name}'; there are: {known}")
        return str(found.id)

    async def one(self, collection_id: str) -> Collection:
        """One collection.

        Raises:
            NotFoundError: There is none of that id.
        """
        for each in await self.all():
            if each.id == collection_id:
                return each
        raise NotFoundError(f"there is no collection '{collection_id}'; it may have been deleted")

    async def delete(self, collection_id: str, *, by: Principal = SYSTEM) -> None:
        """Forget a collection, its documents, their files and their past, at once and for good; ``by`` wants it.

        Raises:
            NotFoundError: There is none of that id.
        """
        mine = select(documents.c.id).where(documents.c.collection_id == collection_id)
        past = select(past_revisions.c.document_id).where(past_revisions.c.collection_id == collection_id)
        needed = union(
            select(documents.c.blob).where(documents.c.collection_id == collection_id),
            select(documents.c.ready_blob).where(documents.c.collection_id == collection_id),
            select(past_revisions.c.blob).where(past_revisions.c.collection_id == collection_id),
        )
        async with self._database.begin() as connection:
            blobs = (await connection.execute(needed)).scalars().all()
            number = await connection.scalar(select(func.count()).select_from(mine.subquery()))
            for table in (past_chunks, page_words):
                theirs = table.c.document_id.in_(union(mine, past).scalar_subquery())
                await connection.execute(delete(table).where(theirs))
            gone = delete(collections).where(collections.c.id == collection_id)
            row = (
                await connection.execute(gone.returning(collections.c.name, collections.c.options))
            ).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no collection '{collection_id}'; it may have been deleted")
            if self._record is not None:
                told = {"name": row.name, "documents": number, "options": options_of(row.options).as_dict()}
                await self._record(connection, by, "collection.delete", collection_id, before=told)
        if self._originals is not None:
            await self._originals.forget(blobs)

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

    async def all(self, sight: Sight | None = None) -> tuple[Collection, ...]:
        """Every collection that may be seen, by name, with the numbers of what may be seen of it; None sees all."""
        sight = sight or Sight(self._database, None)
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
            return tuple(_collection(row) for row in await connection.execute(counted))


def _collection(row: Any) -> Collection:
    return Collection(**{**row._mapping, "options": options_of(row.options)})


def _called(name: str) -> Select[Any]:
    return select(collections).where(collections.c.name == name)
