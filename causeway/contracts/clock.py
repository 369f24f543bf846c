"""What time it is: the one place that asks, so tests can stand still."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never go backwards: for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own clock."""

    # asked a dozen times a call, and so without a frame of their own
    now = staticmethod(partial(datetime.now, UTC))
    """The wall clock, aware, in UTC."""
    monotonic = staticmethod(time.monotonic)
    """Seconds from an arbitrary start that never go backwards."""
