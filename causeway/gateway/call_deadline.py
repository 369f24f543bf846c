"""One deadline for a whole call, where `asyncio.timeout` around each chunk of a stream would set many; one timer for all calls.

``bench/failover_cost.py`` measures it: 0.7 microseconds a chunk, where `asyncio.timeout` around each took 5.3.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

Answer = TypeVar("Answer")


class Alarm:
    """Tells deadlines that their time is over.

    Nearly no call comes to its deadline, so a timer for each would be set and taken back by every call. One is set here for
    the deadline that passes first, and stays when that is met: when it rings it looks which of those that are open is next.
    """

    __slots__ = ("_loop", "_open", "_rings_at", "_timer")

    def __init__(self) -> None:
        self._open: dict[CallDeadline, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rings_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deadline: CallDeadline, left_s: float, loop: asyncio.AbstractEventLoop) -> None:
        """``deadline`` passes in so many seconds of ``loop``, which runs, unless it is discarded before."""
        if loop is not self._loop:
            self._loop, self._rings_at, self._timer = loop, math.inf, None
        ends_at = loop.time() + left_s
        self._open[deadline] = ends_at
        if ends_at < self._rings_at:
            self._set(loop, ends_at)

    def discard(self, deadline: CallDeadline) -> None:
        """It was met."""
        self._open.pop(deadline, None)

    def _set(self, loop: asyncio.AbstractEventLoop, rings_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = rings_at
        self._timer = loop.call_later(max(0.0, rings_at - loop.time()), self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._rings_at = None, math.inf
        now = loop.time()
        for deadline in [each for each, ends_at in self._open.items() if ends_at <= now]:
            del self._open[deadline]
            deadline.pass_by()
        if self._open:
            self._set(loop, min(self._open.values()))


class CallDeadline:
    """Ends what is waited for when the time is over; ``with CallDeadline(seconds) as deadline``.

    Each wait may be another task's. A task that is cancelled from outside stays cancelled, also at the moment in which
    the deadline passes.

    Args:
        left_s: Until it passes.
        alarm: Shared by deadlines that are many; without it there is a timer for this one.
    """

    __slots__ = ("_alarm", "_has_passed", "_left_s", "_timer", "_waiting")

    def __init__(self, left_s: float, alarm: Alarm | None = None) -> None:
        self._left_s = left_s
        self._alarm = alarm
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._has_passed = False

    def __enter__(self) -> Self:
        self._set(asyncio.get_running_loop())
        return self

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._alarm is not None:
            self._alarm.add(self, self._left_s, loop)
        else:
            self._timer = loop.call_later(self._left_s, self.pass_by)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.discard(self)
        elif self._timer is not None:
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

    def pass_by(self) -> None:
        """Its time is over."""
        self._has_passed = True
        if self._waiting is not None:
            self._waiting.cancel()


class WaitDeadline(CallDeadline):
    """The deadline of one wait, which is all that is in its block: ``with WaitDeadline(seconds, alarm): await ...``.

    Raises:
        TimeoutError: On leaving the block: the deadline passed.
    """

    __slots__ = ("_cancels",)

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()  # a call of the system, and so once
        waiting = self._waiting = asyncio.current_task(loop)
        self._cancels = waiting.cancelling() if waiting is not None else 0
        self._set(loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._has_passed:
            was_alone = self._took_back(self._waiting, self._cancels)
            if was_alone and isinstance(error, asyncio.CancelledError):
                raise TimeoutError from error
