"""Mends names in a draft that a model got nearly right, so that no further draft is needed for a slip.

A column that the table it is said to be of lacks is taken from the one table of the query that has it, from a table one
foreign key away, which is then joined, or for the one column whose name is almost the same. Where more than one way is
open nothing is changed, and the model is told. What comes of it is checked as any other draft.
"""

from __future__ import annotations

from difflib import SequenceMatcher

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.schema import ForeignKey
from causeway.analyst.sql_rules import parsed
from causeway.errors import RefusedSqlError

_ALMOST = 0.85


def mended(written: str, offer: Offer) -> str:
    """``written`` with its names mended; empty when there is nothing that can be."""
    try:
        tree = parsed(written, offer)
        mends = sum(_mend_scope(scope, offer) for scope in traverse_scope(tree))
        return tree.sql(dialect=offer.dialect, comments=False) if mends else ""
    except (RefusedSqlError, SqlglotError, RecursionError):  # what is wrong with it is no slip
        return ""


def _mend_scope(scope: Scope, offer: Offer) -> int:
    """How many columns were mended; a subquery may give any name, so what reads one is left alone."""
    select, tables = scope.expression, _tables(scope, offer)
    if not isinstance(select, exp.Select) or len(tables) != len(scope.sources):
        return 0
    return sum(_mend(column, select, tables, offer) for column in list(scope.columns))


def _tables(scope: Scope, offer: Offer) -> dict[str, OfferedTable]:
    found: dict[str, OfferedTable] = {}
    for alias, source in scope.sources.items():
        table = offer.find(source.name) if isinstance(source, exp.Table) else None
        if table is not None:
            found[alias] = table
    return found


def _mend(column: exp.Column, select: exp.Select, tables: dict[str, OfferedTable], offer: Offer) -> bool:
    """Whether a column that its table lacks could be found elsewhere."""
    name, of = column.name, column.table
    if isinstance(column.this, exp.Star) or (of and of not in tables) or _is_alias(name, select):
        return False
    asked = {of: tables[of]} if of else tables
    if any(table.table.column(name) for table in asked.values()):
        return False
    holders = [alias for alias, table in tables.items() if table.table.column(name)]
    if len(holders) == 1:
        column.set("table", exp.to_identifier(holders[0]))
        return True
    joins = [] if holders else _one_key_away(name, tables, offer)
    if len(joins) == 1:
        alias, key = joins[0]
        _join(select, alias, key, tables, offer)
        column.set("table", exp.to_identifier(key.other))
        return True
    near = [
        known.name
        for table in asked.values()
        for known in table.table.columns
        if SequenceMatcher(None, known.name.lower(), name.lower()).ratio() >= _ALMOST
    ]
    if len(set(near)) == 1 and not holders and not joins:
        column.set("this", exp.to_identifier(near[0]))
        return True
    return False


def _is_alias(name: str, select: exp.Select) -> bool:
    return any(part.alias and part.alias.lower() == name.lower() for part in select.selects)


def _one_key_away(name: str, tables: dict[str, OfferedTable], offer: Offer) -> list[tuple[str, ForeignKey]]:
    """Tables that have the column and that a foreign key of the query's tables names, with the alias that names it."""
    named = {table.table.name: alias for alias, table in tables.items()}
    return [
        (named[key.table], key)
        for key in offer.foreign_keys
        if key.table in named and key.other not in named and offer.tables[key.other].table.column(name)
    ]


def _join(
    select: exp.Select, alias: str, key: ForeignKey, tables: dict[str, OfferedTable], offer: Offer
) -> None:
    """Add the table that the key names, by its own name."""
    condition = exp.and_(
        *(
            exp.column(ours, table=alias).eq(exp.column(theirs, table=key.other))
            for ours, theirs in zip(key.columns, key.other_columns, strict=True)
        )
    )
    select.join(exp.to_table(key.other), on=condition, copy=False)
    tables[key.other] = offer.tables[key.other]
