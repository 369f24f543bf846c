from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.errors import CausewayError, ModelUnavailableError
from causeway.gateway.breaker import Breaker, Breakers
from causeway.storage.shared_state import Claim, Meter, Reserved
from causeway.testing.clock import FrozenClock

REST_S = 20.0


@dataclass
class OneServer:
    """What breakers need of the shared state: a log and counters that expire."""

    clock: FrozenClock
    log: list[tuple[str, bytes]] = field(default_factory=list)
    counters: dict[str, tuple[int, float]] = field(default_factory=dict)
    failure: CausewayError | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def add(self, key: str, amount: int, *, ttl_s: float) -> int:
        if self.failure is not None:
            raise self.failure
        count, ends_at = self.counters.get(key, (0, 0.0))
        if self.clock.monotonic() >= ends_at:
            count, ends_at = 0, self.clock.monotonic() + ttl_s
        self.counters[key] = (count + amount, ends_at)
        return count + amount

    async def append(self, key: str, value: bytes, *, ttl_s: float, most: int) -> None:
        if self.failure is not None:
            raise self.failure
        self.log.append((f"{len(self.log):08}", value))
        self.told.set()

    async def entries(self, key: str, *, after: str = "") -> Sequence[tuple[str, bytes]]:
        if self.failure is not None:
            raise self.failure
        return [entry for entry in self.log if entry[0] > after]

    async def delete(self, key: str) -> None:
        self.counters.pop(key, None)

    async def get(self, key: str) -> bytes | None:
        raise NotImplementedError

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        raise NotImplementedError

    async def reserve(self, reservation: str, claims: Sequence[Claim], *, lease_s: float) -> Reserved:
        raise NotImplementedError

    async def settle(self, reservation: str, amounts: Sequence[int]) -> None:
        raise NotImplementedError

    async def is_loaded(self, meter: Meter) -> bool:
        raise NotImplementedError

    async def load(self, meter: Meter, used: int) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def server(clock: FrozenClock) -> OneServer:
    return OneServer(clock)


def process(clock: FrozenClock, server: OneServer | None = None, *, name: str = "p1") -> Breakers:
    return Breakers(failures=3, rest_s=REST_S, clock=clock, shared=server, process=name)


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


async def test_what_one_process_opens_the_others_leave_alone_too(
    clock: FrozenClock, server: OneServer
) -> None:
    one, other = process(clock, server, name="p1"), process(clock, server, name="p2")
    fail(one.of("openai/m"))
    clock.advance(5)
    await one.exchange()
    await other.exchange()
    assert other.of("openai/m").permit() == "refuse"
    assert other.of("openai/m").rest_s == pytest.approx(REST_S - 5)
    assert other.of("openai/m").reason == "it is down"


async def test_what_was_opened_long_ago_is_not_opened_by_a_new_process(
    clock: FrozenClock, server: OneServer
) -> None:
    one = process(clock, server, name="p1")
    fail(one.of("openai/m"))
    await one.exchange()
    clock.advance(REST_S + 1)
    late = process(clock, server, name="p2")
    await late.exchange()
    assert not late.of("openai/m").is_open


async def test_one_probe_serves_all_processes_and_its_success_is_told(
    clock: FrozenClock, server: OneServer
) -> None:
    processes = [process(clock, server, name=f"p{number}") for number in range(3)]
    fail(processes[0].of("openai/m"))
    for one in processes:
        await one.exchange()
    clock.advance(REST_S)
    probing = []
    for one in processes:
        breaker = one.of("openai/m")
        assert breaker.permit() == "probe"
        if await one.may_probe(breaker):
            probing.append(one)
        else:
            assert breaker.permit() == "refuse"
    assert probing == [processes[0]]
    probing[0].of("openai/m").succeeded("probe")
    for one in processes:
        await one.exchange()
    assert [one.of("openai/m").permit() for one in processes] == ["pass"] * 3


async def test_a_probe_without_verdict_is_left_to_another_process(
    clock: FrozenClock, server: OneServer
) -> None:
    one, other = process(clock, server, name="p1"), process(clock, server, name="p2")
    for each in (one, other):
        each.of("openai/m").open(REST_S, "it is down")
    clock.advance(REST_S)
    permit = one.of("openai/m").permit()
    assert await one.may_probe(one.of("openai/m"))
    one.of("openai/m").abandoned(permit)
    await one.exchange()
    assert other.of("openai/m").permit() == "probe"
    assert await other.may_probe(other.of("openai/m"))


async def test_without_the_shared_state_each_process_goes_on_alone(
    clock: FrozenClock, server: OneServer
) -> None:
    one, other = process(clock, server, name="p1"), process(clock, server, name="p2")
    server.failure = ModelUnavailableError("no Redis")
    fail(one.of("openai/m"))
    with pytest.raises(ModelUnavailableError):
        await one.exchange()
    clock.advance(REST_S)
    assert one.of("openai/m").permit() == "probe"
    assert await one.may_probe(one.of("openai/m"))
    one.of("openai/m").failed("probe", "still down")
    server.failure = None
    await one.exchange()
    await other.exchange()
    assert other.of("openai/m").permit() == "refuse"


async def test_following_tells_news_at_once_and_ends_when_told(clock: FrozenClock, server: OneServer) -> None:
    one, stop = process(clock, server, name="p1"), asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        following = group.create_task(one.follow(stop))
        fail(one.of("openai/m"))
        await server.told.wait()
        stop.set()
        await following
    assert b"openai/m" in server.log[0][1]


async def test_a_process_that_is_alone_has_nothing_to_follow(clock: FrozenClock) -> None:
    alone = process(clock)
    await alone.follow(asyncio.Event())
    await alone.exchange()
    assert await alone.may_probe(alone.of("openai/m"))
