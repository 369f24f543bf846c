"""Traces in PostgreSQL: finished spans go in by batches, whole traces and lists of them come out.

A batch costs one commit a second at most; ``bench/spans.py`` says what a span costs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import ColumnElement, create_engine, delete, select
from sqlalchemy.exc import OperationalError

from causeway.contracts.money import Micros
from causeway.errors import NotFoundError
from causeway.observability.spans import Span, Spans
from causeway.observability.storable import cleaned, stored_json
from causeway.observability.trace_summaries import MERGE, lines
from causeway.storage.database import Database
from causeway.storage.database_failures import first_line
from causeway.storage.schema import spans
from causeway.storage.telemetry_schema import trace_summaries

log = logging.getLogger(__name__)

_COPY = """COPY spans (span_id, trace_id, parent_id, name, kind, started_at, duration_ms, status, status_message,
attributes, events) FROM STDIN"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """One finished step."""

    span_id: str
    trace_id: str
    parent_id: str | None
    name: str
    kind: str
    started_at: datetime
    duration_ms: int
    status: str
    status_message: str | None
    attributes: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Every step of one user action, by start time."""

    trace_id: str
    spans: tuple[SpanRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """One line of a list of traces; tokens and cost are the sums over its model calls."""

    trace_id: str
    name: str
    started_at: datetime
    duration_ms: int
    status: str
    model: str | None
    input_tokens: int
    output_tokens: int
    cost_micros: Micros
    question: str | None


class SpanWriter:
    """A `causeway.observability.spans.SpanSink` that copies spans into PostgreSQL, a batch a transaction."""

    def __init__(self, database_url: str) -> None:
        self._engine = create_engine(database_url, pool_size=1, max_overflow=0, pool_pre_ping=True)

    def store(self, batch: Sequence[Span]) -> None:
        """Insert ``batch`` by COPY, which costs a third of what INSERT does (``bench/spans.py``), and its traces' lines."""
        try:
            with self._engine.begin() as connection:
                driver: Any = connection.connection.driver_connection  # psycopg's own: the DBAPI has no COPY
                with driver.cursor() as cursor:
                    with cursor.copy(_COPY) as copy:
                        for span in batch:
                            copy.write_row(_row(span))
                    cursor.execute(MERGE, (stored_json(lines(batch)),))
        except (OperationalError, psycopg.OperationalError) as exc:  # away or full: others say so too
            log.warning("spans lost", extra={"count": len(batch), "reason": first_line(exc)})

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()


class TraceStore:
    """Reads traces; what has just ended is stored first, so a finished call can be read at once."""

    def __init__(self, database: Database, recorder: Spans) -> None:
        self._database = database
        self._recorder = recorder

    async def recent(
        self, *, limit: int = 50, before: datetime | None = None, owner: str | None = None
    ) -> list[TraceSummary]:
        """The newest traces, of ``owner`` or of all, newest first; ``before`` pages backwards."""
        await asyncio.to_thread(self._recorder.flush)
        query = select(trace_summaries).order_by(trace_summaries.c.started_at.desc()).limit(limit)
        if before is not None:
            query = query.where(trace_summaries.c.started_at < before)
        if owner is not None:
            query = query.where(trace_summaries.c.owner == owner)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings()
            return [
                TraceSummary(
                    trace_id=row["trace_id"],
                    name=row["name"],
                    started_at=row["started_at"],
                    duration_ms=row["duration_ms"],
                    status=row["status"],
                    model=row["model"],
                    input_tokens=row["input_tokens"],
                    output_tokens=row["output_tokens"],
                    cost_micros=Micros(row["cost_micros"]),
                    question=row["question"],
                )
                for row in rows
            ]

    async def trace(self, trace_id: str, *, owner: str | None = None) -> Trace:
        """One whole trace; with ``owner``, only of theirs.

        Raises:
            NotFoundError: No such trace, or it is older than is kept, or another's.
        """
        await asyncio.to_thread(self._recorder.flush)
        query = (
            select(spans).where(spans.c.trace_id == trace_id).order_by(spans.c.started_at, spans.c.span_id)
        )
        if owner is not None:
            query = query.where(is_owned(trace_id, owner))
        async with self._database.connect() as connection:
            found = tuple(SpanRecord(**row) for row in (await connection.execute(query)).mappings())
        if not found:
            raise NotFoundError(
                f"no trace '{trace_id}': it was never recorded or is older than telemetry.trace_days"
            )
        return Trace(trace_id=trace_id, spans=found)

    async def forget_before(self, moment: datetime) -> int:
        """Delete spans that started before ``moment``; how many there were."""
        async with self._database.begin() as connection:
            await connection.execute(delete(trace_summaries).where(trace_summaries.c.started_at < moment))
            gone = await connection.execute(delete(spans).where(spans.c.started_at < moment))
            return int(gone.rowcount)


def is_owned(trace_id: str, owner: str) -> ColumnElement[bool]:
    """Whether a trace was begun by ``owner``.

    By its line alone: a caller of ``/v1`` may say which trace a call belongs to, and so put spans into another's.
    """
    line = select(trace_summaries.c.trace_id).where(
        trace_summaries.c.trace_id == trace_id, trace_summaries.c.owner == owner
    )
    return line.correlate(None).exists()


def _row(span: Span) -> tuple[object, ...]:
    """Values in the order of ``_COPY``."""
    events = [
        {"name": name, "at": at.isoformat(), "attributes": attributes} for name, at, attributes in span.events
    ]
    return (
        span.span_id,
        span.trace_id,
        span.parent_id,
        cleaned(span.name),
        span.kind,
        span.started_at,
        round(span.duration_s * 1000),
        "ok" if span.failure is None else "error",
        cleaned(span.failure),
        stored_json(span.attributes),
        stored_json(events),
    )
