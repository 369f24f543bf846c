"""Circuit breakers: a provider's model that keeps failing is left alone for a while, then probed by one call.

After Nygard, Release It! (2007), and Microsoft's pattern
(https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker). A breaker opens after so many failures in a
row, or when at least half of at least twenty calls of the last half minute failed, which finds a provider that fails
every other call. Nothing on the path of a call waits for the network: what one process learns, the others read from
the shared log within half a second; only the one call that would probe asks whether another process probes already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from causeway.contracts.clock import Clock
from causeway.storage.shared_state import SharedState

log = logging.getLogger(__name__)

Permit = Literal["pass", "probe", "refuse"]
State = Literal["open", "closed", "unprobed"]
"""What became of a breaker; ``unprobed`` when the call that was to probe it brought no verdict."""

_FOLLOW_EVERY_S = 0.5
_LOG = "breakers"
_LOG_TTL_S = 3600.0
_MOST_NEWS = 256
_MOST_BREAKERS = 4096  # models of open servers are named by callers
_PROBED_ELSEWHERE_S = 1.0
_WINDOW_S = 30.0
_LEAST_CALLS = 20
_FAILED_SHARE = 0.5
_LONGEST_REASON = 200


class Breaker:
    """The breaker of one provider's model. Nothing here waits; the times are of the monotonic clock.

    A call asks `permit` before it is made, and hands it back with its end: `succeeded`, `failed` or `abandoned`.
    """

    __slots__ = (
        "_changed",
        "_clock",
        "_failures",
        "_in_a_row",
        "_rest_s",
        "_rests_until",
        "_window",
        "name",
        "reason",
    )

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        rest_s: float,
        clock: Clock,
        changed: Callable[[Breaker, State], None],
    ) -> None:
        self.name = name
        self.reason = ""
        """Why it opened last, for messages."""
        self._failures = failures
        self._rest_s = rest_s
        self._clock = clock
        self._changed = changed
        self._in_a_row = 0
        self._rests_until: float | None = None  # None is closed
        self._window = _Window()

    @property
    def is_open(self) -> bool:
        """Whether calls are kept away, but for probes."""
        return self._rests_until is not None

    @property
    def rest_s(self) -> float:
        """Seconds until a call may probe; 0 when one may now."""
        return 0.0 if self._rests_until is None else max(0.0, self._rests_until - self._clock.monotonic())

    def permit(self) -> Permit:
        """Whether a call may be made. Of the calls after a rest, one probes; without its verdict, one more a rest later."""
        if self._rests_until is None:
            return "pass"
        now = self._clock.monotonic()
        if now < self._rests_until:
            return "refuse"
        self._rests_until = now + self._rest_s
        return "probe"

    def succeeded(self, permit: Permit) -> None:
        """The provider did what was asked, or showed that it works by finding fault with the call."""
        if permit == "probe":
            self.close()
            self._changed(self, "closed")
        elif self._rests_until is None:
            self._in_a_row = 0
            self._window.add(self._clock.monotonic(), is_failure=False)

    def failed(self, permit: Permit, reason: str) -> None:
        """The provider failed: its fault, not the caller's. Of calls that began before it opened, nothing is learnt."""
        if self._rests_until is None:
            self._in_a_row += 1
            self._window.add(self._clock.monotonic(), is_failure=True)
            if self._in_a_row < self._failures and not self._window.is_bad():
                return
        elif permit != "probe":
            return
        self.open(self._rest_s, reason)
        self._changed(self, "open")

    def abandoned(self, permit: Permit) -> None:
        """The call ended without a verdict: its caller left, or had no time for an answer."""
        if permit == "probe" and self._rests_until is not None:
            self._rests_until = self._clock.monotonic()
            self._changed(self, "unprobed")

    def open(self, rest_s: float, reason: str) -> None:
        """Keep calls away for ``rest_s``."""
        self._rests_until = self._clock.monotonic() + rest_s
        self.reason = reason[:_LONGEST_REASON]

    def close(self) -> None:
        """Let calls through, with a clean slate."""
        self._rests_until = None
        self._in_a_row = 0
        self._window = _Window()


class Breakers:
    """The breakers of this process, kept in step with other processes' by `follow`.

    Args:
        failures: Failures in a row that open one.
        rest_s: How long it rests before a probe.
        clock: Measures rests.
        shared: Where processes tell each other; None for a process that is alone.
        process: This process's name among them.
    """

    def __init__(
        self,
        *,
        failures: int,
        rest_s: float,
        clock: Clock,
        shared: SharedState | None = None,
        process: str = "",
    ) -> None:
        self._failures = failures
        self._rest_s = rest_s
        self._clock = clock
        self._shared = shared
        self._process = process
        self._breakers: dict[str, Breaker] = {}
        self._news: deque[_News] = deque(maxlen=_MOST_NEWS)
        self._has_news = asyncio.Event()
        self._read_to = ""

    def of(self, name: str) -> Breaker:
        """The breaker of ``provider/model``."""
        breaker = self._breakers.get(name)
        if breaker is None:
            if len(self._breakers) >= _MOST_BREAKERS:
                self._breakers = {name: kept for name, kept in self._breakers.items() if kept.is_open}
            breaker = self._breakers[name] = Breaker(
                name,
                failures=self._failures,
                rest_s=self._rest_s,
                clock=self._clock,
                changed=self._tell,
            )
        return breaker

    def open_ones(self) -> dict[str, Breaker]:
        """Those that keep calls away now, by name, for pages and meters."""
        return {name: breaker for name, breaker in self._breakers.items() if breaker.is_open}

    async def may_probe(self, breaker: Breaker) -> bool:
        """Whether this process's call is the one that probes; another process may have been first."""
        if self._shared is None:
            return True
        try:
            place = await self._shared.add(f"probe:{breaker.name}", 1, ttl_s=self._rest_s)
        except BaseException:
            breaker.abandoned("probe")
            raise
        if place != 1:
            breaker.open(min(_PROBED_ELSEWHERE_S, self._rest_s), breaker.reason)
        return place == 1

    async def follow(self, stop: asyncio.Event) -> None:
        """Tell other processes what this one learns, and learn what they tell, until ``stop`` is set.

        While the shared state is out of reach each process goes on alone.
        """
        while self._shared is not None and not stop.is_set():
            await self.exchange()
            await self._pause(stop)

    async def exchange(self) -> None:
        """One round of `follow`."""
        if self._shared is None:
            return
        self._has_news.clear()
        while self._news:
            news = self._news.popleft()
            await self._shared.append(_LOG, _encode(news), ttl_s=_LOG_TTL_S, most=_MOST_NEWS)
            if news.state != "open":
                await self._shared.delete(f"probe:{news.name}")
        for position, entry in await self._shared.entries(_LOG, after=self._read_to):
            self._read_to = position
            with contextlib.suppress(msgspec.DecodeError):  # another release's
                self._learn(_decode(entry))

    def _tell(self, breaker: Breaker, state: State) -> None:
        if state != "unprobed":
            log.warning(
                "a model is left alone" if state == "open" else "a model works again",
                extra={"model": breaker.name, "reason": breaker.reason, "seconds": round(breaker.rest_s, 1)},
            )
        if self._shared is not None:
            until = self._clock.now().timestamp() + breaker.rest_s
            self._news.append(_News(self._process, breaker.name, state, until, breaker.reason))
            self._has_news.set()

    def _learn(self, news: _News) -> None:
        if news.process == self._process:
            return
        breaker = self.of(news.name)
        rest_s = min(self._rest_s, news.until - self._clock.now().timestamp())
        if news.state == "open" and rest_s > 0:
            breaker.open(rest_s, news.reason)
        elif news.state == "closed":
            breaker.close()

    async def _pause(self, stop: asyncio.Event) -> None:
        """Half a second, or until there are news or the end."""
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(event.wait()) for event in (stop, self._has_news)]
            await asyncio.wait(waits, timeout=_FOLLOW_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()


class _Window:
    """Calls and failures of the last half minute, in two halves: constant in memory and time."""

    __slots__ = ("_began_at", "_now", "_past")

    def __init__(self) -> None:
        self._began_at = 0.0
        self._past = (0, 0)
        self._now = (0, 0)

    def add(self, now: float, *, is_failure: bool) -> None:
        """Count a call."""
        half = _WINDOW_S / 2
        age = now - self._began_at
        if age >= half:
            self._past = self._now if age < _WINDOW_S else (0, 0)
            self._now = (0, 0)
            self._began_at = now
        self._now = (self._now[0] + 1, self._now[1] + is_failure)

    def is_bad(self) -> bool:
        """Whether so many calls failed that the provider does more harm than good."""
        calls, failed = (past + now for past, now in zip(self._past, self._now, strict=True))
        return calls >= _LEAST_CALLS and failed >= _FAILED_SHARE * calls


class _News(msgspec.Struct, frozen=True):
    """What became of a breaker; ``until`` is Unix time, which processes on other machines share."""

    process: str
    name: str
    state: State
    until: float
    reason: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_News).decode
