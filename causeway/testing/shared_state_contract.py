# ruff: noqa: S101 - a contract suite asserts
"""What every `SharedState` must do; run each of ``CHECKS`` against a state of your own.

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_state_keeps_the_contract(check, bench): await check(bench)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from causeway.storage.shared_state import LATE_SETTLEMENT_S, WINDOW_SLOTS, Meter, Reserved, SharedState

LEASE_S = 600.0


@dataclass(frozen=True, slots=True)
class Bench:
    """An empty state under test.

    Attributes:
        other: The same state as another process sees it; the same object where there is but one process.
        pass_time: Lets seconds go by, for the state and everything that it has given a life.
        now: The state's time, as Unix seconds.
    """

    state: SharedState
    other: SharedState
    pass_time: Callable[[float], Awaitable[None]]
    now: Callable[[], float]


Check = Callable[[Bench], Awaitable[None]]


def window(limit: int, *, key: str = "w", window_s: int = 60, unit: str = "tokens") -> Meter:
    """At most ``limit`` in any ``window_s``."""
    return Meter("window", key, limit, unit=unit, window_s=window_s)


def level(limit: int, *, key: str = "l") -> Meter:
    """At most ``limit`` at once."""
    return Meter("level", key, limit, unit="calls")


def total(limit: int, ends_at: float, *, key: str = "t") -> Meter:
    """At most ``limit`` until ``ends_at``."""
    return Meter("total", key, limit, unit="micros", ends_at=ends_at)


async def take(
    state: SharedState, name: str, amount: int, *meters: Meter, lease_s: float = LEASE_S
) -> Reserved:
    """Reserve ``amount`` of tokens and micros, and one call."""
    amounts = {"tokens": amount, "micros": amount, "calls": 1}
    return await state.reserve(name, meters, amounts, lease_s=lease_s)


async def a_window_never_holds_more_than_its_limit(bench: Bench) -> None:
    """The last token fits, one more does not, and a refusal takes nothing."""
    meter = window(100)
    assert (await take(bench.state, "a", 60, meter)).remaining == (40,)
    refused = await take(bench.state, "b", 41, meter)
    assert (refused.refused, refused.remaining) == (meter, (40,))
    assert (await take(bench.state, "c", 40, meter)).remaining == (0,)
    assert (await take(bench.state, "d", 1, meter)).refused == meter


async def a_refused_amount_fits_exactly_when_it_was_told(bench: Bench) -> None:
    """Not a millisecond before, and at most one slot later than sixty seconds after it was taken."""
    meter = window(100)
    await bench.pass_time(0.4)
    await take(bench.state, "a", 30, meter)
    await bench.pass_time(7)
    await take(bench.state, "b", 70, meter)
    wait_s = (await take(bench.state, "c", 20, meter)).retry_after_s
    assert wait_s is not None
    assert 60 - 7 <= wait_s <= 60 - 7 + 60 / WINDOW_SLOTS
    longer_s = (await take(bench.state, "c", 31, meter)).retry_after_s
    assert longer_s is not None
    assert 60 <= longer_s <= 60 + 60 / WINDOW_SLOTS
    await bench.pass_time(wait_s - 0.002)
    assert (await take(bench.state, "c", 20, meter)).refused == meter
    await bench.pass_time(0.002)
    assert (await take(bench.state, "c", 20, meter)).refused is None


async def a_window_tells_when_it_is_empty_again(bench: Bench) -> None:
    """That is when its newest amount leaves."""
    meter = window(100)
    assert (await take(bench.state, "a", 0, meter)).resets_in_s == (0.0,)
    (resets_s,) = (await take(bench.state, "b", 1, meter)).resets_in_s
    assert 60 <= resets_s <= 61
    await bench.pass_time(resets_s)
    assert (await take(bench.state, "c", 0, meter)).remaining == (100,)


async def what_cannot_fit_ever_is_told_apart(bench: Bench) -> None:
    """An amount above the limit itself has no time to wait for."""
    refused = await take(bench.state, "a", 101, window(100))
    assert refused.refused is not None
    assert refused.retry_after_s is None


async def what_was_not_used_returns_at_once(bench: Bench) -> None:
    """A reservation is an upper estimate: nobody is refused for what was never used."""
    meter = window(100)
    await take(bench.state, "a", 90, meter)
    await bench.pass_time(3)
    await bench.state.settle("a", {"tokens": 25})
    assert (await take(bench.state, "b", 75, meter)).remaining == (0,)


async def what_returns_after_its_window_is_not_given_twice(bench: Bench) -> None:
    """The room of an amount that has left the window is there already."""
    meter = window(100)
    await take(bench.state, "a", 90, meter)
    await bench.pass_time(60 + 60 / WINDOW_SLOTS)
    await take(bench.state, "b", 100, meter)
    await bench.state.settle("a", {"tokens": 0})
    assert (await take(bench.state, "c", 1, meter)).remaining == (0,)


async def an_overrun_delays_the_next(bench: Bench) -> None:
    """More was used than reserved: the window is below zero, and counts it from when it was known."""
    meter = window(100)
    await take(bench.state, "a", 50, meter)
    await bench.pass_time(10)
    await bench.state.settle("a", {"tokens": 130})
    refused = await take(bench.state, "b", 30, meter)
    assert refused.remaining == (-30,)
    assert refused.retry_after_s is not None
    assert 60 <= refused.retry_after_s <= 61
    assert (await take(bench.state, "c", 0, meter)).refused is None, "nothing always fits"


async def every_meter_takes_or_none(bench: Bench) -> None:
    """One refusal leaves the others as they were."""
    roomy, tight = window(100, key="roomy"), level(1)
    await take(bench.state, "a", 10, roomy, tight)
    refused = await take(bench.state, "b", 10, roomy, tight)
    assert (refused.refused, refused.retry_after_s, refused.remaining) == (tight, 0.0, (90, 0))


async def the_longest_wait_is_told(bench: Bench) -> None:
    """Whoever waits for the nearer of two limits only meets the other."""
    minute, hour = window(10, key="minute"), window(10, key="hour", window_s=3600)
    await take(bench.state, "a", 10, minute, hour)
    assert (await take(bench.state, "b", 5, minute, hour)).refused == hour
    assert (await take(bench.state, "b", 5, hour, minute)).refused == hour
    tiny = window(1, key="tiny")
    assert (await take(bench.state, "b", 5, hour, tiny, minute)).refused == tiny, "never is longest"


async def a_level_is_given_back_by_settling(bench: Bench) -> None:
    """From any process, by the reservation's name."""
    meter = level(2)
    await take(bench.state, "a", 0, meter)
    await take(bench.other, "b", 0, meter)
    assert (await take(bench.state, "c", 0, meter)).refused == meter
    await bench.other.settle("a", {})
    assert (await take(bench.state, "c", 0, meter)).remaining == (0,)


async def a_level_comes_back_when_its_lease_ends(bench: Bench) -> None:
    """A process that crashed settles nothing."""
    meter, tokens = level(1), window(100, window_s=3600)
    await take(bench.state, "a", 60, meter, tokens, lease_s=30)
    await bench.pass_time(29)
    assert (await take(bench.state, "b", 1, meter, tokens)).refused == meter
    await bench.pass_time(1)
    assert (await take(bench.state, "b", 1, meter, tokens)).remaining == (0, 39), "the rest stands"


async def a_settlement_after_the_lease_still_counts(bench: Bench) -> None:
    """A process that is started again puts budgets right; the level of others is not touched."""
    held, money = level(1), total(1_000, bench.now() + 40 * 86_400)
    await bench.state.load(money, 0)
    await take(bench.state, "a", 600, held, money, lease_s=30)
    await bench.pass_time(3600)
    await take(bench.state, "b", 100, held, money)
    await bench.other.settle("a", {"micros": 50})
    refused = await take(bench.state, "c", 1, held, money)
    assert (refused.refused, refused.remaining) == (held, (0, 850))


async def settling_counts_once(bench: Bench) -> None:
    """Again, or without a reservation, it does nothing."""
    meter, held = window(100), level(2)
    await take(bench.state, "a", 50, meter, held)
    await take(bench.state, "b", 50, meter, held)
    for _ in range(3):
        await bench.state.settle("a", {"tokens": 10})
    await bench.state.settle("nobody", {"tokens": 10})
    assert (await take(bench.state, "c", 0, meter, held)).remaining == (40, 0)


async def reserving_again_takes_nothing_again(bench: Bench) -> None:
    """So a question whose answer was lost can be repeated."""
    meter, held = window(100), level(1)
    first = await take(bench.state, "a", 100, meter, held)
    again = await take(bench.state, "a", 100, meter, held)
    assert (again.refused, again.remaining) == (None, first.remaining)
    await bench.state.settle("a", {"tokens": 0})
    assert (await take(bench.state, "b", 100, meter, held)).remaining == (0, 0)


async def a_total_must_be_loaded(bench: Bench) -> None:
    """Nothing is taken of any meter before; loading twice keeps the first."""
    meter, tokens = total(1_000, bench.now() + 3600), window(100)
    unloaded = await take(bench.state, "a", 10, tokens, meter)
    assert (unloaded.unknown, unloaded.remaining, unloaded.refused) == ((meter,), (), None)
    await bench.state.load(meter, 300)
    await bench.other.load(meter, 0)
    assert (await take(bench.state, "a", 10, tokens, meter)).remaining == (90, 690)


async def a_total_is_exact(bench: Bench) -> None:
    """To the last micro, also far above what a float of 32 bits or a short text of a number could hold."""
    limit = 9_000_000_000_000_001
    meter = total(limit, bench.now() + 3600)
    await bench.state.load(meter, limit - 7)
    assert (await take(bench.state, "a", 8, meter)).remaining == (7,)
    assert (await take(bench.state, "b", 7, meter)).remaining == (0,)
    await bench.state.settle("b", {"micros": 3})
    assert (await take(bench.state, "c", 4, meter)).remaining == (0,)
    refused = await take(bench.state, "d", 1, meter)
    assert refused.retry_after_s is not None
    assert 3599 <= refused.retry_after_s <= 3600, "it waits for the end"


async def a_total_is_forgotten_after_its_end(bench: Bench) -> None:
    """A day late, so that the last settlements of a period still count."""
    meter = total(1_000, bench.now() + 100)
    await bench.state.load(meter, 0)
    await take(bench.state, "a", 10, meter)
    await bench.pass_time(200)
    assert not (await take(bench.state, "b", 10, meter)).unknown
    await bench.pass_time(LATE_SETTLEMENT_S)
    assert (await take(bench.state, "c", 10, meter)).unknown == (meter,)


async def many_at_once_never_exceed_and_always_fill(bench: Bench) -> None:
    """Of sixty callers, of two processes, exactly as many come in as fit."""
    tokens, held = window(1_000), level(20)
    states = [bench.state, bench.other] * 30
    async with asyncio.TaskGroup() as group:
        tried = [group.create_task(take(state, f"r{n}", 100, tokens, held)) for n, state in enumerate(states)]
    admitted = [n for n, task in enumerate(tried) if task.result().refused is None]
    assert len(admitted) == 10
    async with asyncio.TaskGroup() as group:
        for n in admitted:
            group.create_task(states[n].settle(f"r{n}", {"tokens": 40}))
    assert (await take(bench.state, "last", 600, tokens, held)).remaining == (0, 19)


async def a_value_lives_for_its_time(bench: Bench) -> None:
    """And no longer; a new one has a life of its own."""
    assert await bench.state.get("v") is None
    await bench.state.put("v", b"\x00one", ttl_s=10)
    assert await bench.other.get("v") == b"\x00one"
    await bench.pass_time(8)
    await bench.state.put("v", b"two", ttl_s=10)
    await bench.pass_time(8)
    assert await bench.state.get("v") == b"two"
    await bench.pass_time(3)
    assert await bench.state.get("v") is None


async def a_counter_lives_from_its_first_addition(bench: Bench) -> None:
    """Later additions do not prolong it."""
    assert await bench.state.add("c", 2, ttl_s=10) == 2
    await bench.pass_time(6)
    assert await bench.other.add("c", 3, ttl_s=10) == 5
    await bench.pass_time(5)
    assert await bench.state.add("c", 1, ttl_s=10) == 1


async def a_log_keeps_its_newest_in_order(bench: Bench) -> None:
    """And can be read on from where one stopped; every addition prolongs it."""
    for n in range(5):
        await bench.state.append("log", b"%d" % n, ttl_s=10, most=3)
    read = await bench.other.entries("log")
    assert [value for _, value in read] == [b"2", b"3", b"4"]
    assert [value for _, value in await bench.state.entries("log", after=read[0][0])] == [b"3", b"4"]
    await bench.pass_time(8)
    await bench.state.append("log", b"5", ttl_s=10, most=3)
    await bench.pass_time(8)
    assert [value for _, value in await bench.state.entries("log", after=read[-1][0])] == [b"5"]
    await bench.pass_time(3)
    assert list(await bench.state.entries("log")) == []


async def deleting_forgets_everything_of_that_name(bench: Bench) -> None:
    """Value, counter and log, which do not meet each other before."""
    await bench.state.put("k", b"v", ttl_s=10)
    await bench.state.add("k", 1, ttl_s=10)
    await bench.state.append("k", b"e", ttl_s=10, most=3)
    await bench.state.delete("k")
    assert await bench.state.get("k") is None
    assert await bench.state.add("k", 1, ttl_s=10) == 1
    assert list(await bench.state.entries("k")) == []


CHECKS: tuple[Check, ...] = (
    a_window_never_holds_more_than_its_limit,
    a_refused_amount_fits_exactly_when_it_was_told,
    a_window_tells_when_it_is_empty_again,
    what_cannot_fit_ever_is_told_apart,
    what_was_not_used_returns_at_once,
    what_returns_after_its_window_is_not_given_twice,
    an_overrun_delays_the_next,
    every_meter_takes_or_none,
    the_longest_wait_is_told,
    a_level_is_given_back_by_settling,
    a_level_comes_back_when_its_lease_ends,
    a_settlement_after_the_lease_still_counts,
    settling_counts_once,
    reserving_again_takes_nothing_again,
    a_total_must_be_loaded,
    a_total_is_exact,
    a_total_is_forgotten_after_its_end,
    many_at_once_never_exceed_and_always_fill,
    a_value_lives_for_its_time,
    a_counter_lives_from_its_first_addition,
    a_log_keeps_its_newest_in_order,
    deleting_forgets_everything_of_that_name,
)
