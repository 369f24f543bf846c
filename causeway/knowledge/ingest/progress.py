"""How far ingestion is, and how long the rest will take if it goes on as it has.

The estimate is what the last documents took, by kind of file, halfway between "as long by the byte" and "as long by the
file", over as many at once as were. It is None whenever that says nothing: nothing is under way, too few were finished
lately, or most of what is left is of kinds that nobody has timed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, false, func, or_, select, true

from causeway.knowledge.document import DocumentState
from causeway.knowledge.ingest.control import is_stale
from causeway.knowledge.library import UNFINISHED
from causeway.storage.database import Database
from causeway.storage.schema import documents

_LATELY = timedelta(minutes=10)
_LEAST_FINISHED = 3
_LEAST_KNOWN = 0.5
"""Share of the bytes left that has to be of kinds which were finished lately."""
_SMOOTHING = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestProgress:
    """How far some documents are.

    Attributes:
        documents: All of them.
        left: Those on their way or to be read again; paused ones are not among them.
        counts: Documents in each state.
        stale: Those that are still to be queued again, under newer options.
        bytes_total: Of all of them.
        bytes_left: Of those that are ``left``.
        pages_read: Pages of the documents finished in the last ten minutes.
        remaining_s: How long ``left`` will take; None when that cannot be told.
    """

    documents: int
    left: int
    counts: dict[DocumentState, int]
    stale: int
    bytes_total: int
    bytes_left: int
    pages_read: int
    remaining_s: float | None

    @property
    def share_done(self) -> float:
        """Of the bytes, 0 to 1."""
        return 1.0 - self.bytes_left / self.bytes_total if self.bytes_total else float(not self.left)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "documents": self.documents,
            "left": self.left,
            "counts": {str(state): count for state, count in self.counts.items()},
            "stale": self.stale,
            "bytes_total": self.bytes_total,
            "bytes_left": self.bytes_left,
            "pages_read": self.pages_read,
            "share_done": round(self.share_done, 4),
            "remaining_s": None if self.remaining_s is None else round(self.remaining_s, 1),
        }


@dataclass(frozen=True, slots=True)
class Pace:
    """What documents of one kind took lately: how many, how many bytes, how many seconds of work."""

    count: int
    size_bytes: int
    work_s: float

    def expected_s(self, count: int, size_bytes: int) -> float:
        """The work that so many more are."""
        by_bytes = self.work_s * size_bytes / self.size_bytes if self.size_bytes else 0.0
        by_count = self.work_s * count / self.count
        return (by_bytes + by_count) / 2


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is left of one kind."""

    count: int
    size_bytes: int


def remaining_s(paces: dict[str, Pace], waiting: dict[str, Waiting], *, at_once: float) -> float | None:
    """How long ``waiting`` takes, both by kind of file; None when the paces do not tell."""
    if sum(pace.count for pace in paces.values()) < _LEAST_FINISHED or at_once <= 0:
        return None
    left = sum(each.size_bytes for each in waiting.values())
    known = sum(each.size_bytes for kind, each in waiting.items() if kind in paces)
    if left and known < _LEAST_KNOWN * left:
        return None
    overall = Pace(
        sum(pace.count for pace in paces.values()),
        sum(pace.size_bytes for pace in paces.values()),
        sum(pace.work_s for pace in paces.values()),
    )
    work_s = sum(
        paces.get(kind, overall).expected_s(each.count, each.size_bytes) for kind, each in waiting.items()
    )
    return work_s / at_once


class Smoothed:
    """An estimate that is asked for again and again, without its jumps."""

    def __init__(self) -> None:
        self._held: float | None = None
        self._at = 0.0

    def take(self, estimate: float | None, at: float) -> float | None:
        """The estimate at the moment ``at``, in seconds of a clock that only goes forward."""
        if estimate is None:
            self._held = None
        elif self._held is None:
            self._held = estimate
        else:
            went_by = max(0.0, self._held - (at - self._at))
            self._held = (1 - _SMOOTHING) * went_by + _SMOOTHING * estimate
        self._at = at
        return self._held


class ProgressReader:
    """Reads how far ingestion is from the documents' rows, whichever processes work on them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, *, collection_id: str | None = None, document_ids: Iterable[str] | None = None
    ) -> IngestProgress:
        """How far a collection is, or those documents; None is everything."""
        chosen = true() if collection_id is None else documents.c.collection_id == collection_id
        if document_ids is not None:
            chosen = chosen & (documents.c.id == func.any(list(document_ids)))
        async with self._database.connect() as connection:
            counted = (await connection.execute(_counted(chosen))).all()
            is_busy = any(row.left for row in counted)
            waiting = (await connection.execute(_waiting(chosen))).all() if is_busy else []
            finished = (await connection.execute(_finished())).all() if is_busy else []
        return IngestProgress(
            documents=sum(row.number for row in counted),
            left=sum(row.left for row in counted),
            counts=dict.fromkeys(DocumentState, 0)
            | {DocumentState(row.state): row.number for row in counted},
            stale=sum(row.stale for row in counted),
            bytes_total=sum(int(row.size_bytes) for row in counted),
            bytes_left=sum(int(row.bytes_left) for row in counted),
            pages_read=sum(int(row.pages) for row in finished),
            remaining_s=_estimate(finished, waiting),
        )


def _is_left() -> ColumnElement[bool]:
    is_away = documents.c.state.in_((DocumentState.PAUSED, DocumentState.CANCELLED))
    return or_(documents.c.state.in_(UNFINISHED), case((is_away, false()), else_=is_stale()))


def _counted(chosen: ColumnElement[bool]) -> Select[Any]:
    size = documents.c.size_bytes
    return (
        select(documents.c.state, func.count().label("number"))
        .add_columns(
            func.count().filter(_is_left()).label("left"),
            func.count().filter(is_stale()).label("stale"),
            func.coalesce(func.sum(size), 0).label("size_bytes"),
            func.coalesce(func.sum(size).filter(_is_left()), 0).label("bytes_left"),
        )
        .where(chosen)
        .group_by(documents.c.state)
    )


def _kind() -> ColumnElement[str]:
    """A file's suffix."""
    return func.lower(func.coalesce(func.substring(documents.c.path, r"\.([^./]{1,8})$"), ""))


def _waiting(chosen: ColumnElement[bool]) -> Select[Any]:
    kind = _kind().label("kind")
    size = func.sum(documents.c.size_bytes).label("size_bytes")
    columns: list[ColumnElement[Any]] = [kind, func.count().label("number"), size]
    return select(*columns).where(chosen, _is_left()).group_by(kind)


def _finished() -> Select[Any]:
    """What was finished lately, in any collection: they share the workers."""
    work = func.extract("epoch", documents.c.updated_at - documents.c.started_at)
    kind = _kind().label("kind")
    return (
        select(kind, func.count().label("number"), func.sum(documents.c.size_bytes).label("size_bytes"))
        .add_columns(
            func.sum(work).label("work_s"),
            func.coalesce(func.sum(documents.c.pages), 0).label("pages"),
            func.min(documents.c.started_at).label("first_at"),
            func.now().label("now"),
        )
        .where(
            documents.c.state.in_((DocumentState.READY, DocumentState.FAILED)),
            documents.c.started_at <= documents.c.updated_at,
            documents.c.updated_at > func.now() - _LATELY,
        )
        .group_by(kind)
    )


def _estimate(finished: Iterable[Row[Any]], waiting: Iterable[Row[Any]]) -> float | None:
    rows = list(finished)
    if not rows:
        return None
    paces = {row.kind: Pace(row.number, int(row.size_bytes), float(row.work_s)) for row in rows}
    now: datetime = rows[0].now
    window_s = min(_LATELY, now - min(row.first_at for row in rows)).total_seconds()
    at_once = sum(pace.work_s for pace in paces.values()) / window_s if window_s > 0 else 0.0
    left = {row.kind: Waiting(row.number, int(row.size_bytes)) for row in waiting}
    return remaining_s(paces, left, at_once=at_once)
