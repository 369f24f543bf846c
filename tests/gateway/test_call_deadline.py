from __future__ import annotations

import asyncio

import pytest

from causeway.gateway.call_deadline import CallDeadline


class Waits:
    """Something to wait for, that remembers how it ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def at_once(self) -> str:
        return "here"

    async def for_ever(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise


@pytest.fixture
def waits() -> Waits:
    return Waits()


async def test_what_comes_in_time_is_brought(waits: Waits) -> None:
    with CallDeadline(60.0) as deadline:
        assert [await deadline.wait(waits.at_once) for _ in range(3)] == ["here"] * 3


async def test_what_takes_too_long_is_stopped(waits: Waits) -> None:
    with CallDeadline(0.01) as deadline:
        assert await deadline.wait(waits.at_once) == "here"
        with pytest.raises(TimeoutError):
            await deadline.wait(waits.for_ever)
    current = asyncio.current_task()
    assert current is not None
    assert (waits.ended, current.cancelling()) == (["cancelled"], 0)


async def test_a_deadline_that_passes_between_waits_is_noticed_at_the_next(waits: Waits) -> None:
    with CallDeadline(0.0) as deadline:
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.0, passed.set)
        await passed.wait()
        with pytest.raises(TimeoutError):
            await deadline.wait(waits.at_once)


async def test_a_failure_of_what_is_waited_for_is_its_own(waits: Waits) -> None:
    async def fail() -> None:
        raise ValueError

    with CallDeadline(60.0) as deadline, pytest.raises(ValueError):  # noqa: PT011 - it has no message
        await deadline.wait(fail)


async def test_a_failure_while_it_is_stopped_leaves_nothing_cancelled(waits: Waits) -> None:
    async def fail() -> None:
        try:
            await waits.for_ever()
        except asyncio.CancelledError as exc:
            raise ValueError from exc

    with CallDeadline(0.01) as deadline, pytest.raises(ValueError):  # noqa: PT011 - it has no message
        await deadline.wait(fail)
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_task_that_is_cancelled_stays_cancelled(waits: Waits) -> None:
    async def wait() -> None:
        with CallDeadline(60.0) as deadline:
            await deadline.wait(waits.for_ever)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
    assert (waiting.cancelled(), waits.ended) == (True, ["cancelled"])


async def test_a_task_cancelled_as_the_deadline_passes_stays_cancelled(waits: Waits) -> None:
    async def wait() -> None:
        with CallDeadline(0.0) as deadline:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            await deadline.wait(waits.for_ever)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait())
    assert waiting.cancelled()
