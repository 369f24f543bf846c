"""Mends numbers in a scan's tables: a letter that looks like a digit, where the cell above or below is a number as long.

Cells are a word or two, so an engine's language model has nothing to go by, and ``15`` over ``20`` is read as ``i5``. A cell
that has no digit is left alone: it may be a letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_ALIKE = str.maketrans("iIl|!oO", "1111100")
_LIKE_A_NUMBER = re.compile(r"(?=.*[0-9])[0-9iIl|!oO]+(?:[.,][0-9iIl|!oO]+)*")


def with_numerals(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The table's rows, the first of which is its header, with such letters as the digits they stand for."""
    return tuple(
        tuple(
            _mended(cell, [rows[near][column] for near in (line - 1, line + 1) if 0 < near < len(rows)])
            if line
            else cell
            for column, cell in enumerate(row)
        )
        for line, row in enumerate(rows)
    )


def _mended(cell: str, near: Sequence[str]) -> str:
    if not _LIKE_A_NUMBER.fullmatch(cell) or _NUMBER.fullmatch(cell):
        return cell
    is_number = any(_NUMBER.fullmatch(other) and len(other) == len(cell) for other in near)
    return cell.translate(_ALIKE) if is_number else cell
