from __future__ import annotations

import asyncio

import pytest

from causeway.gateway.call_deadline import Alarm, CallDeadline, WaitDeadline


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


async def test_a_single_wait_that_takes_too_long_is_stopped(waits: Waits) -> None:
    with pytest.raises(TimeoutError), WaitDeadline(0.01):
        await waits.for_ever()
    current = asyncio.current_task()
    assert current is not None
    assert (waits.ended, current.cancelling()) == (["cancelled"], 0)


async def test_a_single_wait_that_fails_while_it_is_stopped_leaves_nothing_cancelled(waits: Waits) -> None:
    async def fail() -> None:
        try:
            await waits.for_ever()
        except asyncio.CancelledError as exc:
            raise ValueError from exc

    with pytest.raises(ValueError), WaitDeadline(0.01):  # noqa: PT011 - it has no message
        await fail()
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


@pytest.mark.parametrize("seconds", [0.0, 60.0])
async def test_a_task_cancelled_in_a_single_wait_stays_cancelled(waits: Waits, seconds: float) -> None:
    async def wait() -> None:
        with WaitDeadline(seconds):
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            await waits.for_ever()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait())
    assert waiting.cancelled()


async def test_one_alarm_wakes_the_deadlines_of_many_calls_each_at_its_own_time(waits: Waits) -> None:
    alarm, passed = Alarm(), []

    async def wait(name: str, seconds: float) -> None:
        with CallDeadline(seconds, alarm) as deadline:
            try:
                await deadline.wait(waits.for_ever)
            except TimeoutError:
                passed.append(name)

    async with asyncio.TaskGroup() as group:
        patient = group.create_task(wait("patient", 60.0))
        hasty = [
            group.create_task(wait(name, seconds))
            for name, seconds in (("third", 0.03), ("first", 0.01), ("second", 0.02))
        ]
        await asyncio.wait(hasty)
        patient.cancel()
    assert passed == ["first", "second", "third"]


async def test_a_deadline_that_was_met_wakes_nobody(waits: Waits) -> None:
    alarm = Alarm()
    with CallDeadline(0.01, alarm) as met:
        assert await met.wait(waits.at_once) == "here"
    with CallDeadline(0.03, alarm) as missed, pytest.raises(TimeoutError):
        await missed.wait(waits.for_ever)
    with CallDeadline(60.0, alarm) as deadline:
        assert await deadline.wait(waits.at_once) == "here"


def test_an_alarm_goes_on_in_another_loop(waits: Waits) -> None:
    alarm = Alarm()

    async def wait(seconds: float) -> None:
        with CallDeadline(seconds, alarm) as deadline:
            await deadline.wait(waits.for_ever if seconds < 1 else waits.at_once)

    asyncio.run(wait(60.0))
    with pytest.raises(TimeoutError):
        asyncio.run(wait(0.01))
