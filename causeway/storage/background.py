"""Endless work beside a block of code, such as listening, flushing and tidying."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


@asynccontextmanager
async def alongside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run ``work`` until the block ends, then cancel it and wait for its end.

    The block's own error comes out as itself, where a bare ``TaskGroup`` would put it in a group: a command line and
    its tests see what was raised. Work that fails cancels the block, and its error comes out in a group.
    """
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(endless) for endless in work]
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - raised below, outside the group
            failure = exc
        finally:
            for task in tasks:
                task.cancel()
    if failure is not None:
        raise failure


async def rest(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long between two rounds of endless work, or until ``stop`` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
