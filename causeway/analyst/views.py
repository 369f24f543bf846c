"""Views of the semantic layer: queries with a name, asked as if they were tables.

A view joins and filters once, as its owner found right, what every question about it would have to join and filter
anew. It is no object of the database: `causeway.analyst.sql_rules` puts the query in its place, with the row rules and
hidden columns of the tables that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.schema import Column, ForeignKey, Kind, Table
from causeway.analyst.semantic_layer import Layer, LayerColumn, LayerView
from causeway.analyst.sql_names import require_offered
from causeway.analyst.sql_rules import parsed
from causeway.analyst.sql_shape import require_known_shape
from causeway.errors import RefusedSqlError, SettingsError

_TYPES: dict[Kind, str] = {
    "number": "numeric",
    "text": "text",
    "time": "timestamp",
    "boolean": "boolean",
    "other": "text",
}


def made_of(layer: Layer, offer: Offer) -> dict[str, OfferedTable]:
    """The views of the layer, over the tables of ``offer``; they are the same for whoever asks.

    Raises:
        SettingsError: A view has a table's name, or is not one query over what is offered.
    """
    return {name: _offered(name, view, offer) for name, view in layer.views.items()}


def with_views(offer: Offer, made: Mapping[str, OfferedTable]) -> Offer:
    """``offer`` and the views that were made over it."""
    keys = [
        ForeignKey(name, key.columns, key.other, key.other_columns)
        for name, view in made.items()
        for key in offer.foreign_keys
        if key.table in view.reads and all(view.table.column(column) for column in key.columns)
    ]
    return replace(offer, tables={**offer.tables, **made}, foreign_keys=(*offer.foreign_keys, *keys))


def _offered(name: str, view: LayerView, offer: Offer) -> OfferedTable:
    """A view as a table that may be asked."""
    if offer.find(name) is not None:
        raise SettingsError(f"the semantic layer's view '{name}' has the name of a table; use another name")
    try:
        tree = parsed(view.sql, offer)
        require_known_shape(tree, offer)
        reads = require_offered(tree, offer)
    except RefusedSqlError as exc:
        raise SettingsError(f"the semantic layer's view '{name}': {exc.message}") from exc
    said = {column.lower(): part for column, part in view.columns.items()}
    columns = tuple(
        _column(part, reads, said.get(part.alias_or_name.lower()), offer) for part in tree.selects
    )
    unknown = set(said) - {column.name.lower() for column in columns}
    if unknown:
        raise SettingsError(f"the semantic layer's view '{name}' has no column '{min(unknown)}'")
    table = Table(name=name, columns=columns, comment=view.about)
    return OfferedTable(table=table, view=view.sql, reads=_uses(tree, reads, offer))


def _uses(tree: exp.Query, reads: Sequence[str], offer: Offer) -> dict[str, frozenset[str]]:
    """The columns of each table that stand in the query; by name where it does not say of which table."""
    aliases = {source.alias_or_name: offer.find(source.name) for source in tree.find_all(exp.Table)}
    used: dict[str, set[str]] = {name: set() for name in reads}
    for column in tree.find_all(exp.Column):
        holders = [aliases.get(column.table)] if column.table else list(aliases.values())
        for holder in holders:
            found = holder.table.column(column.name) if holder else None
            if holder and found:
                used.setdefault(holder.table.name, set()).add(found.name)
    return {name: frozenset(names) for name, names in used.items()}


def _column(part: exp.Expr, reads: Sequence[str], said: LayerColumn | None, offer: Offer) -> Column:
    """A column as it is in its table; a computed one as the layer says, a number where it says nothing."""
    name, about = part.alias_or_name, said.about if said else ""
    inner = part.this if isinstance(part, exp.Alias) else part
    if isinstance(inner, exp.Column):
        found = _found(inner, reads, offer)
        if found is not None:
            return Column(
                name=name,
                type=found.type,
                kind=found.kind,
                comment=about or found.comment,
                values=found.values,
                distinct=found.distinct,
                lowest=found.lowest,
                highest=found.highest,
            )
    kind: Kind = (said.kind if said else None) or "number"
    return Column(name=name, type=_TYPES[kind], kind=kind, comment=about)


def _found(column: exp.Column, reads: Sequence[str], offer: Offer) -> Column | None:
    """The column of a table that the view reads."""
    select = column.find_ancestor(exp.Select)
    sources = [] if select is None else list(select.find_all(exp.Table))
    named = [source.name for source in sources if not column.table or source.alias_or_name == column.table]
    for name in named:
        table = offer.find(name)
        if table is not None and table.table.name in reads:
            found = table.table.column(column.name)
            if found is not None:
                return found
    return None
