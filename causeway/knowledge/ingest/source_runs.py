"""How the syncs of each source went, and which is due: one row a source.

A run is claimed in the transaction that queues its work, under a number that goes up, so that of several processes one
queues it, once. A run that is killed is resumed by the queue under the same number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, and_, case, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.storage.schema import collections, ingest_holds, source_runs

SYNC = "sync"
"""The name of the durable work that syncs one source."""

RunState = Literal["idle", "queued", "running"]
_MOST_FAILURES = 200
_LOST = "the run never ended: the process that worked on it died again and again, or its queue was lost"
_CANCELLED = "somebody cancelled it"
_UNDER_WAY = ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRun:
    """The last run of a source, and the next.

    Attributes:
        run: Its number, from 1; 0 before the first.
        is_requested: Somebody wants another run.
        is_asked: Somebody wanted the last one.
        counts: Documents by outcome: new, changed, unchanged, deleted, failed.
        failures: Path and reason of those that failed, the first 200.
        problem: Why the run could not be finished; None when it could.
        next_at: When the next is due; None when only asked for.
        complete_at: When the newest run began that saw and took everything.
        thorough_at: When the newest such run began that relied on nothing known before.
        source: What its documents have as theirs, and ``collection`` where they are; empty before its first run.
    """

    name: str
    run: int = 0
    state: RunState = "idle"
    is_requested: bool = False
    is_asked: bool = False
    next_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    complete_at: datetime | None = None
    thorough_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    failures: Sequence[Mapping[str, str]] = ()
    problem: str | None = None
    source: str = ""
    collection: str = ""


class SourceRuns:
    """Keeps the runs of sources; for any number of processes."""

    def __init__(self, *, database: Database, durable: Durable) -> None:
        self._database = database
        self._durable = durable
        self._is_queue_reached = False

    async def all(self, names: Sequence[str]) -> tuple[SourceRun, ...]:
        """The runs of these sources, in their order."""
        async with self._database.connect() as connection:
            rows = await connection.execute(select(source_runs).where(source_runs.c.name.in_(names)))
            found = {row.name: _run(row) for row in rows}
        return tuple(found.get(name, SourceRun(name=name)) for name in names)

    async def others(self, names: Sequence[str]) -> tuple[SourceRun, ...]:
        """The runs of sources that have none of these names, by name."""
        listed = select(source_runs).where(source_runs.c.name.not_in(names)).order_by(source_runs.c.name)
        async with self._database.connect() as connection:
            return tuple(_run(row) for row in await connection.execute(listed))

    async def forget(self, name: str) -> None:
        """Know nothing of a source any more."""
        async with self._database.begin() as connection:
            await connection.execute(delete(source_runs).where(source_runs.c.name == name))

    async def request(self, name: str) -> None:
        """Have a source synced as soon as a worker is free; when it is being synced, once more after that."""
        asked = insert(source_runs).values(name=name, is_requested=True)
        asked = asked.on_conflict_do_update(index_elements=["name"], set_={"is_requested": True})
        async with self._database.begin() as connection:
            await connection.execute(asked)

    async def queue_due(self, schedules: Mapping[str, bool], now: datetime) -> int:
        """Queue the runs that are due; how many this call did.

        ``schedules``: for each source whether it is also due by itself, at once when it never ran.
        """
        queued = 0
        for each in await self.all(list(schedules)):
            is_time = schedules[each.name] and (each.next_at is None or each.next_at <= now)
            if each.state == "idle" and (each.is_requested or is_time):
                queued += await self._queue(each)
        return queued

    async def _queue(self, last: SourceRun) -> bool:
        """Queue the run after ``last``; False when another process did."""
        if not self._is_queue_reached:
            await self._durable.state(SYNC)  # its tables must be there before the transaction
            self._is_queue_reached = True
        run = last.run + 1
        first = insert(source_runs).values(name=last.name).on_conflict_do_nothing(index_elements=["name"])
        claimed = (
            update(source_runs)
            .where(
                source_runs.c.name == last.name, source_runs.c.run == last.run, source_runs.c.state == "idle"
            )
            .values(run=run, state="queued")
        )
        async with self._database.begin() as connection:
            await connection.execute(first)
            if (await connection.execute(claimed)).rowcount == 0:
                return False
            key = _key(last.name, run)
            await self._durable.enqueue(SYNC, f"{last.name}@{run}", key=key, within=connection)
        return True

    async def start(
        self, name: str, run: int, now: datetime, *, source: str = "", collection: str = ""
    ) -> SourceRun | None:
        """Mark a run as under way; None when it is finished or overtaken.

        ``source`` and ``collection`` are noted: where its documents are, for when it is in the settings no more.

        A resumed run keeps when it began and whether somebody wanted it; what is requested from now on is another run.
        """
        is_resumed = source_runs.c.state == "running"
        started = (
            update(source_runs)
            .where(
                source_runs.c.name == name,
                source_runs.c.run == run,
                source_runs.c.state.in_(_UNDER_WAY),
            )
            .values(
                state="running",
                source=source or source_runs.c.source,
                collection=collection or source_runs.c.collection,
                started_at=case((is_resumed, source_runs.c.started_at), else_=now),
                is_asked=case((is_resumed, source_runs.c.is_asked), else_=source_runs.c.is_requested),
                is_requested=and_(is_resumed, source_runs.c.is_requested),
            )
            .returning(source_runs)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(started)).one_or_none()
        return None if row is None else _run(row)

    async def finish(
        self,
        begun: SourceRun,
        now: datetime,
        *,
        summary: SyncSummary | None,
        problem: str | None,
        next_at: datetime | None,
        is_thorough: bool,
    ) -> None:
        """Note how a run went."""
        values: dict[str, Any] = {
            "state": "idle",
            "finished_at": now,
            "next_at": next_at,
            "problem": problem,
            "counts": summary.counts() if summary else {},
            "failures": [
                {"path": path, "reason": reason}
                for path, reason in (summary.failed if summary else ())[:_MOST_FAILURES]
            ],
        }
        if summary is not None and summary.is_complete:
            values["complete_at"] = begun.started_at
            if is_thorough:
                values["thorough_at"] = begun.started_at
        done = update(source_runs).where(*_same(begun), source_runs.c.state == "running")
        async with self._database.begin() as connection:
            await connection.execute(done.values(**values))

    async def paused(self) -> frozenset[tuple[str, str]]:
        """The sources that somebody holds: collection and source; an empty source is the whole collection."""
        held = (
            select(collections.c.name, ingest_holds.c.source)
            .join_from(ingest_holds, collections)
            .where(ingest_holds.c.document_id == "")
        )
        async with self._database.connect() as connection:
            return frozenset((row.name, row.source) for row in await connection.execute(held))

    async def is_running(self, begun: SourceRun) -> bool:
        """Whether a run is still to go on: nobody cancelled it."""
        running = select(source_runs.c.name).where(*_same(begun), source_runs.c.state == "running")
        async with self._database.connect() as connection:
            return (await connection.execute(running)).first() is not None

    async def put_off(self, begun: SourceRun) -> None:
        """Have a run that was interrupted done once more, when it may be."""
        later = update(source_runs).where(*_same(begun), source_runs.c.state == "running")
        async with self._database.begin() as connection:
            await connection.execute(later.values(state="idle", is_requested=True, problem=None))

    async def cancel(self, name: str, now: datetime) -> bool:
        """Want the run of a source no longer that is queued or under way; False when there is none."""
        under_way = update(source_runs).where(
            source_runs.c.name == name,
            or_(source_runs.c.state.in_(_UNDER_WAY), source_runs.c.is_requested),
        )
        ended = under_way.values(state="idle", is_requested=False, finished_at=now, problem=_CANCELLED)
        async with self._database.begin() as connection:
            return (await connection.execute(ended)).rowcount > 0

    async def mend(self, names: Sequence[str], next_at: datetime) -> int:
        """Free the sources whose work was given up or lost, to be tried again at ``next_at``; how many."""
        mended = 0
        for each in await self.all(names):
            if each.state == "idle" or await self._durable.state(_key(each.name, each.run)) == "pending":
                continue
            lost = (
                update(source_runs)
                .where(
                    source_runs.c.name == each.name,
                    source_runs.c.run == each.run,
                    source_runs.c.state.in_(_UNDER_WAY),
                )
                .values(state="idle", is_requested=False, next_at=next_at, problem=_LOST)
            )
            async with self._database.begin() as connection:
                mended += (await connection.execute(lost)).rowcount
        return mended


def _same(begun: SourceRun) -> tuple[ColumnElement[bool], ...]:
    return source_runs.c.name == begun.name, source_runs.c.run == begun.run


def _key(name: str, run: int) -> str:
    return f"sync:{name}@{run}"


def _run(row: Row[Any]) -> SourceRun:
    return SourceRun(**row._mapping)
