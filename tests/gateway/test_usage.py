from __future__ import annotations

from datetime import timedelta

import pytest

from causeway.contracts.chat import Usage
from causeway.contracts.money import Micros
from causeway.gateway.ledger import Ledger
from causeway.gateway.usage import Period, Position, UsageReader
from causeway.storage.database import Database
from tests.gateway.calls import BEGAN, an_entry

WEEK = Period(since=BEGAN, until=BEGAN + timedelta(days=7))


@pytest.fixture
def usage(database: Database, ledger: Ledger) -> UsageReader:
    return UsageReader(database, ledger)


def _write(ledger: Ledger) -> None:
    day = timedelta(days=1)
    ledger.closed(an_entry("a", cost=Micros(100), latency_ms=10, usage=Usage(1, 2, 1)))
    ledger.closed(an_entry("b", cost=Micros(200), latency_ms=30, usage=Usage(10, 20), at=BEGAN + day))
    ledger.closed(an_entry("c", cost=Micros(0), saved=Micros(50), cache="semantic", team=None, latency_ms=2))
    ledger.closed(an_entry("d", cost=Micros(0), outcome="upstream_error", principal_id="key_2", team=None))
    ledger.closed(an_entry("e", cost=Micros(7), outcome="cancelled", model="large", principal_id="key_2"))
    ledger.closed(an_entry("before", at=BEGAN - day))
    ledger.closed(an_entry("after", at=WEEK.until))


async def test_totals_of_what_was_called_a_moment_ago_add_up_exactly(
    ledger: Ledger, usage: UsageReader
) -> None:
    _write(ledger)
    first, second = await usage.totals("key", WEEK)
    assert (first.group, first.calls, first.errors, first.cache_hits) == ("key_1", 3, 0, 1)
    assert (first.cost, first.saved, first.latency_p50_ms) == (300, 50, 10)
    assert (first.input_tokens, first.output_tokens, first.cached_input_tokens) == (101, 222, 11)
    assert (second.group, second.calls, second.errors, second.cost) == ("key_2", 2, 1, 7)


async def test_groups_are_the_dearest_first_and_days_in_order(ledger: Ledger, usage: UsageReader) -> None:
    _write(ledger)
    assert [total.group for total in await usage.totals("team", WEEK)] == ["team_1", None]
    assert [total.group for total in await usage.totals("model", WEEK)] == ["words", "large"]
    assert [total.group for total in await usage.totals("day", WEEK)] == ["2026-01-02", "2026-01-03"]
    assert len(await usage.totals("outcome", WEEK, limit=2)) == 2


async def test_totals_count_only_what_matches(ledger: Ledger, usage: UsageReader) -> None:
    _write(ledger)
    (total,) = await usage.totals("model", WEEK, only={"key": "key_2", "outcome": "cancelled"})
    assert (total.group, total.calls, total.cost) == ("large", 1, 7)
    assert await usage.totals("model", WEEK, only={"team": "team_9"}) == []


async def test_lines_come_in_pages_newest_first(ledger: Ledger, usage: UsageReader) -> None:
    _write(ledger)
    first = await usage.lines(WEEK, limit=2)
    last = Position(at=first[-1].at, id=first[-1].id)
    rest = await usage.lines(WEEK, behind=last)
    assert [row.id for row in first] == ["b", "e"]
    assert [row.id for row in rest] == ["d", "c", "a"]
    assert [row.cost_micros for row in await usage.lines(WEEK, only={"key": "key_2"})] == [7, 0]
