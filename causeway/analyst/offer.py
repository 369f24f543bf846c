"""What one asker is offered of a database: tables, columns, and the rows of each.

Everything that is not offered does not exist for a query: `causeway.analyst.sql_rules` refuses to name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from causeway.analyst.schema import Dialect, ForeignKey, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedTable:
    """A table as its asker sees it.

    Attributes:
        table: With the offered columns alone.
        hidden: Columns that exist and are not offered, in lower case.
        rows: A condition in SQL that every row satisfies; ``:asker`` and ``:team`` in it are replaced by who asks.
        view: The query that stands for it, where the semantic layer made it; empty for what the database has.
        reads: The tables that the view reads, each with the columns that it uses.
    """

    table: Table
    hidden: frozenset[str] = frozenset()
    rows: str = ""
    view: str = ""
    reads: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """All of it; ``asker`` holds the values of the row rules' parameters."""

    dialect: Dialect
    tables: Mapping[str, OfferedTable]
    foreign_keys: tuple[ForeignKey, ...] = ()
    asker: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str, *, is_quoted: bool = False) -> OfferedTable | None:
        """The table that an identifier names, by the rules of its dialect; None when nothing is offered under it."""
        if self.dialect == "postgres":
            return self.tables.get(name if is_quoted else name.lower())
        lowered = name.lower()
        return next((each for known, each in self.tables.items() if known.lower() == lowered), None)
