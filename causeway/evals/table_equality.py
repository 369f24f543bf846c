"""Whether two queries returned the same: the same rows as often, in the same order only where an order was asked for.

Numbers are equal within a relative tolerance, whatever type a driver gives them; a decimal's text and a date's text equal the
value. Columns are compared by their place, since a query may call them what it likes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from uuid import UUID

Row = Sequence[object]


def same_table(
    found: Sequence[Row], wanted: Sequence[Row], *, is_ordered: bool, tolerance: float = 1e-6
) -> str:
    """What differs, in a few words; empty when nothing does."""
    if len(found) != len(wanted):
        return f"{len(found)} rows in place of {len(wanted)}"
    widths = {len(row) for row in found} | {len(row) for row in wanted}
    if len(widths) > 1:
        return f"rows of {', '.join(map(str, sorted(widths)))} columns"
    left, right = [_plain(row) for row in found], [_plain(row) for row in wanted]
    if not is_ordered:
        return _unmatched(left, right, tolerance)
    for number, (one, other) in enumerate(zip(left, right, strict=True), start=1):
        if not _same_row(one, other, tolerance):
            return f"row {number} is {_shown(found[number - 1])} in place of {_shown(wanted[number - 1])}"
    return ""


def _unmatched(left: list[tuple[object, ...]], right: list[tuple[object, ...]], tolerance: float) -> str:
    """Match every row of ``left`` with one of ``right``; sorting would fail where numbers differ by a hair.

    Rows that are equal outright pair up first, so the search for near ones is over the few that are left.
    """
    remaining = list(right)
    near = []
    for row in left:
        if row in remaining:
            remaining.remove(row)
        else:
            near.append(row)
    for row in near:
        partner = next((other for other in remaining if _same_row(row, other, tolerance)), None)
        if partner is None:
            return f"the row {_shown(row)} was not wanted"
        remaining.remove(partner)
    return ""


def _same_row(one: Row, other: Row, tolerance: float) -> bool:
    return all(_same(left, right, tolerance) for left, right in zip(one, other, strict=True))


def _same(left: object, right: object, tolerance: float) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=tolerance) or (math.isnan(left) and math.isnan(right))
    return left == right


def _plain(row: Row) -> tuple[object, ...]:
    return tuple(_value(value) for value in row)


def _value(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, bool):
        return float(value)  # a driver without booleans gives 0 and 1
    if isinstance(value, int | float | Decimal):
        return float(value)
    if isinstance(value, datetime | date | time | UUID):
        return str(value)
    text = str(value).strip()
    try:
        return float(Decimal(text)) if text[:1].isdigit() or text[:1] in "+-." else text
    except InvalidOperation:
        return text


def _shown(row: Row) -> str:
    text = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in row)
    return f"({text if len(text) <= 80 else text[:79] + '…'})"
