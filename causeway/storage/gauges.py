"""The arithmetic of meters in one process: what a window, a total and a level have taken at a moment.

Time is given as Unix seconds that never go backwards. ``redis_scripts`` does the same arithmetic on a server; a test
holds both to the same answers.
"""

from __future__ import annotations

from math import ceil, inf

from causeway.storage.shared_state import LATE_SETTLEMENT_S, WINDOW_SLOTS, Meter

_RING = WINDOW_SLOTS + 1
"""The present slot and those before it that reach into the window."""

_IDLE_S = 60
"""How often a level without holders is looked for."""


class Window:
    """At most so much in any ``window_s`` seconds: a ring of slots and their sum, a step of constant cost."""

    __slots__ = ("_head", "_newest", "_ring", "_width_s", "used")

    def __init__(self, window_s: int, now: float) -> None:
        self._width_s = window_s / WINDOW_SLOTS
        self._ring = [0] * _RING
        self._head = int(now / self._width_s)
        self._newest = 0
        self.used = 0

    def advance(self, now: float) -> None:
        """Let go of the slots that have left the window."""
        slot = int(now / self._width_s)
        if slot <= self._head:
            return
        if slot - self._head >= _RING:
            self._ring = [0] * _RING
            self.used = 0
        else:
            for passed in range(self._head + 1, slot + 1):
                self.used -= self._ring[passed % _RING]
                self._ring[passed % _RING] = 0
        self._head = slot

    def take(self, reservation: str, amount: int, now: float) -> float:  # noqa: ARG002
        """Add to the present slot."""
        if amount:
            self._ring[self._head % _RING] += amount
            self._newest = self._head
            self.used += amount
        return (self._newest + _RING) * self._width_s - now if self.used else 0.0

    def settle(self, reservation: str, taken: int, amount: int, taken_at: float, now: float) -> None:
        """Give back to the slot it came from, unless that has left the window; take an overrun now."""
        self.advance(now)
        if amount > taken:
            self.take(reservation, amount - taken, now)
        elif self._head - (slot := int(taken_at / self._width_s)) < _RING:
            self._ring[slot % _RING] -= taken - amount
            self.used -= taken - amount

    def wait_s(self, now: float, amount: int, limit: int) -> float:
        """Seconds until enough of the oldest slots have left."""
        if amount > limit:
            return inf
        left = self.used
        for slot in range(self._head - WINDOW_SLOTS, self._head + 1):
            left -= self._ring[slot % _RING]
            if left + amount <= limit:
                return (slot + _RING) * self._width_s - now
        return inf

    def resets_in_s(self, now: float) -> float:
        """Seconds until the newest amount has left."""
        return (self._newest + _RING) * self._width_s - now if self.used else 0.0

    def forget_at(self, now: float) -> int | None:
        """When the newest amount has left."""
        self.advance(now)
        return int((self._newest + _RING) * self._width_s) + 1 if self.used else None


class Total:
    """At most so much until a moment."""

    __slots__ = ("_ends_at", "used")

    def __init__(self, ends_at: float, used: int) -> None:
        self._ends_at = ends_at
        self.used = used

    def take(self, reservation: str, amount: int, now: float) -> float:  # noqa: ARG002
        """Add."""
        self.used += amount
        left_s = self._ends_at - now
        return left_s if left_s > 0.0 else 0.0

    def settle(self, reservation: str, taken: int, amount: int, taken_at: float, now: float) -> None:  # noqa: ARG002
        """Replace."""
        self.used += amount - taken

    def wait_s(self, now: float, amount: int, limit: int) -> float:
        """Seconds until it ends: then another meter counts."""
        return inf if amount > limit else max(0.0, self._ends_at - now)

    def resets_in_s(self, now: float) -> float:
        """Seconds until it ends."""
        return max(0.0, self._ends_at - now)

    def forget_at(self, now: float) -> int | None:
        """When the last settlement can have come."""
        last = self._ends_at + LATE_SETTLEMENT_S
        return int(last) + 1 if now < last else None


class Level:
    """At most so much at once; a lease ends by `give_back`, which its keeper calls."""

    __slots__ = ("_held", "used")

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self.used = 0

    def take(self, reservation: str, amount: int, now: float) -> float:  # noqa: ARG002
        """Hold until it is given back."""
        if amount:
            self._held[reservation] = amount
            self.used += amount
        return 0.0

    def settle(self, reservation: str, taken: int, amount: int, taken_at: float, now: float) -> None:  # noqa: ARG002
        """Give back, whatever the amount."""
        self.used -= self._held.pop(reservation, 0)

    def give_back(self, reservation: str) -> None:
        """Hold no longer; nothing happens when it is not held."""
        self.used -= self._held.pop(reservation, 0)

    def wait_s(self, now: float, amount: int, limit: int) -> float:  # noqa: ARG002
        """Zero: as soon as somebody gives back."""
        return inf if amount > limit else 0.0

    def resets_in_s(self, now: float) -> float:  # noqa: ARG002
        """Zero: nobody knows."""
        return 0.0

    def forget_at(self, now: float) -> int | None:
        """When nobody holds any."""
        return int(now) + _IDLE_S if self.used else None


Gauge = Window | Total | Level
"""What a meter has taken; ``used`` of a window, which alone lets go by itself, is right once ``advance`` was called for the moment.

``take`` tells in how many seconds it is empty again, as ``resets_in_s`` does of a gauge from which nothing is taken.
``forget_at`` is the Unix second at which to ask again whether a gauge can be forgotten; None when it can be now.
"""


def new_gauge(meter: Meter, now: float) -> Window | Level | None:
    """An empty gauge; None for a total, which must be loaded."""
    if meter.kind == "window":
        return Window(meter.window_s, now)
    return Level() if meter.kind == "level" else None


def told(wait_s: float) -> float | None:
    """A wait as a caller is told: rounded up to a millisecond, so that the moment has surely come; None for ever."""
    return None if wait_s == inf else ceil(wait_s * 1000) / 1000
