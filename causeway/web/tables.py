"""A list as somebody looks at it: what is filtered, by which column it is sorted, which page of it; and links that change one of these.

Everything is in the address, so a list works without scripts, can be sent to a colleague, and htmx swaps it in place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi import Request

from causeway.web.rendering import link

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Order:
    """A column and a direction; written ``size`` or ``-size`` in an address."""

    by: str
    is_descending: bool = False

    @classmethod
    def read(cls, text: str, columns: Collection[str], usual: str) -> Order:
        """What an address says; ``usual`` where it names no column of ``columns``.

        >>> Order.read("-size", ("title", "size"), "title")
        Order(by='size', is_descending=True)
        >>> Order.read("secret", ("title", "size"), "title")
        Order(by='title', is_descending=False)
        """
        wanted = text if text.removeprefix("-") in columns else usual
        return cls(wanted.removeprefix("-"), wanted.startswith("-"))

    def __str__(self) -> str:
        """As an address has it."""
        return f"-{self.by}" if self.is_descending else self.by

    def sort(self, rows: Sequence[Row], keys: Mapping[str, Callable[[Row], Any]]) -> list[Row]:
        """``rows`` by this column; those without a value come last, whatever the direction."""
        key = keys[self.by]
        there = [row for row in rows if key(row) is not None]
        return sorted(there, key=key, reverse=self.is_descending) + [row for row in rows if key(row) is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list of one page.

    Attributes:
        route: The page's.
        values: What its address says now; empty values are left out of links.
        order: How it is sorted; None where it cannot be.
        first: Columns whose first click sorts downwards: numbers and dates, of which the greatest are wanted.
        part: The id of the element that htmx swaps.
    """

    request: Request
    route: str
    values: Mapping[str, object]
    order: Order | None = None
    first: Collection[str] = ()
    part: str = "listing"

    def url(self, **changes: object) -> str:
        """The address with some values changed; a change of anything but the page goes back to the first."""
        return link(self.request, self.route, {**self.values, "page": None, **changes})

    def sorted_by(self, column: str) -> str:
        """The address that a click on a heading leads to."""
        if self.order is not None and self.order.by == column:
            return self.url(sort=Order(column, not self.order.is_descending))
        return self.url(sort=Order(column, column in self.first))

    def direction(self, column: str) -> Literal["ascending", "descending"] | None:
        """What ``aria-sort`` says of a column."""
        if self.order is None or self.order.by != column:
            return None
        return "descending" if self.order.is_descending else "ascending"
