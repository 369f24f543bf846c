"""Turns at one database: a few queries at once, in threads of their own, a few more waiting, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, ParamSpec, TypeVar

from causeway.errors import BusyError

P = ParamSpec("P")
T = TypeVar("T")

_MOST_WAITING: Final = 32
_LONGEST_WAIT_S: Final = 20.0


class Turns:
    """Bounds what is asked of one database at a time."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._threads = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="analyst")

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A turn, for the block.

        Raises:
            BusyError: Too many wait already, or none came free in time.
        """
        if self._waiting >= _MOST_WAITING:
            raise BusyError(
                f"{self._waiting} queries wait for this database already; try again in a minute"
            ).after(30)
        self._waiting += 1
        try:
            async with asyncio.timeout(_LONGEST_WAIT_S):
                await self._free.acquire()
        except TimeoutError as exc:
            msg = "the database is busy with other queries; try again in a minute"
            raise BusyError(msg).after(30) from exc
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    async def in_thread(self, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """What ``work`` returns, run in one of these threads; the thread goes on when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: work(*arguments, **options)
        )

    def close(self) -> None:
        """Take no more work; what runs ends by its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)
