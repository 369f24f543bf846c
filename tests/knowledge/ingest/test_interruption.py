from __future__ import annotations

import asyncio

import pytest

from causeway.errors import DatabaseUnavailableError, InvalidInputError
from causeway.knowledge.ingest.interruption import while_wanted


async def test_wanted_work_comes_to_its_end() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    async def is_wanted() -> bool:
        return True

    assert await while_wanted(work(), is_wanted, every_s=0.001)
    assert done == [1]


async def test_work_that_nobody_wants_is_cancelled_and_may_release_what_it_holds() -> None:
    released: list[int] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            released.append(1)

    answers = iter([True, True, False])

    async def is_wanted() -> bool:
        return next(answers)

    assert not await while_wanted(work(), is_wanted, every_s=0.001)
    assert released == [1]


async def test_the_error_of_the_work_comes_out_as_itself() -> None:
    async def work() -> None:
        msg = "no"
        raise InvalidInputError(msg)

    async def is_wanted() -> bool:
        return True

    with pytest.raises(InvalidInputError, match="no"):
        await while_wanted(work(), is_wanted)


async def test_work_goes_on_while_nobody_can_say_whether_it_is_wanted() -> None:
    asked = asyncio.Event()

    async def work() -> None:
        await asked.wait()

    async def is_wanted() -> bool:
        asked.set()
        msg = "gone"
        raise DatabaseUnavailableError(msg)

    async with asyncio.timeout(10):
        assert await while_wanted(work(), is_wanted, every_s=0.001)


async def test_cancelling_the_caller_cancels_the_work() -> None:
    begun = asyncio.Event()
    released: list[int] = []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            released.append(1)

    async def is_wanted() -> bool:
        return True

    async with asyncio.TaskGroup() as group:
        task = group.create_task(while_wanted(work(), is_wanted))
        await begun.wait()
        task.cancel()
    assert task.cancelled()
    assert released == [1]
