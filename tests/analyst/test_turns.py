"""Turns at a database: bounded, and given back."""

from __future__ import annotations

import asyncio

import pytest

from causeway.analyst.turns import Turns
from causeway.errors import BusyError


async def test_beyond_those_that_may_wait_nobody_waits() -> None:
    turns = Turns(1)
    async with turns.one(), asyncio.TaskGroup() as group:

        async def wait() -> None:
            async with turns.one():
                pass

        waiting = [group.create_task(wait()) for _ in range(32)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            async with turns.one():
                pass
        for task in waiting:
            task.cancel()
    async with turns.one():
        assert await turns.in_thread(lambda: 7) == 7
    turns.close()


async def test_a_cancelled_query_gives_its_turn_back() -> None:
    turns = Turns(1)

    async def hold() -> None:
        async with turns.one():
            await asyncio.Event().wait()

    task = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(1), turns.one():
        pass
    turns.close()
