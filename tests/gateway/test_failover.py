from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, Message, StopReason, Usage
from causeway.errors import (
    BusyError,
    CausewayError,
    ContextLengthError,
    DeadlineError,
    InvalidInputError,
    ModelUnavailableError,
    OperatorError,
    UnknownModelError,
    UpstreamError,
    UpstreamRateLimitError,
)
from causeway.gateway.breaker import Breakers
from causeway.gateway.failover import Attempt, Failover
from causeway.gateway.retry_budget import RetryBudget
from causeway.gateway.routing import Plan, Route
from causeway.models.provider import ChatProvider
from causeway.settings import GatewaySettings
from causeway.testing.clock import FrozenClock

ASKED = ChatRequest(model="smart", messages=(Message("user", "Hello"),))

Step = CausewayError | str
"""What a provider does when it is called: fail, or say this; ``...`` at the end of what is said hangs."""


@dataclass
class Provider:
    """Does what its script says, and then the last thing for ever."""

    name: str
    script: list[Step | list[Step]]
    asked: list[ChatRequest] = field(default_factory=list)
    open: int = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        for step in self._next(request):
            if isinstance(step, CausewayError):
                raise step
            if step == "...":
                await asyncio.Event().wait()
            return ChatReply(text=step, model=request.model, stop_reason=StopReason.END, usage=Usage())
        raise AssertionError

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        steps = self._next(request)
        self.open += 1
        try:
            for step in steps:
                if isinstance(step, CausewayError):
                    raise step
                if step == "...":
                    await asyncio.Event().wait()
                yield ChatChunk(text=step, model=request.model)
        finally:
            self.open -= 1

    async def close(self) -> None:
        """Nothing to let go of."""

    def _next(self, request: ChatRequest) -> list[Step]:
        self.asked.append(request)
        step = self.script[min(len(self.asked), len(self.script)) - 1]
        return step if isinstance(step, list) else [step]


@dataclass
class World:
    """A failover with a clock that moves only when it waits."""

    settings: GatewaySettings = field(default_factory=GatewaySettings)
    clock: FrozenClock = field(default_factory=FrozenClock)
    waits: list[float] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breakers = Breakers(
            failures=self.settings.breaker_failures, rest_s=self.settings.breaker_rest_s, clock=self.clock
        )
        self.failover = Failover(
            self.settings, breakers=self.breakers, clock=self.clock, random=Random(7), sleep=self.sleep
        )

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)

    async def complete(self, plan: Plan[ChatProvider], *, deadline_s: float = 600.0) -> str:
        _, reply = await self.failover.complete(
            plan, ASKED, deadline_s=deadline_s, attempted=self.attempts.append
        )
        return reply.text

    def stream(
        self, plan: Plan[ChatProvider], *, deadline_s: float = 600.0
    ) -> AsyncGenerator[tuple[Route[ChatProvider], ChatChunk], None]:
        return self.failover.stream(plan, ASKED, deadline_s=deadline_s, attempted=self.attempts.append)

    async def streamed(self, plan: Plan[ChatProvider], *, deadline_s: float = 600.0) -> list[str]:
        async with aclosing(self.stream(plan, deadline_s=deadline_s)) as chunks:
            return [f"{route.name}: {chunk.text}" async for route, chunk in chunks]

    def tried(self) -> list[tuple[str, str]]:
        return [(attempt.route.name, attempt.outcome) for attempt in self.attempts]


@pytest.fixture
def world() -> World:
    return World()


def plan(*providers: Provider, windows: Sequence[int | None] = ()) -> Plan[ChatProvider]:
    sizes = [*windows, *[None] * len(providers)]
    routes: list[Route[ChatProvider]] = [
        Route(model=f"m{place}", provider=provider, context_tokens=sizes[place])
        for place, provider in enumerate(providers)
    ]
    return Plan(asked="smart", routes=tuple(routes))


DOWN = UpstreamError("it is down")
LIMIT = UpstreamRateLimitError("slow down")


async def test_what_works_is_called_once_under_the_providers_own_name(world: World) -> None:
    provider = Provider("a", ["Hi"])
    assert await world.complete(plan(provider)) == "Hi"
    assert [request.model for request in provider.asked] == ["m0"]
    assert (world.tried(), world.waits) == ([("a/m0", "ok")], [])


async def test_a_failure_is_tried_again_after_a_wait_with_jitter(world: World) -> None:
    provider = Provider("a", [DOWN, ModelUnavailableError("starting"), "Hi"])
    assert await world.complete(plan(provider)) == "Hi"
    assert world.tried() == [("a/m0", "upstream_error"), ("a/m0", "model_unavailable"), ("a/m0", "ok")]
    assert 0 < world.waits[0] <= 0.25
    assert 0 < world.waits[1] <= 0.5


async def test_after_the_retries_the_next_route_is_tried(world: World) -> None:
    first, second = Provider("a", [DOWN]), Provider("b", ["Hi"])
    assert await world.complete(plan(first, second)) == "Hi"
    assert (len(first.asked), len(second.asked)) == (3, 1)


@pytest.mark.parametrize("error", [OperatorError("bad key"), UnknownModelError("no such deployment")])
async def test_a_provider_that_is_set_up_badly_makes_way_at_once(world: World, error: CausewayError) -> None:
    first, second = Provider("a", [error]), Provider("b", ["Hi"])
    assert await world.complete(plan(first, second)) == "Hi"
    assert (len(first.asked), world.waits) == (1, [])


async def test_what_the_caller_did_wrong_is_told_and_never_tried_again(world: World) -> None:
    first, second = Provider("a", [InvalidInputError("bad tool")]), Provider("b", ["Hi"])
    with pytest.raises(InvalidInputError, match=r"^bad tool$"):
        await world.complete(plan(first, second))
    assert (len(first.asked), len(second.asked)) == (1, 0)


@pytest.mark.parametrize("error", [LIMIT, DeadlineError("silent"), BusyError("full")])
async def test_a_provider_that_is_overrun_makes_way_for_the_next_at_once(
    world: World, error: CausewayError
) -> None:
    first, second = Provider("a", [error]), Provider("b", ["Hi"])
    assert await world.complete(plan(first, second)) == "Hi"
    assert (len(first.asked), world.waits) == (1, [])


async def test_the_last_route_is_waited_for_as_long_as_it_asks(world: World) -> None:
    provider = Provider("a", [UpstreamRateLimitError("slow down").after(30.0), "Hi"])
    assert await world.complete(plan(provider)) == "Hi"
    assert 30.0 <= world.waits[0] <= 30.25


@pytest.mark.parametrize(("asked_s", "deadline_s"), [(61.0, 600.0), (30.0, 20.0)])
async def test_a_limit_that_does_not_fit_is_told_with_its_wait(
    world: World, asked_s: float, deadline_s: float
) -> None:
    provider = Provider("a", [UpstreamRateLimitError("slow down").after(asked_s)])
    with pytest.raises(UpstreamRateLimitError, match=r"^slow down$") as caught:
        await world.complete(plan(provider), deadline_s=deadline_s)
    assert (caught.value.retry_after_s, len(provider.asked)) == (asked_s, 1)


async def test_a_limit_stays_a_limit_whatever_else_failed_and_says_what_was_tried(world: World) -> None:
    limited = Provider("a", [UpstreamRateLimitError("slow down").after(90.0)])
    broken, closed = Provider("b", [DOWN]), Provider("c", [OperatorError("bad key")])
    with pytest.raises(UpstreamRateLimitError) as caught:
        await world.complete(plan(limited, broken, closed))
    assert caught.value.retry_after_s == 90.0
    assert caught.value.message == (
        "slow down; tried a/m0 (upstream_rate_limited), b/m1 3 times (upstream_error), c/m2 (operator_needed)"
    )


async def test_too_long_a_request_goes_only_to_what_takes_more(world: World) -> None:
    small = Provider("a", [ContextLengthError("too long")])
    same, large = Provider("b", ["no"]), Provider("c", ["Hi"])
    assert await world.complete(plan(small, same, large, windows=(8, 8, 16))) == "Hi"
    assert len(same.asked) == 0


async def test_too_long_a_request_is_told_when_nothing_takes_more(world: World) -> None:
    small, other = Provider("a", [ContextLengthError("too long")]), Provider("b", ["no"])
    with pytest.raises(ContextLengthError, match=r"^too long$"):
        await world.complete(plan(small, other, windows=(8, 4)))


async def test_the_deadline_ends_a_call_that_hangs_and_blames_no_provider(world: World) -> None:
    provider = Provider("a", ["..."])
    for _ in range(6):
        with pytest.raises(DeadlineError, match=r"'smart' did not answer within 0\.01 s"):
            await world.complete(plan(provider), deadline_s=0.01)
    assert world.tried() == [("a/m0", "deadline_exceeded")] * 6
    assert not world.breakers.of("a/m0").is_open


async def test_no_wait_goes_beyond_the_deadline(world: World) -> None:
    provider = Provider("a", [DOWN])
    with pytest.raises(UpstreamError):
        await world.complete(plan(provider), deadline_s=0.001)
    assert (len(provider.asked), world.waits) == (1, [])


async def test_a_caller_that_leaves_is_no_failure(world: World) -> None:
    provider = Provider("a", ["..."])
    async with asyncio.TaskGroup() as group:
        call = group.create_task(world.complete(plan(provider)))
        await asyncio.sleep(0)
        call.cancel()
    assert call.cancelled()
    assert world.tried() == [("a/m0", "cancelled")]


async def test_any_call_can_be_made_along_a_plan(world: World) -> None:
    first, second = Provider("a", [LIMIT]), Provider("b", ["Hi"])

    async def make(route: Route[ChatProvider]) -> str:
        return (await route.provider.complete(ASKED)).text + route.model

    route, answer = await world.failover.call(plan(first, second), make, deadline_s=60.0)
    assert (route.name, answer) == ("b/m1", "Him1")


# --- streams -----------------------------------------------------------------------------------------


async def test_a_stream_may_change_its_route_until_its_first_chunk(world: World) -> None:
    first, second = Provider("a", [LIMIT]), Provider("b", [["H", "i"]])
    assert await world.streamed(plan(first, second)) == ["b/m1: H", "b/m1: i"]
    assert world.tried() == [("a/m0", "upstream_rate_limited"), ("b/m1", "ok")]


async def test_a_stream_that_breaks_after_its_first_chunk_is_never_begun_again(world: World) -> None:
    first, second = Provider("a", [["H", DOWN]]), Provider("b", ["Hi"])
    async with aclosing(world.stream(plan(first, second))) as chunks:
        assert (await anext(chunks))[1].text == "H"
        with pytest.raises(UpstreamError, match=r"^it is down$"):
            await anext(chunks)
    assert (len(first.asked), len(second.asked), first.open) == (1, 0, 0)


async def test_a_stream_that_is_closed_closes_the_providers(world: World) -> None:
    provider = Provider("a", [["H", "..."]])
    async with aclosing(world.stream(plan(provider))) as chunks:
        await anext(chunks)
        assert provider.open == 1
    assert provider.open == 0
    assert world.tried() == [("a/m0", "cancelled")]


async def test_the_deadline_ends_a_stream_that_hangs(world: World) -> None:
    provider = Provider("a", [["H", "..."]])
    with pytest.raises(DeadlineError, match=r"within 0\.01 s"):
        await world.streamed(plan(provider), deadline_s=0.01)
    assert provider.open == 0


async def test_streams_that_break_in_the_middle_open_the_breaker(world: World) -> None:
    provider = Provider("a", [["H", DOWN]])
    for _ in range(5):
        with pytest.raises(UpstreamError):
            await world.streamed(plan(provider))
    assert world.breakers.of("a/m0").is_open


# --- breakers and budgets ----------------------------------------------------------------------------


async def test_what_keeps_failing_is_left_alone_and_then_probed_once(world: World) -> None:
    first, second = Provider("a", [*[DOWN] * 5, "back"]), Provider("b", ["Hi"])
    for _ in range(4):
        assert await world.complete(plan(first, second)) == "Hi"
    assert len(first.asked) == 5
    world.clock.advance(20)
    assert await world.complete(plan(first, second)) == "back"
    assert await world.complete(plan(first, second)) == "back"


async def test_when_everything_is_left_alone_the_caller_hears_why_and_until_when(world: World) -> None:
    provider = Provider("a", [DOWN])
    for _ in range(2):
        with pytest.raises(UpstreamError):
            await world.complete(plan(provider))
    with pytest.raises(ModelUnavailableError, match="it is down") as caught:
        await world.complete(plan(provider))
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 20.0
    assert len(provider.asked) == 5


@pytest.mark.parametrize(
    "error", [InvalidInputError("bad"), UnknownModelError("?"), ContextLengthError("long"), LIMIT]
)
async def test_errors_of_the_caller_and_limits_never_open_a_breaker(
    world: World, error: CausewayError
) -> None:
    for _ in range(30):
        with pytest.raises(type(error)):
            await world.complete(plan(Provider("a", [error])))
    assert not world.breakers.of("a/m0").is_open


@pytest.mark.parametrize("error", [InvalidInputError("bad"), LIMIT])
async def test_a_probe_that_is_refused_shows_that_the_provider_works(
    world: World, error: CausewayError
) -> None:
    world.breakers.of("a/m0").open(20.0, "it was down")
    world.clock.advance(20)
    with pytest.raises(type(error)):
        await world.complete(plan(Provider("a", [error])))
    assert not world.breakers.of("a/m0").is_open


async def test_the_first_chunk_of_a_probe_is_its_verdict(world: World) -> None:
    world.breakers.of("a/m0").open(20.0, "it was down")
    world.clock.advance(20)
    async with aclosing(world.stream(plan(Provider("a", [["H", "..."]])))) as chunks:
        await anext(chunks)
        assert not world.breakers.of("a/m0").is_open


async def test_a_probe_whose_caller_leaves_is_left_to_the_next_call(world: World) -> None:
    provider = Provider("a", ["...", "Hi"])
    world.breakers.of("a/m0").open(20.0, "it was down")
    world.clock.advance(20)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(world.complete(plan(provider)))
        await asyncio.sleep(0)
        call.cancel()
    assert await world.complete(plan(provider)) == "Hi"


async def test_an_outage_is_not_multiplied_by_retries() -> None:
    world = World(GatewaySettings(retry_budget=0.2, breaker_failures=10_000, retries=5))
    provider = Provider("a", [InvalidInputError("one that counts as well")])
    provider.script = [DOWN]
    calls = 300
    instant = plan(provider)
    for _ in range(calls):
        world.breakers.of("a/m0").close()
        with pytest.raises(UpstreamError):
            await world.complete(instant)
    elapsed_s = world.clock.monotonic()
    assert len(provider.asked) - calls <= 10 + 0.2 * calls + elapsed_s


async def test_without_a_budget_nothing_is_tried_again() -> None:
    world = World(GatewaySettings(retry_budget=0.0))
    provider = Provider("a", [DOWN])
    with pytest.raises(UpstreamError):
        await world.complete(plan(provider))
    assert len(provider.asked) == 1


@given(
    st.floats(min_value=0.0, max_value=1.0),
    st.lists(
        st.one_of(st.just("call"), st.just("retry"), st.floats(min_value=0.0, max_value=30.0)), max_size=200
    ),
)
def test_retries_never_exceed_their_share_the_reserve_and_its_growth(
    share: float, steps: list[str | float]
) -> None:
    clock = FrozenClock()
    budget = RetryBudget(share, clock)
    calls = retries = 0
    for step in steps:
        if isinstance(step, float):
            clock.advance(step)
        elif step == "call":
            budget.earn()
            calls += 1
        else:
            retries += budget.spend()
    assert retries <= (10 + share * calls + clock.monotonic() if share else 0) + 1e-6


async def test_a_lease_counts_calls_and_open_streams(world: World) -> None:
    provider = Provider("a", [["H", "..."]])
    used = plan(provider)
    chunks = world.stream(used)
    await anext(chunks)
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(used.lease.ended())
        await asyncio.sleep(0)
        assert not ended.done()
        await chunks.aclose()
    await used.lease.ended()


def provider_of(error: CausewayError) -> Callable[[], Provider]:
    return lambda: Provider("a", [error])


@given(
    st.lists(
        st.lists(
            st.sampled_from(
                [
                    provider_of(UpstreamError("x")),
                    provider_of(UpstreamRateLimitError("x")),
                    provider_of(OperatorError("x")),
                    provider_of(ContextLengthError("x")),
                    provider_of(UnknownModelError("x")),
                    lambda: Provider("a", ["Hi"]),
                ]
            ),
            min_size=1,
            max_size=1,
        ),
        min_size=1,
        max_size=4,
    )
)
async def test_a_route_that_works_is_found_wherever_it_stands(
    made: list[list[Callable[[], Provider]]],
) -> None:
    world = World()
    providers = [make[0]() for make in made]
    for place, provider in enumerate(providers):
        provider.name = f"p{place}"
    works = any(provider.script == ["Hi"] for provider in providers)
    try:
        assert await world.complete(plan(*providers)) == "Hi"
        assert works
    except CausewayError:
        assert not works
