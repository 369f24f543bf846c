from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Scope
from causeway.contracts.money import Micros
from causeway.gateway.admission import Admission, Demand
from causeway.gateway.budget_standing import BudgetStandings, Standing
from causeway.gateway.keys import Bounds, Keys
from causeway.gateway.ledger import Ledger
from causeway.gateway.teams import Teams
from causeway.gateway.tiers import Tiers
from causeway.settings import TierSettings
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.storage.process_state import ProcessState
from causeway.storage.shared_state import SharedState
from causeway.testing.clock import FrozenClock
from tests.gateway.calls import an_entry, state_out_of_reach

TIERS = {
    "pro": TierSettings(budget_usd_per_month=Decimal(100), key_budget_usd_per_day=Decimal(2)),
    "free": TierSettings(),
}


class Accounts:
    """Keys, teams, a ledger and what is reserved."""

    def __init__(self, database: Database, ledger: Ledger, clock: FrozenClock) -> None:
        self.keys = Keys(database, clock, notices=Notices(database), default_tier="pro")
        self.teams = Teams(database)
        self.ledger = ledger
        self.clock: Clock = clock
        self.state: SharedState = ProcessState(clock=clock)
        self.admission = Admission(state=self.state, tiers=Tiers(TIERS), spent=ledger.spent, clock=clock)

    async def standings(self, state: SharedState | None = None) -> dict[tuple[str, str, str], Standing]:
        asked = BudgetStandings(state=state or self.state, spent=self.ledger.spent, clock=self.clock)
        found = await asked.all(await self.keys.list(), await self.teams.list(), TIERS)
        return {(each.payer, each.name, each.period): each for each in found}


@pytest.fixture
def accounts(database: Database, ledger: Ledger, clock: FrozenClock) -> Accounts:
    return Accounts(database, ledger, clock)


async def test_a_budget_tells_what_is_spent_reserved_and_left(accounts: Accounts) -> None:
    team = await accounts.teams.create("ops", budget_per_day=Micros(5_000_000))
    bounds = Bounds(team=team.id, budget_per_month=Micros(9_000_000))
    made = await accounts.keys.create("bot", [Scope.MODELS], bounds=bounds)
    principal = await accounts.keys.identify(made.secret)
    accounts.ledger.closed(an_entry("past", principal_id=made.id, team=team.id, cost=Micros(300_000)))
    under_way = await accounts.admission.admit(principal, Demand(10, Micros(40_000)), "call_a")
    found = await accounts.standings()
    assert set(found) == {
        ("tier", "pro", "month"),
        ("team", "ops", "day"),
        ("key", "bot", "day"),
        ("key", "bot", "month"),
    }
    assert {(each.spent, each.reserved) for each in found.values()} == {(300_000, 40_000)}
    assert found["team", "ops", "day"].limit == 5_000_000
    assert found["key", "bot", "day"].from_tier
    assert not found["key", "bot", "month"].from_tier
    assert found["tier", "pro", "month"].resets_at == datetime(2026, 2, 1, tzinfo=UTC)
    await under_way.settle(tokens=5, cost_micros=Micros(10_000))
    accounts.ledger.closed(an_entry("b", principal_id=made.id, team=team.id, cost=Micros(10_000)))
    again = await accounts.standings()
    assert {(each.spent, each.reserved) for each in again.values()} == {(310_000, 0)}


async def test_looking_takes_nothing(accounts: Accounts) -> None:
    made = await accounts.keys.create("bot", [Scope.MODELS], bounds=Bounds(budget_per_day=Micros(100)))
    principal = await accounts.keys.identify(made.secret)
    await (await accounts.admission.admit(principal, Demand(1, Micros(0)), "first")).settle(
        tokens=0, cost_micros=Micros(0)
    )
    for _ in range(3):
        await accounts.standings()
    await accounts.admission.admit(principal, Demand(1, Micros(100)), "all of it")
    found = await accounts.standings()
    assert found["key", "bot", "day"].reserved == 100


async def test_a_budget_that_no_call_has_used_has_nothing_reserved(accounts: Accounts) -> None:
    await accounts.teams.create("ops", budget_per_month=Micros(1))
    found = await accounts.standings()
    assert (found["team", "ops", "month"].spent, found["team", "ops", "month"].reserved) == (0, 0)


async def test_what_cannot_be_asked_is_said_to_be_unknown(
    accounts: Accounts, clock: FrozenClock, tmp_path: Path
) -> None:
    found = await accounts.standings(state_out_of_reach(clock))
    assert [each.reserved for each in found.values()] == [None]
