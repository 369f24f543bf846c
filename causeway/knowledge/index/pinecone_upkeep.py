"""Takes vectors to Pinecone and back, and what is no chunk's any more away from there.

What may be there is written down here first (``external_vectors``), with a fingerprint of the vector, and counts as
there only when it was read back and is the same. So every step may be repeated, and a process that is killed between
any two leaves nothing but a step to be done again. One process does steps at a time, whoever holds the lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.contracts.vectors import Vectors
from causeway.knowledge.index.pinecone_api import PineconeApi, Record, Space
from causeway.knowledge.index.stores import Upkeep
from causeway.seams import deferred
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collection_moves, collections, external_vectors

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

PINECONE: Final = "pinecone"
POSTGRES: Final = "postgres"
_AT_ONCE = 500
"""Vectors in one step."""
_MOST_SWEPT = 1000
_LATE = timedelta(seconds=60)
"""A vector that was sent so long ago and cannot be read back is sent again."""
_NEAR: Final = 1e-5
"""How far a number may be from the one that was sent: half-precision would be a thousandth."""
_LOCK = 0x63775F7069
"""An advisory lock's number: 'cw_pi' in ASCII."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A chunk whose vector is here and is to be there; ``sent_at`` is None before it was accepted."""

    id: str
    document_id: str
    vector: Vectors
    fingerprint: str
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a step of copying did.

    Attributes:
        done: Vectors that were read back.
        waiting: Vectors that were sent and cannot be read back yet.
        last: The last chunk looked at; None when there was nothing more to do.
    """

    done: int = 0
    waiting: int = 0
    last: str | None = None


class PineconeUpkeep:
    """The steps; see the module."""

    def __init__(
        self, database: Database, api: PineconeApi, *, clock: Clock, at_once: int = _AT_ONCE
    ) -> None:
        self._database = database
        self._api = api
        self._clock = clock
        self._at_once = at_once

    async def step(self) -> Upkeep:
        """A step for every collection that is kept there and not on the move, and a sweep.

        Raises:
            CausewayError: Pinecone or the database fails; what was done until then stays done.
        """
        done = waiting = 0
        async with self.alone() as is_free:
            if not is_free:
                return Upkeep()
            for space in await self._kept_there():
                copied = await self.copy(space)
                done += copied.done + await self.empty_here(space)
                waiting += copied.waiting
            done += await self.sweep()
        return Upkeep(done=done, waiting=waiting)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Whether no other process does steps now; if so, none will until the block ends."""
        async with self._database.begin() as connection:
            yield bool(await connection.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))))

    async def _kept_there(self) -> list[Space]:
        """Collections whose vectors end up there; one that moves is `CollectionMoves`'s."""
        is_moving = exists().where(
            collection_moves.c.collection_id == collections.c.id, collection_moves.c.state != "done"
        )
        wanted = select(collections.c.id, collections.c.dimensions).where(
            collections.c.vectors_in == PINECONE, ~is_moving
        )
        async with self._database.connect() as connection:
            rows = await connection.execute(wanted.order_by(collections.c.id))
            return [Space(row.id, row.dimensions) for row in rows]

    # --- there -----------------------------------------------------------------------------------------

    async def copy(self, space: Space, *, after: str = "") -> Copied:
        """Send the next vectors that are here and not there, and read back those that were sent."""
        waiting = await self._waiting(space, after)
        if not waiting:
            return Copied()
        late = self._clock.now() - _LATE
        due = [each for each in waiting if each.sent_at is None or each.sent_at < late]
        if due:
            await self._note(space, due)
            await self._api.upsert(space, [Record(each.id, each.document_id, each.vector) for each in due])
            await self._note_sent(due)
        found = await self._api.fetch(space, [each.id for each in waiting])
        same = [each for each in waiting if is_same(found.get(each.id), each.vector)]
        await self._confirm(same)
        return Copied(done=len(same), waiting=len(waiting) - len(same), last=waiting[-1].id)

    async def _waiting(self, space: Space, after: str) -> list[_Waiting]:
        sent = and_(
            external_vectors.c.chunk_id == chunks.c.id, external_vectors.c.fingerprint == _FINGERPRINT
        )
        wanted = (
            select(
                chunks.c.id,
                chunks.c.document_id,
                chunks.c.embedding,
                _FINGERPRINT.label("fingerprint"),
                external_vectors.c.sent_at,
            )
            .outerjoin(external_vectors, sent)
            .where(
                chunks.c.collection_id == space.collection_id,
                chunks.c.id > after,
                chunks.c.embedding.is_not(None),
                external_vectors.c.is_there.is_not(True),
            )
            .order_by(chunks.c.id)
            .limit(self._at_once)
        )
        async with self._database.connect() as connection:
            return [_row_waiting(row) for row in await connection.execute(wanted)]

    async def _note(self, space: Space, due: Sequence[_Waiting]) -> None:
        """Write down what is about to be sent."""
        rows = [
            {
                "chunk_id": each.id,
                "collection_id": space.collection_id,
                "dimensions": space.dimensions,
                "fingerprint": each.fingerprint,
                "is_there": False,
                "sent_at": None,
            }
            for each in due
        ]
        noted = insert(external_vectors)
        noted = noted.on_conflict_do_update(
            index_elements=["chunk_id"],
            set_={name: noted.excluded[name] for name in ("fingerprint", "is_there", "sent_at")},
        )
        async with self._database.begin() as connection:
            await connection.execute(noted, rows)

    async def _note_sent(self, due: Sequence[_Waiting]) -> None:
        ids = [each.id for each in due]
        sent = update(external_vectors).where(external_vectors.c.chunk_id == func.any(ids))
        async with self._database.begin() as connection:
            await connection.execute(sent.values(sent_at=self._clock.now()))

    async def _confirm(self, same: Iterable[_Waiting]) -> None:
        """Note that these were read back; a vector that was written anew meanwhile has another fingerprint."""
        async with self._database.begin() as connection:
            for each in same:
                await connection.execute(
                    update(external_vectors)
                    .where(
                        external_vectors.c.chunk_id == each.id,
                        external_vectors.c.fingerprint == each.fingerprint,
                    )
                    .values(is_there=True)
                )

    async def empty_here(self, space: Space) -> int:
        """Let go of the vectors here that were read back there; how many. Only while the collection is kept there."""
        same = select(external_vectors.c.chunk_id).where(
            external_vectors.c.chunk_id == chunks.c.id,
            external_vectors.c.is_there,
            external_vectors.c.fingerprint == _FINGERPRINT,
        )
        some = (
            select(chunks.c.id)
            .where(
                chunks.c.collection_id == space.collection_id,
                chunks.c.embedding.is_not(None),
                same.exists(),
            )
            .order_by(chunks.c.id)
            .limit(self._at_once)
            .with_for_update()
        )
        async with self._database.begin() as connection:
            if await _where_kept(connection, space) != PINECONE:
                return 0
            ids = list(await connection.scalars(some))
            await connection.execute(
                update(chunks).where(chunks.c.id == func.any(ids), same.exists()).values(embedding=None)
            )
        return len(ids)

    # --- back ------------------------------------------------------------------------------------------

    async def bring_back(self, space: Space) -> Upkeep:
        """Fetch the next vectors that are there alone, and have them here as well."""
        wanted = (
            select(chunks.c.id)
            .where(chunks.c.collection_id == space.collection_id, chunks.c.embedding.is_(None))
            .order_by(chunks.c.id)
            .limit(self._at_once)
        )
        async with self._database.connect() as connection:
            ids = list(await connection.scalars(wanted))
        found = {
            key: vector
            for key, vector in (await self._api.fetch(space, ids) if ids else {}).items()
            if vector.shape == (space.dimensions,) and is_unit(vector)
        }
        async with self._database.begin() as connection:
            for key, vector in found.items():
                await connection.execute(
                    update(chunks)
                    .where(chunks.c.id == key, chunks.c.embedding.is_(None))
                    .values(embedding=vector)
                )
        return Upkeep(done=len(found), waiting=len(ids) - len(found))

    async def forget(self, space: Space) -> None:
        """Take away all that a collection has there, and the note of it."""
        await self._api.forget(space)
        async with self._database.begin() as connection:
            await connection.execute(
                delete(external_vectors).where(external_vectors.c.collection_id == space.collection_id)
            )

    # --- away ------------------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Take away there what is no chunk's any more; how many, at most a thousand."""
        is_gone = ~exists().where(chunks.c.id == external_vectors.c.chunk_id)
        wanted = (
            select(
                external_vectors.c.chunk_id, external_vectors.c.collection_id, external_vectors.c.dimensions
            )
            .where(is_gone)
            .limit(_MOST_SWEPT)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(wanted)).all()
        spaces: dict[Space, list[str]] = {}
        for row in rows:
            spaces.setdefault(Space(row.collection_id, row.dimensions), []).append(row.chunk_id)
        for space, ids in spaces.items():
            await self._api.delete(space, ids)
            async with self._database.begin() as connection:
                await connection.execute(
                    delete(external_vectors).where(external_vectors.c.chunk_id == func.any(ids))
                )
        return len(rows)


_FINGERPRINT: ColumnElement[str] = func.md5(func.vector_send(chunks.c.embedding))


def is_same(found: Vectors | None, sent: Vectors) -> bool:
    """Whether what was read back is what was sent."""
    return found is not None and found.shape == sent.shape and bool(np.abs(found - sent).max() <= _NEAR)


def is_unit(vector: Vectors) -> bool:
    """Whether a vector can be one of ours: finite, of length one."""
    return bool(abs(float(np.linalg.norm(vector)) - 1.0) < 1e-3)


async def _where_kept(connection: AsyncConnection, space: Space) -> str | None:
    """Where a collection's vectors are kept, which nobody changes until the transaction ends."""
    kept = select(collections.c.vectors_in).where(collections.c.id == space.collection_id)
    found: str | None = await connection.scalar(kept.with_for_update(read=True))
    return found


def _row_waiting(row: Row[Any]) -> _Waiting:
    vector = np.asarray(row.embedding, np.float32)
    return _Waiting(row.id, row.document_id, vector, row.fingerprint, row.sent_at)
