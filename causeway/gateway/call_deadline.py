"""One deadline for a whole call: a single timer, where `asyncio.timeout` around each chunk of a stream would set many.

``bench/failover_cost.py`` measures it: 0.7 microseconds a chunk, where `asyncio.timeout` around each took 5.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

Answer = TypeVar("Answer")


class CallDeadline:
    """Ends what is waited for when the time is over; ``with CallDeadline(seconds) as deadline``.

    Each wait may be another task's. A task that is cancelled from outside stays cancelled, also at the moment in which
    the deadline passes.
    """

    __slots__ = ("_has_passed", "_left_s", "_timer", "_waiting")

    def __init__(self, left_s: float) -> None:
        self._left_s = left_s
        self._waiting: asyncio.Task[object] | None = None
        self._has_passed = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._timer = asyncio.get_running_loop().call_later(self._left_s, self._pass)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def wait(self, begin: Callable[[], Awaitable[Answer]]) -> Answer:
        """What ``begin`` begins, unless it takes too long; one wait at a time.

        Raises:
            TimeoutError: The deadline passed.
        """
        if self._has_passed:
            raise TimeoutError
        waiting = self._waiting = asyncio.current_task()
        cancels = waiting.cancelling() if waiting is not None else 0
        try:
            answer = await begin()
        except asyncio.CancelledError as exc:
            if self._took_back(waiting, cancels):
                raise TimeoutError from exc
            raise
        except BaseException:
            self._took_back(waiting, cancels)
            raise
        else:
            self._took_back(waiting, cancels)
            return answer
        finally:
            self._waiting = None

    def _took_back(self, waiting: asyncio.Task[object] | None, cancels: int) -> bool:
        """Take back the deadline's own cancellation, whatever became of it; whether it was the only one."""
        return self._has_passed and waiting is not None and waiting.uncancel() <= cancels

    def _pass(self) -> None:
        self._has_passed = True
        if self._waiting is not None:
            self._waiting.cancel()
