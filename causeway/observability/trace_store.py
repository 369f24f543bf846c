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

import msgspec
import psycopg
from sqlalchemy import BigInteger, ColumnElement, create_engine, delete, func, select
from sqlalchemy.exc import OperationalError

from causeway.contracts.money import Micros
from causeway.errors import NotFoundError
from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.storage.database import Database
from causeway.storage.database_failures import first_line
from causeway.storage.schema import spans

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
        """Insert ``batch`` by COPY, which costs a third of what INSERT does (``bench/spans.py``)."""
        try:
            with self._engine.begin() as connection:
                driver: Any = connection.connection.driver_connection  # psycopg's own: the DBAPI has no COPY
                with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
                    for span in batch:
                        copy.write_row(_row(span))
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
        roots = (
            select(spans).where(spans.c.parent_id.is_(None)).order_by(spans.c.started_at.desc()).limit(limit)
        )
        if before is not None:
            roots = roots.where(spans.c.started_at < before)
        if owner is not None:
            roots = roots.where(spans.c.attributes[names.OWNER].astext == owner)
        chosen = roots.subquery()
        sums = (
            select(
                spans.c.trace_id,
                _total(names.INPUT_TOKENS).label("input_tokens"),
                _total(names.OUTPUT_TOKENS).label("output_tokens"),
                _total(names.COST_MICROS).label("cost_micros"),
                func.max(spans.c.attributes[names.RESPONSE_MODEL].astext)
                .filter(spans.c.attributes[names.OPERATION].astext == "chat")
                .label("model"),
            )
            .where(spans.c.trace_id.in_(select(chosen.c.trace_id)))
            .group_by(spans.c.trace_id)
            .subquery()
        )
        query = select(chosen, sums).join(sums, sums.c.trace_id == chosen.c.trace_id)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query.order_by(chosen.c.started_at.desc()))).mappings()
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
                    question=row["attributes"].get(names.QUESTION),
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
            gone = await connection.execute(delete(spans).where(spans.c.started_at < moment))
            return int(gone.rowcount)


def is_owned(trace_id: str, owner: str) -> ColumnElement[bool]:
    """Whether a trace was begun by ``owner``.

    By its root alone: a caller of ``/v1`` may say which trace a call belongs to, and so put spans into another's.
    """
    root = select(spans.c.span_id).where(
        spans.c.trace_id == trace_id,
        spans.c.parent_id.is_(None),
        spans.c.attributes[names.OWNER].astext == owner,
    )
    return root.correlate(None).exists()


def _total(attribute: str) -> Any:
    return func.coalesce(func.sum(spans.c.attributes[attribute].astext.cast(BigInteger)), 0)


def _row(span: Span) -> tuple[object, ...]:
    """Values in the order of ``_COPY``."""
    events = [
        {"name": name, "at": at.isoformat(), "attributes": attributes} for name, at, attributes in span.events
    ]
    return (
        span.span_id,
        span.trace_id,
        span.parent_id,
        _cleaned(span.name),
        span.kind,
        span.started_at,
        round(span.duration_s * 1000),
        "ok" if span.failure is None else "error",
        _cleaned(span.failure),
        _storable(span.attributes),
        _storable(events),
    )


def _storable(value: object) -> str:
    """JSON that PostgreSQL's jsonb takes: it refuses U+0000, and nothing takes lone surrogates; documents have both."""
    try:
        written = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_cleaned(value)).decode()
    return msgspec.json.encode(_cleaned(value)).decode() if "\\u0000" in written else written


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value]
    return value
