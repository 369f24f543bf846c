from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from causeway.errors import BusyError
from causeway.gateway.turns import Turns
from causeway.testing.clock import FrozenClock


class Crowd:
    """Calls that each take a turn and hold it until they are told to end."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.under_way: list[str] = []

    async def arrive(self, name: str, priority: int = 0) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.ensure_future(self._call(name, priority))
        await self.settle_down()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.settle_down()

    async def leave(self, name: str) -> None:
        self.tasks[name].cancel()
        await self.settle_down()

    async def settle_down(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _call(self, name: str, priority: int) -> None:
        async with self._turns.turn("openai", priority):
            self.under_way.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.under_way.remove(name)


@asynccontextmanager
async def _crowd(turns: Turns) -> AsyncIterator[Crowd]:
    crowd = Crowd(turns)
    yield crowd
    for task in crowd.tasks.values():
        task.cancel()
    if crowd.tasks:
        await asyncio.wait(crowd.tasks.values())
    for task in crowd.tasks.values():
        assert task.cancelled() or task.exception() is None or isinstance(task.exception(), BusyError)


async def test_the_most_urgent_goes_next_and_equals_in_order(clock: FrozenClock) -> None:
    async with _crowd(Turns({"openai": 1}, clock=clock)) as crowd:
        for name, priority in (("a", 0), ("low 1", 0), ("high 1", 5), ("low 2", 0), ("high 2", 5)):
            await crowd.arrive(name, priority)
        went = []
        for _ in range(5):
            (name,) = crowd.under_way
            went.append(name)
            await crowd.end(name)
        assert went == ["a", "high 1", "high 2", "low 1", "low 2"]
        assert crowd.under_way == []


async def test_no_more_than_the_bound_are_under_way(clock: FrozenClock) -> None:
    async with _crowd(Turns({"openai": 3}, clock=clock)) as crowd:
        for name in "abcde":
            await crowd.arrive(name)
        assert crowd.under_way == ["a", "b", "c"]
        await crowd.end("b")
        assert crowd.under_way == ["a", "c", "d"]


async def test_one_that_has_waited_long_is_not_overtaken_for_ever(clock: FrozenClock) -> None:
    async with _crowd(Turns({"openai": 1}, clock=clock, patience_s=5)) as crowd:
        await crowd.arrive("a", 9)
        await crowd.arrive("old", 0)
        clock.advance(14)
        await crowd.arrive("urgent", 3)
        clock.advance(2)
        await crowd.arrive("too late", 3)
        await crowd.end("a")
        assert crowd.under_way == ["urgent"]
        await crowd.end("urgent")
        assert crowd.under_way == ["old"]


async def test_a_full_queue_refuses(clock: FrozenClock) -> None:
    async with _crowd(Turns({"openai": 1}, clock=clock, most_waiting=2)) as crowd:
        for name in "abcd":
            await crowd.arrive(name)
        with pytest.raises(BusyError, match="'openai' has 1 calls under way and 2 waiting") as busy:
            await crowd.tasks["d"]
        assert busy.value.retry_after_s == 1
        await crowd.leave("b")
        await crowd.arrive("e")
        await crowd.end("a")
        await crowd.end("c")
        assert crowd.under_way == ["e"]


async def test_one_that_leaves_while_it_waits_takes_no_turn(clock: FrozenClock) -> None:
    async with _crowd(Turns({"openai": 1}, clock=clock)) as crowd:
        for name in "abc":
            await crowd.arrive(name)
        await crowd.leave("b")
        await crowd.end("a")
        assert crowd.under_way == ["c"]


async def test_a_turn_given_to_one_that_is_leaving_is_passed_on(clock: FrozenClock) -> None:
    async with _crowd(Turns({"openai": 1}, clock=clock)) as crowd:
        for name in "abc":
            await crowd.arrive(name)
        crowd.tasks["a"].cancel()
        await asyncio.sleep(0)  # a has given its turn to b, and b does not know yet
        await crowd.leave("b")
        assert crowd.under_way == ["c"]


async def test_a_turn_is_not_given_to_one_that_has_just_left(clock: FrozenClock) -> None:
    async with _crowd(Turns({"openai": 1}, clock=clock)) as crowd:
        for name in "abc":
            await crowd.arrive(name)
        crowd.tasks["a"].cancel()
        crowd.tasks["b"].cancel()
        await crowd.settle_down()
        assert crowd.under_way == ["c"]


async def test_without_a_bound_nobody_waits(clock: FrozenClock) -> None:
    async with _crowd(Turns({"other": 1, "openai": 0}, clock=clock)) as crowd:
        for number in range(50):
            await crowd.arrive(f"c{number}")
        assert len(crowd.under_way) == 50


async def test_bounds_can_be_changed_while_calls_wait(clock: FrozenClock) -> None:
    turns = Turns({"openai": 1}, clock=clock)
    async with _crowd(turns) as crowd:
        for name in "abcde":
            await crowd.arrive(name)
        turns.set_bounds({"openai": 3})
        await crowd.settle_down()
        assert crowd.under_way == ["a", "b", "c"]
        turns.set_bounds({"openai": 1})
        await crowd.end("a")
        await crowd.end("b")
        assert crowd.under_way == ["c"]
        turns.set_bounds({})
        await crowd.settle_down()
        assert crowd.under_way == ["c", "d", "e"]


@pytest.mark.parametrize("seed", range(20))
async def test_any_coming_and_going_keeps_the_bound_and_ends_empty(clock: FrozenClock, seed: int) -> None:
    chance = Random(seed)
    async with _crowd(Turns({"openai": 3}, clock=clock)) as crowd:
        there: list[str] = []
        for number in range(120):
            if not there or chance.random() < 0.5:
                there.append(f"c{number}")
                await crowd.arrive(there[-1], chance.randrange(10))
            else:
                name = there.pop(chance.randrange(len(there)))
                if chance.random() < 0.5:
                    await crowd.end(name)
                else:
                    crowd.tasks[name].cancel()
            clock.advance(chance.random())
            assert len(crowd.under_way) <= 3
        for name in there:
            await crowd.end(name)
        assert crowd.under_way == []
        assert all(task.done() for task in crowd.tasks.values())
