"""How many chunks pass a filter, as far as a search must know: their number when they are few, else that they are many.

Counting many takes as long as finding among them, and every search with the same filter or the same reader would do it
again. So that there are many is remembered for a minute, and by it only the way of searching is chosen: each row is still
asked whether it passes. That there are few is never remembered, so what is found among few is always all of it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from sqlalchemy import ColumnElement, Integer, ScalarSelect, func, literal, select

from causeway.contracts.clock import Clock
from causeway.knowledge.index.filters import EVERYTHING, Filter, is_among_passing

_REMEMBERED_S: Final = 60.0
_MOST_REMEMBERED: Final = 1_000


class Breadth:
    """Of one table's rows, which have a document each: whether more than ``most`` pass a filter."""

    def __init__(self, document_id: ColumnElement[str], most: int, clock: Clock) -> None:
        self._document_id = document_id
        self._most = most
        self._clock = clock
        self._many: OrderedDict[Filter, float] = OrderedDict()

    def is_known_as_many(self, where: Filter) -> bool:
        """Whether more than ``most`` were seen to pass within the last minute."""
        return self._many.get(where, float("-inf")) > self._clock.monotonic()

    def counted(self, where: Filter) -> ScalarSelect[int]:
        """An expression for the number that pass, which ends at one more than ``most``; `learn` takes what it gives."""
        rows = select(literal(1, Integer))
        if where == EVERYTHING:
            rows = rows.select_from(self._document_id.table)
        else:
            rows = rows.where(is_among_passing(self._document_id, where))
        return select(func.count()).select_from(rows.limit(self._most + 1).subquery()).scalar_subquery()

    def learn(self, where: Filter, count: int) -> int | None:
        """``count`` as `counted` gave it: the number itself, or None when they are many."""
        if count <= self._most:
            return count
        self._many[where] = self._clock.monotonic() + _REMEMBERED_S
        self._many.move_to_end(where)
        while len(self._many) > _MOST_REMEMBERED:
            self._many.popitem(last=False)
        return None
