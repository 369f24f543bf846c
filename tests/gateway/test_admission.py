from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from random import Random

import pytest

from causeway.contracts.identity import Budget, Principal, Scope
from causeway.contracts.money import Micros
from causeway.errors import (
    BudgetSpentError,
    CausewayError,
    DatabaseUnavailableError,
    OperatorError,
    RateLimitedError,
    SharedStateUnavailableError,
)
from causeway.gateway.admission import Admission, Admitted, Demand, settle_call
from causeway.gateway.tiers import Tiers
from causeway.settings import TierSettings
from causeway.storage.shared_state import Meter, Reserved, SharedState
from causeway.testing.clock import FrozenClock
from causeway.testing.shared_state_contract import Bench
from tests.gateway.calls import state_out_of_reach

_NAMES = count()
_CENT = 10_000


class Books:
    """A ledger that knows what was spent, and counts how often it is asked."""

    def __init__(self, spent: int = 0) -> None:
        self.spent = spent
        self.asked: list[tuple[str, str, datetime]] = []
        self.failure: CausewayError | None = None

    async def __call__(self, scope: str, owner: str, start: datetime) -> Micros:
        self.asked.append((scope, owner, start))
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return Micros(self.spent)


def _caller(*budgets: Budget, name: str = "key_1", tier: str = "t", team: str | None = None) -> Principal:
    return Principal(name, "shop", frozenset({Scope.MODELS}), team=team, tier=tier, budgets=budgets)


def _admission(bench: Bench, tier: TierSettings, clock: FrozenClock, books: Books | None = None) -> Admission:
    return Admission(state=bench.state, tiers=Tiers({"t": tier}), spent=books or Books(), clock=clock)


async def _admit(admission: Admission, caller: Principal, *, tokens: int = 0, cost: int = 0) -> Admitted:
    return await admission.admit(caller, Demand(tokens, Micros(cost)), f"call_{next(_NAMES)}")


async def test_a_caller_without_limits_is_let_in_and_told_nothing(
    shared_state: Bench, clock: FrozenClock
) -> None:
    admitted = await _admit(_admission(shared_state, TierSettings(), clock), _caller(), tokens=10**9)
    assert admitted.headers == {}
    await admitted.settle(tokens=1, cost_micros=Micros(1))


async def test_requests_above_the_limit_are_refused_until_the_time_told(
    shared_state: Bench, clock: FrozenClock
) -> None:
    admission = _admission(shared_state, TierSettings(requests_per_minute=2), clock)
    first = await _admit(admission, _caller())
    assert first.headers == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "1m1s",
    }
    await shared_state.pass_time(10)
    await _admit(admission, _caller())
    with pytest.raises(
        RateLimitedError, match="tier 't' allows 2 requests a minute, and all are used"
    ) as refused:
        await _admit(admission, _caller())
    assert refused.value.retry_after_s == 51
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"
    await _admit(admission, _caller(name="key_2"))
    await shared_state.pass_time(51)
    await _admit(admission, _caller())


async def test_five_calls_at_once_cannot_take_six_times_the_tokens(
    shared_state: Bench, clock: FrozenClock
) -> None:
    """litellm#18730."""
    admission = _admission(shared_state, TierSettings(tokens_per_minute=1_000), clock)

    async def call() -> bool:
        try:
            admitted = await _admit(admission, _caller(), tokens=600)
        except RateLimitedError:
            return False
        await admitted.settle(tokens=600, cost_micros=Micros(0))
        return True

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(call()) for _ in range(5)]
    assert sum(task.result() for task in calls) == 1


async def test_a_limit_can_be_used_to_its_last_token(shared_state: Bench, clock: FrozenClock) -> None:
    """litellm#24677: what was estimated and not used is free at once."""
    admission = _admission(shared_state, TierSettings(tokens_per_minute=1_000), clock)
    for _ in range(9):
        admitted = await _admit(admission, _caller(), tokens=200)
        await admitted.settle(tokens=100, cost_micros=Micros(0))
    await (await _admit(admission, _caller(), tokens=100)).settle(tokens=100, cost_micros=Micros(0))
    with pytest.raises(RateLimitedError, match="1000 tokens a minute; 0 are left and this call may take 1"):
        await _admit(admission, _caller(), tokens=1)


async def test_a_call_too_large_for_its_tier_has_nothing_to_wait_for(
    shared_state: Bench, clock: FrozenClock
) -> None:
    admission = _admission(shared_state, TierSettings(tokens_per_minute=1_000), clock)
    with pytest.raises(
        RateLimitedError, match="may take 1001 tokens, more than the 1000 a minute"
    ) as refused:
        await _admit(admission, _caller(), tokens=1_001)
    assert refused.value.retry_after_s is None


async def test_calls_under_way_are_counted_until_they_end_however_they_end(
    shared_state: Bench, clock: FrozenClock
) -> None:
    """litellm#16011: a cap that leaks."""
    admission = _admission(shared_state, TierSettings(concurrent_requests=2), clock)
    entered = asyncio.Event()

    async def call() -> None:
        admitted = await _admit(admission, _caller())
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            await admitted.settle(tokens=0, cost_micros=Micros(0))
            await admitted.settle(tokens=0, cost_micros=Micros(0))

    other = await _admit(admission, _caller())
    leaving = asyncio.ensure_future(call())
    await entered.wait()
    with pytest.raises(RateLimitedError, match="2 calls of key 'shop' are under way") as refused:
        await _admit(admission, _caller())
    assert refused.value.retry_after_s == 1
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await _admit(admission, _caller())
    with pytest.raises(RateLimitedError):
        await _admit(admission, _caller())
    await other.settle(tokens=0, cost_micros=Micros(0))
    await _admit(admission, _caller())


async def test_a_spent_team_budget_refuses_until_the_month_ends(
    shared_state: Bench, clock: FrozenClock
) -> None:
    budget = Budget("team", "team-a", "month", Micros(500 * _CENT))
    admission = _admission(shared_state, TierSettings(), clock)
    for key in ("key_1", "key_2"):
        admitted = await _admit(admission, _caller(budget, name=key, team="team-a"), cost=250 * _CENT - 1)
        await admitted.settle(tokens=0, cost_micros=Micros(250 * _CENT))
    with pytest.raises(BudgetSpentError) as refused:
        await _admit(admission, _caller(budget, team="team-a"), cost=1)
    assert refused.value.message == "team budget 'team-a' is spent (5.00 of 5.00); resets 1 Feb"
    wait_s = refused.value.retry_after_s
    assert wait_s == (datetime(2026, 2, 1, tzinfo=UTC) - clock.now()).total_seconds()
    await shared_state.pass_time(wait_s)
    await _admit(admission, _caller(budget, team="team-a"), cost=1)


async def test_a_budget_with_too_little_left_says_what_is_left(
    shared_state: Bench, clock: FrozenClock
) -> None:
    admission = _admission(shared_state, TierSettings(key_budget_usd_per_day=Decimal("0.10")), clock)
    await _admit(admission, _caller(), cost=8 * _CENT)
    with pytest.raises(BudgetSpentError) as refused:
        await _admit(admission, _caller(), cost=3 * _CENT)
    assert refused.value.message == (
        "key budget 'shop' has 0.02 left (0.08 of 0.10 spent or reserved) and this call may cost 0.03; resets 3 Jan"
    )
    with pytest.raises(
        BudgetSpentError, match=r"may cost 0\.11, more than the whole key budget 'shop' of 0\.10 a day"
    ):
        await _admit(admission, _caller(), cost=11 * _CENT)
    await _admit(admission, _caller(), cost=0)


async def test_a_refused_call_costs_nothing(shared_state: Bench, clock: FrozenClock) -> None:
    tier = TierSettings(
        requests_per_minute=10, tokens_per_minute=1_000, concurrent_requests=1, budget_usd_per_day=Decimal(1)
    )
    admission = _admission(shared_state, tier, clock)
    under_way = await _admit(admission, _caller(), tokens=100, cost=_CENT)
    for _ in range(20):
        with pytest.raises(RateLimitedError):
            await _admit(admission, _caller(), tokens=100, cost=_CENT)
    await under_way.settle(tokens=100, cost_micros=Micros(_CENT))
    last = await _admit(admission, _caller(), tokens=900, cost=99 * _CENT)
    assert last.headers["x-ratelimit-remaining-requests"] == "8"
    assert last.headers["x-ratelimit-remaining-tokens"] == "0"


async def test_a_budget_begins_with_what_the_ledger_says_and_is_asked_once(
    shared_state: Bench, clock: FrozenClock
) -> None:
    books = Books(spent=95 * _CENT)
    tier = TierSettings(budget_usd_per_month=Decimal(1))
    admission = _admission(shared_state, tier, clock, books)
    await _admit(admission, _caller(), cost=5 * _CENT)
    with pytest.raises(BudgetSpentError, match=r"tier budget 't' is spent \(1.00 of 1.00\)"):
        await _admit(admission, _caller(name="key_2"), cost=1)
    assert books.asked == [("tier", "t", datetime(2026, 1, 1, tzinfo=UTC))]


async def test_processes_that_load_a_budget_at_once_count_it_once(
    shared_state: Bench, clock: FrozenClock
) -> None:
    tier = TierSettings(key_budget_usd_per_day=Decimal(1))
    books = Books(spent=90 * _CENT)
    admissions = [
        Admission(state=state, tiers=Tiers({"t": tier}), spent=books, clock=clock)
        for state in (shared_state.state, shared_state.other)
    ]

    async def call(admission: Admission) -> bool:
        try:
            admitted = await _admit(admission, _caller(), cost=3 * _CENT)
        except BudgetSpentError:
            return False
        await admitted.settle(tokens=0, cost_micros=Micros(3 * _CENT))
        return True

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(call(admission)) for admission in admissions * 10]
    assert sum(task.result() for task in calls) == 3
    assert len(books.asked) <= 2, "one process asks once, however many calls wait"


async def test_a_ledger_that_cannot_be_asked_lets_nothing_through(
    shared_state: Bench, clock: FrozenClock
) -> None:
    books = Books()
    books.failure = DatabaseUnavailableError("away")
    admission = _admission(shared_state, TierSettings(budget_usd_per_day=Decimal(1)), clock, books)
    with pytest.raises(DatabaseUnavailableError):
        await _admit(admission, _caller(), cost=1)
    books.failure = None
    await _admit(admission, _caller(), cost=1)


async def test_a_state_that_keeps_forgetting_is_not_asked_for_ever(clock: FrozenClock) -> None:
    class Forgetful:
        async def reserve(
            self, reservation: str, meters: list[Meter], amounts: dict[str, int], *, lease_s: float
        ) -> Reserved:
            return Reserved(unknown=tuple(meters))

        async def load(self, meter: Meter, used: int) -> None:
            return None

    state: SharedState = Forgetful()  # type: ignore[assignment] # nothing else of it is used
    tier = TierSettings(budget_usd_per_day=Decimal(1))
    admission = Admission(state=state, tiers=Tiers({"t": tier}), spent=Books(), clock=clock)
    with pytest.raises(CausewayError, match="are being loaded; try again in a moment"):
        await _admit(admission, _caller(), cost=1)


async def test_midnight_begins_a_new_day_and_late_settlements_count_in_the_old(
    shared_state: Bench, clock: FrozenClock
) -> None:
    await shared_state.pass_time(20 * 3600)  # 23:04:05
    books = Books()
    admission = _admission(shared_state, TierSettings(key_budget_usd_per_day=Decimal(1)), clock, books)
    late = await _admit(admission, _caller(), cost=100 * _CENT)
    await shared_state.pass_time(3600)
    books.spent = 20 * _CENT
    await _admit(admission, _caller(), cost=80 * _CENT)
    await late.settle(tokens=0, cost_micros=Micros(0))
    with pytest.raises(BudgetSpentError, match="resets 4 Jan"):
        await _admit(admission, _caller(), cost=1)
    assert [start.day for _, _, start in books.asked] == [2, 3]


async def test_a_call_of_a_crashed_process_is_settled_by_its_reservation(
    shared_state: Bench, clock: FrozenClock
) -> None:
    tier = TierSettings(concurrent_requests=1, budget_usd_per_day=Decimal(1))
    crashed = _admission(shared_state, tier, clock)
    await crashed.admit(_caller(), Demand(0, Micros(100 * _CENT)), "call_x")
    restarted = Admission(state=shared_state.other, tiers=Tiers({"t": tier}), spent=Books(), clock=clock)
    for _ in range(2):
        await settle_call(shared_state.other, "call_x", Micros(40 * _CENT), 0)
    await _admit(restarted, _caller(), cost=60 * _CENT)


async def test_without_redis_only_callers_without_limits_go_on(clock: FrozenClock) -> None:
    state = state_out_of_reach(clock)
    tiers = Tiers({"t": TierSettings(requests_per_minute=1), "internal": TierSettings()})
    admission = Admission(state=state, tiers=tiers, spent=Books(), clock=clock)
    with pytest.raises(SharedStateUnavailableError, match="limits and budgets cannot be checked"):
        await _admit(admission, _caller())
    admitted = await _admit(admission, _caller(tier="internal"))
    await admitted.settle(tokens=1, cost_micros=Micros(1))
    await state.close()


async def test_a_principal_that_changed_is_bounded_by_what_it_is_now(
    shared_state: Bench, clock: FrozenClock
) -> None:
    tiers = Tiers({"t": TierSettings(requests_per_minute=1), "wide": TierSettings(requests_per_minute=9)})
    admission = Admission(state=shared_state.state, tiers=tiers, spent=Books(), clock=clock)
    await _admit(admission, _caller())
    with pytest.raises(RateLimitedError):
        await _admit(admission, _caller())
    assert (await _admit(admission, _caller(tier="wide"))).headers["x-ratelimit-remaining-requests"] == "7"
    with pytest.raises(OperatorError, match="tier 'gone'"):
        await _admit(admission, _caller(tier="gone"))


async def test_budgets_add_up_to_the_micro_whatever_happens(shared_state: Bench, clock: FrozenClock) -> None:
    chance = Random(20_261_127)
    limit = 50_000
    admission = _admission(shared_state, TierSettings(), clock, Books(spent=777))
    caller = _caller(Budget("key", "key_1", "month", Micros(limit)))
    settled, open_calls = 777, list[tuple[int, Admitted]]()
    for _ in range(300):
        cost = chance.randrange(1, 4_000)
        if open_calls and chance.random() < 0.5:
            reserved, admitted = open_calls.pop(chance.randrange(len(open_calls)))
            used = chance.randrange(reserved + 1)
            await admitted.settle(tokens=0, cost_micros=Micros(used))
            settled += used
        held = sum(reserved for reserved, _ in open_calls)
        try:
            open_calls.append((cost, await _admit(admission, caller, cost=cost)))
        except BudgetSpentError:
            assert settled + held + cost > limit
        else:
            assert settled + held + cost <= limit
