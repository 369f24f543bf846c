from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from causeway.gateway.breaker import Breaker, Breakers
from causeway.settings import RedisSettings
from causeway.storage.redis_state import RedisState
from causeway.storage.shared_state import SharedState
from causeway.testing.clock import FrozenClock
from causeway.testing.shared_state_contract import Bench

REST_S = 20.0


def process(clock: FrozenClock, shared: SharedState | None = None, *, name: str = "p1") -> Breakers:
    return Breakers(failures=3, rest_s=REST_S, clock=clock, shared=shared, process=name)


def fail(breaker: Breaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.failed(breaker.permit(), "it is down")


def test_failures_in_a_row_open_it_and_say_why(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    fail(breaker, 2)
    assert breaker.permit() == "pass"
    fail(breaker, 1)
    assert (breaker.permit(), breaker.rest_s, breaker.reason) == ("refuse", REST_S, "it is down")


def test_a_success_between_failures_starts_the_row_again(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    for _ in range(4):
        fail(breaker, 2)
        breaker.succeeded("pass")
    assert not breaker.is_open


def test_half_of_many_calls_failing_opens_it_without_a_row(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    for _ in range(9):
        breaker.succeeded("pass")
        breaker.failed("pass", "every other one")
    assert not breaker.is_open
    breaker.succeeded("pass")
    breaker.failed("pass", "every other one")
    assert breaker.is_open


def test_failures_of_long_ago_do_not_count_in_the_share(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    for _ in range(9):
        breaker.succeeded("pass")
        breaker.failed("pass", "every other one")
    clock.advance(31)
    for _ in range(5):
        breaker.succeeded("pass")
        breaker.failed("pass", "every other one")
    assert not breaker.is_open


def test_of_the_calls_after_a_rest_exactly_one_probes(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    fail(breaker)
    clock.advance(REST_S)
    assert [breaker.permit() for _ in range(5)] == ["probe", *["refuse"] * 4]
    breaker.succeeded("probe")
    assert [breaker.permit() for _ in range(2)] == ["pass", "pass"]


def test_a_failed_probe_lets_it_rest_again(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    fail(breaker)
    clock.advance(REST_S)
    breaker.failed(breaker.permit(), "still down")
    assert (breaker.permit(), breaker.rest_s, breaker.reason) == ("refuse", REST_S, "still down")


def test_a_probe_without_verdict_makes_way_for_the_next(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    fail(breaker)
    clock.advance(REST_S)
    breaker.abandoned(breaker.permit())
    assert [breaker.permit() for _ in range(2)] == ["probe", "refuse"]


def test_a_probe_that_never_comes_back_is_replaced_after_a_rest(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    fail(breaker)
    clock.advance(REST_S)
    assert breaker.permit() == "probe"
    clock.advance(REST_S)
    assert breaker.permit() == "probe"


def test_calls_that_began_before_it_opened_change_nothing(clock: FrozenClock) -> None:
    breaker = process(clock).of("openai/m")
    fail(breaker)
    clock.advance(REST_S)
    assert breaker.permit() == "probe"
    breaker.succeeded("pass")
    breaker.failed("pass", "late")
    breaker.abandoned("pass")
    assert (breaker.permit(), breaker.reason) == ("refuse", "it is down")


@given(st.lists(st.sampled_from(["ask", "succeeded", "failed", "abandoned", "wait"]), max_size=80))
def test_there_is_never_more_than_one_probe_in_a_rest(steps: list[str]) -> None:
    clock = FrozenClock()
    breaker = process(clock).of("openai/m")
    probes: list[float] = []
    for step in steps:
        match step:
            case "wait":
                clock.advance(7)
            case "ask":
                if breaker.permit() == "probe":
                    assert not probes or clock.monotonic() - probes[-1] >= REST_S
                    probes.append(clock.monotonic())
            case "failed":
                breaker.failed("probe" if probes else "pass", "x")
            case "succeeded":
                breaker.succeeded("pass")
            case _:
                breaker.abandoned("pass")


def test_models_that_callers_invent_take_bounded_room(clock: FrozenClock) -> None:
    breakers = process(clock)
    fail(breakers.of("openai/bad"))
    for number in range(5000):
        breakers.of(f"openai/{number}")
    assert breakers.of("openai/bad").is_open
    assert set(breakers.open_ones()) == {"openai/bad"}


# --- several processes -------------------------------------------------------------------------------


def processes(clock: FrozenClock, bench: Bench, count: int = 2) -> list[Breakers]:
    """Each of them with a connection of its own, as far as there are two."""
    states = [bench.state, bench.other]
    return [process(clock, states[number % 2], name=f"p{number}") for number in range(count)]


async def test_what_one_process_opens_the_others_leave_alone_too(
    clock: FrozenClock, shared_state: Bench
) -> None:
    one, other = processes(clock, shared_state)
    fail(one.of("openai/m"))
    await shared_state.pass_time(5)
    await one.exchange()
    await other.exchange()
    assert other.of("openai/m").permit() == "refuse"
    assert other.of("openai/m").rest_s == pytest.approx(REST_S - 5)
    assert other.of("openai/m").reason == "it is down"


async def test_what_was_opened_long_ago_is_not_opened_by_a_new_process(
    clock: FrozenClock, shared_state: Bench
) -> None:
    one, late = processes(clock, shared_state)
    fail(one.of("openai/m"))
    await one.exchange()
    await shared_state.pass_time(REST_S + 1)
    await late.exchange()
    assert not late.of("openai/m").is_open


async def test_one_probe_serves_all_processes_and_its_success_is_told(
    clock: FrozenClock, shared_state: Bench
) -> None:
    everyone = processes(clock, shared_state, 3)
    fail(everyone[0].of("openai/m"))
    for one in everyone:
        await one.exchange()
    await shared_state.pass_time(REST_S)
    probing = []
    for one in everyone:
        breaker = one.of("openai/m")
        assert breaker.permit() == "probe"
        if await one.may_probe(breaker):
            probing.append(one)
        else:
            assert breaker.permit() == "refuse"
    assert probing == [everyone[0]]
    probing[0].of("openai/m").succeeded("probe")
    for one in everyone:
        await one.exchange()
    assert [one.of("openai/m").permit() for one in everyone] == ["pass"] * 3


async def test_a_probe_without_verdict_is_left_to_another_process(
    clock: FrozenClock, shared_state: Bench
) -> None:
    one, other = processes(clock, shared_state)
    for each in (one, other):
        each.of("openai/m").open(REST_S, "it is down")
    await shared_state.pass_time(REST_S)
    permit = one.of("openai/m").permit()
    assert await one.may_probe(one.of("openai/m"))
    one.of("openai/m").abandoned(permit)
    await one.exchange()
    assert other.of("openai/m").permit() == "probe"
    assert await other.may_probe(other.of("openai/m"))


async def test_news_of_another_release_are_passed_over(clock: FrozenClock, shared_state: Bench) -> None:
    one, other = processes(clock, shared_state)
    await shared_state.state.append("breakers", b"{}", ttl_s=60, most=9)
    fail(one.of("openai/m"))
    await one.exchange()
    await other.exchange()
    assert other.of("openai/m").is_open


async def test_out_of_reach_of_redis_each_process_probes_for_itself(clock: FrozenClock) -> None:
    nowhere = RedisState(
        RedisSettings(url=SecretStr("redis://127.0.0.1:1/0")), clock=clock, time_from="clock"
    )
    alone = process(clock, nowhere)
    fail(alone.of("openai/m"))
    await alone.exchange()
    clock.advance(REST_S)
    assert alone.of("openai/m").permit() == "probe"
    assert await alone.may_probe(alone.of("openai/m"))
    await nowhere.close()


async def test_following_tells_news_at_once_and_ends_when_told(
    clock: FrozenClock,
    shared_state: Bench,
    eventually: Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]],
) -> None:
    one, other = processes(clock, shared_state)
    stop = asyncio.Event()

    async def is_told() -> bool:
        return other.of("openai/m").is_open

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for each in (one, other):
            group.create_task(each.follow(stop))
        fail(one.of("openai/m"))
        await eventually(is_told)
        stop.set()


async def test_a_process_that_is_alone_has_nothing_to_follow(clock: FrozenClock) -> None:
    alone = process(clock)
    await alone.follow(asyncio.Event())
    await alone.exchange()
    assert await alone.may_probe(alone.of("openai/m"))
