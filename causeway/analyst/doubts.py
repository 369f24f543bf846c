"""What stands in a draft and not in its question: a condition that a small model took from the values it was shown.

A doubt is put to the model once. It is none where the words for the value are in the question, in the glossary lines that
go with it, in a verified query that was shown, or in the question before it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from causeway.analyst.draft_sql import Background, clean
from causeway.analyst.offer import Offer
from causeway.analyst.schema import Column
from causeway.analyst.sql_rules import CheckedSql
from causeway.analyst.words import words

_SHORTEST_STEM = 4


def unasked(checked: CheckedSql, question: str, background: Background) -> str:
    """What the model is told of a condition that nobody asked for; empty when there is none."""
    said = set(words(" ".join(_said(question, background))))
    unsaid = [
        f"{column.name} = {value}"
        for column, value in _flags(checked.tree)
        if not _is_said(column.name.replace("_", " "), said | _meanings(column.name, background))
    ]
    unsaid += [
        f"{column.name} = '{clean(value)[:40]}'"
        for column, value in _conditions(checked.tree)
        if _is_listed(column, value, background.offer) and not _is_said(value, said)
    ]
    if not unsaid:
        return ""
    return (
        f"its condition {unsaid[0]} is not in the question. "
        "Write the query without it, unless the question means it in other words"
    )


def _meanings(name: str, background: Background) -> set[str]:
    """The column's own words where the question mentions it by a synonym."""
    is_mentioned = any(name in mentioned for mentioned in background.linked.columns.values())
    return set(words(name.replace("_", " "))) if is_mentioned else set()


def _said(question: str, background: Background) -> Iterator[str]:
    yield question
    layer, linked = background.layer, background.linked
    for name in linked.metrics:
        yield f"{layer.metrics[name].about} {layer.metrics[name].sql}"
    for name in linked.terms:
        yield layer.terms[name].about
    for pair in background.pairs:
        yield pair.sql
    if background.earlier:
        yield f"{background.earlier.question} {background.earlier.sql}"


def _conditions(tree: exp.Query) -> Iterator[tuple[exp.Column, str]]:
    """Columns that have to be a given text, or must not be it, for a row to count; in a CASE they do not narrow a result."""
    for condition in tree.find_all(exp.EQ, exp.NEQ):
        sides = (condition.this, condition.expression)
        for column, literal in (sides, sides[::-1]):
            is_text = isinstance(literal, exp.Literal) and literal.is_string
            if isinstance(column, exp.Column) and is_text and _is_filter(condition):
                yield column, str(literal.this)


def _is_filter(condition: exp.Expr) -> bool:
    return condition.find_ancestor(exp.Where) is not None and condition.find_ancestor(exp.Case) is None


def _flags(tree: exp.Query) -> Iterator[tuple[exp.Column, str]]:
    """Columns that have to be true, or false."""
    for condition in tree.find_all(exp.EQ):
        if (
            isinstance(condition.this, exp.Column)
            and isinstance(condition.expression, exp.Boolean)
            and _is_filter(condition)
        ):
            yield condition.this, condition.expression.sql()


def _is_listed(column: exp.Column, value: str, offer: Offer) -> bool:
    """Whether the model saw the value: it is one of a column whose few values are all known."""
    return any(value in found.values and _is_closed(found) for found in _columns(column.name, offer))


def _columns(name: str, offer: Offer) -> Iterator[Column]:
    for offered in offer.tables.values():
        found = offered.table.column(name)
        if found is not None:
            yield found


def _is_closed(column: Column) -> bool:
    return column.distinct is not None and column.distinct <= len(column.values)


def _is_said(value: str, said: set[str]) -> bool:
    """Whether any word of the value, or one that begins alike, was said."""
    parts = words(value)
    return any(
        part == word or (len(part) >= _SHORTEST_STEM and word[:_SHORTEST_STEM] == part[:_SHORTEST_STEM])
        for part in parts
        for word in said
    )
