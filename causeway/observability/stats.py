"""The dashboard's numbers: read from the ledger and its hours, from traces, votes and eval runs.

`causeway.observability.stats_report` says what they mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.money import Micros
from causeway.observability import trace_numbers, usage_cells
from causeway.observability.rollups import rolled_until
from causeway.observability.spans import Flush, Spans, store_ended
from causeway.observability.stats_report import (
    CostLine,
    Costs,
    ErrorCount,
    Percentiles,
    Point,
    StatsQuery,
    StatsReport,
    Totals,
)
from causeway.observability.trace_numbers import Opinions
from causeway.observability.usage_cells import FINE, PREVIOUS, WHOLE, GroupCost, Metric, Sums
from causeway.storage.database import Database
from causeway.storage.schema import teams

_STEPS_S: Final = (60, 300, 600, 3_600, 10_800, 28_800, 86_400, 604_800)
_MOST_STEPS: Final = 96
_MOST_GROUPS: Final = 50
_NO_TEAM: Final = "no team"


class Stats:
    """Reads the numbers; what has just ended is stored first, so that the newest call counts.

    Args:
        database: Where everything is.
        recorder: Whose finished spans are stored first.
        flush: The ledger's.
    """

    def __init__(self, database: Database, recorder: Spans, *, flush: Flush) -> None:
        self._database = database
        self._recorder = recorder
        self._flush = flush

    async def read(self, query: StatsQuery, *, is_own: bool = False) -> StatsReport:
        """The numbers of a period and of the one before it.

        Args:
            query: Which.
            is_own: For somebody who may see only what is theirs: leave out what is made of everybody's, the questions
                and the scores. The caller sets ``query.owner``.
        """
        await store_ended(self._recorder, self._flush)
        step_s = step_of(query)
        async with self._database.connect() as connection:
            until = await rolled_until(connection)
            both = usage_cells.sources(query, until, step_s=step_s, with_previous=True)
            here = usage_cells.sources(query, until, step_s=step_s, with_previous=False)
            sums = await usage_cells.sums(connection, query, both, step_s=step_s)
            percentiles = await usage_cells.percentiles(connection, query, both, step_s=step_s)
            costs = await usage_cells.costs(connection, query, here)
            opinions = await trace_numbers.opinions(connection, query, step_s=step_s)
            lists = await trace_numbers.lists(connection, query)
            names = await _team_names(connection)
            questions = () if is_own else await trace_numbers.questions(connection, query)
            scores = () if is_own else await trace_numbers.scores(connection, query)
        return StatsReport(
            query=query,
            bucket_s=step_s,
            totals=_totals(
                query, [each for each in sums if each.slot != PREVIOUS], percentiles, WHOLE, opinions
            ),
            previous=_totals(
                query, [each for each in sums if each.slot == PREVIOUS], percentiles, PREVIOUS, opinions
            ),
            series=_series(query, sums, percentiles, opinions, step_s=step_s),
            errors=_errors(query, sums),
            costs=_costs(costs, names),
            slow=lists.slow,
            dear=lists.dear,
            failed=lists.failed,
            questions=questions,
            scores=scores,
        )

    async def totals(self, query: StatsQuery) -> Totals:
        """The numbers of the period alone: for what is asked often, such as alerts."""
        await store_ended(self._recorder, self._flush)
        step_s = step_of(query)
        async with self._database.connect() as connection:
            until = await rolled_until(connection)
            here = usage_cells.sources(query, until, step_s=3600, with_previous=False)
            sums = await usage_cells.sums(connection, query, here, step_s=step_s)
            percentiles = await usage_cells.percentiles(connection, query, here, step_s=step_s)
            opinions = await trace_numbers.opinions(connection, query, step_s=step_s)
        return _totals(query, sums, percentiles, WHOLE, opinions)


def step_of(query: StatsQuery) -> int:
    """How long a step of the series is: the shortest that makes at most 96 of them."""
    length_s = (query.until - query.since).total_seconds()
    return next(step for step in _STEPS_S if length_s / step <= _MOST_STEPS)


def _totals(
    query: StatsQuery,
    sums: Sequence[Sums],
    percentiles: Mapping[tuple[int, Metric], Percentiles],
    slot: int,
    opinions: Mapping[int, Opinions],
) -> Totals:
    calls = [each for each in sums if each.operation == query.operation]
    counted = [each for key, each in opinions.items() if (key != PREVIOUS if slot == WHOLE else key == slot)]
    tokens = percentiles.get((slot, "tokens"), Percentiles())
    return Totals(
        requests=sum(each.requests for each in calls),
        errors=sum(each.requests for each in calls if each.outcome not in FINE),
        input_tokens=sum(each.input_tokens for each in calls),
        output_tokens=sum(each.output_tokens for each in calls),
        tokens_p50=tokens.p50,
        tokens_p95=tokens.p95,
        cost=Micros(sum(each.cost for each in sums)),
        saved=Micros(sum(each.saved for each in sums)),
        latency_ms=percentiles.get((slot, "latency"), Percentiles()),
        ttft_ms=percentiles.get((slot, "ttft"), Percentiles()),
        cache_hits=sum(each.cache_hits for each in calls),
        fallbacks=sum(each.fallbacks for each in calls),
        asked=sum(each.asked for each in counted),
        refusals=sum(each.refusals for each in counted),
        thumbs_up=sum(each.thumbs_up for each in counted),
        thumbs_down=sum(each.thumbs_down for each in counted),
    )


def _series(
    query: StatsQuery,
    sums: Sequence[Sums],
    percentiles: Mapping[tuple[int, Metric], Percentiles],
    opinions: Mapping[int, Opinions],
    *,
    step_s: int,
) -> tuple[Point, ...]:
    by_slot: defaultdict[int, list[Sums]] = defaultdict(list)
    for each in sums:
        by_slot[each.slot].append(each)
    first = int(query.since.timestamp() // step_s)
    last = -int(-query.until.timestamp() // step_s)
    points = []
    for slot in range(first, last):
        totals = _totals(query, by_slot[slot], percentiles, slot, opinions)
        points.append(_point(datetime.fromtimestamp(slot * step_s, UTC), totals))
    return tuple(points)


def _point(at: datetime, totals: Totals) -> Point:
    return Point(at=at, **{name: getattr(totals, name) for name in Totals.__slots__})


def _errors(query: StatsQuery, sums: Sequence[Sums]) -> tuple[ErrorCount, ...]:
    counts: defaultdict[str, int] = defaultdict(int)
    for each in sums:
        is_counted = each.slot != PREVIOUS and each.operation == query.operation
        if is_counted and each.outcome not in FINE:
            counts[each.outcome] += each.requests
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ErrorCount(code=code, count=count) for code, count in ordered)


def _costs(costs: Sequence[GroupCost], team_names: Mapping[str, str]) -> Costs:
    def lines(by: Literal["team", "model", "product"]) -> tuple[CostLine, ...]:
        kept = [each for each in costs if each.by == by][:_MOST_GROUPS]
        return tuple(
            CostLine(
                key=each.key, name=_name(by, each.key, team_names), cost=each.cost, requests=each.requests
            )
            for each in kept
        )

    return Costs(team=lines("team"), model=lines("model"), product=lines("product"))


def _name(by: str, key: str, team_names: Mapping[str, str]) -> str:
    if by == "team":
        return team_names.get(key, key) if key else _NO_TEAM
    return key or f"no {by}"


async def _team_names(connection: AsyncConnection) -> dict[str, str]:
    return {row.id: row.name for row in await connection.execute(select(teams.c.id, teams.c.name))}
