"""The ledger by the hour: sums and histograms of what has ended, made anew whenever the ledger says otherwise.

Two levels: one row for every team, product, model, prompt and tier that occurs in an hour, and one over all of them, so
that what is asked without a filter reads one row an hour and outcome. Percentiles cannot be added up, histograms can:
their buckets grow by a factor, so that every value read from them is at most 2 % off (the mathematics of DDSketch,
https://doi.org/10.14778/3352063.3352135). ``bench/dashboard.py`` and docs/adr/0032 say why.

A line of the ledger never changes, but one may come late: a long answer, or a journal that waited for the database. So
each round counts the lines of the last days against the rolled-up ones and rolls up again where they differ.
"""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, and_, case, cast, delete, func, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.errors import CausewayError
from causeway.storage.background import rest
from causeway.storage.database import Database
from causeway.storage.schema import ledger
from causeway.storage.stats_schema import rollup_progress, usage_rollups

log = logging.getLogger(__name__)

HOUR: Final = timedelta(hours=1)
RELATIVE_ERROR: Final = 0.02
"""Of a percentile; it is exact where it is 0 or 1."""
_WIDTH: Final = 2 * math.atanh(RELATIVE_ERROR)
"""Of a bucket, in the value's logarithm: from its lower to its upper end the value grows by e to this power."""
_NAME: Final = "usage"
_SETTLES_AFTER: Final = timedelta(minutes=5)
"""Most calls have ended and are in the database so long after the hour."""
_AT_ONCE: Final = timedelta(days=1)
_LATELY: Final = timedelta(days=2)
_EVERY_S: Final = 60.0
_EVERYTHING_EVERY: Final = 60
"""Rounds after which the whole ledger is counted again, and not its last two days alone."""


def bucket_of(value: ColumnElement[Any]) -> ColumnElement[int]:
    """The bucket of a number, in SQL; none of NULL."""
    logarithm = func.ceil(func.ln(func.greatest(value, 1)) / _WIDTH)
    return case((value.is_(None), None), else_=cast(logarithm, Integer))


def bucket_value(bucket: int) -> int:
    """The number in the middle of a bucket: at most 2 % from any that is in it."""
    return round(2 * math.exp(bucket * _WIDTH) / (math.exp(_WIDTH) + 1))


def product_of(purpose: ColumnElement[str]) -> ColumnElement[str]:
    """What a call was made for, as people name it: an answer's steps are all of ``ask``."""
    return case((purpose == "answer", "ask"), else_=purpose)


def purposes_of(product: str) -> tuple[str, ...]:
    """The purposes of calls that are of a product."""
    return ("ask", "answer") if product == "ask" else (product,)


def hour_of(moment: datetime) -> datetime:
    """When the hour of ``moment`` began."""
    return moment.replace(minute=0, second=0, microsecond=0)


class Rollups:
    """Keeps `usage_rollups` equal to the ledger, up to the hour before the last few minutes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def tend(self, *, stop: asyncio.Event) -> None:
        """Roll up what has ended, every minute, until ``stop``."""
        rounds = 0
        while not stop.is_set():
            try:
                await self.bring_up_to_date()
                await self.mend(None if rounds % _EVERYTHING_EVERY == 0 else _LATELY)
                rounds += 1
            except CausewayError as exc:
                log.warning("the dashboard's sums wait", extra={"reason": exc.message})
            await rest(stop, _EVERY_S)

    async def bring_up_to_date(self) -> int:
        """Roll up every hour that has settled; how many hours that were. Safe in several processes at once."""
        settled = hour_of(self._clock.now() - _SETTLES_AFTER)
        done = 0
        while True:
            async with self._database.begin() as connection:
                begin = await self._turn(connection)
                if begin is None or begin >= settled:
                    return done
                end = min(begin + _AT_ONCE, settled)
                await _roll_up(connection, begin, end)
                await self._advance(connection, end)
                done += round((end - begin) / HOUR)

    async def mend(self, lately: timedelta | None) -> int:
        """Roll up anew the hours whose lines have become more; of the last while, or of all. How many there were."""
        async with self._database.begin() as connection:
            until = await self._turn(connection)
            if until is None:
                return 0
            since = until - lately if lately else None
            differing = await _differing(connection, since, until)
            for hour in differing:
                await _roll_up(connection, hour, hour + HOUR)
        return len(differing)

    async def _turn(self, connection: AsyncConnection) -> datetime | None:
        """Wait until no other process rolls up; from where on nothing is, or None while the ledger is empty."""
        row = {"name": _NAME}
        await connection.execute(insert(rollup_progress).values(row).on_conflict_do_nothing())
        mine = rollup_progress.c.name == _NAME
        until: datetime | None = await connection.scalar(
            select(rollup_progress.c.until).where(mine).with_for_update()
        )
        if until is None:
            oldest: datetime | None = await connection.scalar(select(func.min(ledger.c.at)))
            return hour_of(oldest) if oldest else None
        return until

    async def _advance(self, connection: AsyncConnection, until: datetime) -> None:
        mine = rollup_progress.c.name == _NAME
        await connection.execute(update(rollup_progress).where(mine).values(until=until))


async def rolled_until(connection: AsyncConnection) -> datetime | None:
    """What began before it is in the rollups; None while nothing is."""
    until: datetime | None = await connection.scalar(
        select(rollup_progress.c.until).where(rollup_progress.c.name == _NAME)
    )
    return until


async def _differing(connection: AsyncConnection, since: datetime | None, until: datetime) -> list[datetime]:
    """Hours before ``until`` of which the ledger has another number of lines than the rollups."""
    hour = func.date_trunc("hour", ledger.c.at)
    lines = select(hour.label("hour"), func.count().label("count")).where(ledger.c.at < until).group_by(hour)
    kept = (
        select(usage_rollups.c.hour, func.sum(usage_rollups.c.requests).label("count"))
        .where(usage_rollups.c.is_total)
        .group_by(usage_rollups.c.hour)
    )
    if since is not None:
        lines = lines.where(ledger.c.at >= since)
        kept = kept.where(usage_rollups.c.hour >= since)
    here, there = lines.subquery(), kept.subquery()
    both = here.outerjoin(there, here.c.hour == there.c.hour)
    found = select(here.c.hour).select_from(both).where(here.c.count != func.coalesce(there.c.count, 0))
    return list(await connection.scalars(found.order_by(here.c.hour)))


async def _roll_up(connection: AsyncConnection, begin: datetime, end: datetime) -> None:
    """Write the rows of whole hours, whatever was there."""
    within = and_(usage_rollups.c.hour >= begin, usage_rollups.c.hour < end)
    await connection.execute(delete(usage_rollups).where(within))
    period = {"begin": begin, "end": end}
    await connection.execute(_EACH, period)
    await connection.execute(_TOTAL, period)


def _histogram(name: str) -> str:
    """Two lists for each group: buckets, and how many values each has."""
    return (
        f"coalesce(array_agg(bucket ORDER BY bucket) FILTER (WHERE metric = '{name}'), '{{}}'), "
        f"coalesce(array_agg(n ORDER BY bucket) FILTER (WHERE metric = '{name}'), '{{}}')"
    )


_KEYS: Final = "hour, operation, outcome, team, product, model, prompt, tier"
_SUMS: Final = "requests, input_tokens, output_tokens, cost_micros, saved_micros, cache_hits, fallbacks"
_LISTS: Final = "latency_buckets, latency_counts, ttft_buckets, ttft_counts, token_buckets, token_counts"
_ADDED: Final = ", ".join(f"sum({name})" for name in _SUMS.split(", "))


def _sql(expression: ColumnElement[Any]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own has no types
    return str(expression.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


_TOKENS: Final = ledger.c.input_tokens + ledger.c.output_tokens

_EACH: Final = text(
    f"""
WITH calls AS (
  SELECT date_trunc('hour', at) AS hour, operation, outcome, coalesce(team, '') AS team, {_sql(product_of(ledger.c.purpose))} AS product,
    model, coalesce(prompt, '') AS prompt, tier, input_tokens, output_tokens, cost_micros, saved_micros,
    (cache IS NOT NULL)::int AS cache_hits, (attempts > 1)::int AS fallbacks, 1 AS requests,
    {_sql(bucket_of(ledger.c.latency_ms))} AS latency, {_sql(bucket_of(ledger.c.ttft_ms))} AS ttft,
    {_sql(bucket_of(_TOKENS))} AS tokens
  FROM ledger WHERE at >= :begin AND at < :end
), counted AS (
  SELECT {_KEYS}, metric, bucket, count(*) AS n
  FROM calls, unnest(ARRAY['latency', 'ttft', 'tokens'], ARRAY[latency, ttft, tokens]) AS each (metric, bucket)
  WHERE bucket IS NOT NULL GROUP BY {_KEYS}, metric, bucket
), lists ({_KEYS}, {_LISTS}) AS (
  SELECT {_KEYS}, {_histogram("latency")}, {_histogram("ttft")}, {_histogram("tokens")} FROM counted GROUP BY {_KEYS}
), sums ({_KEYS}, {_SUMS}) AS (SELECT {_KEYS}, {_ADDED} FROM calls GROUP BY {_KEYS})
INSERT INTO usage_rollups ({_KEYS}, {_SUMS}, {_LISTS}, is_total)
SELECT *, false FROM sums JOIN lists USING ({_KEYS})
"""  # noqa: S608 - of constants alone
)
_OVER_ALL: Final = "hour, operation, outcome"
_TOTAL: Final = text(
    f"""
WITH parts AS (SELECT * FROM usage_rollups WHERE NOT is_total AND hour >= :begin AND hour < :end),
measured AS (
  SELECT {_OVER_ALL}, 'latency' AS metric, bucket, n FROM parts, unnest(latency_buckets, latency_counts) AS e (bucket, n)
  UNION ALL
  SELECT {_OVER_ALL}, 'ttft', bucket, n FROM parts, unnest(ttft_buckets, ttft_counts) AS e (bucket, n)
  UNION ALL
  SELECT {_OVER_ALL}, 'tokens', bucket, n FROM parts, unnest(token_buckets, token_counts) AS e (bucket, n)
), counted AS (
  SELECT {_OVER_ALL}, metric, bucket, sum(n)::bigint AS n FROM measured GROUP BY {_OVER_ALL}, metric, bucket
), lists ({_OVER_ALL}, {_LISTS}) AS (
  SELECT {_OVER_ALL}, {_histogram("latency")}, {_histogram("ttft")}, {_histogram("tokens")} FROM counted GROUP BY {_OVER_ALL}
), sums ({_OVER_ALL}, {_SUMS}) AS (SELECT {_OVER_ALL}, {_ADDED} FROM parts GROUP BY {_OVER_ALL})
INSERT INTO usage_rollups ({_OVER_ALL}, {_SUMS}, {_LISTS}, is_total, team, product, model, prompt, tier)
SELECT *, true, '', '', '', '', '' FROM sums JOIN lists USING ({_OVER_ALL})
"""  # noqa: S608
)
