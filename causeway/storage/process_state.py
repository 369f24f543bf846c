"""Shared state of a single process: plain objects, no waiting, bounded memory.

No method awaits anything, so each is one step of the event loop and atomic without a lock. A reservation of five meters
and its settlement take about six microseconds of processor time (``bench/admission.py``).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import msgspec

from causeway.contracts.clock import Clock
from causeway.storage.gauges import Gauge, Level, Total, Window, new_gauge, told
from causeway.storage.shared_state import LATE_SETTLEMENT_S, Meter, Reserved

_ENTRY_BYTES = 200
"""What Python keeps around a value: its key, its record and its place in two tables."""


class _Together(msgspec.Struct):
    """Meters that are reserved together, and their gauges: looked up once, as long as none of them is forgotten."""

    meters: Sequence[Meter]
    gauges: list[Gauge]
    windows: list[Window]


class _Reservation(msgspec.Struct):
    together: _Together
    amounts: Mapping[str, int]
    taken_at: float
    due_s: int
    is_lapsed: bool = False


@dataclass(slots=True)
class _Kept:
    content: bytes | int | deque[tuple[int, bytes]]
    content_bytes: int
    size_bytes: int
    expires_at: float
    due_s: int


_MOST_TOGETHER = 10_000

_Kind = Literal["value", "counter", "log"]


class _Calendar:
    """What falls due in which second."""

    def __init__(self) -> None:
        self._names: dict[int, set[str]] = {}
        self._seconds: list[int] = []

    def add(self, second: int, name: str) -> None:
        names = self._names.get(second)
        if names is None:
            self._names[second] = {name}
            heapq.heappush(self._seconds, second)
        else:
            names.add(name)

    def discard(self, second: int, name: str) -> None:
        if second in self._names:
            self._names[second].discard(name)

    def pop_due(self, second: int) -> Iterator[str]:
        while self._seconds and self._seconds[0] <= second:
            yield from self._names.pop(heapq.heappop(self._seconds))


class ProcessState:
    """The `SharedState` of this process.

    Args:
        clock: For windows, leases and lives; its monotonic side, so a machine's clock that is set does not matter.
        most_bytes: Most memory of values, counters and logs together; above it the ones unused for longest go.
    """

    def __init__(self, *, clock: Clock, most_bytes: int = 64_000_000) -> None:
        self._monotonic = clock.monotonic
        self._epoch = clock.now().timestamp() - clock.monotonic()
        self._swept_s = 0
        self._gauges: dict[str, Gauge] = {}
        self._together: dict[int, _Together] = {}  # by the identity of the meters' tuple, which it holds
        self._reservations: dict[str, _Reservation] = {}
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._gauges_due = _Calendar()
        self._reservations_due = _Calendar()
        self._kept_due = _Calendar()
        self._most_bytes = most_bytes
        self._bytes = 0
        self._position = 0

    @property
    def size(self) -> int:
        """How many meters, reservations, values, counters and logs are held now."""
        self._now()
        return len(self._gauges) + len(self._reservations) + len(self._kept)

    async def reserve(
        self, reservation: str, meters: Sequence[Meter], amounts: Mapping[str, int], *, lease_s: float
    ) -> Reserved:
        """Take every meter's share or nothing; see `SharedState.reserve`."""
        now = self._now()
        together = self._together.get(id(meters)) or self._found(meters, now)
        if together is None:
            return Reserved(unknown=self._unknown(meters))
        gauges = together.gauges
        for window in together.windows:
            window.advance(now)
        fits = True
        for meter, gauge in zip(meters, gauges, strict=True):
            amount = amounts[meter.unit]
            if amount and gauge.used + amount > meter.limit:
                fits = False
        is_repeated = reservation in self._reservations
        if is_repeated or not fits:
            return _untaken(meters, gauges, {} if is_repeated else amounts, now)
        remaining, resets = [], []
        for meter, gauge in zip(meters, gauges, strict=True):
            resets.append(gauge.take(reservation, amounts[meter.unit], now))
            remaining.append(meter.limit - gauge.used)
        due_s = ceil(now + lease_s)
        self._reservations[reservation] = _Reservation(together, amounts, now, due_s)
        self._reservations_due.add(due_s, reservation)
        return Reserved(tuple(remaining), tuple(resets))

    async def settle(self, reservation: str, amounts: Mapping[str, int]) -> None:
        """Replace amounts by what was really used; see `SharedState.settle`."""
        now = self._now()
        found = self._reservations.pop(reservation, None)
        if found is None:
            return
        self._reservations_due.discard(found.due_s, reservation)
        together, reserved = found.together, found.amounts
        if self._together.get(id(together.meters)) is not together:  # a gauge was forgotten since
            together = self._standing(together.meters, now)
        for meter, gauge in zip(together.meters, together.gauges, strict=True):
            taken = reserved[meter.unit]
            amount = amounts.get(meter.unit, taken)
            if amount != taken or meter.kind == "level":
                gauge.settle(reservation, taken, amount, found.taken_at, now)

    async def load(self, meter: Meter, used: int) -> None:
        """Make a total known; see `SharedState.load`."""
        now = self._now()
        if meter.key not in self._gauges:
            self._register(meter.key, Total(meter.ends_at, used), now)

    async def get(self, key: str) -> bytes | None:
        """A value, or None; see `SharedState.get`."""
        kept = self._find("value", key)
        return kept.content if kept and isinstance(kept.content, bytes) else None

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for a while."""
        self._keep("value", key, value, len(value), ttl_s)

    async def delete(self, key: str) -> None:
        """Forget a value, a counter and a log."""
        for kind in ("value", "counter", "log"):
            self._forget(f"{kind}:{key}")

    async def add(self, key: str, amount: int, *, ttl_s: float) -> int:
        """Add to a counter; see `SharedState.add`."""
        kept = self._find("counter", key)
        if kept and isinstance(kept.content, int):
            kept.content += amount
            return kept.content
        self._keep("counter", key, amount, 0, ttl_s)
        return amount

    async def append(self, key: str, value: bytes, *, ttl_s: float, most: int) -> None:
        """Add to a log; see `SharedState.append`."""
        kept = self._find("log", key)
        log, size = deque[tuple[int, bytes]](), 0
        if kept and isinstance(kept.content, deque):
            log, size = kept.content, kept.content_bytes
        self._position += 1
        log.append((self._position, value))
        size += len(value) + _ENTRY_BYTES
        while len(log) > most:
            size -= len(log.popleft()[1]) + _ENTRY_BYTES
        self._keep("log", key, log, size, ttl_s)

    async def entries(self, key: str, *, after: str = "") -> Sequence[tuple[str, bytes]]:
        """A log's values behind a position; see `SharedState.entries`."""
        kept = self._find("log", key)
        log = kept.content if kept and isinstance(kept.content, deque) else ()
        behind = int(after or 0)
        return [(str(position), value) for position, value in log if position > behind]

    async def close(self) -> None:
        """Nothing is open."""

    def _now(self) -> float:
        """The moment, as Unix seconds that never go backwards; first lets go of what fell due."""
        now = self._monotonic() + self._epoch
        if now >= self._swept_s + 1:
            self._swept_s = int(now)
            self._sweep(now)
        return now

    def _sweep(self, now: float) -> None:
        second = self._swept_s
        for reservation in self._reservations_due.pop_due(second):
            self._lapse(reservation)
        for key in self._gauges_due.pop_due(second):
            if (again := self._gauges[key].forget_at(now)) is None:
                del self._gauges[key]
                self._together.clear()
            else:
                self._gauges_due.add(max(again, second + 1), key)
        for name in self._kept_due.pop_due(second):
            self._forget(name)

    def _lapse(self, reservation: str) -> None:
        """A lease ended: give levels back; a lease that ended long ago: forget the reservation."""
        found = self._reservations[reservation]
        if found.is_lapsed:
            del self._reservations[reservation]
            return
        found.is_lapsed = True
        found.due_s += ceil(LATE_SETTLEMENT_S)
        self._reservations_due.add(found.due_s, reservation)
        for meter in found.together.meters:
            gauge = self._gauges.get(meter.key)
            if isinstance(gauge, Level):
                gauge.give_back(reservation)

    def _found(self, meters: Sequence[Meter], now: float) -> _Together | None:
        """``meters`` with their gauges; None when a total among them must be loaded first."""
        together = self._standing(meters, now)
        if len(together.gauges) < len(meters):
            return None
        if isinstance(meters, tuple):  # which stays as it is
            if len(self._together) >= _MOST_TOGETHER:
                self._together.clear()
            self._together[id(meters)] = together
        return together

    def _standing(self, meters: Sequence[Meter], now: float) -> _Together:
        """Those of ``meters`` that have a gauge, or get one now."""
        counted = [
            (meter, gauge)
            for meter in meters
            if (gauge := self._gauges.get(meter.key) or self._new_gauge(meter, now)) is not None
        ]
        gauges = [gauge for _, gauge in counted]
        windows = [gauge for gauge in gauges if isinstance(gauge, Window)]
        return _Together(
            [meter for meter, _ in counted] if len(counted) < len(meters) else meters, gauges, windows
        )

    def _unknown(self, meters: Sequence[Meter]) -> tuple[Meter, ...]:
        return tuple(meter for meter in meters if meter.kind == "total" and meter.key not in self._gauges)

    def _new_gauge(self, meter: Meter, now: float) -> Gauge | None:
        gauge = new_gauge(meter, now)
        if gauge is not None:
            self._register(meter.key, gauge, now)
        return gauge

    def _register(self, key: str, gauge: Gauge, now: float) -> None:
        self._gauges[key] = gauge
        self._gauges_due.add(gauge.forget_at(now) or int(now) + 1, key)

    def _find(self, kind: _Kind, key: str) -> _Kept | None:
        now = self._now()
        name = f"{kind}:{key}"
        kept = self._kept.get(name)
        if kept is None or kept.expires_at <= now:
            return None
        self._kept.move_to_end(name)
        return kept

    def _keep(
        self, kind: _Kind, key: str, content: bytes | int | deque[tuple[int, bytes]], size: int, ttl_s: float
    ) -> None:
        now = self._now()
        name = f"{kind}:{key}"
        self._forget(name)
        kept = _Kept(content, size, size + len(name) + _ENTRY_BYTES, now + ttl_s, ceil(now + ttl_s))
        self._kept[name] = kept
        self._kept_due.add(kept.due_s, name)
        self._bytes += kept.size_bytes
        while self._bytes > self._most_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._bytes -= kept.size_bytes
            self._kept_due.discard(kept.due_s, name)


def _untaken(
    meters: Sequence[Meter], gauges: Sequence[Gauge], amounts: Mapping[str, int], now: float
) -> Reserved:
    """How the meters stand where nothing was taken, and the one to wait for longest of those without room."""
    refused, longest = None, -1.0
    for meter, gauge in zip(meters, gauges, strict=True):
        amount = amounts.get(meter.unit, 0)
        if amount and gauge.used + amount > meter.limit:
            wait_s = gauge.wait_s(now, amount, meter.limit)
            if wait_s > longest:
                refused, longest = meter, wait_s
    return Reserved(
        tuple(meter.limit - gauge.used for meter, gauge in zip(meters, gauges, strict=True)),
        tuple(gauge.resets_in_s(now) for gauge in gauges),
        refused,
        told(longest) if refused else None,
    )
