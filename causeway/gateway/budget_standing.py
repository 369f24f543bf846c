"""How every budget stands: its limit, what was spent, what calls under way have reserved, when it begins anew.

Spending is the ledger's; what the shared state counts above it is reserved. It is asked by reserving nothing, which always
fits and takes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Budget, Principal
from causeway.contracts.money import Micros
from causeway.errors import CausewayError
from causeway.gateway.budgets import MICROS, Allowance, Payer, Period, Spent, allowances
from causeway.gateway.keys import Key
from causeway.gateway.teams import Team
from causeway.settings import TierSettings
from causeway.storage.shared_state import Meter, SharedState

MOST = 500
"""Budgets that are told of at once."""

_AT_ONCE = 50
_LEASE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A budget in its present period.

    Attributes:
        owner: The id of the key or team, or the tier's name.
        name: What people call it.
        reserved: For calls under way; None when the shared state cannot be asked.
        from_tier: The tier's settings set it, and not the key itself.
    """

    payer: Payer
    owner: str
    name: str
    period: Period
    limit: Micros
    spent: Micros
    reserved: Micros | None
    resets_at: datetime
    from_tier: bool


class BudgetStandings:
    """Tells how budgets stand.

    Args:
        state: Counts reservations; None when nothing does.
        spent: Asks the ledger.
        clock: Tells the period.
    """

    def __init__(self, *, state: SharedState | None, spent: Spent, clock: Clock) -> None:
        self._state = state
        self._spent = spent
        self._clock = clock

    async def all(
        self, keys: Iterable[Key], teams: Iterable[Team], tiers: Mapping[str, TierSettings]
    ) -> list[Standing]:
        """Tiers' budgets, then teams', then those of keys in force; at most `MOST`.

        Raises:
            DatabaseUnavailableError: The ledger cannot be asked.
        """
        found = _allowances(list(keys), list(teams), tiers, self._clock.now())[:MOST]
        reserved = await self._taken([allowance for allowance, _, _ in found])
        standings = []
        for allowance, name, from_tier in found:
            budget = allowance.budget
            spent = await self._spent(budget.scope, budget.id, allowance.starts_at)
            taken = reserved.get(allowance.meter.key)
            standings.append(
                Standing(
                    payer=budget.scope,
                    owner=budget.id,
                    name=name,
                    period=budget.period,
                    limit=budget.limit,
                    spent=spent,
                    reserved=None if taken is None else Micros(max(0, taken - spent)),
                    resets_at=allowance.ends_at,
                    from_tier=from_tier,
                )
            )
        return standings

    async def _taken(self, found: Sequence[Allowance]) -> dict[str, int]:
        """What is spent or reserved of each meter; a meter that no call has used yet has nothing reserved."""
        taken: dict[str, int] = {}
        if self._state is None:
            return taken
        meters = [allowance.meter for allowance in found]
        try:
            for start in range(0, len(meters), _AT_ONCE):
                taken |= await self._ask(self._state, meters[start : start + _AT_ONCE])
        except CausewayError:
            return {}  # the page says that it is not known
        return taken

    async def _ask(self, state: SharedState, meters: Sequence[Meter]) -> dict[str, int]:
        left = list(meters)
        taken: dict[str, int] = {}
        while left:
            look = f"look_{uuid4().hex}"
            reserved = await state.reserve(look, left, {MICROS: 0}, lease_s=_LEASE_S)
            if not reserved.unknown:
                await state.settle(look, {MICROS: 0})
                counted = zip(left, reserved.remaining, strict=True)
                return taken | {meter.key: meter.limit - remaining for meter, remaining in counted}
            taken |= {meter.key: 0 for meter in reserved.unknown}
            left = [meter for meter in left if meter not in reserved.unknown]
        return taken


def _allowances(
    keys: Sequence[Key], teams: Sequence[Team], tiers: Mapping[str, TierSettings], now: datetime
) -> list[tuple[Allowance, str, bool]]:
    """Every budget once, with the name of its owner and whether its tier set it."""
    found: dict[str, tuple[Allowance, str, bool]] = {}
    for name, tier in tiers.items():
        whole = tier.model_copy(update={"key_budget_usd_per_day": None, "key_budget_usd_per_month": None})
        nobody = Principal(id="", name=name, scopes=frozenset(), tier=name)
        for allowance in allowances(nobody, whole, now):
            found[allowance.meter.key] = (allowance, name, True)
    for team in teams:
        paid = _budgets("team", team.id, team.budget_per_day, team.budget_per_month)
        payer = Principal(id="", name=team.name, scopes=frozenset(), budgets=paid)
        for allowance in allowances(payer, TierSettings(), now):
            found[allowance.meter.key] = (allowance, team.name, False)
    for key in keys:
        own = _budgets("key", key.id, key.bounds.budget_per_day, key.bounds.budget_per_month)
        tier_name = key.bounds.tier or ""
        payer = Principal(id=key.id, name=key.name, scopes=frozenset(), tier=tier_name, budgets=own)
        for allowance in allowances(payer, tiers.get(tier_name, TierSettings()), now):
            if allowance.budget.scope == "key":
                found[allowance.meter.key] = (allowance, key.name, allowance.budget not in own)
    return list(found.values())


def _budgets(scope: Payer, owner: str, day: Micros | None, month: Micros | None) -> tuple[Budget, ...]:
    written: tuple[tuple[Period, Micros | None], ...] = (("day", day), ("month", month))
    return tuple(Budget(scope, owner, period, limit) for period, limit in written if limit is not None)
