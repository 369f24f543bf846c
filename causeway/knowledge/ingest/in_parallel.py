"""Runs jobs a few at a time and raises the first one's own error, not a group of one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable


async def in_parallel(jobs: Iterable[Awaitable[None]], *, at_once: int) -> None:
    """Run ``jobs``, ``at_once`` at a time, started in their order; the first error cancels those under way.

    Give a generator, so that jobs which are never started are never made.
    """
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
