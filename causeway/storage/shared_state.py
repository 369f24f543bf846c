"""State that every process of one Causeway shares: limits, reservations, small values and short logs.

What is here may be lost (a restart, an emptied Redis): whoever keeps something that must not be lost writes it to
PostgreSQL as well and puts it back with `SharedState.load`. Every operation is atomic, however many processes call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Meter:
    """Something that is bounded.

    ``window``: at most ``limit`` in any ``window_s`` seconds. ``total``: at most ``limit`` until ``ends_at``, such as a
    month's budget. ``level``: at most ``limit`` at once, such as calls under way.

    Attributes:
        key: What is counted, of whom: ``tokens:key_1``, ``budget:team:ops:2026-11``.
        ends_at: ``total`` only: Unix time from which the meter can be forgotten.
    """

    kind: Literal["window", "total", "level"]
    key: str
    limit: int
    window_s: int = 60
    ends_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """``amount`` more of a meter."""

    meter: Meter
    amount: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A meter after an attempt: what is left, and in how many seconds more will be, where that can be known."""

    meter: Meter
    remaining: int
    resets_in_s: float


@dataclass(frozen=True, slots=True)
class Reserved:
    """The outcome of `SharedState.reserve`: ``refused`` is the first claim that did not fit, and then nothing was taken.

    ``retry_after_s`` tells when the refused claim would fit if nobody took more; None when it never can.
    """

    standings: tuple[Standing, ...]
    refused: Claim | None = None
    retry_after_s: float | None = None


class SharedState(Protocol):
    """The state, in this process or on a server."""

    async def reserve(self, reservation: str, claims: Sequence[Claim], *, lease_s: float) -> Reserved:
        """Take every claim or none; a reservation that is not settled within ``lease_s`` is settled as it stands."""
        ...

    async def settle(self, reservation: str, amounts: Sequence[int]) -> None:
        """Replace the claims' amounts, in their order, by what was really used; levels are given back. Once only."""
        ...

    async def is_loaded(self, meter: Meter) -> bool:
        """Whether a ``total`` meter is known here; one that is not must be loaded before it is reserved."""
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
        """Forget a value, a counter or a log."""
        ...

    async def add(self, key: str, amount: int, *, ttl_s: float) -> int:
        """Add to a counter, which begins at zero and is forgotten ``ttl_s`` after its first addition; the new count."""
        ...

    async def append(self, key: str, value: bytes, *, ttl_s: float, most: int) -> None:
        """Add to a log that keeps its newest ``most`` values."""
        ...

    async def entries(self, key: str, *, after: str = "") -> Sequence[tuple[str, bytes]]:
        """A log's values with their positions, oldest first; only those behind the position ``after``."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
