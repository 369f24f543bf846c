"""The search index with vectors in Pinecone: text, words, filters and the truth stay in PostgreSQL.

A document is written as ever, in one PostgreSQL transaction with its vectors, and is searchable when that commits.
`PineconeUpkeep` then takes the vectors of collections that are kept in Pinecone there, reads each back, and only then
empties it here. So a vector is found here until it can be found there: that Pinecone shows a write seconds later, or
is down for an hour, delays nothing and loses nothing. docs/adr/0022-vectors-in-pinecone.md

A search asks both. What Pinecone brings is looked up here, so a chunk that was replaced, deleted or does not pass the
filter is never found, whatever Pinecone still has. Filters are decided here too: the documents that pass are named to
Pinecone, which knows of a vector only whose it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import ARRAY, ColumnElement, LargeBinary, bindparam, func, not_, select, true

from causeway.contracts.identity import Principal
from causeway.contracts.vectors import Vectors
from causeway.errors import CausewayError, DatabaseUnavailableError, DeadlineError, SettingsError
from causeway.knowledge.document import Chunk
from causeway.knowledge.index.filters import EVERYTHING, And, Eq, Filter, In, Not, all_of, readable, to_sql
from causeway.knowledge.index.pinecone_api import MOST_MATCHES, MOST_NAMED, PineconeApi, Space
from causeway.knowledge.index.pinecone_upkeep import PINECONE, PineconeUpkeep
from causeway.knowledge.index.postgres_index import MOST_EXACT, PostgresIndex
from causeway.knowledge.index.stores import (
    IndexedCollection,
    IndexStats,
    Match,
    PlacedChunk,
    StoredChunk,
    Upkeep,
)
from causeway.knowledge.sight import Sight
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collections, documents

log = logging.getLogger(__name__)

T = TypeVar("T")
_PATIENCE_S: Final = 5.0
"""What Pinecone may take of the ten seconds that a search has."""
_SPARE: Final = 20
"""Matches asked for beyond those wanted: chunks that were replaced a moment ago are still there."""
_MOST_FETCHED: Final = 100
"""Vectors that are fetched to be compared here; of more the scores are asked for, a hundredth of the bytes."""
_MOST_DOCUMENTS: Final = 5_000
"""Documents that pass a filter and are all named, a thousand in each query."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A collection whose vectors are in Pinecone."""

    name: str
    space: Space


class PineconeIndex:
    """A `ChunkIndex`; collections that are not kept in Pinecone are left to ``postgres`` alone."""

    def __init__(
        self,
        postgres: PostgresIndex,
        database: Database,
        api: PineconeApi | None,
        upkeep: PineconeUpkeep | None,
        *,
        most_documents: int = _MOST_DOCUMENTS,
    ) -> None:
        """``api`` is None when no key is set: then a search for vectors that are there says so."""
        self._postgres = postgres
        self._database = database
        self._api = api
        self._upkeep = upkeep
        self._most_documents = most_documents

    def seen_by(self, principal: Principal) -> PineconeIndex:
        """See `ChunkIndex`: what Pinecone brings is looked up as this caller, behind both walls of `Sight`."""
        seen = copy(self)
        seen._postgres = self._postgres.seen_by(principal)
        return seen

    @property
    def sight(self) -> Sight:
        """See `ChunkIndex`."""
        return self._postgres.sight

    # --- what PostgreSQL does alone --------------------------------------------------------------------

    async def prepare(self) -> None:
        """See `ChunkIndex`."""
        await self._postgres.prepare()

    async def replace_document(  # noqa: PLR0913 - as the protocol has it
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
        """See `ChunkIndex`."""
        return await self._postgres.replace_document(
            document_id, revision, pieces, vectors, media_type=media_type, title=title, pages=pages, blob=blob
        )

    async def lexical(
        self, query: str, k: int, where: Filter = EVERYTHING, *, mended: dict[str, str] | None = None
    ) -> Sequence[Match]:
        """See `ChunkIndex`."""
        return await self._postgres.lexical(query, k, where, mended=mended)

    async def chunks_of(self, document_id: str) -> Sequence[StoredChunk]:
        """See `ChunkIndex`."""
        return await self._postgres.chunks_of(document_id)

    async def get(self, chunk_ids: Sequence[str]) -> Mapping[str, PlacedChunk]:
        """See `ChunkIndex`."""
        return await self._postgres.get(chunk_ids)

    async def collections(self) -> Sequence[IndexedCollection]:
        """See `ChunkIndex`."""
        return await self._postgres.collections()

    async def stats(self) -> Sequence[IndexStats]:
        """See `ChunkIndex`."""
        return await self._postgres.stats()

    async def maintain(self) -> Upkeep:
        """See `ChunkIndex`."""
        return Upkeep() if self._upkeep is None else await self._upkeep.step()

    # --- vectors -----------------------------------------------------------------------------------------

    async def vectors_of(self, document_id: str, digests: Sequence[bytes]) -> Mapping[bytes, Vectors]:
        """See `ChunkIndex`; those that Pinecone does not give now are left out, and are embedded again."""
        known = dict(await self._postgres.vectors_of(document_id, digests))
        if self._api is None or len(known) == len(digests):
            return known
        wanted = bindparam(None, list(digests), ARRAY(LargeBinary))
        sent = (
            select(chunks.c.id, chunks.c.digest, collections.c.id.label("place"), collections.c.dimensions)
            .join_from(chunks, collections)
            .where(
                chunks.c.document_id == document_id,
                chunks.c.digest == func.any(wanted),
                chunks.c.embedding.is_(None),
            )
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(sent)).all()
        if not rows:
            return known
        try:
            found = await self._api.fetch(Space(rows[0].place, rows[0].dimensions), [row.id for row in rows])
        except CausewayError as exc:
            log.warning("known vectors are embedded again", extra={"reason": exc.message})
            return known
        return known | {bytes(row.digest): found[row.id] for row in rows if row.id in found}

    async def dense(
        self,
        vector: Vectors,
        k: int,
        where: Filter = EVERYTHING,
        *,
        missing: list[str] | None = None,
    ) -> Sequence[Match]:
        """See `ChunkIndex`."""
        where = all_of(readable(self.sight.names), where)
        if self._api is None:  # nothing is moved from here, so it is enough to ask at the end
            found = await self._postgres.dense(vector, k, where)
            places = await self._places(len(vector), where)
            if not places:
                return found
        else:
            places = await self._places(len(vector), where)
        while True:
            unasked: list[str] = []
            found = await self._nearest_of(places, vector, k, where, None if missing is None else unasked)
            # a collection may have been switched, and its vectors emptied here, since the places were read
            now = await self._places(len(vector), where)
            if now == places:
                if missing is not None:
                    missing += unasked
                return found
            places = now

    async def _nearest_of(
        self,
        places: Sequence[_Place],
        vector: Vectors,
        k: int,
        where: Filter,
        missing: list[str] | None,
    ) -> Sequence[Match]:
        if not places:
            return await self._postgres.dense(vector, k, where)
        # here first, then there: a vector that has left by now could be read there before it left
        not_sent = await self._not_sent_yet(vector, k, where, places)
        elsewhere = Not(In("collection", tuple(place.name for place in places)))
        arms = [
            self._postgres.dense(vector, k, all_of(where, elsewhere)),
            *(
                self._asked(place, self._nearest_there(place, vector, k, where), [], missing)
                for place in places
            ),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(arm) for arm in arms]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        there = {match.chunk_id: match for arm in running for match in arm.result()}
        return _nearest({**there, **{match.chunk_id: match for match in not_sent}}.values(), k)

    async def cosines(
        self,
        chunk_ids: Sequence[str],
        vector: Vectors,
        where: Filter = EVERYTHING,
        *,
        missing: list[str] | None = None,
    ) -> Mapping[str, float]:
        """See `ChunkIndex`."""
        where = all_of(readable(self.sight.names), where)
        found = dict(await self._postgres.cosines(chunk_ids, vector, where))
        left = [chunk_id for chunk_id in chunk_ids if chunk_id not in found]
        for place in await self._places(len(vector), where) if left else ():
            sent = await self._sent(place.space, left, where)
            if sent:
                found |= await self._asked(place, self._cosines_there(place, sent, vector), {}, missing)
        return found

    async def _cosines_there(
        self, place: _Place, sent: Mapping[str, str], vector: Vectors
    ) -> dict[str, float]:
        """Of chunks, with their documents: few by their vectors, many by one query of their documents' scores."""
        api, cosines = self._reach(place), dict[str, float]()
        named = list(dict.fromkeys(sent.values()))
        if len(sent) > _MOST_FETCHED and len(named) <= MOST_NAMED:
            theirs = select(func.count()).where(chunks.c.document_id == func.any(named))
            async with self._database.connect() as connection:
                most = (await connection.scalar(theirs) or 0) + _SPARE
            matches = await api.query(place.space, vector, min(most, MOST_MATCHES), named)
            cosines = {match.chunk_id: match.score for match in matches if match.chunk_id in sent}
        left = [chunk_id for chunk_id in sent if chunk_id not in cosines]
        vectors = await api.fetch(place.space, left) if left else {}
        return cosines | {chunk_id: float(each @ vector) for chunk_id, each in vectors.items()}

    async def embeddings(self, chunk_ids: Sequence[str]) -> Mapping[str, Vectors]:
        """See `ChunkIndex`."""
        found = dict(await self._postgres.embeddings(chunk_ids))
        left = [chunk_id for chunk_id in chunk_ids if chunk_id not in found]
        if self._api is None or not left:
            return found
        wanted = (
            select(chunks.c.id, collections.c.id.label("place"), collections.c.name, collections.c.dimensions)
            .join_from(chunks, collections)
            .where(
                chunks.c.id == func.any(left),
                collections.c.vectors_in == PINECONE,
                _passes(readable(self.sight.names)),
            )
        )
        async with self.sight.connect() as connection:
            rows = (await connection.execute(wanted)).all()
        places: dict[_Place, list[str]] = {}
        for row in rows:
            places.setdefault(_Place(row.name, Space(row.place, row.dimensions)), []).append(row.id)
        for place, ids in places.items():
            found |= await self._asked(place, self._api.fetch(place.space, ids), {}, [])
        return found

    async def _asked(self, place: _Place, call: Awaitable[T], nothing: T, missing: list[str] | None) -> T:
        """What ``call`` gives, or ``nothing`` and a word in ``missing`` when Pinecone does not answer it."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await call
        except DatabaseUnavailableError:
            raise
        except (CausewayError, TimeoutError) as exc:
            told = exc.message if isinstance(exc, CausewayError) else "Pinecone did not answer in time"
            if missing is None:
                raise DeadlineError(told) if isinstance(exc, TimeoutError) else exc from exc
            log.warning("search without vectors", extra={"collection": place.name, "reason": told})
            missing.append(f"'{place.name}' was searched by keywords alone: {told}")
            return nothing

    async def _places(self, dimensions: int, where: Filter) -> list[_Place]:
        """The collections with vectors of so many numbers in Pinecone that ``where`` may let pass."""
        wanted = select(collections.c.id, collections.c.name).where(
            collections.c.vectors_in == PINECONE,
            collections.c.dimensions == dimensions,
            self.sight.collections,
        )
        async with self.sight.glance() as connection:
            rows = (await connection.execute(wanted.order_by(collections.c.name))).all()
        return [
            _Place(row.name, Space(row.id, dimensions))
            for row in rows
            if _may_pass_collection(where, row.name)
        ]

    def _reach(self, place: _Place) -> PineconeApi:
        if self._api is None:
            raise SettingsError(
                f"the vectors of collection '{place.name}' are in Pinecone and pinecone.api_key is empty; set it"
            )
        return self._api

    async def _not_sent_yet(
        self, vector: Vectors, k: int, where: Filter, places: Sequence[_Place]
    ) -> Sequence[Match]:
        """The nearest of the vectors that are still here: the newest documents, or most of them while all move."""
        theirs = chunks.c.collection_id.in_([place.space.collection_id for place in places])
        here = select(chunks.c.id).where(theirs, chunks.c.embedding.is_not(None))
        some = here.limit(MOST_EXACT + 1).subquery()
        async with self._database.connect() as connection:
            count = await connection.scalar(select(func.count()).select_from(some)) or 0
        if count > MOST_EXACT:
            names = In("collection", tuple(place.name for place in places))
            return await self._postgres.dense(vector, k, all_of(where, names))
        if count == 0:
            return []
        distance = chunks.c.embedding.cosine_distance(vector).label("distance")
        passing = (
            select(chunks.c.id, distance)
            .where(
                theirs,
                chunks.c.embedding.is_not(None),
                func.vector_dims(chunks.c.embedding) == len(vector),
                _passes(where),
            )
            .order_by(distance, chunks.c.id)
            .limit(k)
        )
        async with self.sight.connect() as connection:
            return [Match(row.id, 1.0 - row.distance) for row in await connection.execute(passing)]

    async def _nearest_there(self, place: _Place, vector: Vectors, k: int, where: Filter) -> Sequence[Match]:
        api = self._reach(place)
        if _passes_all_of(where, place.name):
            return (await self._grow(api, place.space, vector, k, where, None))[0]
        few = await self._passing(place.space, where, self._most_documents + 1)
        if few is None:
            return (await self._grow(api, place.space, vector, k, where, None))[0]
        if len(few) > self._most_documents:
            found, is_all = await self._grow(api, place.space, vector, k, where, None)
            if len(found) >= k or is_all:
                return found
            few = await self._passing(place.space, where, None) or []
        best: list[Match] = []
        for start in range(0, len(few), MOST_NAMED):
            named = few[start : start + MOST_NAMED]
            best = _nearest([*best, *(await self._grow(api, place.space, vector, k, where, named))[0]], k)
        return best

    async def _grow(
        self,
        api: PineconeApi,
        space: Space,
        vector: Vectors,
        k: int,
        where: Filter,
        named: Sequence[str] | None,
    ) -> tuple[list[Match], bool]:
        """The nearest that are chunks now and pass, asking for more until there are ``k``; and whether that was all."""
        most = min(MOST_MATCHES, k + _SPARE)
        while True:
            matches = await api.query(space, vector, most, named)
            live = await self._live(space, [match.chunk_id for match in matches], where)
            found = [match for match in matches if match.chunk_id in live]
            is_all = len(matches) < most
            if len(found) >= k or is_all or most == MOST_MATCHES:
                return _nearest(found, k), is_all
            most = min(MOST_MATCHES, most * 4)

    async def _live(self, space: Space, chunk_ids: Sequence[str], where: Filter) -> set[str]:
        """Which of ``chunk_ids`` are chunks of the collection now and pass."""
        found = select(chunks.c.id).where(*_is_one_of(space, chunk_ids), _passes(where))
        async with self.sight.connect() as connection:
            return set(await connection.scalars(found))

    async def _sent(self, space: Space, chunk_ids: Sequence[str], where: Filter) -> dict[str, str]:
        """Those of ``chunk_ids`` that pass and whose vectors are there alone -> their documents."""
        found = select(chunks.c.id, chunks.c.document_id).where(
            *_is_one_of(space, chunk_ids), chunks.c.embedding.is_(None), _passes(where)
        )
        async with self.sight.connect() as connection:
            return {row.id: row.document_id for row in await connection.execute(found)}

    async def _passing(self, space: Space, where: Filter, most: int | None) -> list[str] | None:
        """Documents of the collection that pass, at most so many; None when all of it does."""
        theirs = select(documents.c.id).where(documents.c.collection_id == space.collection_id)
        # not as the caller: what they may not see would seem not to be there, and all of it to pass
        async with self._database.connect() as connection:
            if await connection.scalar(theirs.where(not_(to_sql(where))).limit(1)) is None:
                return None
        async with self.sight.connect() as connection:
            passing = theirs.where(to_sql(where)).order_by(documents.c.id)
            return list(await connection.scalars(passing.limit(most)))


def _nearest(matches: Iterable[Match], k: int) -> list[Match]:
    # the two places differ in the eighth digit, which is no order
    return sorted(matches, key=lambda match: (-round(match.score, 6), match.chunk_id))[:k]


def _is_one_of(space: Space, chunk_ids: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    return chunks.c.id == func.any(list(chunk_ids)), chunks.c.collection_id == space.collection_id


def _passes(where: Filter) -> ColumnElement[bool]:
    if where == EVERYTHING:
        return true()
    return chunks.c.document_id.in_(select(documents.c.id).where(to_sql(where)))


def _passes_all_of(where: Filter, collection: str) -> bool:
    """Whether a filter says nothing but which collection, without asking the database."""
    return where in (EVERYTHING, Eq("collection", collection))


def _may_pass_collection(where: Filter, collection: str) -> bool:
    """False only where a filter plainly names other collections, so that Pinecone is not asked in vain."""
    match where:
        case Eq("collection", value):
            return str(value) == collection
        case In("collection", values):
            return collection in map(str, values)
        case And(parts):
            return all(_may_pass_collection(part, collection) for part in parts)
        case _:
            return True
