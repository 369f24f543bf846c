"""Moves the vectors of a collection from PostgreSQL to Pinecone, or back, while it is searched and written.

Nothing is embedded again. All vectors are copied, each read back and compared; then, in one transaction that lets no
writer in between, it is made sure that none is missing and the collection is switched; only then the old place is
emptied. Until the switch the old place alone answers, so a move that is stopped anywhere has changed nothing that a
search can see.

How far a move is follows from the rows themselves, so a worker that is killed is followed by one that goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqlalchemy import Row, Select, and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM, Principal
from causeway.errors import (
    CausewayError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotFoundError,
    SettingsError,
    UpstreamError,
)
from causeway.knowledge.index.pinecone_api import PineconeApi, Space
from causeway.knowledge.index.pinecone_upkeep import PINECONE, POSTGRES, PineconeUpkeep, is_same
from causeway.knowledge.index.stores import Upkeep
from causeway.seams import deferred
from causeway.storage.database import Database
from causeway.storage.recorder import Recorder
from causeway.storage.schema import chunks, collection_moves, collections, external_vectors

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

Target = Literal["postgres", "pinecone"]
MoveState = Literal["copying", "cleaning", "done"]
_SAMPLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A collection on the move, or the last move of one.

    Attributes:
        copied: Vectors of ``total`` that were read back from ``target`` and are the same.
        problem: What it waits for; None while it goes on.
    """

    collection: str
    target: Target
    state: MoveState
    total: int
    copied: int
    problem: str | None
    requested_at: datetime
    finished_at: datetime | None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "collection": self.collection,
            "target": self.target,
            "state": self.state,
            "total": self.total,
            "copied": self.copied,
            "problem": self.problem,
            "requested_at": self.requested_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
        }


class CollectionMoves:
    """Asks for moves, tells how they stand, and makes their steps."""

    def __init__(
        self,
        *,
        database: Database,
        api: PineconeApi | None,
        upkeep: PineconeUpkeep | None,
        clock: Clock,
        record: Recorder | None = None,
    ) -> None:
        """``api`` and ``upkeep`` are None when no key is set: then nothing can move; ``record`` writes down who asks for moves."""
        self._database = database
        self._record = record
        self._api = api
        self._upkeep = upkeep
        self._clock = clock
        self._after: dict[str, str] = {}

    # --- asking ----------------------------------------------------------------------------------------

    @property
    def can_move(self) -> bool:
        """Whether there is another place to move vectors to."""
        return self._api is not None

    async def request(self, name: str, target: str, *, by: Principal = SYSTEM) -> Move:
        """Have the vectors of the collection called ``name`` moved, as ``by`` asks; a move that is under way turns round.

        Raises:
            NotFoundError: There is no such collection.
            InvalidInputError: There is no such target.
            SettingsError: ``pinecone.api_key`` is empty.
        """
        if target not in get_args(Target):
            raise InvalidInputError(f"'{target}' is no place for vectors; say postgres or pinecone")
        if self._api is None:
            msg = "vectors cannot be moved to or from Pinecone: pinecone.api_key is empty; set it"
            raise SettingsError(msg)
        now = self._clock.now()
        async with self._database.begin() as connection:
            found = select(collections.c.id, collections.c.vectors_in).where(collections.c.name == name)
            row = (await connection.execute(found)).one_or_none()
            if row is None:
                raise NotFoundError(
                    f"there is no collection '{name}'; 'causeway collections list' shows them"
                )
            collection_id = row.id
            asked = {"target": target, "state": "copying", "problem": None, "finished_at": None}
            wanted = insert(collection_moves).values(collection_id=collection_id, requested_at=now, **asked)
            is_another = or_(collection_moves.c.target != target, collection_moves.c.state == "done")
            made = wanted.on_conflict_do_update(
                index_elements=["collection_id"],
                set_={**asked, "requested_at": now, "copied": 0},
                where=is_another,
            ).returning(collection_moves.c.collection_id)
            is_new = await connection.scalar(made) is not None
            if is_new and self._record is not None:
                told = {"before": {"vectors_in": row.vectors_in}, "after": {"vectors_in": target}}
                await self._record(connection, by, "collection.move", collection_id, **told)
        return await self.status(name)

    async def status(self, name: str) -> Move:
        """How the last move of a collection stands.

        Raises:
            NotFoundError: There is no such collection, or it was never moved.
        """
        async with self._database.connect() as connection:
            row = (await connection.execute(_moves().where(collections.c.name == name))).one_or_none()
        if row is None:
            raise NotFoundError(f"no collection '{name}' was ever moved")
        return _move(row)

    async def all(self) -> Sequence[Move]:
        """The last move of every collection that was moved, by name."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_moves().order_by(collections.c.name))
            return [_move(row) for row in rows]

    # --- working ---------------------------------------------------------------------------------------

    async def step(self) -> Upkeep:
        """A step of every move that is under way; one that cannot go on says why and is tried again."""
        wanted = select(collection_moves, collections.c.dimensions).join(collections)
        wanted = wanted.where(collection_moves.c.state != "done")
        async with self._database.connect() as connection:
            rows = (await connection.execute(wanted.order_by(collection_moves.c.requested_at))).all()
        if self._upkeep is None or not rows:
            return Upkeep()
        done = waiting = 0
        async with self._upkeep.alone() as is_free:
            for row in rows if is_free else ():
                try:
                    made = await self._advance(row, Space(row.collection_id, row.dimensions))
                except DatabaseUnavailableError:
                    raise
                except CausewayError as exc:
                    await self._note(row.collection_id, problem=exc.message)
                    waiting += 1
                    continue
                done += made.done
                waiting += made.waiting
        return Upkeep(done=done, waiting=waiting)

    async def _advance(self, row: Row[Any], space: Space) -> Upkeep:
        if row.state == "cleaning":
            return await self._clean(row.target, space)
        if row.target == PINECONE:
            return await self._copy_there(space)
        return await self._copy_back(space)

    async def _copy_there(self, space: Space) -> Upkeep:
        upkeep, after = self._working, self._after.get(space.collection_id, "")
        copied = await upkeep.copy(space, after=after)
        await self._count(space, PINECONE)
        if copied.last is not None:
            self._after[space.collection_id] = copied.last
            return Upkeep(done=copied.done, waiting=copied.waiting)
        self._after.pop(space.collection_id, None)
        if after:  # once more from the beginning: some could not be read back, some are new
            return Upkeep(waiting=1)
        await self._check_sample(space)
        return await self._switch(space, PINECONE)

    async def _copy_back(self, space: Space) -> Upkeep:
        made = await self._working.bring_back(space)
        await self._count(space, POSTGRES)
        if made.done or made.waiting:
            if not made.done:
                lost = "they are not there any more, or not as they were sent"
                raise UpstreamError(f"{made.waiting} vectors cannot be fetched from Pinecone: {lost}")
            return made
        return await self._switch(space, POSTGRES)

    async def _check_sample(self, space: Space) -> None:
        """Count what is there, and look at some of it once more, as the last thing before the switch.

        Raises:
            UpstreamError: It is not what was sent.
        """
        some = (
            select(chunks.c.id, chunks.c.embedding)
            .where(chunks.c.collection_id == space.collection_id, chunks.c.embedding.is_not(None))
            .order_by(func.random())
            .limit(_SAMPLE)
        )
        number = select(func.count()).where(chunks.c.collection_id == space.collection_id)
        async with self._database.connect() as connection:
            rows = (await connection.execute(some)).all()
            wanted = await connection.scalar(number) or 0
        held = await self._reached.count(space)
        if held < wanted:
            raise UpstreamError(f"Pinecone counts {held:,} vectors by now and {wanted:,} were sent")
        found = await self._reached.fetch(space, [row.id for row in rows])
        if wrong := [
            row.id for row in rows if not is_same(found.get(row.id), np.asarray(row.embedding, np.float32))
        ]:
            await self._distrust(wrong)
            raise UpstreamError(
                f"{len(wrong)} of {len(rows)} vectors in Pinecone are not as they were sent; they go again"
            )

    async def _distrust(self, chunk_ids: Sequence[str]) -> None:
        async with self._database.begin() as connection:
            await connection.execute(
                update(external_vectors)
                .where(external_vectors.c.chunk_id == func.any(list(chunk_ids)))
                .values(is_there=False, sent_at=None)
            )

    async def _switch(self, space: Space, target: Target) -> Upkeep:
        """Let the target answer, unless a vector is missing there; nobody writes chunks of it meanwhile."""
        async with self._database.begin() as connection:
            # a chunk that is being written holds its collection's row by foreign key: so this waits for it
            locked = select(collections.c.id).where(collections.c.id == space.collection_id)
            if await connection.scalar(locked.with_for_update()) is None:
                return Upkeep()
            if await connection.scalar(_missing(space, target)):
                return Upkeep(waiting=1)
            await connection.execute(
                update(collections).where(collections.c.id == space.collection_id).values(vectors_in=target)
            )
            await _set(connection, space.collection_id, state="cleaning", problem=None)
        return Upkeep(done=1)

    async def _clean(self, target: Target, space: Space) -> Upkeep:
        if target == PINECONE:
            emptied = await self._working.empty_here(space)
            if emptied:
                return Upkeep(done=emptied)
        elif await self._has_been_there(space):
            await self._working.forget(space)
        await self._count(space, target)
        await self._note(space.collection_id, state="done", problem=None, finished_at=self._clock.now())
        return Upkeep(done=1)

    async def _has_been_there(self, space: Space) -> bool:
        noted = exists().where(external_vectors.c.collection_id == space.collection_id)
        async with self._database.connect() as connection:
            return bool(await connection.scalar(select(noted)))

    async def _count(self, space: Space, target: Target) -> None:
        """Note how far a move is."""
        here = func.count(chunks.c.embedding)
        counted = select(func.count().label("total"), here.label("here"))
        counted = counted.where(chunks.c.collection_id == space.collection_id)
        there = select(func.count()).where(
            external_vectors.c.collection_id == space.collection_id, external_vectors.c.is_there
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(counted)).one()
            copied = row.here if target == POSTGRES else await connection.scalar(there) or 0
        await self._note(space.collection_id, total=row.total, copied=min(copied, row.total), problem=None)

    async def _note(self, collection_id: str, **values: object) -> None:
        async with self._database.begin() as connection:
            await _set(connection, collection_id, **values)

    @property
    def _working(self) -> PineconeUpkeep:
        if self._upkeep is None:
            msg = "pinecone.api_key is empty; set it"
            raise SettingsError(msg)
        return self._upkeep

    @property
    def _reached(self) -> PineconeApi:
        if self._api is None:
            msg = "pinecone.api_key is empty; set it"
            raise SettingsError(msg)
        return self._api


def _missing(space: Space, target: Target) -> Select[Any]:
    """Whether a chunk of the collection has no vector at the target."""
    theirs = chunks.c.collection_id == space.collection_id
    if target == POSTGRES:
        return select(exists().where(theirs, chunks.c.embedding.is_(None)))
    same = exists().where(
        external_vectors.c.chunk_id == chunks.c.id,
        external_vectors.c.is_there,
        external_vectors.c.fingerprint == func.md5(func.vector_send(chunks.c.embedding)),
    )
    return select(exists().where(theirs, and_(chunks.c.embedding.is_not(None), ~same)))


async def _set(connection: AsyncConnection, collection_id: str, **values: object) -> None:
    row = update(collection_moves).where(collection_moves.c.collection_id == collection_id)
    await connection.execute(row.values(**values))


def _moves() -> Select[Any]:
    names = ("target", "state", "total", "copied", "problem", "requested_at", "finished_at")
    columns = [collection_moves.c[name] for name in names]
    return select(collections.c.name.label("collection"), *columns).join_from(collection_moves, collections)


def _move(row: Row[Any]) -> Move:
    return Move(**row._mapping)
