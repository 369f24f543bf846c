"""The allow-list: SQL that is one read-only query over what its asker is offered, or a refusal.

The first of three layers (`docs/adr/0025-safe-sql.md`). It fails closed: what cannot be parsed, and every node, clause,
function, type, table and column that is not on a list, is refused. What passes is never the text that came in, but SQL
made anew from the tree without its comments, in which every table is named in full, ``*`` is written out, and a table
with hidden columns or a row rule, or a view, is replaced by a subquery.
"""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.sql_names import offered, require_offered
from causeway.analyst.sql_shape import given, require_known_shape
from causeway.errors import RefusedSqlError

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # its warnings quote what people wrote

_LONGEST: Final = 20_000
_SPACES: Final = frozenset("\t\n\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSql:
    """A query that may be run.

    Attributes:
        sql: What to run.
        shown: The same as its asker would write it: without the subqueries of row rules and hidden columns.
        tables: The tables it reads, by their offered names.
        tree: Of ``shown``.
    """

    sql: str
    shown: str
    tables: tuple[str, ...]
    tree: exp.Query


def check(written: str, offer: Offer) -> CheckedSql:
    """``written``, made safe.

    Raises:
        RefusedSqlError: It is not one query, or goes beyond what is offered; the message says what and why.
    """
    try:
        tree = parsed(written, offer)
        require_known_shape(tree, offer)
        tables = require_offered(tree, offer)
        shown = tree.sql(dialect=offer.dialect, comments=False, pretty=True)
        guarded = _guarded(tree.copy(), offer)
        sql = guarded.sql(dialect=offer.dialect, comments=False)
        _require_same(sql, guarded, offer)
    except RecursionError as exc:
        msg = "the query is nested too deeply; write it more simply"
        raise RefusedSqlError(msg) from exc
    except SqlglotError as exc:  # such as two tables of one name
        raise RefusedSqlError(f"the query cannot be followed: {_first_line(exc)}") from exc
    return CheckedSql(sql=sql, shown=shown, tables=tables, tree=tree)


def parsed(written: str, offer: Offer) -> exp.Query:
    """The one query that ``written`` is, its names and nodes not looked at yet.

    Raises:
        RefusedSqlError: It is something else.
    """
    text = written.strip()
    if len(text) > _LONGEST:
        raise RefusedSqlError(
            f"the query has {len(text):,} characters, and {_LONGEST:,} are allowed; shorten it"
        )
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") and character not in _SPACES:
            raise RefusedSqlError(
                f"the query contains the invisible character U+{ord(character):04X}; remove it"
            )
    try:
        statements = [each for each in sqlglot.parse(text, read=offer.dialect) if each is not None]
    except SqlglotError as exc:
        raise RefusedSqlError(f"this cannot be read as SQL: {_first_line(exc)}") from exc
    if len(statements) != 1:
        raise RefusedSqlError(f"one query is allowed, and this has {len(statements)} statements")
    tree = statements[0]
    while isinstance(tree, exp.Subquery) and set(given(tree)) == {"this"}:
        tree = tree.this
    if not isinstance(tree, exp.Select | exp.SetOperation):
        name = type(tree).__name__.upper() if not isinstance(tree, exp.Command) else str(tree.this).upper()
        raise RefusedSqlError(f"only queries that read are allowed, and this is {name}")
    return tree


def _first_line(error: Exception) -> str:
    return (
        str(error).splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "")[:200]
        if str(error)
        else "no SQL"
    )


def _guarded(tree: exp.Query, offer: Offer) -> exp.Query:
    """``tree`` with tables named in full, and those with rules or hidden columns behind subqueries."""
    names = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if table.name.lower() in names:
            continue
        found = offered(table, offer)
        if found.view:
            table.replace(_viewed(found, table, offer))
            continue
        named = exp.Table(this=exp.to_identifier(found.table.name, quoted=True))
        if found.table.namespace:
            named.set("db", exp.to_identifier(found.table.namespace, quoted=True))
        alias = table.args.get("alias")
        if not found.rows and not found.hidden:
            if alias is not None:
                named.set("alias", alias.copy())
            table.replace(named)
            continue
        columns = [exp.column(exp.to_identifier(column.name, quoted=True)) for column in found.table.columns]
        inner = exp.select(*columns).from_(named)
        if found.rows:
            inner = inner.where(_rule(found, offer))
        name = alias.copy() if alias is not None else exp.TableAlias(this=table.this.copy())
        table.replace(exp.Subquery(this=inner, alias=name))
    return tree


def _viewed(found: OfferedTable, place: exp.Table, offer: Offer) -> exp.Subquery:
    """The query of a view, made safe as one that was asked."""
    tree = parsed(found.view, offer)
    require_offered(tree, offer)
    alias = place.args.get("alias")
    name = alias.copy() if alias is not None else exp.TableAlias(this=place.this.copy())
    return exp.Subquery(this=_guarded(tree, offer), alias=name)


def _rule(offered: OfferedTable, offer: Offer) -> exp.Expr:
    """A row rule with the asker's values in it, as literals that the generator escapes."""
    rule = sqlglot.parse_one(offered.rows, read=offer.dialect, into=exp.Condition)
    for place in list(rule.find_all(exp.Placeholder)):
        if place.name not in offer.asker:
            raise RefusedSqlError(
                f"the rows of '{offered.table.name}' depend on :{place.name}, which is not known of you"
            )
        place.replace(exp.Literal.string(offer.asker[place.name]))
    return exp.paren(rule)


def asker_values(checked: CheckedSql, offer: Offer) -> dict[str, str]:
    """What row rules put of the asker into ``checked``, by parameter; empty when everybody would run the same query."""
    read = [found for name in checked.tables if (found := offer.find(name)) is not None]
    read += [found for view in list(read) for name in view.reads if (found := offer.find(name)) is not None]
    rules = (
        sqlglot.parse_one(each.rows, read=offer.dialect, into=exp.Condition) for each in read if each.rows
    )
    named = {place.name for rule in rules for place in rule.find_all(exp.Placeholder)}
    return {name: offer.asker[name] for name in sorted(named)}


def _require_same(sql: str, tree: exp.Query, offer: Offer) -> None:
    """What will be run reads back as what was checked."""
    try:
        again = sqlglot.parse(sql, read=offer.dialect)
    except SqlglotError as exc:
        msg = "the query cannot be written safely; write it more simply"
        raise RefusedSqlError(msg) from exc
    if (
        len(again) != 1
        or again[0] is None
        or again[0].sql(dialect=offer.dialect, comments=False)
        != tree.sql(dialect=offer.dialect, comments=False)
    ):
        msg = "the query reads differently once it is written anew; write it more simply"
        raise RefusedSqlError(msg)
