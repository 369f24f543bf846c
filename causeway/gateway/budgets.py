"""Budgets: micro-dollars that a key, its team and its tier may spend in a calendar day or month, UTC.

A budget is a total meter of one period. What was spent before the meter was first used is asked of the ledger, once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from causeway.contracts.identity import Budget, Principal
from causeway.contracts.money import MICROS_PER_DOLLAR, Micros, to_micros
from causeway.errors import BudgetSpentError
from causeway.settings import TierSettings
from causeway.storage.shared_state import Meter

MICROS = "micros"

Payer = Literal["key", "team", "tier"]
Period = Literal["day", "month"]

Spent = Callable[[Payer, str, datetime], Awaitable[Micros]]
"""What the calls of a key, team or tier that were admitted since a moment have cost, as far as the ledger knows."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """A budget in one of its periods, and the meter that counts it."""

    budget: Budget
    starts_at: datetime
    ends_at: datetime
    meter: Meter


def allowances(principal: Principal, tier: TierSettings, now: datetime) -> tuple[Allowance, ...]:
    """What the calls of ``principal`` are paid from at ``now``; of two budgets for the same, the smaller counts."""
    smallest: dict[tuple[str, str, str], Budget] = {}
    for budget in (*principal.budgets, *_tier_budgets(principal, tier)):
        same = (budget.scope, budget.id, budget.period)
        if same not in smallest or budget.limit < smallest[same].limit:
            smallest[same] = budget
    return tuple(_allowance(budget, now) for budget in smallest.values())


def has_budget(principal: Principal, tier: TierSettings) -> bool:
    """Whether the calls of ``principal`` are paid from any budget."""
    return bool(principal.budgets or _tier_budgets(principal, tier))


def period(name: Period, now: datetime) -> tuple[datetime, datetime]:
    """The calendar day or month, UTC, that ``now`` is in: its start and its end."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "day":
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def budget_spent(
    allowance: Allowance, principal: Principal, *, left: int, wait_s: float | None, cost_micros: int
) -> BudgetSpentError:
    """Why a budget with ``left`` micros refused a call that may cost ``cost_micros``, and when it would not."""
    budget = allowance.budget
    owner = principal.name if budget.scope == "key" else budget.id
    name = f"{budget.scope} budget '{owner}'"
    limit, cost = dollars(budget.limit), dollars(cost_micros)
    if wait_s is None:
        msg = f"this call may cost {cost}, more than the whole {name} of {limit} a {budget.period}"
        return BudgetSpentError(f"{msg}; shorten it, ask for fewer tokens of output or take a cheaper model")
    used, resets = dollars(budget.limit - left), f"resets {allowance.ends_at.day} {allowance.ends_at:%b}"
    if left <= 0:
        return BudgetSpentError(f"{name} is spent ({used} of {limit}); {resets}").after(wait_s)
    msg = (
        f"{name} has {dollars(left)} left ({used} of {limit} spent or reserved) and this call may cost {cost}"
    )
    return BudgetSpentError(f"{msg}; {resets}").after(wait_s)


def dollars(micros: int) -> str:
    """An exact amount for people: two decimals, more where they are needed."""
    whole, fraction = divmod(abs(micros), MICROS_PER_DOLLAR)
    decimals = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}{whole}.{decimals}"


def _tier_budgets(principal: Principal, tier: TierSettings) -> list[Budget]:
    written: tuple[tuple[Payer, str, Period, Decimal | None], ...] = (
        ("key", principal.id, "day", tier.key_budget_usd_per_day),
        ("key", principal.id, "month", tier.key_budget_usd_per_month),
        ("tier", principal.tier, "day", tier.budget_usd_per_day),
        ("tier", principal.tier, "month", tier.budget_usd_per_month),
    )
    return [
        Budget(scope, owner, length, to_micros(limit))
        for scope, owner, length, limit in written
        if limit is not None
    ]


def _allowance(budget: Budget, now: datetime) -> Allowance:
    starts_at, ends_at = period(budget.period, now)
    key = f"budget:{budget.scope}:{budget.id}:{budget.period}:{starts_at:%Y-%m-%d}"
    meter = Meter("total", key, budget.limit, MICROS, ends_at=ends_at.timestamp())
    return Allowance(budget, starts_at, ends_at, meter)
