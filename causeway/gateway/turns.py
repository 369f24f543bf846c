"""Turns at a provider that takes only so many calls at a time: the most urgent waiting call goes next.

Among calls of one priority the oldest goes first. A call gains one step of priority for every ``patience_s`` that it
waits, so none waits for ever. Because all waiting calls age alike, their order never changes while they wait: it is that of
``arrived_at - priority * patience_s``, and a heap is enough.

One process's calls take turns with each other; several processes each have turns of their own.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from collections.abc import Mapping
from types import TracebackType

from causeway.contracts.clock import Clock
from causeway.errors import BusyError

_Waiting = tuple[float, int, asyncio.Future[None]]


class Turns:
    """The turns of every provider.

    Args:
        bounds: Most calls at a time by provider; one that is left out, or zero, has no bound.
        clock: For how long calls have waited.
        most_waiting: Calls that may wait for one provider; further ones are refused.
        patience_s: How long a call waits before it counts as one priority higher.
    """

    def __init__(
        self, bounds: Mapping[str, int], *, clock: Clock, most_waiting: int = 1_000, patience_s: float = 5.0
    ) -> None:
        self._clock = clock
        self._most_waiting = most_waiting
        self._patience_s = patience_s
        self._queues: dict[str, _Queue] = {}
        self.set_bounds(bounds)

    def set_bounds(self, bounds: Mapping[str, int]) -> None:
        """Change the bounds while calls are under way and waiting; those under way are not disturbed."""
        for provider, bound in bounds.items():
            if bound and provider not in self._queues:
                self._queues[provider] = _Queue(provider, self._clock, self._most_waiting, self._patience_s)
        for provider, queue in self._queues.items():
            queue.set_bound(bounds.get(provider, 0) or sys.maxsize)

    def are_free(self, provider: str) -> bool:
        """Whether ``provider`` takes as many calls as come, so that none has to wait for a turn."""
        return provider not in self._queues

    def turn(self, provider: str, priority: int, *, within_s: float | None = None) -> _Turn | _Free:
        """``async with turns.turn("openai", tier.priority):`` waits for a turn and gives it back.

        One that is cancelled leaves the queue.

        Raises:
            BusyError: On entering: too many calls wait already.
            TimeoutError: On entering: no turn came ``within_s``.
        """
        queue = self._queues.get(provider)
        return _FREE if queue is None else _Turn(queue, priority, within_s)


class _Free:
    """A turn where there is no bound."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


_FREE = _Free()


class _Turn:
    def __init__(self, queue: _Queue, priority: int, within_s: float | None) -> None:
        self._queue = queue
        self._priority = priority
        self._within_s = within_s

    async def __aenter__(self) -> None:
        await self._queue.enter(self._priority, self._within_s)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.leave()


class _Queue:
    """The calls under way at one provider and those that wait, soonest first."""

    def __init__(self, provider: str, clock: Clock, most_waiting: int, patience_s: float) -> None:
        self._provider = provider
        self._bound = sys.maxsize
        self._clock = clock
        self._most_waiting = most_waiting
        self._patience_s = patience_s
        self._under_way = 0
        self._waiting: list[_Waiting] = []
        self._arrivals = 0

    async def enter(self, priority: int, within_s: float | None) -> None:
        if self._under_way < self._bound:
            self._under_way += 1
            return
        if len(self._waiting) >= self._most_waiting:
            raise BusyError(
                f"provider '{self._provider}' has {self._bound} calls under way and {len(self._waiting)} waiting; "
                "try again in a moment, or let an operator raise its max_concurrent"
            ).after(1.0)
        self._arrivals += 1
        turn = asyncio.get_running_loop().create_future()
        rank = self._clock.monotonic() - priority * self._patience_s
        waiting = (rank, self._arrivals, turn)
        heapq.heappush(self._waiting, waiting)
        async with asyncio.timeout(within_s):
            await self._wait(waiting)

    async def _wait(self, waiting: _Waiting) -> None:
        turn = waiting[2]
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # given a turn and cancelled in the same step of the loop: pass it on
                self.leave()
            elif waiting in self._waiting:
                self._waiting.remove(waiting)
                heapq.heapify(self._waiting)
            raise

    def leave(self) -> None:
        """Pass the turn on to the next that waits, or free it."""
        self._under_way -= 1
        self._let_in()

    def set_bound(self, bound: int) -> None:
        self._bound = bound
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._under_way < self._bound:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():  # else it was cancelled, and its task has not come to know yet
                self._under_way += 1
                turn.set_result(None)
