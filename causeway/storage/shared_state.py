"""State that every process of one Causeway shares: limits, reservations, small values and short logs.

What is here may be lost (a restart, an emptied Redis): whoever keeps something that must not be lost writes it to
PostgreSQL as well and puts it back with `SharedState.load`. Every operation is atomic, however many processes call.

Meters are exact and their failure is loud: a limit that cannot be checked raises. Values, counters and logs are a
convenience: out of reach they are as if they had been forgotten.

Two implementations, one contract (``causeway.testing.shared_state_contract``): ``process_state`` and ``redis_state``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

WINDOW_SLOTS = 60
"""Into how many slots a window is cut. An amount leaves the window with the slot it was taken in, so up to one slot
(a second of a minute) later than it could, and never earlier: a limit errs to the strict side."""

LATE_SETTLEMENT_S = 86_400.0
"""How long after its lease a reservation can still be settled, so that a process that crashed can put its budgets
right when it is started again; totals are kept as long after their end."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Something that is bounded.

    ``window``: at most ``limit`` in any ``window_s`` seconds. ``total``: at most ``limit`` until ``ends_at``, such as a
    month's budget. ``level``: at most ``limit`` at once, such as calls under way.

    Attributes:
        key: What is counted, of whom: ``tokens:key_1``, ``budget:team:ops:month:2026-11-01``.
        unit: Which of a reservation's amounts counts here: ``calls``, ``tokens``, ``micros``.
        ends_at: ``total`` only: Unix time from which nothing more is counted.
    """

    kind: Literal["window", "total", "level"]
    key: str
    limit: int
    unit: str = "calls"
    window_s: int = 60
    ends_at: float = 0.0


class Reserved(msgspec.Struct, frozen=True):
    """The outcome of `SharedState.reserve`; nothing was taken when ``refused`` or ``unknown`` says something.

    Attributes:
        remaining: What each meter has left, in their order; below zero after an overrun. Empty when ``unknown`` is not.
        resets_in_s: In how many seconds each is empty again if nobody takes more; zero where that cannot be known.
        refused: A meter with too little left: of several, the one to wait for longest.
        retry_after_s: When ``refused`` would have room if nobody took more, rounded up to a millisecond; zero for a
            level, which has room as soon as somebody gives back; None when the amount is above the limit itself.
        unknown: Totals that must be loaded first.
    """

    remaining: tuple[int, ...] = ()
    resets_in_s: tuple[float, ...] = ()
    refused: Meter | None = None
    retry_after_s: float | None = None
    unknown: tuple[Meter, ...] = ()


class SharedState(Protocol):
    """The state, in this process or on a server.

    `reserve` and `load` raise `SharedStateUnavailableError` when the server cannot be reached. The other operations do
    not: what cannot be read is not there, what cannot be written is forgotten, what cannot be settled is settled later.
    """

    async def reserve(
        self, reservation: str, meters: Sequence[Meter], amounts: Mapping[str, int], *, lease_s: float
    ) -> Reserved:
        """Take each meter's share of ``amounts`` or nothing at all.

        An amount of zero always fits, also into a meter that is overrun. A reservation that is there already takes
        nothing again. Cancelled, or out of reach half-way, it gives back what it may have taken.

        Args:
            reservation: An id of the caller's choice, unique for at least a day.
            meters: With different keys.
            amounts: By unit, zero or more; every meter's unit is there.
            lease_s: When it has not been settled by then, its levels are given back, and the rest stands as it is.
        """
        ...

    async def settle(self, reservation: str, amounts: Mapping[str, int]) -> None:
        """Replace amounts by what was really used, and give levels back. From any process, and once only.

        Units left out stay as they were reserved. What was too much returns to the slot it was taken from; an overrun
        is taken from the present slot even where nothing is left, so the next call waits longer. Nothing happens to a
        reservation that is unknown or settled. Once called it finishes, even when its caller is cancelled.
        """
        ...

    async def load(self, meter: Meter, used: int) -> None:
        """Make a ``total`` meter known, with what PostgreSQL says was used; one that is known stays as it is."""
        ...

    async def get(self, key: str) -> bytes | None:
        """A value; None when there is none, or its time is over."""
        ...

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for a while."""
        ...

    async def delete(self, key: str) -> None:
        """Forget a value, a counter and a log."""
        ...

    async def add(self, key: str, amount: int, *, ttl_s: float) -> int:
        """Add to a counter, which begins at zero and is forgotten ``ttl_s`` after its first addition; the new count."""
        ...

    async def append(self, key: str, value: bytes, *, ttl_s: float, most: int) -> None:
        """Add to a log that keeps its newest ``most`` values; it is forgotten ``ttl_s`` after the newest."""
        ...

    async def entries(self, key: str, *, after: str = "") -> Sequence[tuple[str, bytes]]:
        """A log's values with their positions, oldest first; only those behind the position ``after``."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of connections."""
        ...
