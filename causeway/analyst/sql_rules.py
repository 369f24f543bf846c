"""The allow-list: SQL that is one read-only query over what its asker is offered, or a refusal.

The first of three layers (`docs/adr/0025-safe-sql.md`). It fails closed: what cannot be parsed, and every node, clause,
function, type, table and column that is not on a list, is refused. What passes is never the text that came in, but SQL
made anew from the tree without its comments, in which every table is named in full, ``*`` is written out, and a table
with hidden columns or a row rule is replaced by a subquery that has neither.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.sql_vocabulary import BUILDERS, CLAUSES, FUNCTIONS, JOINS, NODES, TYPES
from causeway.errors import RefusedSqlError

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # its warnings quote what people wrote

_LONGEST: Final = 20_000
_MOST_NODES: Final = 2_500
_MOST_SOURCES: Final = 24
_LONGEST_LITERAL: Final = 500
_DEEPEST_BUILDING: Final = 12
_DEEPEST_REPLACING: Final = 3
_LONGEST_REPLACEMENT: Final = 20
_MOST_ROWS: Final = 10_000_000
_SPACES: Final = frozenset("\t\n\r")
_OPEN_ENDED = (exp.Select, exp.SetOperation, exp.Subquery)


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
        tree = _parsed(written, offer)
        _require_known_shape(tree, offer)
        tables = _require_offered(tree, offer)
        shown = tree.sql(dialect=offer.dialect, comments=False, pretty=True)
        guarded = _guarded(tree.copy(), offer)
        sql = guarded.sql(dialect=offer.dialect, comments=False)
        _require_same(sql, guarded, offer)
    except RecursionError as exc:
        raise RefusedSqlError("the query is nested too deeply; write it more simply") from exc
    return CheckedSql(sql=sql, shown=shown, tables=tables, tree=tree)


def _parsed(written: str, offer: Offer) -> exp.Query:
    text = written.strip()
    if len(text) > _LONGEST:
        raise RefusedSqlError(f"the query has {len(text):,} characters, and {_LONGEST:,} are allowed; shorten it")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") and character not in _SPACES:
            raise RefusedSqlError(f"the query contains the invisible character U+{ord(character):04X}; remove it")
    try:
        statements = [each for each in sqlglot.parse(text, read=offer.dialect) if each is not None]
    except SqlglotError as exc:
        raise RefusedSqlError(f"this cannot be read as SQL: {_first_line(exc)}") from exc
    if len(statements) != 1:
        raise RefusedSqlError(f"one query is allowed, and this has {len(statements)} statements")
    tree = statements[0]
    while isinstance(tree, exp.Subquery) and set(_given(tree)) == {"this"}:
        tree = tree.this
    if not isinstance(tree, exp.Select | exp.SetOperation):
        name = type(tree).__name__.upper() if not isinstance(tree, exp.Command) else str(tree.this).upper()
        raise RefusedSqlError(f"only queries that read are allowed, and this is {name}")
    return tree


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "")[:200] if str(error) else "no SQL"


# --- shape -------------------------------------------------------------------------------------------


def _require_known_shape(tree: exp.Expr, offer: Offer) -> None:
    """Every node of the tree is on the lists."""
    count = 0
    for node in tree.walk():
        count += 1
        if count > _MOST_NODES:
            raise RefusedSqlError(f"the query has more than {_MOST_NODES:,} parts; write it more simply")
        if isinstance(node, exp.Anonymous):
            _require_known_function(node, offer)
        elif type(node) not in NODES:
            raise RefusedSqlError(f"'{_excerpt(node, offer)}' is not allowed here ({type(node).__name__})")
        _require_known_parts(node, offer)


def _require_known_parts(node: exp.Expr, offer: Offer) -> None:
    given = set(_given(node))
    match node:
        case exp.Select():
            unknown = given - CLAUSES
        case exp.SetOperation():
            unknown = given - CLAUSES - {"this", "expression", "distinct"}
        case exp.Join():
            unknown = given - JOINS
        case exp.Table():
            unknown = given - {"this", "alias", "db", "catalog"}
        case exp.Subquery():
            unknown = given - {"this", "alias"} - {"order", "limit", "offset"}
        case exp.CTE():
            unknown = given - {"this", "alias"}
        case exp.With():
            unknown = given - {"expressions"}
        case exp.Star():
            unknown = given
            _require_in_place(node, offer)
        case exp.Window():
            unknown = given - {"this", "partition_by", "order", "spec", "over", "alias", "first"}
        case exp.DataType():
            unknown = set()
            _require_known_type(node, offer)
        case exp.Literal():
            unknown = set()
            _require_small(node)
        case _:
            unknown = set()
    if isinstance(node, BUILDERS):
        _require_bounded(node)
    if unknown:
        words = ", ".join(sorted(name.rstrip("_").upper() for name in unknown))
        raise RefusedSqlError(f"{words} is not allowed in a {type(node).__name__.lower()}")


def _require_in_place(star: exp.Star, offer: Offer) -> None:
    """``*`` stands for columns only in a SELECT's list and in COUNT: elsewhere it is a whole row."""
    holder = star.parent.parent if isinstance(star.parent, exp.Column) else star.parent
    if not isinstance(holder, exp.Select | exp.Count):
        raise RefusedSqlError(f"'{_excerpt(holder or star, offer)}' takes a whole row; name its columns")


def _given(node: exp.Expr) -> Iterator[str]:
    return (name for name, value in node.args.items() if value not in (None, False, []))


def _require_known_function(node: exp.Anonymous, offer: Offer) -> None:
    name = str(node.this).lower() if isinstance(node.this, str) else ""
    if name not in FUNCTIONS[offer.dialect]:
        raise RefusedSqlError(f"the function '{name or _excerpt(node, offer)}' is not allowed")


def _require_known_type(node: exp.DataType, offer: Offer) -> None:
    name = node.this.value if isinstance(node.this, exp.DType) else str(node.this)
    if name not in TYPES or any(isinstance(part, exp.DataType) for part in node.expressions):
        raise RefusedSqlError(f"the type '{_excerpt(node, offer)}' is not allowed")


def _require_small(node: exp.Literal) -> None:
    if len(str(node.this)) > _LONGEST_LITERAL:
        raise RefusedSqlError(f"a value has {len(str(node.this)):,} characters; {_LONGEST_LITERAL} are allowed")


def _require_bounded(node: exp.Expr) -> None:
    """Text that grows out of text grows a little: ``replace`` in ``replace`` in ... would fill the memory."""
    above = [parent for parent in _ancestors(node) if isinstance(parent, BUILDERS)]
    replacing = [each for each in [node, *above] if isinstance(each, exp.Replace | exp.RegexpReplace)]
    gathering = [each for each in [node, *above] if isinstance(each, exp.GroupConcat | exp.ArrayAgg)]
    is_deep = len(above) > _DEEPEST_BUILDING and not isinstance(node, exp.DPipe)
    if is_deep or len(replacing) > _DEEPEST_REPLACING or len(gathering) > 1:
        raise RefusedSqlError(f"{type(node).__name__.upper()} is nested too deeply; write it more simply")
    replacement = node.args.get("replacement")
    if replacement is not None and not (
        isinstance(replacement, exp.Literal) and len(str(replacement.this)) <= _LONGEST_REPLACEMENT
    ):
        raise RefusedSqlError(f"REPLACE puts in a literal text of at most {_LONGEST_REPLACEMENT} characters")


def _ancestors(node: exp.Expr) -> Iterator[exp.Expr]:
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def _excerpt(node: exp.Expr, offer: Offer) -> str:
    return node.sql(dialect=offer.dialect, comments=False)[:80]


# --- names -------------------------------------------------------------------------------------------


def _require_offered(tree: exp.Query, offer: Offer) -> tuple[str, ...]:
    """Every table and column is offered; ``*`` is written out. The tables' names."""
    _require_own_names(tree, offer)
    seen: set[int] = set()
    tables: dict[str, None] = {}
    scopes = traverse_scope(tree)
    for scope in scopes:
        for name, source in scope.sources.items():
            if isinstance(source, exp.Table):
                found = _offered(source, offer)
                tables[found.table.name] = None
                seen.add(id(source))
            elif not isinstance(source, Scope):
                raise RefusedSqlError(f"'{name}' is not a table that can be asked")
    for scope in scopes:
        for column in scope.find_all(exp.Column):
            _require_column(column, scope, offer)
            seen.add(id(column))
        for join in scope.find_all(exp.Join):
            _require_using(join, scope, offer)
    names = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if id(table) not in seen and (table.name.lower() not in names or table.args.get("db")):
            raise RefusedSqlError(f"the table '{table.name}' is not one that can be asked")
    for column in tree.find_all(exp.Column):
        if id(column) not in seen:
            raise RefusedSqlError(f"the column '{column.sql(dialect=offer.dialect)}' cannot be traced to a table")
    if sum(1 for _ in tree.find_all(exp.Table)) > _MOST_SOURCES:
        raise RefusedSqlError(f"the query reads more than {_MOST_SOURCES} tables; write it more simply")
    for scope in scopes:
        _require_joined(scope)
        _write_out_stars(scope, offer)
    return tuple(tables)


def _require_own_names(tree: exp.Query, offer: Offer) -> None:
    """A CTE must not have a table's name: what it stands for would depend on where it is read."""
    for cte in tree.find_all(exp.CTE):
        name = cte.alias_or_name
        if offer.find(name) or offer.find(name, is_quoted=True):
            raise RefusedSqlError(f"WITH names '{name}', which is a table; use another name")
        if not isinstance(cte.this, exp.Query):
            raise RefusedSqlError(f"WITH '{name}' must be a query")
    for limit in tree.find_all(exp.Limit, exp.Offset):
        value = limit.expression
        if not (isinstance(value, exp.Literal) and str(value.this).isdigit() and int(value.this) <= _MOST_ROWS):
            raise RefusedSqlError("LIMIT and OFFSET take a number")


def _offered(table: exp.Table, offer: Offer) -> OfferedTable:
    identifier = table.this
    if not isinstance(identifier, exp.Identifier):
        raise RefusedSqlError(f"'{_excerpt(table, offer)}' is not a table that can be asked")
    found = offer.find(identifier.name, is_quoted=bool(identifier.args.get("quoted")))
    namespace = table.args.get("db")
    is_elsewhere = table.args.get("catalog") is not None or (
        namespace is not None and (found is None or namespace.name.lower() != found.table.namespace.lower())
    )
    if found is None or is_elsewhere:
        near = get_close_matches(identifier.name.lower(), [name.lower() for name in offer.tables], 3)
        hint = f"; near it are {', '.join(near)}" if near else f"; there are {', '.join(list(offer.tables)[:12])}"
        raise RefusedSqlError(f"there is no table '{_excerpt(table, offer)}'{hint}")
    return found


def _require_column(column: exp.Column, scope: Scope, offer: Offer) -> None:
    if column.args.get("db") or column.args.get("catalog") or column.args.get("fields"):
        raise RefusedSqlError(f"write '{column.name}' with its table's name alone")
    if isinstance(column.this, exp.Star):
        if column.table not in scope.sources:
            raise RefusedSqlError(f"'{column.table}' in '{column.table}.*' is no table of this query")
        return
    if column.table:
        source = _source(column.table, scope)
        if source is None:
            raise RefusedSqlError(f"'{column.table}' in '{column.table}.{column.name}' is no table of this query")
        if not _has(source, column.name, offer):
            raise RefusedSqlError(_no_column(column, [source], offer))
        return
    around = list(_around(scope))
    sources = [source for each in around for source in each.sources.values()]
    if _is_hidden(column.name, sources, offer):
        raise RefusedSqlError(_no_column(column, sources, offer))
    if any(_has(source, column.name, offer) for source in sources):
        return
    if not any(column.name.lower() == alias.lower() for each in around for alias in _aliases(each)):
        raise RefusedSqlError(_no_column(column, sources, offer))


def _around(scope: Scope) -> Iterator[Scope]:
    """A scope and those around it, whose columns a correlated subquery may use."""
    current: Scope | None = scope
    while current is not None:
        yield current
        current = current.parent


def _source(name: str, scope: Scope) -> exp.Table | Scope | None:
    for each in _around(scope):
        for alias, source in each.sources.items():
            if alias.lower() == name.lower() and isinstance(source, exp.Table | Scope):
                return source
    return None


def _has(source: object, name: str, offer: Offer) -> bool:
    if isinstance(source, exp.Table):
        return _offered(source, offer).table.column(name) is not None
    if isinstance(source, Scope):
        return name.lower() in (known.lower() for known in _outputs(source, offer))
    return False


def _outputs(scope: Scope, offer: Offer) -> list[str]:
    """The columns that a subquery or CTE gives."""
    names: list[str] = []
    query = scope.expression
    if not isinstance(query, exp.Query):
        return names
    for selected in query.selects:
        if isinstance(selected, exp.Star) or (
            isinstance(selected, exp.Column) and isinstance(selected.this, exp.Star)
        ):
            only = selected.table if isinstance(selected, exp.Column) else ""
            inner = scope if isinstance(query, exp.Select) else next(iter(scope.union_scopes or [scope]))
            for alias, source in inner.sources.items():
                if only and alias.lower() != only.lower():
                    continue
                names += _columns_of(source, offer)
        else:
            names.append(selected.alias_or_name or selected.sql(dialect=offer.dialect))
    return names


def _columns_of(source: object, offer: Offer) -> list[str]:
    if isinstance(source, exp.Table):
        return [column.name for column in _offered(source, offer).table.columns]
    return _outputs(source, offer) if isinstance(source, Scope) else []


def _is_hidden(name: str, sources: list[object], offer: Offer) -> bool:
    return any(
        name.lower() in _offered(source, offer).hidden for source in sources if isinstance(source, exp.Table)
    )


def _aliases(scope: Scope) -> list[str]:
    """Names that the query's own outputs have: all of a UNION's, whose ORDER BY can name nothing else."""
    query = scope.expression
    if not isinstance(query, exp.Query):
        return []
    is_union = isinstance(query, exp.SetOperation)
    return [each.alias_or_name for each in query.selects if each.alias or is_union]


def _no_column(column: exp.Column, sources: list[exp.Table | Scope] | list[object], offer: Offer) -> str:
    known = list(dict.fromkeys(name for source in sources for name in _columns_of(source, offer)))
    near = get_close_matches(column.name.lower(), [name.lower() for name in known], 3, 0.5)
    where = f"'{column.table}'" if column.table else "the tables of this query"
    elsewhere = [name for name, table in offer.tables.items() if table.table.column(column.name) is not None]
    hint = f"; near it are {', '.join(near)}" if near else ""
    if elsewhere:
        hint += f"; '{column.name}' is a column of {', '.join(elsewhere[:3])}"
    elif not near:
        hint = f"; there are {', '.join(known[:20])}"
    return f"there is no column '{column.name}' in {where}{hint}"


def _require_using(join: exp.Join, scope: Scope, offer: Offer) -> None:
    sources = list(scope.sources.values())
    for name in join.args.get("using") or ():
        holders = [source for source in sources if _has(source, name.name, offer)]
        if len(holders) < 2 or _is_hidden(name.name, sources, offer):
            raise RefusedSqlError(f"USING names '{name.name}', which is not a column of both tables")


def _require_joined(scope: Scope) -> None:
    """Three tables without any condition give every row of each for every row of the others: a mistake, or meant to hurt."""
    query = scope.expression
    if not isinstance(query, exp.Select):
        return
    if not query.expressions:
        raise RefusedSqlError("the query selects nothing; name its columns")
    joins = query.args.get("joins") or []
    free = [join for join in joins if not join.args.get("on") and not join.args.get("using")]
    tables = [source for _node, source in scope.selected_sources.values() if isinstance(source, exp.Table)]
    if len(free) > 1 and len(tables) > 2 and query.args.get("where") is None:
        raise RefusedSqlError("tables are joined without a condition; write JOIN ... ON")


def _write_out_stars(scope: Scope, offer: Offer) -> None:
    query = scope.expression
    if not isinstance(query, exp.Select):
        return
    merged = {
        name.name.lower() for join in query.args.get("joins") or () for name in join.args.get("using") or ()
    }
    written: list[exp.Expr] = []
    for selected in query.expressions:
        is_star = isinstance(selected, exp.Star)
        if not is_star and not (isinstance(selected, exp.Column) and isinstance(selected.this, exp.Star)):
            written.append(selected)
            continue
        given: set[str] = set()
        for alias, (_node, source) in scope.selected_sources.items():
            if not is_star and alias.lower() != selected.table.lower():
                continue
            for name in _columns_of(source, offer):
                if is_star and name.lower() in merged and name.lower() in given:
                    continue
                given.add(name.lower())
                written.append(_written_column(name, "" if is_star and name.lower() in merged else alias))
    query.set("expressions", written)


def _written_column(name: str, table: str) -> exp.Column:
    return exp.column(exp.to_identifier(name), table=exp.to_identifier(table) if table else None)


# --- what is run -------------------------------------------------------------------------------------


def _guarded(tree: exp.Query, offer: Offer) -> exp.Query:
    """``tree`` with tables named in full, and those with rules or hidden columns behind subqueries."""
    names = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if table.name.lower() in names:
            continue
        offered = _offered(table, offer)
        named = exp.Table(this=exp.to_identifier(offered.table.name, quoted=True))
        if offered.table.namespace:
            named.set("db", exp.to_identifier(offered.table.namespace, quoted=True))
        alias = table.args.get("alias")
        if not offered.rows and not offered.hidden:
            if alias is not None:
                named.set("alias", alias.copy())
            table.replace(named)
            continue
        columns = [exp.column(exp.to_identifier(column.name, quoted=True)) for column in offered.table.columns]
        inner = exp.select(*columns).from_(named)
        if offered.rows:
            inner = inner.where(_rule(offered, offer))
        name = alias.copy() if alias is not None else exp.TableAlias(this=table.this.copy())
        table.replace(exp.Subquery(this=inner, alias=name))
    return tree


def _rule(offered: OfferedTable, offer: Offer) -> exp.Expr:
    """A row rule with the asker's values in it, as literals that the generator escapes."""
    rule = sqlglot.parse_one(offered.rows, read=offer.dialect, into=exp.Condition)
    for place in list(rule.find_all(exp.Placeholder)):
        if place.name not in offer.asker:
            raise RefusedSqlError(f"the rows of '{offered.table.name}' depend on :{place.name}, which is not known of you")
        place.replace(exp.Literal.string(offer.asker[place.name]))
    return exp.paren(rule)


def _require_same(sql: str, tree: exp.Query, offer: Offer) -> None:
    """What will be run reads back as what was checked."""
    try:
        again = sqlglot.parse(sql, read=offer.dialect)
    except SqlglotError as exc:
        raise RefusedSqlError("the query cannot be written safely; write it more simply") from exc
    if len(again) != 1 or again[0] is None or again[0].sql(dialect=offer.dialect, comments=False) != tree.sql(
        dialect=offer.dialect, comments=False
    ):
        raise RefusedSqlError("the query reads differently once it is written anew; write it more simply")
