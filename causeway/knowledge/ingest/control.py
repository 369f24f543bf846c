"""Control of what is being ingested: pause, resume, cancel and re-index a collection, a source or a document.

Everything said here is a row before it is done, so it holds whatever is killed:

- A hold is a row; what it stops is marked in its transaction, and its work withdrawn from the queue.
- Documents that have to be queued again are recognised by their rows: paused and no longer held, or queued last under
  older options than their collection has now. `IngestControl.requeue` queues them in batches, as durable work, and may
  be killed between any two. Until its new chunks are in, a document's old ones are searched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, delete, func, not_, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import SYSTEM, Principal
from causeway.errors import CausewayError, NotFoundError
from causeway.knowledge.collection_options import CollectionOptions, options_of
from causeway.knowledge.document import DocumentState
from causeway.knowledge.document_rows import options_version_of, queued_again
from causeway.knowledge.holds import Selection, held, is_held
from causeway.knowledge.library import (
    INGEST,
    UNFINISHED,
    priority_of,
    work_key,
)
from causeway.storage.background import rest
from causeway.storage.database import Database
from causeway.storage.durable import Durable, Priority
from causeway.storage.recorder import Recorder
from causeway.storage.schema import collections, documents, ingest_holds

log = logging.getLogger(__name__)

REQUEUE = "requeue"
"""The name of the durable work that queues a collection's documents again."""

_BATCH = 200
_STOPPABLE = (*UNFINISHED, DocumentState.PAUSED)


class IngestControl:
    """Controls ingestion, for any number of processes; the work is done by those that work on the queue."""

    def __init__(self, *, database: Database, durable: Durable, record: Recorder | None = None) -> None:
        """``record`` writes down who changed options."""
        self._database = database
        self._durable = durable
        self._record = record
        self._is_queue_reached = False

    def register(self, durable: Durable) -> None:
        """Let durable work queue documents again; before `Durable.launch`."""
        durable.register(REQUEUE, self.requeue, concurrency=1)

    # --- what is said ----------------------------------------------------------------------------------

    async def selection(self, document_id: str) -> Selection:
        """One document.

        Raises:
            NotFoundError: There is none of that id.
        """
        found = select(documents.c.collection_id).where(documents.c.id == document_id)
        async with self._database.connect() as connection:
            collection_id = await connection.scalar(found)
        if collection_id is None:
            raise NotFoundError(f"there is no document '{document_id}'; it may have been deleted")
        return Selection(collection_id=collection_id, document_id=document_id)

    async def held(self) -> frozenset[Selection]:
        """Everything that is held."""
        async with self._database.connect() as connection:
            return frozenset(await held(connection))

    async def pause(self, chosen: Selection) -> int:
        """Hold ``chosen`` until it is resumed; how many documents that stopped.

        What is being worked on stops within a second or two, and begins from its start when it is resumed. Documents
        that come later are held too.
        """
        hold = insert(ingest_holds).values(
            collection_id=chosen.collection_id, source=chosen.source, document_id=chosen.document_id
        )
        async with self._database.begin() as connection:
            await connection.execute(hold.on_conflict_do_nothing())
            return await self._stop(
                connection, chosen, documents.c.state.in_(UNFINISHED), state=DocumentState.PAUSED
            )

    async def resume(self, chosen: Selection) -> bool:
        """Let go of ``chosen``; False when it was not held. What something else holds as well stays paused."""
        exactly = and_(
            ingest_holds.c.collection_id == chosen.collection_id,
            ingest_holds.c.source == chosen.source,
            ingest_holds.c.document_id == chosen.document_id,
        )
        await self._reach_queue()
        async with self._database.begin() as connection:
            let_go = await connection.execute(delete(ingest_holds).where(exactly))
            await self._queue_due(connection, chosen)
        return let_go.rowcount > 0

    async def cancel(self, chosen: Selection) -> int:
        """Want what is unfinished of ``chosen`` no longer; how many documents that was.

        What of them was searchable stays so. They are read when they change, or are re-indexed.
        """
        is_stoppable = or_(documents.c.state.in_(_STOPPABLE), is_stale())
        async with self._database.begin() as connection:
            return await self._stop(connection, chosen, is_stoppable, state=DocumentState.CANCELLED)

    async def reindex(self, chosen: Selection) -> int:
        """Read ``chosen`` again from the files that are stored; how many documents that is."""
        await self._reach_queue()
        stale = update(documents).where(chosen.documents).values(options_version=-1)
        async with self._database.begin() as connection:
            marked = await connection.execute(stale)
            await self._queue_due(connection, chosen)
        return marked.rowcount

    async def change_options(
        self, collection_id: str, changes: Mapping[str, object], *, by: Principal = SYSTEM
    ) -> CollectionOptions:
        """Change a collection's options, and read its documents again if that made a difference.

        Args:
            collection_id: The collection.
            changes: Section -> name -> value; None is the default.
            by: Who changes them, for the audit log.

        Raises:
            NotFoundError: There is none of that id.
            InvalidInputError: An option is unknown, or a value cannot be used.
        """
        await self._reach_queue()
        locked = select(collections.c.options).where(collections.c.id == collection_id).with_for_update()
        async with self._database.begin() as connection:
            row = (await connection.execute(locked)).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no collection '{collection_id}'; it may have been deleted")
            before = options_of(row.options)
            options = before.changed(changes)
            if options != before:
                changed = update(collections).where(collections.c.id == collection_id)
                await connection.execute(changed.values(options=options.stored()))
                if self._record is not None:
                    told = {"before": before.as_dict(), "after": options.as_dict()}
                    await self._record(connection, by, "collection.options", collection_id, **told)
            if not options.reads_as(before):
                newer = {"options_version": collections.c.options_version + 1}
                await connection.execute(
                    update(collections).where(collections.c.id == collection_id).values(newer)
                )
                await self._queue_due(connection, Selection(collection_id=collection_id))
        return options

    async def _stop(
        self,
        connection: AsyncConnection,
        chosen: Selection,
        which: ColumnElement[bool],
        *,
        state: DocumentState,
    ) -> int:
        values: dict[str, object] = {"state": state, "failure": None, "updated_at": func.now()}
        if state == DocumentState.CANCELLED:
            values["options_version"] = options_version_of(documents.c.collection_id)
        stopped = update(documents).where(chosen.documents, which).values(values)
        rows = (await connection.execute(stopped.returning(documents.c.id, documents.c.revision))).all()
        await self._durable.withdraw([work_key(row.id, row.revision) for row in rows], within=connection)
        return len(rows)

    async def _queue_due(self, connection: AsyncConnection, chosen: Selection) -> None:
        """Queue one document at once, more of them as durable work."""
        if chosen.document_id:
            await self._queue_batch(connection, chosen.documents, priority=Priority.PERSON)
        else:
            await self._durable.enqueue(
                REQUEUE,
                chosen.collection_id,
                key=f"{REQUEUE}:{chosen.collection_id}:{uuid4().hex}",
                within=connection,
            )

    # --- what is done ----------------------------------------------------------------------------------

    async def requeue(self, argument: str) -> None:
        """Queue every document of the collection ``argument`` that is due; a repeat queues none twice.

        Raises:
            DatabaseUnavailableError: The database is gone.
        """
        await self._reach_queue()
        of_collection = true() if not argument else documents.c.collection_id == argument
        queued = 0
        while True:
            async with self._database.begin() as connection:
                batch = await self._queue_batch(connection, of_collection)
            queued += batch
            if not batch:
                break
        if queued:
            log.info("documents queued again", extra={"documents": queued})

    async def tend(self, *, stop: asyncio.Event, every_s: float = 60.0) -> None:
        """Queue what is due in any collection, at once and again and again until ``stop`` is set."""
        while not stop.is_set():
            try:
                await self.requeue("")
            except CausewayError as exc:
                log.warning("documents could not be queued again", extra={"reason": exc.message})
            except Exception:  # a worker's loop: the next round may fare better
                log.exception("documents could not be queued again")
            await rest(stop, every_s)

    async def _queue_batch(
        self, connection: AsyncConnection, which: ColumnElement[bool], *, priority: Priority | None = None
    ) -> int:
        """Queue some documents that are due, under a revision of their own each; how many."""
        due = (
            select(documents.c.id, documents.c.revision.label("before"), is_stale().label("is_stale"))
            .where(which, not_(is_held()), or_(documents.c.state == DocumentState.PAUSED, is_stale()))
            .order_by(documents.c.ready_revision.is_not(None), documents.c.created_at)
            .limit(_BATCH)
            .with_for_update(of=documents, skip_locked=True)
            .cte("due")
        )
        again = (
            update(documents)
            .where(documents.c.id == due.c.id)
            .values(queued_again())
            .returning(documents.c.id, documents.c.revision, documents.c.source, due.c.before, due.c.is_stale)
        )
        rows = (await connection.execute(again)).all()
        await self._durable.withdraw([work_key(row.id, row.before) for row in rows], within=connection)
        for row in rows:
            usual = Priority.BULK if row.is_stale else priority_of(row.source)
            await self._durable.enqueue(
                INGEST,
                f"{row.id}@{row.revision}",
                key=work_key(row.id, row.revision),
                within=connection,
                priority=usual if priority is None else priority,
            )
        return len(rows)

    async def _reach_queue(self) -> None:
        """Have the queue's tables made before a transaction is open, for which making them would wait for ever."""
        if not self._is_queue_reached:
            await self._durable.state(REQUEUE)
            self._is_queue_reached = True


def is_stale() -> ColumnElement[bool]:
    """Whether a document was queued last under older options than its collection has now."""
    return documents.c.options_version < options_version_of(documents.c.collection_id)
