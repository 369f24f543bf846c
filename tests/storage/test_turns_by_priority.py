from __future__ import annotations

import asyncio

from causeway.storage.turns_by_priority import TurnsByPriority


async def test_no_more_than_the_places_are_taken_and_the_most_urgent_goes_first() -> None:
    turns = TurnsByPriority(2)
    at_once = most = 0
    begun: list[int] = []
    gates = [asyncio.Event() for _ in range(6)]

    async def work(number: int, priority: int) -> None:
        nonlocal at_once, most
        async with turns.turn(priority):
            begun.append(number)
            at_once += 1
            most = max(most, at_once)
            await gates[number].wait()
            at_once -= 1

    async with asyncio.TaskGroup() as group:
        for number, priority in enumerate([10, 10, 20, 10, 1, 20]):
            group.create_task(work(number, priority))
        for number in (0, 1, 4, 3, 2, 5):
            while number not in begun:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0)
            gates[number].set()
    assert begun == [0, 1, 4, 3, 2, 5]
    assert most == 2


async def test_who_gives_up_waiting_takes_no_place() -> None:
    turns = TurnsByPriority(1)
    has_place, may_end = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with turns.turn(1):
            has_place.set()
            await may_end.wait()

    async def want() -> None:
        async with turns.turn(1):
            pass

    async with asyncio.TaskGroup() as group:
        group.create_task(hold())
        await has_place.wait()
        waiting = group.create_task(want())
        given_at_the_last_moment = group.create_task(want())
        await asyncio.sleep(0)
        waiting.cancel()
        may_end.set()
        await asyncio.sleep(0)
        given_at_the_last_moment.cancel()
    async with asyncio.timeout(5), turns.turn(1):
        assert waiting.cancelled()
