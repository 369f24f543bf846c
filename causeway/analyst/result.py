"""What a query gives back, in plain values, and the bounds on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from causeway.analyst.schema import Kind

Value = None | bool | int | float | str
Row = tuple[Value, ...]

LONGEST_TEXT: Final = 10_000
"""Longer texts are cut."""
_LARGEST_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What one query may take.

    Attributes:
        timeout_s: From its first moment to its last row.
        rows: Most rows that are read; more mark the result as cut.
        size_bytes: About how large these rows may be together; what goes beyond marks the result as cut.
        cost: Most that the database's planner may expect it to cost, in the planner's own unit; 0 sets no bound.
        memory_bytes: Most that an engine inside this process may use for it.
    """

    timeout_s: float = 10.0
    rows: int = 1_000
    size_bytes: int = 2_000_000
    cost: float = 5_000_000.0
    memory_bytes: int = 256_000_000


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Rows, in the query's order.

    Attributes:
        is_cut: There were more rows, or larger ones, than the caps allow.
    """

    columns: tuple[ResultColumn, ...]
    rows: tuple[Row, ...]
    is_cut: bool = False
    took_ms: int = 0


class Gathering:
    """Rows on their way in, counted against the caps."""

    def __init__(self, names: Sequence[str], caps: Caps) -> None:
        self._names = tuple(names)
        self._caps = caps
        self._rows: list[Row] = []
        self._kinds: list[Kind | None] = [None] * len(self._names)
        self._size = 0
        self.is_cut = False

    def add(self, rows: Iterable[Sequence[object]]) -> bool:
        """Take rows; False when no more are wanted."""
        for row in rows:
            if len(self._rows) >= self._caps.rows or self._size > self._caps.size_bytes:
                self.is_cut = True
                return False
            for place, value in enumerate(row):
                if self._kinds[place] is None and value is not None:
                    self._kinds[place] = _kind(value)
            plain = tuple(_plain(value) for value in row)
            self._size += sum(len(value) if isinstance(value, str) else 8 for value in plain)
            self._rows.append(plain)
        return True

    def result(self, took_ms: int) -> Result:
        """What was gathered."""
        columns = [
            ResultColumn(name, kind or "other") for name, kind in zip(self._names, self._kinds, strict=True)
        ]
        return Result(columns=tuple(columns), rows=tuple(self._rows), is_cut=self.is_cut, took_ms=took_ms)


def _kind(value: object) -> Kind:
    match value:
        case bool():
            return "boolean"
        case int() | float() | Decimal():
            return "number"
        case datetime() | date():
            return "time"
        case str():
            return "text"
        case _:
            return "other"


def _plain(value: object) -> Value:
    """A value that JSON can say; a number that a float cannot hold exactly becomes text."""
    match value:
        case None | bool():
            return value
        case int():
            return value if abs(value) <= _LARGEST_EXACT else str(value)
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _number(value)
        case str():
            return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "\N{HORIZONTAL ELLIPSIS}"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return _interval(value)
        case bytes() | memoryview():
            return f"({len(value)} bytes)"
        case _:
            return str(value)[:LONGEST_TEXT]


def _number(value: Decimal) -> Value:
    if not value.is_finite():
        return None
    if value == value.to_integral_value():
        whole = int(value)
        return whole if abs(whole) <= _LARGEST_EXACT else str(whole)
    return (
        float(value) if len(value.as_tuple().digits) <= 15 or value.adjusted() < 0 else float(round(value, 6))
    )


def _interval(value: timedelta) -> str:
    hours, rest = divmod(value.seconds, 3600)
    clock = f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{value.days} days {clock}" if value.days else clock
