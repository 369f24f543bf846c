from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.identity import Budget, Principal, Scope
from causeway.contracts.money import Micros
from causeway.gateway.budgets import Period, allowances, dollars, period
from causeway.settings import TierSettings

_NOW = datetime(2026, 11, 27, 13, 5, tzinfo=UTC)


def _caller(*budgets: Budget) -> Principal:
    return Principal("key_1", "shop", frozenset({Scope.MODELS}), team="ops", tier="free", budgets=budgets)


def test_key_team_and_tier_each_pay_by_day_and_month() -> None:
    tier = TierSettings(
        key_budget_usd_per_day=Decimal("0.50"),
        key_budget_usd_per_month=Decimal(5),
        budget_usd_per_day=Decimal(100),
        budget_usd_per_month=Decimal("1000.000001"),
    )
    found = allowances(_caller(Budget("team", "ops", "month", Micros(20_000_000))), tier, _NOW)
    assert {one.meter.key: one.meter.limit for one in found} == {
        "budget:key:key_1:day:2026-11-27": 500_000,
        "budget:key:key_1:month:2026-11-01": 5_000_000,
        "budget:tier:free:day:2026-11-27": 100_000_000,
        "budget:tier:free:month:2026-11-01": 1_000_000_001,
        "budget:team:ops:month:2026-11-01": 20_000_000,
    }
    assert {one.meter.unit for one in found} == {"micros"}


@pytest.mark.parametrize(("own", "counts"), [(3_000_000, 3_000_000), (9_000_000, 5_000_000)])
def test_of_two_budgets_for_the_same_the_smaller_counts(own: int, counts: int) -> None:
    caller = _caller(Budget("key", "key_1", "month", Micros(own)))
    (only,) = allowances(caller, TierSettings(key_budget_usd_per_month=Decimal(5)), _NOW)
    assert only.meter.limit == counts


def test_without_budgets_nothing_is_metered() -> None:
    assert allowances(_caller(), TierSettings(), _NOW) == ()


def test_periods_are_calendar_days_and_months_in_utc() -> None:
    evening_there = datetime(2026, 12, 31, 22, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert period("day", evening_there) == (
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2027, 1, 2, tzinfo=UTC),
    )
    assert period("month", _NOW) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


@given(st.integers(0, 20 * 366 * 86_400))
def test_every_moment_is_in_its_period_and_periods_meet(seconds: int) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    names: tuple[Period, ...] = ("day", "month")
    for name in names:
        start, end = period(name, moment)
        assert start <= moment < end
        assert period(name, end)[0] == end
        assert period(name, start) == (start, end)


@pytest.mark.parametrize(
    ("micros", "written"),
    [
        (5_000_000, "5.00"),
        (0, "0.00"),
        (50_000, "0.05"),
        (123, "0.000123"),
        (1_230_000, "1.23"),
        (-20, "-0.00002"),
    ],
)
def test_money_is_written_exactly(micros: int, written: str) -> None:
    assert dollars(micros) == written
