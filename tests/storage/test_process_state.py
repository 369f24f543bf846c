from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from causeway.storage.process_state import ProcessState
from causeway.storage.shared_state import LATE_SETTLEMENT_S, WINDOW_SLOTS, Meter
from causeway.testing.clock import FrozenClock
from causeway.testing.shared_state_contract import level, take, total, window

T = TypeVar("T")


def _run(step: Coroutine[Any, Any, T]) -> T:
    """The state never waits, so a call of it ends at its first step."""
    try:
        step.send(None)
    except StopIteration as ended:
        return cast("T", ended.value)
    msg = "the state waited"
    raise AssertionError(msg)


@dataclass
class _Taken:
    at: float
    lease_end: int
    amounts: dict[str, int]
    is_settled: bool = False
    corrections: list[tuple[float, int]] = field(default_factory=list)


class ALimitIsASumOverHistory(RuleBasedStateMachine):
    """The state against a model that keeps all that ever happened and adds it up anew each time."""

    METERS = (
        window(100, key="minute"),
        window(400, key="hour", window_s=3600),
        level(3, key="at once"),
        total(5_000, 2e9, key="money"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.clock = FrozenClock()
        self.state = ProcessState(clock=self.clock)
        self.history: dict[str, _Taken] = {}
        _run(self.state.load(self.METERS[3], 0))

    @property
    def now(self) -> float:
        return self.clock.now().timestamp()

    def used(self, meter: Meter) -> int:
        if meter.kind == "level":
            return sum(
                taken.amounts["calls"]
                for taken in self.history.values()
                if not taken.is_settled and taken.lease_end > self.now
            )
        width = meter.window_s / WINDOW_SLOTS
        oldest = floor(self.now / width) - WINDOW_SLOTS if meter.kind == "window" else 0
        return sum(
            amount
            for taken in self.history.values()
            for at, amount in [(taken.at, taken.amounts[meter.unit]), *taken.corrections]
            if floor(at / width) >= oldest
        )

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 3, 17, 59.75, 60, 61, 500, 4000]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(
        amount=st.integers(0, 120),
        lease_s=st.integers(1, 90),
    )
    def somebody_reserves(self, amount: int, lease_s: int) -> None:
        amounts = {"tokens": amount, "micros": amount, "calls": 1}
        name = f"r{len(self.history)}"
        fits = all(
            not amounts[meter.unit] or self.used(meter) + amounts[meter.unit] <= meter.limit
            for meter in self.METERS
        )
        before = tuple(meter.limit - self.used(meter) for meter in self.METERS)
        outcome = _run(self.state.reserve(name, self.METERS, amounts, lease_s=lease_s))
        assert (outcome.refused is None) == fits
        if fits:
            self.history[name] = _Taken(self.now, ceil(self.now + lease_s), amounts)
        else:
            assert outcome.remaining == before, "a refusal takes nothing"
            assert outcome.refused in self.METERS

    @precondition(lambda self: self.history)
    @rule(data=st.data(), used=st.integers(0, 200))
    def somebody_settles(self, data: st.DataObject, used: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.history)))
        taken = self.history[name]
        _run(self.state.settle(name, {"tokens": used, "micros": used}))
        if taken.is_settled or taken.lease_end + LATE_SETTLEMENT_S <= self.now:
            return
        taken.is_settled = True
        more = used - taken.amounts["tokens"]
        taken.corrections.append((self.now if more > 0 else taken.at, more))

    @invariant()
    def every_meter_stands_where_the_sum_says(self) -> None:
        nothing = {"tokens": 0, "micros": 0, "calls": 0}
        standing = _run(self.state.reserve("nobody", self.METERS, nothing, lease_s=1))
        _run(self.state.settle("nobody", {}))
        assert standing.remaining == tuple(meter.limit - self.used(meter) for meter in self.METERS)


ALimitIsASumOverHistory.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
test_a_limit_is_a_sum_over_history = ALimitIsASumOverHistory.TestCase


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 60)), min_size=1, max_size=60))
def test_no_minute_holds_more_than_its_limit_and_none_is_refused_with_room_a_second_ago(
    calls: list[tuple[int, int]],
) -> None:
    clock = FrozenClock()
    state = ProcessState(clock=clock)
    meter = window(100)
    admitted: list[tuple[float, int]] = []
    for n, (quarters, amount) in enumerate(calls):
        clock.advance(quarters / 4)
        now = clock.monotonic()
        fits = _run(take(state, f"r{n}", amount, meter)).refused is None
        within_a_minute = sum(taken for at, taken in admitted if at > now - 60)
        within_a_slot_more = sum(taken for at, taken in admitted if at > now - 61)
        if fits:
            assert within_a_minute + amount <= 100
            admitted.append((now, amount))
        else:
            assert within_a_slot_more + amount > 100


async def test_what_is_over_takes_no_memory(clock: FrozenClock) -> None:
    state = ProcessState(clock=clock)
    for n in range(500):
        meters = window(9, key=f"w{n}"), window(9, key=f"h{n}", window_s=3600), level(2, key=f"l{n}")
        await take(state, f"r{n}", 1, *meters, lease_s=30)
        await state.put(f"v{n}", b"v", ttl_s=20)
        await state.add(f"c{n}", 1, ttl_s=20)
        await state.append(f"e{n}", b"v", ttl_s=20, most=3)
        if n % 2:
            await state.settle(f"r{n}", {})
        clock.advance(1)
    assert state.size < 500 + 250 + 3 * (61 + 31 + 20 + 20), (
        "hours, reservations that may be settled late, little else"
    )
    clock.advance(3 * 86_400)
    assert state.size == 0


async def test_values_above_the_memory_they_may_take_push_out_the_longest_unused(clock: FrozenClock) -> None:
    state = ProcessState(clock=clock, most_bytes=10_000)
    for name in "abcd":
        await state.put(name, b"x" * 2_000, ttl_s=60)
    await state.get("a")
    await state.append("log", b"x" * 2_000, ttl_s=60, most=2)
    assert [name for name in "abcd" if await state.get(name)] == ["a", "c", "d"]
    await state.append("log", b"x" * 2_000, ttl_s=60, most=2)
    assert [name for name in "abcd" if await state.get(name)] == ["c", "d"]
    await state.put("huge", b"x" * 20_000, ttl_s=60)
    assert await state.get("huge") is None


async def test_a_clock_that_is_set_back_opens_no_window(clock: FrozenClock) -> None:
    class Adjusted(FrozenClock):
        def monotonic(self) -> float:
            return clock.monotonic()

    adjusted = Adjusted()
    state = ProcessState(clock=adjusted)
    await take(state, "a", 100, window(100))
    adjusted.advance(-3600)
    adjusted.advance(7200)
    assert (await take(state, "b", 1, window(100))).refused is not None
    clock.advance(61)
    assert (await take(state, "b", 1, window(100))).refused is None
