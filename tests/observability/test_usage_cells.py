from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from causeway.observability import usage_cells
from causeway.observability.rollups import HOUR, RELATIVE_ERROR, Rollups, bucket_value, hour_of, rolled_until
from causeway.observability.stats_report import StatsQuery
from causeway.observability.usage_cells import PREVIOUS, WHOLE, Sources
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from tests.observability.ledger_lines import a_line, add, mixed_lines

_DAY = timedelta(days=1)


def matching(lines: Sequence[dict[str, Any]], query: StatsQuery) -> list[dict[str, Any]]:
    def product(line: dict[str, Any]) -> str:
        return "ask" if line["purpose"] == "answer" else str(line["purpose"])

    wanted: dict[str, Callable[[dict[str, Any]], object]] = {
        "team": lambda line: line["team"] or "",
        "model": lambda line: line["model"],
        "prompt": lambda line: line["prompt"] or "",
        "tier": lambda line: line["tier"],
        "product": product,
        "owner": lambda line: line["principal_id"],
    }
    return [
        line
        for line in lines
        if query.since <= line["at"] < query.until
        and all(getattr(query, name) in (None, of(line)) for name, of in wanted.items())
    ]


def rank(values: Sequence[int], share: float) -> int:
    return sorted(values)[math.ceil(len(values) * share) - 1]


async def read(database: Database, query: StatsQuery, *, step_s: int = 3600) -> tuple[Any, Any, Any, Sources]:
    async with database.connect() as connection:
        until = await rolled_until(connection)
        found = usage_cells.sources(query, until, step_s=step_s, with_previous=True)
        here = usage_cells.sources(query, until, step_s=step_s, with_previous=False)
        return (
            await usage_cells.sums(connection, query, found, step_s=step_s),
            await usage_cells.percentiles(connection, query, found, step_s=step_s),
            await usage_cells.costs(connection, query, here),
            found,
        )


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"team": "team_1"},
        {"team": ""},
        {"model": "large", "tier": "pro"},
        {"product": "ask"},
        {"prompt": "answer@1"},
        {"owner": "usr_1"},
    ],
    ids=str,
)
async def test_numbers_are_those_of_the_lines_wherever_they_are_read(
    database: Database, clock: FrozenClock, filters: dict[str, str]
) -> None:
    now = clock.now()
    query = StatsQuery(since=now - 1.3 * _DAY, until=now - timedelta(minutes=7), **filters)  # type: ignore[arg-type]
    lines = mixed_lines(1_500, since=now - 3 * _DAY, until=now)
    await add(database, lines)
    live = await read(database, query)
    rollups = Rollups(database, clock)
    assert await rollups.bring_up_to_date() == round(
        (hour_of(now - timedelta(minutes=5)) - hour_of(min(line["at"] for line in lines))) / HOUR
    )
    rolled = await read(database, query)
    assert live[3].rolled == ()
    assert bool(rolled[3].rolled) is ("owner" not in filters)
    key = repr
    assert sorted(live[0], key=key) == sorted(rolled[0], key=key)
    assert live[1] == rolled[1]
    assert sorted(live[2], key=key) == sorted(rolled[2], key=key)
    within = matching(lines, query)
    chats = [line for line in within if line["operation"] == "chat"]
    kept = [each for each in rolled[0] if each.slot != PREVIOUS]
    assert sum(each.cost for each in kept) == sum(line["cost_micros"] for line in within)
    of_chats = [each for each in kept if each.operation == "chat"]
    assert sum(each.requests for each in of_chats) == len(chats)
    assert sum(each.fallbacks for each in of_chats) == sum(line["attempts"] > 1 for line in chats)
    for by in ("team", "model", "product"):
        assert sum(each.cost for each in rolled[2] if each.by == by) == sum(
            line["cost_micros"] for line in within
        )
    for name, metric in (("latency_ms", "latency"), ("ttft_ms", "ttft")):
        values = [line[name] for line in chats if line[name] is not None]
        read_off = rolled[1][WHOLE, metric]
        for told, share in ((read_off.p50, 0.5), (read_off.p95, 0.95), (read_off.p99, 0.99)):
            assert told == pytest.approx(rank(values, share), rel=RELATIVE_ERROR, abs=1)


async def test_a_line_that_comes_late_is_counted_after_the_next_round(
    database: Database, clock: FrozenClock
) -> None:
    now = clock.now()
    await add(database, [a_line(1, now - 3 * HOUR), a_line(2, now - 60 * HOUR)])
    rollups = Rollups(database, clock)
    await rollups.bring_up_to_date()
    await add(database, [a_line(3, now - 3 * HOUR), a_line(4, now - 59 * HOUR)])
    assert await rollups.mend(timedelta(days=2)) == 1
    assert await rollups.mend(None) == 1
    assert await rollups.mend(None) == 0
    sums, *_ = await read(database, StatsQuery(since=now - 4 * _DAY, until=now))
    assert sum(each.requests for each in sums) == 4


async def test_rolling_up_again_changes_nothing(database: Database, clock: FrozenClock) -> None:
    now = clock.now()
    await add(database, mixed_lines(50, since=now - 5 * HOUR, until=now))
    rollups = Rollups(database, clock)
    assert await rollups.bring_up_to_date() > 0
    assert await rollups.bring_up_to_date() == 0
    clock.advance(3600)
    assert await rollups.bring_up_to_date() == 1


async def test_an_empty_ledger_has_nothing_to_roll_up(database: Database, clock: FrozenClock) -> None:
    rollups = Rollups(database, clock)
    assert (await rollups.bring_up_to_date(), await rollups.mend(None)) == (0, 0)


def test_hours_are_read_from_the_rollups_and_their_edges_from_the_ledger() -> None:
    begin = datetime.fromisoformat("2026-01-02T03:20:00Z")
    late = begin + 100 * HOUR
    found = parted(begin, begin + 5 * HOUR, late)
    first, last = hour_of(begin) + HOUR, hour_of(begin) + 5 * HOUR
    assert found == Sources(((first, last),), ((begin, first), (last, begin + 5 * HOUR)))
    half = begin + timedelta(minutes=30)
    assert parted(begin, half, late) == Sources((), ((begin, half),))
    assert parted(first, last, None) == Sources((), ((first, last),))
    assert parted(first, last, late) == Sources(((first, last),), ())
    assert parted(first, last, late, step_s=600) == Sources((), ((first, last),))


def parted(begin: datetime, end: datetime, until: datetime | None, *, step_s: int = 3600) -> Sources:
    query = StatsQuery(since=begin, until=end)
    return usage_cells.sources(query, until, step_s=step_s, with_previous=False)


@pytest.mark.parametrize("value", [1, 2, 3, 7, 99, 1_000, 123_457, 3_600_000])
def test_a_bucket_s_value_is_at_most_two_percent_off(value: int) -> None:
    width = 2 * math.atanh(RELATIVE_ERROR)
    bucket = math.ceil(math.log(value) / width)
    assert bucket_value(bucket) == pytest.approx(value, rel=RELATIVE_ERROR, abs=0.5)
