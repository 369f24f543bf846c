"""What the dashboard tells of traces: answers and refusals, thumbs, the slow, dear and failed ones, the top questions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, ColumnElement, Select, and_, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.money import Micros
from causeway.observability.stats_report import QuestionLine, ScoreLine, StatsQuery, TraceLine
from causeway.observability.usage_cells import PREVIOUS
from causeway.storage.product_schema import eval_runs
from causeway.storage.schema import votes
from causeway.storage.stats_schema import clustered_questions, question_clusters
from causeway.storage.telemetry_schema import trace_summaries

LIST_LENGTH: Final = 5
_MOST_QUESTIONS: Final = 10
_MOST_SCORES: Final = 200
_PASSED: Final = "passed"
"""The check of `eval_runs.summary` that says how many cases passed."""
_LINE: Final = (
    trace_summaries.c.trace_id,
    trace_summaries.c.name,
    trace_summaries.c.question,
    trace_summaries.c.started_at,
    trace_summaries.c.duration_ms,
    trace_summaries.c.status,
    trace_summaries.c.error_type,
    trace_summaries.c.model,
    trace_summaries.c.product,
    trace_summaries.c.input_tokens,
    trace_summaries.c.output_tokens,
    trace_summaries.c.cost_micros,
)


@dataclass(frozen=True, slots=True)
class Opinions:
    """Answers and thumbs of a step."""

    asked: int = 0
    refusals: int = 0
    thumbs_up: int = 0
    thumbs_down: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The traces to look at first."""

    slow: tuple[TraceLine, ...]
    dear: tuple[TraceLine, ...]
    failed: tuple[TraceLine, ...]


async def opinions(connection: AsyncConnection, query: StatsQuery, *, step_s: int) -> dict[int, Opinions]:
    """Of every step, and of the time before the period in the slot `PREVIOUS`."""
    found: dict[int, Opinions] = {}
    slot = _slot(trace_summaries.c.started_at, query, step_s)
    is_answer = trace_summaries.c.refused.is_not(None)
    asked = (
        select(
            slot.label("slot"),
            func.count().label("asked"),
            func.count().filter(trace_summaries.c.refused).label("refused"),
        )
        .where(_since(query, trace_summaries.c.started_at), is_answer, *of_traces(query))
        .group_by(slot)
    )
    for row in await connection.execute(asked):
        found[row.slot] = Opinions(asked=row.asked, refusals=row.refused)
    voted_in = _slot(votes.c.at, query, step_s)
    up = func.count().filter(votes.c.is_up)
    thumbs = (
        select(voted_in.label("slot"), up.label("up"), func.count().label("votes"))
        .where(_since(query, votes.c.at))
        .group_by(voted_in)
    )
    if wanted := of_traces(query):
        is_same = trace_summaries.c.trace_id == votes.c.trace_id
        thumbs = thumbs.select_from(votes.join(trace_summaries, is_same)).where(*wanted)
    for row in await connection.execute(thumbs):
        before = found.get(row.slot, Opinions())
        found[row.slot] = Opinions(before.asked, before.refusals, row.up, row.votes - row.up)
    return found


async def lists(connection: AsyncConnection, query: StatsQuery) -> Lists:
    """The slowest, dearest and newest failed traces of the period."""
    wanted = of_traces(query)
    within = and_(
        trace_summaries.c.started_at >= query.since, trace_summaries.c.started_at < query.until, *wanted
    )
    failed = (
        select(*_LINE)
        .where(within, trace_summaries.c.status == "error")
        .order_by(trace_summaries.c.started_at.desc())
        .limit(LIST_LENGTH)
    )
    return Lists(
        slow=await _most(connection, within, trace_summaries.c.duration_ms, is_filtered=bool(wanted)),
        dear=await _most(connection, within, trace_summaries.c.cost_micros, is_filtered=bool(wanted)),
        failed=await _lines(connection, failed),
    )


async def _most(
    connection: AsyncConnection, within: ColumnElement[bool], column: Column[Any], *, is_filtered: bool
) -> tuple[TraceLine, ...]:
    """The traces with the most of something, of which they have some.

    Without a filter the column's own index has them at its end. With one it may have none for long, so then all that
    match are read from the narrow index of the period, and sorted.
    """
    order = (column.desc(), trace_summaries.c.trace_id)
    if not is_filtered:
        listed = select(*_LINE).where(within, column > 0).order_by(*order).limit(LIST_LENGTH)
        return await _lines(connection, listed)
    matching = (
        select(trace_summaries.c.trace_id, column.label("most"))
        .where(within, column > 0)
        .cte("matching")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    first = (
        select(matching.c.trace_id).order_by(matching.c.most.desc(), matching.c.trace_id).limit(LIST_LENGTH)
    )
    listed = select(*_LINE).where(trace_summaries.c.trace_id.in_(first)).order_by(*order)
    return await _lines(connection, listed)


async def questions(connection: AsyncConnection, query: StatsQuery) -> tuple[QuestionLine, ...]:
    """The clusters of which most was asked in the period."""
    asked_at = clustered_questions.c.asked_at
    size = func.count().filter(asked_at >= query.since)
    most = (
        select(
            clustered_questions.c.cluster_id,
            size.label("size"),
            func.count().filter(asked_at < query.since).label("before"),
        )
        .where(_since(query, asked_at))
        .group_by(clustered_questions.c.cluster_id)
        .having(size > 0)
        .order_by(size.desc(), clustered_questions.c.cluster_id)
        .limit(_MOST_QUESTIONS)
    )
    wanted = of_traces(query)
    is_traced = trace_summaries.c.trace_id == clustered_questions.c.trace_id
    if wanted:
        # a question was asked when its trace began: said of both, each index is read for the time alone
        same_time = _since(query, trace_summaries.c.started_at)
        most = most.select_from(clustered_questions.join(trace_summaries, is_traced)).where(
            same_time, *wanted
        )
    top = most.cte("top")
    thumbs = (
        select(func.count().filter(votes.c.is_up).label("up"), func.count().label("votes"))
        .where(votes.c.trace_id == clustered_questions.c.trace_id)
        .lateral("thumbs")
    )
    listed = (
        select(
            top.c.cluster_id,
            top.c.size,
            top.c.before,
            question_clusters.c.label,
            question_clusters.c.example,
            cast(func.coalesce(func.sum(trace_summaries.c.cost_micros), 0), BigInteger).label("cost"),
            cast(func.sum(thumbs.c.up), BigInteger).label("up"),
            cast(func.sum(thumbs.c.votes), BigInteger).label("votes"),
        )
        .select_from(
            top.join(question_clusters, question_clusters.c.id == top.c.cluster_id)
            .join(clustered_questions, clustered_questions.c.cluster_id == top.c.cluster_id)
            .join(trace_summaries, is_traced, isouter=not wanted)
            .join(thumbs, clustered_questions.c.trace_id.is_not(None))
        )
        .where(asked_at >= query.since, asked_at < query.until, *wanted)
        .group_by(*top.c, question_clusters.c.label, question_clusters.c.example)
        .order_by(top.c.size.desc(), top.c.cluster_id)
    )
    return tuple(
        QuestionLine(
            cluster_id=row.cluster_id,
            label=row.label,
            example=row.example,
            size=row.size,
            trend=(row.size - row.before) / row.before if row.before else None,
            thumbs_up=row.up,
            thumbs_down=row.votes - row.up,
            cost=Micros(row.cost),
        )
        for row in await connection.execute(listed)
    )


async def scores(connection: AsyncConnection, query: StatsQuery) -> tuple[ScoreLine, ...]:
    """The newest eval runs that ended in the period, oldest first; no filter but the time holds for them."""
    ended = (
        select(eval_runs)
        .where(
            eval_runs.c.state == "done",
            eval_runs.c.finished_at >= query.since,
            eval_runs.c.finished_at < query.until,
            eval_runs.c.summary.has_key(_PASSED),
        )
        .order_by(eval_runs.c.finished_at.desc())
        .limit(_MOST_SCORES)
    )
    found = []
    for row in await connection.execute(ended):
        passed, low, high, _ = row.summary[_PASSED]
        found.append(
            ScoreLine(
                run_id=row.id,
                suite=row.suite,
                subject=row.subject,
                label=row.label,
                at=row.finished_at,
                passed=passed,
                low=low,
                high=high,
            )
        )
    return tuple(reversed(found))


def of_traces(query: StatsQuery) -> list[ColumnElement[bool]]:
    """What a query's filters mean for traces; empty without one."""
    wanted: list[ColumnElement[bool]] = []
    for name in ("team", "owner", "product", "model", "prompt", "tier"):
        value: str | None = getattr(query, name)
        if value is not None:
            column = trace_summaries.c[name]
            wanted.append(column == value if value else column.is_(None))
    return wanted


async def _lines(connection: AsyncConnection, listed: Select[Any]) -> tuple[TraceLine, ...]:
    return tuple(
        TraceLine(
            trace_id=row.trace_id,
            name=row.name,
            question=row.question,
            started_at=row.started_at,
            duration_ms=row.duration_ms,
            status=row.status,
            error_type=row.error_type,
            model=row.model,
            product=row.product,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cost=Micros(row.cost_micros),
        )
        for row in await connection.execute(listed)
    )


def _since(query: StatsQuery, at: ColumnElement[datetime]) -> ColumnElement[bool]:
    """In the period or the one before it."""
    return and_(at >= query.since - (query.until - query.since), at < query.until)


def _slot(at: ColumnElement[Any], query: StatsQuery, step_s: int) -> ColumnElement[int]:
    number = cast(func.floor(func.extract("epoch", at) / step_s), BigInteger)
    return case((at < query.since, PREVIOUS), else_=number)
