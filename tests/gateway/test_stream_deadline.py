from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from causeway.gateway.stream_deadline import StreamDeadline


async def counting(*, hangs_after: int, closed: list[bool]) -> AsyncGenerator[int, None]:
    try:
        for number in range(hangs_after):
            yield number
        await asyncio.Event().wait()
    finally:
        closed.append(True)


async def few() -> AsyncGenerator[int, None]:
    yield 1
    yield 2


async def test_items_come_until_the_end() -> None:
    with StreamDeadline(few(), 60.0) as deadline:
        assert [await deadline.next() for _ in range(3)] == [1, 2, None]


async def test_a_generator_that_hangs_is_stopped() -> None:
    closed: list[bool] = []
    with StreamDeadline(counting(hangs_after=2, closed=closed), 0.01) as deadline:
        assert [await deadline.next() for _ in range(2)] == [0, 1]
        with pytest.raises(TimeoutError):
            await deadline.next()
    assert closed == [True]
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_deadline_that_passes_between_items_is_noticed_at_the_next() -> None:
    closed: list[bool] = []
    items = counting(hangs_after=9, closed=closed)
    with StreamDeadline(items, 0.0) as deadline:
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.0, passed.set)
        await passed.wait()
        with pytest.raises(TimeoutError):
            await deadline.next()
    await items.aclose()


async def test_a_reader_that_is_cancelled_stays_cancelled() -> None:
    closed: list[bool] = []

    async def read() -> None:
        with StreamDeadline(counting(hangs_after=0, closed=closed), 60.0) as deadline:
            await deadline.next()

    async with asyncio.TaskGroup() as group:
        reader = group.create_task(read())
        await asyncio.sleep(0)
        reader.cancel()
    assert (reader.cancelled(), closed) == (True, [True])


async def test_a_reader_cancelled_as_the_deadline_passes_stays_cancelled() -> None:
    async def read() -> None:
        with StreamDeadline(counting(hangs_after=0, closed=[]), 0.0) as deadline:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            loop.call_soon(task.cancel)
            await deadline.next()

    async with asyncio.TaskGroup() as group:
        reader = group.create_task(read())
    assert reader.cancelled()
