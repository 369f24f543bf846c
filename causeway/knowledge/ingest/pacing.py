"""How fast a server is asked: so many calls a second, and nothing for as long as it wants to be left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from causeway.contracts.clock import Clock

LONGEST_WAIT_S = 120.0
"""A server that asks for more is left for the next sync."""


class Pacer:
    """Gives turns, so far apart that a server is not asked too often; for the tasks of one sync.

    Args:
        clock: Tells the time.
        every_s: Least time between two turns.
    """

    def __init__(self, clock: Clock, every_s: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._next_at = 0.0
        self._turn = asyncio.Lock()

    def slow_down(self, every_s: float) -> None:
        """Never give turns closer together than this from now on."""
        self._every_s = max(self._every_s, every_s)

    def rest(self, seconds: float) -> None:
        """Give no turn for so long, as the server asked."""
        self._next_at = max(self._next_at, self._clock.monotonic() + seconds)

    async def turn(self) -> None:
        """Return when the server may be asked."""
        async with self._turn:
            while (wait_s := self._next_at - self._clock.monotonic()) > 0:  # noqa: ASYNC110 - `rest` may prolong it
                await asyncio.sleep(wait_s)
            self._next_at = self._clock.monotonic() + self._every_s


def asked_wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for (RFC 9110, section 10.2.3: seconds or a date); None without one."""
    written = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    if written.strip().isdigit():
        return float(written)
    try:
        then = parsedate_to_datetime(written)
    except ValueError:
        return None
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
