"""What a database holds, as far as questions need it: tables, columns, keys, comments, sample values.

Owns the shapes. Reading them is each database's; what of them an asker is offered is `causeway.analyst.offer`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Dialect = Literal["postgres", "sqlite", "duckdb", "mysql"]
Kind = Literal["number", "text", "time", "boolean", "other"]
"""What a column's values are, for prompts and charts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        type: As the database writes it.
        values: Some of its values: all of them when there are few, the most frequent otherwise; of texts alone.
        distinct: How many different values it has, where that is known.
        lowest: Of numbers and times, as text; with ``highest``, the range.
    """

    name: str
    type: str
    kind: Kind
    comment: str = ""
    values: tuple[str, ...] = ()
    distinct: int | None = None
    lowest: str | None = None
    highest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or a view; ``namespace`` is the schema it is in, empty where there is none."""

    name: str
    columns: tuple[Column, ...]
    namespace: str = ""
    primary_key: tuple[str, ...] = ()
    comment: str = ""
    rows: int | None = None

    def column(self, name: str) -> Column | None:
        """The column called ``name``, in any case; None when there is none."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of ``table`` that name a row of ``other``."""

    table: str
    columns: tuple[str, ...]
    other: str
    other_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Every table that may be read at all."""

    dialect: Dialect
    tables: Mapping[str, Table]
    foreign_keys: tuple[ForeignKey, ...] = field(default=())


def kind_of(type_name: str) -> Kind:
    """What the values of a column of this type are."""
    word = type_name.lower()
    if any(part in word for part in ("date", "time")) and "interval" not in word:
        return "time"
    if "bool" in word:
        return "boolean"
    if any(part in word for part in ("int", "num", "dec", "real", "double", "float", "money", "serial")):
        return "other" if "interval" in word or "point" in word else "number"
    if any(part in word for part in ("char", "text", "clob", "enum", "string", "uuid")) or not word:
        return "text"
    return "other"
