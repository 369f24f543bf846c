"""Numbers of model calls for any period and filter: whole hours from the rollups, the rest from the ledger itself.

Both give the same columns and buckets, so a number does not depend on where it came from. Calls of one owner are read
from the ledger alone, by its index, for the rollups know no callers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.money import Micros
from causeway.observability.rollups import HOUR, bucket_of, bucket_value, hour_of, product_of, purposes_of
from causeway.observability.stats_report import Percentiles, StatsQuery
from causeway.storage.schema import api_keys, ledger
from causeway.storage.stats_schema import usage_rollups

Metric = Literal["latency", "ttft", "tokens"]
Span = tuple[datetime, datetime]

PREVIOUS: Final = -1
"""The slot of everything before the period that is asked for."""
WHOLE: Final = -2
"""The slot of the whole period."""
FINE: Final = ("ok", "cancelled")
"""Outcomes that are no errors."""
_SUMMED: Final = (
    "requests",
    "input_tokens",
    "output_tokens",
    "cost_micros",
    "saved_micros",
    "cache_hits",
    "fallbacks",
)
_FILTERS: Final = ("team", "product", "model", "prompt", "tier")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a period is read: hours from the rollups, the rest from the ledger."""

    rolled: tuple[Span, ...]
    live: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """The calls of one step, operation and outcome."""

    slot: int
    operation: str
    outcome: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost: Micros
    saved: Micros
    cache_hits: int
    fallbacks: int


@dataclass(frozen=True, slots=True)
class GroupCost:
    """What one team, model or product cost."""

    by: Literal["team", "model", "product"]
    key: str
    cost: Micros
    requests: int


def sources(query: StatsQuery, rolled_until: datetime | None, *, step_s: int, with_previous: bool) -> Sources:
    """Part the period, and the one before it if wanted, into whole hours that are rolled up, and the rest."""
    periods = [(query.since, query.until)]
    if with_previous:
        periods.insert(0, (query.since - (query.until - query.since), query.since))
    if rolled_until is None or query.owner is not None or step_s % HOUR.total_seconds():
        return Sources((), tuple(periods))
    rolled: list[Span] = []
    live: list[Span] = []
    for begin, end in periods:
        first = hour_of(begin) if begin == hour_of(begin) else hour_of(begin) + HOUR
        last = min(hour_of(end), rolled_until)
        if first >= last:
            live.append((begin, end))
            continue
        rolled.append((first, last))
        live += [span for span in ((begin, first), (last, end)) if span[0] < span[1]]
    return Sources(tuple(rolled), tuple(live))


async def sums(connection: AsyncConnection, query: StatsQuery, read: Sources, *, step_s: int) -> list[Sums]:
    """The calls of every step, and of the time before the period in the slot `PREVIOUS`."""
    rolled = select(
        usage_rollups.c.hour.label("at"),
        usage_rollups.c.operation,
        usage_rollups.c.outcome,
        *(usage_rollups.c[name] for name in _SUMMED),
    ).where(_of_rollups(query, read))
    live = select(ledger.c.at, ledger.c.operation, ledger.c.outcome, *_live_sums()).where(
        _of_ledger(query, read)
    )
    cells = union_all(rolled, live).subquery()
    slot = _slot(cells.c.at, query, step_s)
    totals = [cast(func.sum(cells.c[name]), BigInteger).label(name) for name in _SUMMED]
    grouped = select(slot.label("slot"), cells.c.operation, cells.c.outcome, *totals).group_by(
        slot, cells.c.operation, cells.c.outcome
    )
    return [
        Sums(
            slot=row.slot,
            operation=row.operation,
            outcome=row.outcome,
            requests=row.requests,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cost=Micros(row.cost_micros),
            saved=Micros(row.saved_micros),
            cache_hits=row.cache_hits,
            fallbacks=row.fallbacks,
        )
        for row in await connection.execute(grouped)
    ]


async def percentiles(
    connection: AsyncConnection, query: StatsQuery, read: Sources, *, step_s: int
) -> dict[tuple[int, Metric], Percentiles]:
    """The percentiles of each step and metric, of the period before (`PREVIOUS`) and of the whole one (`WHOLE`)."""
    cells = union_all(*_rolled_buckets(query, read), _live_buckets(query, read)).subquery()
    slot = _slot(cells.c.at, query, step_s).label("slot")
    counted = (
        select(slot, cells.c.metric, cells.c.bucket, func.sum(cells.c.n).label("n"))
        .group_by(literal_column("slot"), cells.c.metric, cells.c.bucket)
        .cte("counted")
    )
    whole = (
        select(
            literal(WHOLE, BigInteger).label("slot"),
            counted.c.metric,
            counted.c.bucket,
            func.sum(counted.c.n).label("n"),
        )
        .where(counted.c.slot >= 0)
        .group_by(counted.c.metric, counted.c.bucket)
    )
    each = union_all(select(counted), whole).subquery()
    within = (each.c.slot, each.c.metric)
    ranked = select(
        *within,
        each.c.bucket,
        func.sum(each.c.n).over(partition_by=within, order_by=each.c.bucket).label("upto"),
        func.sum(each.c.n).over(partition_by=within).label("all_"),
    ).subquery()
    read_off = [
        func.min(ranked.c.bucket).filter(ranked.c.upto >= func.ceil(ranked.c.all_ * share)).label(name)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]
    found = select(ranked.c.slot, ranked.c.metric, *read_off).group_by(ranked.c.slot, ranked.c.metric)
    return {
        (row.slot, row.metric): Percentiles(
            p50=bucket_value(row.p50), p95=bucket_value(row.p95), p99=bucket_value(row.p99)
        )
        for row in await connection.execute(found)
    }


async def costs(connection: AsyncConnection, query: StatsQuery, read: Sources) -> list[GroupCost]:
    """What each team, model and product of the period cost, the dearest first."""
    groups = ("team", "model", "product")
    rolled = select(
        *(usage_rollups.c[name] for name in groups),
        usage_rollups.c.operation,
        usage_rollups.c.requests,
        usage_rollups.c.cost_micros,
    ).where(_of_rollups(query, read, is_total=False))
    live = select(
        *(_LIVE[name].label(name) for name in groups),
        ledger.c.operation,
        literal(1).label("requests"),
        ledger.c.cost_micros,
    ).where(_of_ledger(query, read))
    cells = union_all(rolled, live).subquery()
    cost = cast(func.sum(cells.c.cost_micros), BigInteger).label("cost")
    requests = func.coalesce(func.sum(cells.c.requests).filter(cells.c.operation == query.operation), 0)
    sets = func.grouping_sets(*(tuple_(cells.c[name]) for name in groups))
    grouped = (
        select(
            *(cells.c[name] for name in groups),
            func.grouping(*(cells.c[name] for name in groups)).label("without"),
            cost,
            cast(requests, BigInteger).label("requests"),
        )
        .group_by(sets)
        .order_by(cost.desc(), literal_column("requests").desc())
    )
    found = []
    for row in (await connection.execute(grouped)).mappings():
        by = _GROUPED[row["without"]]
        found.append(GroupCost(by, row[by], Micros(row["cost"]), row["requests"]))
    return found


_GROUPED: Final[Mapping[int, Literal["team", "model", "product"]]] = {
    0b011: "team",
    0b101: "model",
    0b110: "product",
}
"""GROUPING's bits: 1 for each column that a row is not grouped by."""


def _slot(at: ColumnElement[Any], query: StatsQuery, step_s: int) -> ColumnElement[int]:
    number = cast(func.floor(func.extract("epoch", at) / step_s), BigInteger)
    return case((at < query.since, PREVIOUS), else_=number)


_LIVE: Final[Mapping[str, ColumnElement[Any]]] = {
    "team": func.coalesce(ledger.c.team, ""),
    "product": product_of(ledger.c.purpose),
    "model": ledger.c.model,
    "prompt": func.coalesce(ledger.c.prompt, ""),
    "tier": ledger.c.tier,
}


_LIVE_FILTERS: Final[Mapping[str, Callable[[str], ColumnElement[bool]]]] = {
    "team": lambda value: ledger.c.team == value if value else ledger.c.team.is_(None),
    "product": lambda value: ledger.c.purpose.in_(purposes_of(value)),
    "model": lambda value: ledger.c.model == value,
    "prompt": lambda value: ledger.c.prompt == value if value else ledger.c.prompt.is_(None),
    "tier": lambda value: ledger.c.tier == value,
}


def _live_sums() -> list[ColumnElement[Any]]:
    return [
        literal(1).label("requests"),
        ledger.c.input_tokens,
        ledger.c.output_tokens,
        ledger.c.cost_micros,
        ledger.c.saved_micros,
        cast(ledger.c.cache.is_not(None), Integer).label("cache_hits"),
        cast(ledger.c.attempts > 1, Integer).label("fallbacks"),
    ]


def _rolled_buckets(query: StatsQuery, read: Sources) -> list[Select[Any]]:
    return [
        _unnested(metric, buckets, counts, query, read)
        for metric, buckets, counts in (
            ("latency", usage_rollups.c.latency_buckets, usage_rollups.c.latency_counts),
            ("ttft", usage_rollups.c.ttft_buckets, usage_rollups.c.ttft_counts),
            ("tokens", usage_rollups.c.token_buckets, usage_rollups.c.token_counts),
        )
    ]


def _unnested(
    metric: str,
    buckets: ColumnElement[Any],
    counts: ColumnElement[Any],
    query: StatsQuery,
    read: Sources,
) -> Select[Any]:
    each: FromClause = func.unnest(buckets, counts).table_valued("bucket", "n").render_derived(metric)
    columns = (usage_rollups.c.hour.label("at"), literal(metric).label("metric"), each.c.bucket, each.c.n)
    return (
        select(*columns)
        .select_from(usage_rollups.join(each, true()))
        .where(_of_rollups(query, read), usage_rollups.c.operation == query.operation)
    )


def _live_buckets(query: StatsQuery, read: Sources) -> Select[Any]:
    names = array([literal(name) for name in ("latency", "ttft", "tokens")])
    buckets = array(
        [
            bucket_of(ledger.c.latency_ms),
            bucket_of(ledger.c.ttft_ms),
            bucket_of(ledger.c.input_tokens + ledger.c.output_tokens),
        ]
    )
    each = func.unnest(names, buckets).table_valued("metric", "bucket").render_derived("each")
    return (
        select(ledger.c.at, each.c.metric, each.c.bucket, literal(1).label("n"))
        .select_from(ledger.join(each, true()))
        .where(_of_ledger(query, read), ledger.c.operation == query.operation, each.c.bucket.is_not(None))
    )


def _of_rollups(query: StatsQuery, read: Sources, *, is_total: bool | None = None) -> ColumnElement[bool]:
    wanted = _wanted(query)
    level = not wanted if is_total is None else is_total
    return and_(
        usage_rollups.c.is_total if level else ~usage_rollups.c.is_total,
        _within(usage_rollups.c.hour, read.rolled),
        *(usage_rollups.c[name] == value for name, value in wanted.items()),
    )


def _of_ledger(query: StatsQuery, read: Sources) -> ColumnElement[bool]:
    asked = [_LIVE_FILTERS[name](value) for name, value in _wanted(query).items()]
    if query.owner is not None:
        keys = select(api_keys.c.id).where(api_keys.c.user_id == query.owner)
        asked.append(or_(ledger.c.principal_id == query.owner, ledger.c.principal_id.in_(keys)))
    return and_(_within(ledger.c.at, read.live), *asked)


def _wanted(query: StatsQuery) -> dict[str, str]:
    return {name: value for name in _FILTERS if (value := getattr(query, name)) is not None}


def _within(at: ColumnElement[Any], spans: Sequence[Span]) -> ColumnElement[bool]:
    return or_(false(), *(and_(at >= begin, at < end) for begin, end in spans))
