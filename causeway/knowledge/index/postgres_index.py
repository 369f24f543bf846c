"""The search index in PostgreSQL: chunks, their vectors and their words.

``replace_document`` is the only way chunks are written: old out, new in, in one transaction (`swap`), so that nothing
partial is ever found. Vectors are searched by pgvector, words by `KeywordIndex` (`bm25`). Fusing the two is not done here.

A filtered vector search has a trap: an HNSW scan finds its nearest few first and filters after, so with 1 % of the rows
passing it brings one result in twenty of what is there, without a word (bench/results/index_scale.md). Hence few passing
rows are compared exactly, and for many the scan goes on until it has enough (``hnsw.iterative_scan``, a setting of every
session: `causeway.storage.database`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Row,
    Select,
    cast,
    func,
    literal_column,
    select,
    text,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Principal
from causeway.contracts.vectors import Vectors
from causeway.errors import InvalidInputError
from causeway.knowledge.document import Chunk, DocumentState, unpacked
from causeway.knowledge.index.bm25 import KeywordIndex
from causeway.knowledge.index.bm25_extension import ExtensionKeywords
from causeway.knowledge.index.bm25_own import OwnKeywords
from causeway.knowledge.index.breadth import Breadth
from causeway.knowledge.index.filters import (
    EVERYTHING,
    Filter,
    all_of,
    is_among_passing,
    readable,
    to_sql,
)
from causeway.knowledge.index.stores import (
    IndexedCollection,
    IndexStats,
    Match,
    PlacedChunk,
    StoredChunk,
    Upkeep,
)
from causeway.knowledge.index.swap import known_vectors, lock, swap
from causeway.knowledge.sight import Sight
from causeway.seams import deferred
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collections, documents

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

log = logging.getLogger(__name__)

MOST_EXACT: Final = 5000
"""Filtered rows that are compared one by one: about 20 ms. It is 5 % of 100,000 chunks, where both ways cost the same."""
_MOST_HALFVEC_DIMENSIONS = 4000
"""pgvector indexes no longer ones; they are compared exactly."""
_PREPARE_LOCK = 0x63775F696478
"""An advisory lock's number: 'cw_idx' in ASCII."""


class PostgresIndex:
    """Chunks that can be found; see the module."""

    def __init__(self, database: Database, *, most_exact: int = MOST_EXACT, keeps_past: bool = True) -> None:
        """``keeps_past``: whether a replaced revision can still be opened; see `causeway.knowledge.past_revisions`."""
        self._database = database
        self._sight = Sight(database, None)
        self._breadth = Breadth(chunks.c.document_id, most_exact, SystemClock())
        self._keeps_past = keeps_past
        self._keywords: KeywordIndex = (
            ExtensionKeywords() if database.capabilities.bm25 == "extension" else OwnKeywords()
        )
        self._prepared_dimensions: set[int] = set()

    def seen_by(self, principal: Principal) -> PostgresIndex:
        """This index as a caller sees it: every search and read of it finds only what they may see."""
        seen = copy(self)
        seen._sight = Sight.of(principal, self._database)
        return seen

    @property
    def _seen(self) -> Filter:
        return readable(self._sight.names)

    @property
    def sight(self) -> Sight:
        """What its caller sees."""
        return self._sight

    async def prepare(self) -> None:
        """Make the indexes that are missing; call it once before anything else. Cheap when nothing is missing.

        Two processes may do so at once: one waits for the other.
        """
        async with self._database.begin() as connection:
            await _lock_preparation(connection)
            await self._keywords.prepare(connection)
            dimensions = (await connection.scalars(select(collections.c.dimensions).distinct())).all()
        for count in dimensions:
            await self._prepare_vectors(count)

    async def replace_document(  # noqa: PLR0913 - what becomes true of a document, together or not at all
        self,
        document_id: str,
        revision: int,
        pieces: Sequence[Chunk],
        vectors: Vectors,
        *,
        media_type: str,
        title: str,
        pages: int | None,
        blob: str,
    ) -> bool:
        """Make ``pieces`` what is found of a document, and the document ready; a repeat changes nothing.

        Returns:
            False, with nothing changed, when the document is gone or ``revision`` is no longer its newest.

        Raises:
            InvalidInputError: The vectors are not one for each piece, or not of the collection's dimensions.
        """
        if len(pieces) != len(vectors):
            raise InvalidInputError(
                f"{len(pieces)} chunks came with {len(vectors)} vectors; give one for each"
            )
        if len(pieces):
            await self._prepare_vectors(vectors.shape[1])
        async with self._database.begin() as connection:
            standing = await lock(connection, document_id)
            if standing is None or standing.revision != revision:
                return False
            await swap(connection, standing, pieces, vectors, keeps_past=self._keeps_past)
            await self._keywords.add(connection, document_id)
            ready = {"ready_revision": revision, "ready_blob": blob, "state": DocumentState.READY.value}
            await connection.execute(
                update(documents)
                .where(documents.c.id == document_id)
                .values(
                    **ready,
                    failure=None,
                    media_type=media_type,
                    title=title,
                    pages=pages,
                    updated_at=func.now(),
                )
            )
        log.debug("document indexed", extra={"document_id": document_id, "chunks": len(pieces)})
        return True

    async def vectors_of(self, document_id: str, digests: Sequence[bytes]) -> Mapping[bytes, Vectors]:
        """The vectors that are known of a document: of those of its searchable chunks that have one of ``digests``."""
        async with self._database.connect() as connection:
            rows = (await connection.execute(known_vectors(document_id, digests))).all()
        return {bytes(row.digest): np.asarray(row.embedding, dtype=np.float32) for row in rows}

    async def dense(
        self,
        vector: Vectors,
        k: int,
        where: Filter = EVERYTHING,
        *,
        exact: bool = False,
        missing: list[str] | None = None,  # noqa: ARG002 - all vectors are here
    ) -> Sequence[Match]:
        """The ``k`` chunks nearest to ``vector`` by cosine, nearest first; equal ones by chunk id.

        Args:
            vector: Shape ``(dimensions,)``, unit length.
            k: Most chunks.
            where: Only chunks of these documents; those must have been embedded by the vector's model.
            exact: Compare with every chunk that passes ``where``, however many.
            missing: Gets nothing: all vectors are here.
        """
        where = all_of(self._seen, where)
        async with self._sight.glance() as connection:
            if exact or len(vector) > _MOST_HALFVEC_DIMENSIONS or await self._is_narrow(connection, where):
                found = _nearest_exactly(vector, k, where)
            else:
                found = _nearest_by_index(vector, k, where)
            rows = (await connection.execute(found)).all()
        return [Match(row.id, 1.0 - row.distance) for row in rows]

    async def lexical(
        self, query: str, k: int, where: Filter = EVERYTHING, *, mended: dict[str, str] | None = None
    ) -> Sequence[Match]:
        """See `ChunkIndex`."""
        where = all_of(self._seen, where)
        # not as the reading role: the words have no policy, and what is found is read behind both walls
        async with self._database.glance() as connection:
            return await self._keywords.search(connection, query.replace("\x00", ""), k, where, mended=mended)

    async def chunks_of(self, document_id: str) -> Sequence[StoredChunk]:
        """The searchable chunks of a document, in its order; none when it is not there or not ready."""
        is_theirs = (chunks.c.document_id == document_id, _passes(self._seen))
        wanted = select(*_CHUNK).where(*is_theirs).order_by(chunks.c.ordinal)
        async with self._sight.glance() as connection:
            return [_stored(row) for row in await connection.execute(wanted)]

    async def get(self, chunk_ids: Sequence[str]) -> Mapping[str, PlacedChunk]:
        """Those of ``chunk_ids`` that are there now, with their documents."""
        wanted = (
            select(*_CHUNK, *_PLACE)
            .join_from(chunks, documents, chunks.c.document_id == documents.c.id)
            .join(collections, chunks.c.collection_id == collections.c.id)
            .where(chunks.c.id == func.any(list(chunk_ids)), self._sight.documents)
        )
        async with self._sight.glance() as connection:
            return {row.id: _placed(row) for row in await connection.execute(wanted)}

    async def cosines(
        self,
        chunk_ids: Sequence[str],
        vector: Vectors,
        where: Filter = EVERYTHING,
        *,
        missing: list[str] | None = None,  # noqa: ARG002 - all vectors are here
    ) -> Mapping[str, float]:
        """How near each of ``chunk_ids`` is to ``vector``; without those that are gone or do not pass ``where``."""
        wanted = select(chunks.c.id, chunks.c.embedding.cosine_distance(vector).label("distance")).where(
            chunks.c.id == func.any(list(chunk_ids)),
            func.vector_dims(chunks.c.embedding) == len(vector),
            _passes_one_by_one(all_of(self._seen, where)),
        )
        async with self._sight.glance() as connection:
            return {row.id: 1.0 - row.distance for row in await connection.execute(wanted)}

    async def embeddings(self, chunk_ids: Sequence[str]) -> Mapping[str, Vectors]:
        """The vectors of those of ``chunk_ids`` that are there now, each of shape ``(dimensions,)`` and unit length."""
        # as bytes: writing and reading 384 numbers as text takes ten times as long as finding them
        packed = func.vector_send(chunks.c.embedding, type_=LargeBinary).label("packed")
        wanted = select(chunks.c.id, packed).where(
            chunks.c.id == func.any(list(chunk_ids)),
            chunks.c.embedding.is_not(None),
            _passes_one_by_one(self._seen),
        )
        async with self._sight.glance() as connection:
            return {row.id: _unpacked_vector(row.packed) for row in await connection.execute(wanted)}

    async def collections(self) -> Sequence[IndexedCollection]:
        """Every collection, by name."""
        columns = [collections.c[name] for name in ("id", "name", "embedding_model", "dimensions", "options")]
        wanted = select(*columns).where(self._sight.collections).order_by(collections.c.name)
        async with self._sight.glance() as connection:
            return [IndexedCollection(**row._mapping) for row in await connection.execute(wanted)]

    async def stats(self) -> Sequence[IndexStats]:
        """What is searchable of each collection, by name."""
        counted = (
            select(
                collections.c.name.label("collection"),
                collections.c.vectors_in,
                func.count(chunks.c.document_id.distinct()).label("documents"),
                func.count(chunks.c.id).label("chunks"),
                func.count(chunks.c.embedding).label("vectors_here"),
            )
            .outerjoin(chunks, chunks.c.collection_id == collections.c.id)
            .group_by(collections.c.id)
            .order_by(collections.c.name)
        )
        async with self._database.connect() as connection:
            return [IndexStats(**row._mapping) for row in await connection.execute(counted)]

    async def maintain(self) -> Upkeep:
        """Nothing: a write leaves nothing to do here but what PostgreSQL's autovacuum does."""
        return Upkeep()

    async def _is_narrow(self, connection: AsyncConnection, where: Filter) -> bool:
        """Whether so few chunks pass that each can be compared."""
        if self._breadth.is_known_as_many(where):
            return False
        rows = await connection.scalar(select(self._breadth.counted(where)))
        return self._breadth.learn(where, rows or 0) is not None

    async def _prepare_vectors(self, dimensions: int) -> None:
        """Make the HNSW index for vectors of that many dimensions, unless it is there or cannot be."""
        if dimensions in self._prepared_dimensions or dimensions > _MOST_HALFVEC_DIMENSIONS:
            return
        async with self._database.begin() as connection:
            await _lock_preparation(connection)
            await connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
            await connection.execute(
                text(
                    f"CREATE INDEX IF NOT EXISTS chunks_embedding_{dimensions:d} ON chunks"
                    f" USING hnsw ((embedding::halfvec({dimensions:d})) halfvec_cosine_ops)"
                    f" WHERE vector_dims(embedding) = {dimensions:d}"
                )
            )
        self._prepared_dimensions.add(dimensions)


async def _lock_preparation(connection: AsyncConnection) -> None:
    """One process at a time: ``IF NOT EXISTS`` alone fails when two find nothing at the same moment."""
    await connection.execute(select(func.pg_advisory_xact_lock(_PREPARE_LOCK)))
    await connection.execute(text("SET LOCAL statement_timeout = 0"))


# --- vectors -------------------------------------------------------------------------------------------


def _passes(where: Filter) -> ColumnElement[bool]:
    if where == EVERYTHING:
        return true()
    return chunks.c.document_id.in_(select(documents.c.id).where(to_sql(where)))


def _looked_up(where: Filter) -> ColumnElement[bool]:
    return true() if where == EVERYTHING else is_among_passing(chunks.c.document_id, where)


def _passes_one_by_one(where: Filter) -> ColumnElement[bool]:
    """The same, asked of each row as a scan comes to it.

    As a join it is turned round. In a scan of vectors the planner takes it that few rows have these dimensions, since no
    statistics are kept of that, reads the whole vector index and sorts it anew. Of chunks that are named it cannot tell how
    many a reader sees, and looks up the chunks of every document that they do.
    """
    if where == EVERYTHING:
        return true()
    its_document = select(to_sql(where)).where(documents.c.id == chunks.c.document_id)
    return its_document.correlate(chunks).scalar_subquery()


def _nearest_exactly(vector: Vectors, k: int, where: Filter) -> Select[str, float]:
    """Filter first, then compare: OFFSET 0 keeps the planner from turning it round, and writes nothing to disk."""
    passing = (
        select(chunks.c.id, chunks.c.embedding)
        .where(func.vector_dims(chunks.c.embedding) == len(vector), _looked_up(where))
        .offset(literal_column("0"))
        .subquery("passing")
    )
    distance = passing.c.embedding.cosine_distance(vector).label("distance")
    return select(passing.c.id, distance).order_by(distance, passing.c.id).limit(k)


def _nearest_by_index(vector: Vectors, k: int, where: Filter) -> Select[str, float]:
    """An HNSW scan, in nearly the right order and by half-precision; then sorted by the full one."""
    # the number of dimensions is written, not bound: the index is for exactly this expression
    short = cast(chunks.c.embedding, HALFVEC(len(vector)))
    near = (
        select(chunks.c.id, chunks.c.embedding)
        .where(
            func.vector_dims(chunks.c.embedding) == literal_column(str(len(vector))),
            _passes_one_by_one(where),
        )
        .order_by(short.cosine_distance(vector))
        .limit(2 * k)
        .cte("near")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    distance = near.c.embedding.cosine_distance(vector).label("distance")
    return select(near.c.id, distance).order_by(distance, near.c.id).limit(k)


def _unpacked_vector(packed: bytes) -> Vectors:
    """What ``vector_send`` wrote: two 16-bit numbers, then 32-bit floats, the highest byte first."""
    return np.frombuffer(packed, dtype=">f4", offset=4).astype(np.float32)


# --- rows ----------------------------------------------------------------------------------------------

_CHUNK = (
    chunks.c.id,
    chunks.c.document_id,
    chunks.c.ordinal,
    chunks.c.heading,
    chunks.c.text,
    chunks.c.page,
    chunks.c.tokens,
    chunks.c.places,
)
_PLACE = (
    documents.c.ready_revision.label("revision"),
    collections.c.name.label("collection"),
    documents.c.title,
    documents.c.source,
    documents.c.path,
    documents.c.media_type,
    documents.c.modified_at,
    documents.c.metadata,
)


def _stored(row: Row[*tuple[Any, ...]]) -> StoredChunk:
    return StoredChunk(
        id=row.id,
        document_id=row.document_id,
        ordinal=row.ordinal,
        heading=row.heading,
        text=row.text,
        page=row.page,
        tokens=row.tokens,
        places=unpacked(row.places),
    )


def _placed(row: Row[*tuple[Any, ...]]) -> PlacedChunk:
    return PlacedChunk(
        chunk=_stored(row),
        revision=row.revision,
        collection=row.collection,
        title=row.title,
        source=row.source,
        path=row.path,
        media_type=row.media_type,
        modified_at=row.modified_at,
        metadata=row.metadata,
    )
