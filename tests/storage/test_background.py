from __future__ import annotations

import asyncio

import pytest

from causeway.storage.background import alongside


async def test_work_runs_beside_the_block_and_has_ended_after_it() -> None:
    steps: list[str] = []
    is_running = asyncio.Event()

    async def work() -> None:
        is_running.set()
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("work ended")

    async with alongside(work(), work()):
        await is_running.wait()
    assert steps == ["work ended"] * 2


async def test_the_blocks_own_error_comes_out_as_itself() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(LookupError, match="mine"):
        async with alongside(work()):
            raise LookupError("mine")  # noqa: EM101


async def test_work_that_fails_ends_the_block() -> None:
    async def work() -> None:
        raise LookupError("its own")  # noqa: EM101

    with pytest.raises(BaseExceptionGroup) as failed:
        async with alongside(work()):
            await asyncio.Event().wait()
    assert failed.group_contains(LookupError, match="its own")


async def test_a_cancelled_block_is_cancelled() -> None:
    is_running = asyncio.Event()

    async def work() -> None:
        await asyncio.Event().wait()

    async def block() -> None:
        async with alongside(work()):
            is_running.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(block())
        await is_running.wait()
        task.cancel()
    assert task.cancelled()
