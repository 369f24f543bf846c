"""Traces in PostgreSQL: finished spans go in by batches, whole traces and lists of them come out.

A batch costs one commit a second at most; ``bench/spans.py`` says what a span costs, ``bench/traces.py`` what a search does.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Json
from sqlalchemy import ColumnElement, create_engine, distinct, func, select
from sqlalchemy.exc import OperationalError

from causeway.contracts.money import Micros
from causeway.errors import NotFoundError
from causeway.observability import trace_retention
from causeway.observability.call_rows import COLUMNS, CallRow, call_row, is_short, stored_call
from causeway.observability.lone_calls import attributes_of
from causeway.observability.spans import MOST_AT_ONCE, Flush, Span, Spans, store_ended
from causeway.observability.storable import StoredSpan, cleaned, stored_json
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_search import TraceQuery, matching
from causeway.observability.trace_summaries import MERGE, lines, summed
from causeway.settings import TelemetrySettings
from causeway.storage.database import Database
from causeway.storage.database_failures import first_line
from causeway.storage.product_schema import eval_results, eval_runs
from causeway.storage.schema import ledger, spans, votes
from causeway.storage.telemetry_schema import trace_summaries

log = logging.getLogger(__name__)

_COPY = f"COPY spans ({COLUMNS}) FROM STDIN"
_INSERT = (
    f"INSERT INTO spans ({COLUMNS}) SELECT {COLUMNS} "  # noqa: S608 - our own column names
    "FROM json_populate_recordset(CAST(NULL AS spans), CAST(%s AS json)) AS given "
    "WHERE NOT EXISTS (SELECT 1 FROM trace_summaries AS line WHERE line.trace_id = given.trace_id "
    "AND line.root_id = given.span_id AND line.call_id IS NOT NULL) "  # one of ours that has no row here
    "ON CONFLICT DO NOTHING RETURNING trace_id, span_id"
)
_OTHERS = (
    "SELECT trace_id FROM trace_summaries WHERE trace_id = ANY(%s) AND owner IS DISTINCT FROM %s FOR SHARE"
)


_MOST_HELD = 16_384
_LINES_AT_ONCE = 256
"""What is sent is copied twice on its way: by the batch that was what a busy process's memory grew by."""


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
    """One line of a list of traces; tokens and cost are the sums over its model calls.

    Attributes:
        prompt: ``name@version`` of the last chat that had one.
        is_half: Its root has not come (yet): only the calls of another program went through here.
        votes_up, votes_down: Thumbs.
    """

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
    answer: str | None = None
    error_type: str | None = None
    owner: str | None = None
    end_user: str | None = None
    team: str | None = None
    tier: str | None = None
    service: str = "causeway"
    product: str | None = None
    provider: str | None = None
    prompt: str | None = None
    refused: bool | None = None
    cache: str | None = None
    ttft_ms: int | None = None
    span_count: int = 1
    conversation_id: str | None = None
    is_half: bool = False
    votes_up: int = 0
    votes_down: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What a person or a check said of a trace's answer.

    Attributes:
        by: ``vote``, or the suite whose case asked.
        name: ``up`` or ``down``, or the check's.
        value: From 0 to 1; None when the check could not tell.
        run_id: The run of the suite.
    """

    by: str
    name: str
    value: float | None
    passed: bool | None = None
    reason: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceChoices:
    """What lists of traces can be narrowed by."""

    models: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()


class SpanWriter:
    """A `causeway.observability.spans.SpanSink` that copies spans into PostgreSQL, a batch a transaction.

    Calls of models may be written down as they end (`take`), which costs a tenth of what it costs a second later: then
    what was said is no longer in the processor's caches, and has to be held until then. While the database is away the newest wait here,
    up to a bound.

    Attributes:
        lost: Spans that no room was left for, or that PostgreSQL refuses.
    """

    def __init__(self, database_url: str, policy: TracePolicy | None = None, *, connections: int = 1) -> None:
        self._engine = create_engine(database_url, pool_size=connections, max_overflow=0, pool_pre_ping=True)
        self._policy = policy or TracePolicy(TelemetrySettings())
        self._held: list[StoredSpan | CallRow] = []
        self._taken: deque[CallRow] = deque()
        self.lost = 0

    @property
    def waiting(self) -> int:
        """Calls that were taken and are not stored yet."""
        return len(self._taken)

    def take(self, span: Span) -> bool:
        """Write ``span`` down now, for the next batch, if it is a call with nothing unusual to it; whether it was.

        Of any thread, the event loop's too: it takes a few microseconds.
        """
        if (
            len(self._taken) >= _MOST_HELD
            or not is_short(span)
            or (row := call_row(span, self._policy)) is None
        ):
            return False
        self._taken.append(row)
        return True

    def store(self, batch: Sequence[Span]) -> None:
        """Insert ``batch``, and a batch of what was taken, by COPY, which costs a third of what INSERT does (``bench/spans.py``)."""
        taken = [self._taken.popleft() for _ in range(min(len(self._taken), MOST_AT_ONCE))]
        pending = [*self._held, *taken, *map(self._ready, batch)]
        self._held = []
        try:
            self._insert(pending)
        except (OperationalError, psycopg.OperationalError) as exc:  # away or full: others say so too
            self._held = pending[:_MOST_HELD]
            lost = len(pending) - len(self._held)
            self.lost += lost
            extra = {"waiting": len(self._held), "lost": lost, "reason": first_line(exc)}
            log.warning("spans wait for the database", extra=extra)

    def add(self, given: Sequence[StoredSpan], *, owner: str | None = None) -> Added:
        """Insert those that are not there yet.

        Args:
            given: In any order; one that comes twice is stored once.
            owner: Whose traces they may be part of; None is everybody's.
        """
        with self._engine.begin() as connection:
            driver: Any = connection.connection.driver_connection
            with driver.cursor() as cursor:
                others: set[str] = set()
                if owner is not None:
                    cursor.execute(_OTHERS, (list({span.trace_id for span in given}), owner))
                    others = {trace_id for (trace_id,) in cursor.fetchall()}
                allowed = {
                    (span.trace_id, span.span_id): span for span in given if span.trace_id not in others
                }
                cursor.execute(_INSERT, (stored_json([_record(span) for span in allowed.values()]),))
                fresh = [allowed[key] for key in cursor.fetchall()]
                if fresh:
                    cursor.execute(MERGE, (stored_json(lines(fresh)),))
        refused = sum(span.trace_id in others for span in given)
        return Added(stored=len(fresh), refused=refused, known=len(given) - refused - len(fresh))

    def close(self) -> None:
        """Close the connection; what still waits for the database is lost."""
        if self._held:
            log.error("spans lost", extra={"count": len(self._held), "reason": "the database stayed away"})
        self._engine.dispose()

    def _insert(self, given: Sequence[StoredSpan | CallRow]) -> None:
        """All of them; one that PostgreSQL refuses does not take the others with it."""
        try:
            self._copy(given)
        except psycopg.errors.UniqueViolation:  # somebody sent one of ours in, as an export to ourselves does
            self.add([_stored(each) for each in given])
        except psycopg.DataError:
            if len(given) == 1:
                self.lost += 1
                log.exception("the database refuses a span", extra={"trace_id": given[0].trace_id})
                return
            middle = len(given) // 2
            self._insert(given[:middle])
            self._insert(given[middle:])

    def _copy(self, given: Sequence[StoredSpan | CallRow]) -> None:
        calls = [each for each in given if isinstance(each, CallRow)]
        with self._engine.begin() as connection:
            driver: Any = connection.connection.driver_connection  # psycopg's own: the DBAPI has no COPY
            with driver.cursor() as cursor:
                with cursor.copy(_COPY) as copy:
                    if calls:
                        copy.write(b"".join([call.row for call in calls]))
                    for span in given if len(calls) < len(given) else ():
                        if isinstance(span, StoredSpan):
                            copy.write_row(_row(span))
                told = self._lines(given)
                for first in range(0, len(told), _LINES_AT_ONCE):
                    cursor.execute(MERGE, (_json_array(told[first : first + _LINES_AT_ONCE]),))

    def _lines(self, given: Sequence[StoredSpan | CallRow]) -> list[bytes]:
        """As `trace_summaries.lines`; a call that is the only span of its trace has brought its line."""
        traces: defaultdict[str, list[StoredSpan | CallRow]] = defaultdict(list)
        for each in given:
            traces[each.trace_id].append(each)
        told: list[bytes] = []
        for trace_id in sorted(traces):
            spans = traces[trace_id]
            if len(spans) == 1 and isinstance(lone := spans[0], CallRow):
                told.append(lone.line)
            else:
                told.append(stored_json(summed([_stored(each) for each in spans])).encode())
        return told

    def _ready(self, span: Span) -> StoredSpan | CallRow:
        return call_row(span, self._policy) or self._kept(span)

    def _kept(self, span: Span) -> StoredSpan:
        return StoredSpan(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_id,
            name=span.name,
            kind=span.kind,
            started_at=span.started_at,
            duration_s=span.duration_s,
            failure=span.failure,
            attributes=self._policy.kept(span.attributes, is_own=True),
            events=[
                {"name": name, "at": at.isoformat(), "attributes": attributes}
                for name, at, attributes in span.events
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of spans that were sent in: stored, refused as parts of another's trace, or there already."""

    stored: int
    refused: int
    known: int


class TraceStore:
    """Reads traces; what has just ended is stored first, so a finished call can be read at once."""

    def __init__(self, database: Database, recorder: Spans, *, flush: Flush | None = None) -> None:
        """Read what is in ``database``.

        Args:
            database: Where traces are.
            recorder: What has spans that are not stored yet.
            flush: Stores calls that have no span of their own: the ledger's.
        """
        self._database = database
        self._recorder = recorder
        self._flush = flush

    async def find(self, query: TraceQuery) -> list[TraceSummary]:
        """The traces that match, in the order that ``query`` asks for.

        Raises:
            DeadlineError: The search took too long; narrow it.
        """
        await store_ended(self._recorder, self._flush)
        async with self._database.connect() as connection:
            rows = (await connection.execute(matching(query))).mappings()
            return [_summary(row) for row in rows]

    async def trace(self, trace_id: str, *, owner: str | None = None) -> Trace:
        """One whole trace; with ``owner``, only of theirs.

        Raises:
            NotFoundError: No such trace, or it is older than is kept, or another's.
        """
        await store_ended(self._recorder, self._flush)
        query = (
            select(spans).where(spans.c.trace_id == trace_id).order_by(spans.c.started_at, spans.c.span_id)
        )
        alone = select(ledger, *_LINE).join(trace_summaries, trace_summaries.c.call_id == ledger.c.id)
        alone = alone.where(trace_summaries.c.trace_id == trace_id)
        if owner is not None:
            query, alone = query.where(is_owned(trace_id, owner)), alone.where(is_owned(trace_id, owner))
        async with self._database.connect() as connection:
            found = [_lone_call(row) for row in (await connection.execute(alone)).mappings()]
            found += [SpanRecord(**row) for row in (await connection.execute(query)).mappings()]
        if not found:
            raise NotFoundError(
                f"no trace '{trace_id}': it was never recorded or is older than telemetry.trace_days"
            )
        found.sort(key=lambda span: span.started_at)
        return Trace(trace_id=trace_id, spans=tuple(found))

    async def ratings(self, trace_id: str) -> list[Rating]:
        """Thumbs, and what evaluations found where the trace is of a case of a suite."""
        voted = select(votes.c.is_up, votes.c.reason).where(votes.c.trace_id == trace_id).order_by(votes.c.at)
        scored = (
            select(eval_runs.c.suite, eval_results.c.scores, eval_results.c.run_id)
            .join(eval_runs, eval_runs.c.id == eval_results.c.run_id)
            .where(eval_results.c.trace_id == trace_id)
            .order_by(eval_results.c.at)
        )
        async with self._database.connect() as connection:
            found = [
                Rating(by="vote", name="up" if is_up else "down", value=float(is_up), reason=reason)
                for is_up, reason in await connection.execute(voted)
            ]
            for suite, scores, run_id in await connection.execute(scored):
                found += [
                    Rating(
                        by=suite,
                        name=each["name"],
                        value=each["value"],
                        passed=each.get("passed"),
                        reason=each.get("reason") or None,
                        run_id=run_id,
                    )
                    for each in scores
                ]
            return found

    async def choices(self, *, owner: str | None = None) -> TraceChoices:
        """What the newest traces, of ``owner`` or of all, can be narrowed by."""
        newest = select(trace_summaries).order_by(trace_summaries.c.started_at.desc()).limit(_RECENT)
        if owner is not None:
            newest = newest.where(trace_summaries.c.owner == owner)
        line = newest.subquery().c
        columns = (line.model, line.prompt, line.product, line.service, line.team, line.tier)
        query = select(*(func.array_agg(distinct(column)) for column in columns))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one()
        models, prompts, products, services, teams, tiers = (_named(values) for values in row)
        return TraceChoices(
            models=models, prompts=prompts, products=products, services=services, teams=teams, tiers=tiers
        )

    async def forget_old(self, now: datetime, policy: TracePolicy) -> int:
        """Delete traces that are older than their project keeps them; how many there were."""
        return await trace_retention.forget_old(self._database, now, policy)


_RECENT = 5_000


_LINE = tuple(
    trace_summaries.c[name].label(f"line_{name}")
    for name in ("owner", "root_id", "conversation_id", "name", "answer", "step", "asked", "said")
)


def _lone_call(row: Mapping[Any, Any]) -> SpanRecord:
    """The span of a call that is written down in its trace's line and the ledger's row alone."""
    line = {column.name.removeprefix("line_"): row[column.name] for column in _LINE}
    return SpanRecord(
        span_id=line["root_id"],
        trace_id=row["trace_id"],
        parent_id=None,
        name=line["name"],
        kind="client",
        started_at=row["at"],
        duration_ms=row["latency_ms"],
        status="error" if "failure" in line["step"] else "ok",
        status_message=line["step"].get("failure"),
        attributes=attributes_of(row, line),
        events=(),
    )


def _named(values: Iterable[str | None] | None) -> tuple[str, ...]:
    return tuple(sorted(value for value in values or () if value))


def _summary(row: Mapping[Any, Any]) -> TraceSummary:
    told = {name: row[name] for name in _SHOWN}
    return TraceSummary(
        **{**told, "cost_micros": Micros(row["cost_micros"]), "is_half": row["root_id"] is None}
    )


_SHOWN = tuple(name for name in TraceSummary.__dataclass_fields__ if name != "is_half")


def is_owned(trace_id: str, owner: str) -> ColumnElement[bool]:
    """Whether a trace was begun by ``owner``.

    By its line alone: a caller of ``/v1`` may say which trace a call belongs to, and so put spans into another's.
    """
    line = select(trace_summaries.c.trace_id).where(
        trace_summaries.c.trace_id == trace_id, trace_summaries.c.owner == owner
    )
    return line.correlate(None).exists()


def _json_array(values: Sequence[bytes]) -> Json:
    return Json(b"[" + b",".join(values) + b"]", dumps=bytes)


def _stored(given: StoredSpan | CallRow) -> StoredSpan:
    return stored_call(given) if isinstance(given, CallRow) else given


def _row(span: StoredSpan) -> tuple[object, ...]:
    """Values in the order of `COLUMNS`."""
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
        stored_json(span.events),
    )


def _record(span: StoredSpan) -> dict[str, object]:
    values = dict(zip(_NAMES, _row(span), strict=True))
    return {**values, "attributes": span.attributes, "events": span.events}


_NAMES = COLUMNS.split(", ")
