"""Admission: every limit and budget of a call in one atomic step, before anything is spent.

A call is admitted with an upper estimate of its tokens and cost, and settled with what it used. In between the
difference is nobody else's, so calls side by side can never exceed a limit together; afterwards it is free at once. A
refused call costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.contracts.money import Micros
from causeway.errors import BudgetSpentError, BusyError, RateLimitedError
from causeway.gateway.budgets import MICROS, Allowance, Spent, allowances, budget_spent
from causeway.gateway.rate_limits import CALLS, TOKENS, rate_headers, rate_limited, rate_meters
from causeway.gateway.tiers import Tiers
from causeway.storage.shared_state import Meter, Reserved, SharedState

_MOST_PLANS = 10_000
_MOST_LOADS = 3
"""Times that budgets are loaded for one call: a second time when the state lost its memory in between."""

_FOR_EVER = datetime.max.replace(tzinfo=UTC)
_NOTHING = Reserved()


class Demand(msgspec.Struct, frozen=True):
    """The most that a call may use: tokens in and out, and what they cost."""

    tokens: int
    cost_micros: Micros


@dataclass(slots=True)
class _Plan:
    """What bounds a principal until the first of its budgets begins a new period."""

    principal: Principal
    meters: tuple[Meter, ...]
    allowances: Mapping[str, Allowance]
    ends_at: datetime
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Admitted:
    """A call that may go ahead; whoever admitted it settles it, however the call ends."""

    __slots__ = ("_meters", "_reservation", "_reserved", "_state")

    def __init__(
        self, state: SharedState, reservation: str, meters: tuple[Meter, ...], reserved: Reserved
    ) -> None:
        self._state = state
        self._reservation = reservation
        self._meters = meters
        self._reserved = reserved

    @property
    def headers(self) -> dict[str, str]:
        """``x-ratelimit-*`` headers of its answer; none where nothing is limited."""
        return rate_headers(self._meters, self._reserved)

    async def settle(self, *, tokens: int, cost_micros: Micros) -> None:
        """Count what the call used and give back the rest; once, later ones do nothing.

        It can be awaited in a task that is being cancelled, and finishes even when that is cancelled again.
        """
        if self._meters:
            await self._state.settle(self._reservation, {TOKENS: tokens, MICROS: cost_micros})


class Admission:
    """Lets calls in, or tells why not.

    Args:
        state: Where reservations are kept.
        tiers: What bounds each tier.
        spent: Asks the ledger, with a deadline of its own, when a budget is used for the first time in its period.
        clock: For the days and months of budgets.
        lease_s: When a call that nobody settled no longer counts as under way; above the longest a call may take.
    """

    def __init__(
        self, *, state: SharedState, tiers: Tiers, spent: Spent, clock: Clock, lease_s: float = 660.0
    ) -> None:
        self._state = state
        self._tiers = tiers
        self._spent = spent
        self._clock = clock
        self._lease_s = lease_s
        self._plans: dict[str, _Plan] = {}

    async def admit(self, principal: Principal, demand: Demand, reservation: str) -> Admitted:
        """Reserve ``demand`` of every limit and budget of ``principal``, or of none.

        Args:
            principal: Who calls.
            demand: The most that the call may use.
            reservation: An id of the call, never used before.

        Raises:
            RateLimitedError: The tier's requests, tokens or calls at once are used; ``headers`` tells how many.
            BudgetSpentError: A budget has too little left.
            SharedStateUnavailableError: Limits cannot be checked, because Redis is out of reach.
            OperatorError: The settings do not have the principal's tier.
        """
        plan = self._plan(principal)
        if not plan.meters:
            return Admitted(self._state, reservation, (), _NOTHING)
        amounts = {CALLS: 1, TOKENS: demand.tokens, MICROS: demand.cost_micros}
        reserved = await self._state.reserve(reservation, plan.meters, amounts, lease_s=self._lease_s)
        if reserved.unknown:
            reserved = await self._load_and_reserve(plan, amounts, reservation)
        if reserved.refused is not None:
            raise self._refusal(plan, reserved.refused, reserved, demand)
        return Admitted(self._state, reservation, plan.meters, reserved)

    def _plan(self, principal: Principal) -> _Plan:
        plan = self._plans.get(principal.id)
        is_same = plan is not None and (plan.principal is principal or plan.principal == principal)
        if plan is not None and is_same and (not plan.allowances or self._clock.now() < plan.ends_at):
            return plan
        tier = self._tiers.of(principal)
        budgets = allowances(principal, tier, self._clock.now())
        plan = _Plan(
            principal=principal,
            meters=(*rate_meters(principal, tier), *(budget.meter for budget in budgets)),
            allowances={budget.meter.key: budget for budget in budgets},
            ends_at=min((budget.ends_at for budget in budgets), default=_FOR_EVER),
        )
        self._plans.pop(principal.id, None)
        if len(self._plans) >= _MOST_PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[principal.id] = plan
        return plan

    async def _load_and_reserve(self, plan: _Plan, amounts: Mapping[str, int], reservation: str) -> Reserved:
        """Load the budgets that are not known, then reserve.

        Whoever loads a budget first decides: later loads, also of other processes, find it known and change nothing.
        """
        async with plan.loading:
            for _ in range(_MOST_LOADS):
                reserved = await self._state.reserve(reservation, plan.meters, amounts, lease_s=self._lease_s)
                if not reserved.unknown:
                    return reserved
                for meter in reserved.unknown:
                    allowance = plan.allowances[meter.key]
                    budget = allowance.budget
                    spent = await self._spent(budget.scope, budget.id, allowance.starts_at)
                    await self._state.load(meter, spent)
        msg = f"the budgets of '{plan.principal.name}' are being loaded; try again in a moment"
        raise BusyError(msg).after(1.0)

    def _refusal(
        self, plan: _Plan, refused: Meter, reserved: Reserved, demand: Demand
    ) -> RateLimitedError | BudgetSpentError:
        left, wait_s = reserved.remaining[plan.meters.index(refused)], reserved.retry_after_s
        error: RateLimitedError | BudgetSpentError
        if allowance := plan.allowances.get(refused.key):
            error = budget_spent(
                allowance, plan.principal, left=left, wait_s=wait_s, cost_micros=demand.cost_micros
            )
        else:
            error = rate_limited(refused, plan.principal, left=left, wait_s=wait_s, tokens=demand.tokens)
        error.headers = rate_headers(plan.meters, reserved)
        return error


async def settle_call(state: SharedState, reservation: str, cost_micros: Micros, tokens: int) -> None:
    """Settle a call by its reservation, from any process: also one whose own process crashed.

    Nothing happens where that was done already.
    """
    await state.settle(reservation, {TOKENS: tokens, MICROS: cost_micros})
