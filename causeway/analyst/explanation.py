"""What a query does, in words: read from the query itself, so that it says what was computed and not what was meant."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from causeway.analyst.offer import Offer
from causeway.analyst.result import Result
from causeway.analyst.schema_linking import Linked
from causeway.analyst.semantic_layer import Layer
from causeway.analyst.sql_rules import CheckedSql

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "is",
    exp.NEQ: "is not",
    exp.GT: "is more than",
    exp.GTE: "is at least",
    exp.LT: "is less than",
    exp.LTE: "is at most",
    exp.Like: "is like",
    exp.ILike: "is like",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What was computed.

    Attributes:
        text: One or two sentences.
        assumptions: What was taken for granted, one sentence each.
        terms: Words of the glossary that the question uses, each with what it means.
    """

    text: str
    assumptions: tuple[str, ...]
    terms: tuple[tuple[str, str], ...]


def explain(
    checked: CheckedSql, result: Result, offer: Offer, layer: Layer, linked: Linked | None
) -> Explanation:
    """The explanation of a query that was run."""
    tree = checked.tree
    select = tree if isinstance(tree, exp.Select) else tree.find(exp.Select)
    if select is not None and select.args.get("with_") is not None:
        select = _without_ctes(select)
    sentences = [
        f"Read from {_listed([name.replace('_', ' ') for name in checked.tables])}"
        if checked.tables
        else "Computed"
    ]
    if select is not None:
        conditions = _conditions(tree, offer)
        if conditions:
            sentences[0] += f", only where {_listed(conditions)}"
        sentences[0] += "."
        shape = _shape(select, tree, offer)
        if shape:
            sentences.append(shape)
    return Explanation(
        text=" ".join(sentences),
        assumptions=tuple(_assumptions(checked, result, offer, linked)),
        terms=tuple(_terms(layer, linked)),
    )


def _without_ctes(select: exp.Select) -> exp.Select:
    alone = select.copy()
    alone.set("with_", None)
    return alone


def _conditions(tree: exp.Query, offer: Offer) -> list[str]:
    found: list[str] = []
    for where in tree.find_all(exp.Where):
        if isinstance(where.parent, exp.Filter):
            continue
        parts = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
        found += [_condition(part, offer) for part in parts]
    return list(dict.fromkeys(found))[:6]


def _condition(part: exp.Expr, offer: Offer) -> str:
    words = _COMPARISONS.get(type(part))
    if words is not None and isinstance(part, exp.Binary) and isinstance(part.expression, exp.Literal):
        return f"{_thing(part.this, offer)} {words} {part.expression.this}"
    if isinstance(part, exp.Between):
        low, high = (part.args[name] for name in ("low", "high"))
        return f"{_thing(part.this, offer)} is between {_thing(low, offer)} and {_thing(high, offer)}"
    if isinstance(part, exp.In) and part.expressions:
        return f"{_thing(part.this, offer)} is one of {_listed([_thing(each, offer) for each in part.expressions[:6]], 'or')}"
    return part.sql(dialect=offer.dialect)[:120]


def _shape(select: exp.Select, tree: exp.Query, offer: Offer) -> str:
    said = ""
    grouped = select.args.get("group")
    if grouped is not None and grouped.expressions:
        places = [_grouped(each, select, offer) for each in grouped.expressions]
        said = f"One row for each {_listed(places)}"
    elif any(not each.find_ancestor(exp.Window, exp.Subquery) for each in select.find_all(exp.AggFunc)):
        said = "One row over all of them"
    order = tree.args.get("order")
    if order is not None and order.expressions:
        first = order.expressions[0]
        direction = "highest first" if first.args.get("desc") else "lowest first"
        said = f"{said or 'Rows'}, ordered by {_grouped(first.this, select, offer)}, {direction}"
    limit = tree.args.get("limit")
    if limit is not None:
        said = f"{said or 'Rows'}; the first {limit.expression.sql()} are shown"
    return f"{said}." if said else ""


def _grouped(part: exp.Expr, select: exp.Select, offer: Offer) -> str:
    if (
        isinstance(part, exp.Literal)
        and str(part.this).isdigit()
        and 0 < int(str(part.this)) <= len(select.expressions)
    ):
        part = select.expressions[int(str(part.this)) - 1]
    return _thing(part, offer)


def _thing(part: exp.Expr, offer: Offer) -> str:
    if isinstance(part, exp.Column):
        return part.name.replace("_", " ")
    if isinstance(part, exp.Literal):
        return str(part.this)
    if isinstance(part, exp.Alias):
        return part.alias.replace("_", " ")
    return part.sql(dialect=offer.dialect)[:80]


def _assumptions(checked: CheckedSql, result: Result, offer: Offer, linked: Linked | None) -> list[str]:
    said = []
    views = [name for name in checked.tables if offer.tables[name].view]
    said += [
        f"{name}: {offer.tables[name].table.comment}." for name in views if offer.tables[name].table.comment
    ]
    read = dict.fromkeys(inner for name in checked.tables for inner in (name, *offer.tables[name].reads))
    ruled = [name for name in read if offer.tables[name].rows]
    if ruled:
        said.append(f"Only the rows of {_listed(ruled)} that you may see are counted.")
    if result.is_cut:
        said.append(f"Only the first {len(result.rows):,} rows are shown; there are more.")
    sql = checked.sql.lower()
    if any(word in sql for word in ("current_date", "current_timestamp", "now()", "localtime")):
        said.append("Times are counted back from today, wherever the data ends.")
    if linked is not None:
        used = {column.name.lower() for column in checked.tree.find_all(exp.Column)}
        literals = {str(literal.this).lower() for literal in checked.tree.find_all(exp.Literal)}
        said += [
            f"'{mention.value}' was read as a value of {mention.table}.{mention.column}."
            for mention in linked.mentions[:4]
            if mention.column.lower() in used and mention.value.lower() in literals
        ]
        if linked.unknown:
            said.append(
                f"Nothing in the database is called {_listed([repr(word) for word in linked.unknown[:4]], 'or')}."
            )
    return said


def _terms(layer: Layer, linked: Linked | None) -> list[tuple[str, str]]:
    if linked is None:
        return []
    metrics = [(name, f"{layer.metrics[name].about} ({layer.metrics[name].sql})") for name in linked.metrics]
    return metrics + [(name, layer.terms[name].about) for name in linked.terms]


def _listed(parts: list[str], word: str = "and") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"
