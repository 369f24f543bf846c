"""What a query names: every table and column traced to what is offered, scope by scope, or a refusal.

Names are resolved as the database would (CTEs, aliases, correlated subqueries), and whatever is left over that no scope
accounts for is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.sql_shape import excerpt
from causeway.errors import RefusedSqlError

_MOST_SOURCES: Final = 24
_MOST_ROWS: Final = 10_000_000
_RESERVED: Final = (
    "ALL AND ANY ARRAY AS ASC AUTHORIZATION BOTH CASE CAST CHECK COLLATE COLUMN CONSTRAINT CREATE CROSS CURRENT_DATE CURRENT_TIME "
    "CURRENT_TIMESTAMP CURRENT_USER DEFAULT DESC DISTINCT DO ELSE END EXCEPT FALSE FETCH FOR FOREIGN FROM FULL GRANT GROUP HAVING "
    "IN INNER INTERSECT INTO IS JOIN KEY KEYS LEADING LEFT LIKE LIMIT LOCALTIME NATURAL NOT NULL OFFSET ON OR ORDER OUTER PRIMARY RANK "
    "REFERENCES RIGHT SELECT SESSION_USER SOME TABLE THEN TO TRAILING TRUE UNION UNIQUE USER USING VALUES WHEN WHERE WINDOW WITH"
)
_KEYWORDS: Final = frozenset(_RESERVED.split())


def require_offered(tree: exp.Query, offer: Offer) -> tuple[str, ...]:
    """Every table and column is offered; ``*`` is written out. The tables' names."""
    _require_own_names(tree, offer)
    scopes = traverse_scope(tree)
    seen: set[int] = set()
    tables: dict[str, None] = {}
    for scope in scopes:
        for name, source in scope.sources.items():
            if isinstance(source, exp.Table):
                tables[offered(source, offer).table.name] = None
                seen.add(id(source))
            elif not isinstance(source, Scope):
                raise RefusedSqlError(f"'{name}' is not a table that can be asked")
        for column in scope.find_all(exp.Column):
            _require_column(column, scope, offer)
            seen.add(id(column))
        for join in scope.find_all(exp.Join):
            _require_using(join, scope, offer)
    _require_seen(tree, seen, offer)
    for scope in scopes:
        _require_joined(scope)
        _write_out_stars(scope, offer)
    return tuple(tables)


def _require_seen(tree: exp.Query, seen: set[int], offer: Offer) -> None:
    """No table and no column stands where scopes do not look."""
    names = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    every = list(tree.find_all(exp.Table))
    for table in every:
        if id(table) not in seen and (table.name.lower() not in names or table.args.get("db")):
            raise RefusedSqlError(f"the table '{table.name}' is not one that can be asked")
    for column in tree.find_all(exp.Column):
        if id(column) not in seen:
            raise RefusedSqlError(f"the column '{excerpt(column, offer)}' cannot be traced to a table")
    if len(every) > _MOST_SOURCES:
        raise RefusedSqlError(f"the query reads more than {_MOST_SOURCES} tables; write it more simply")


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
        if not (
            isinstance(value, exp.Literal) and str(value.this).isdigit() and int(value.this) <= _MOST_ROWS
        ):
            msg = "LIMIT and OFFSET take a number"
            raise RefusedSqlError(msg)


def offered(table: exp.Table, offer: Offer) -> OfferedTable:
    """The offered table that a part of a query names."""
    identifier = table.this
    if not isinstance(identifier, exp.Identifier):
        raise RefusedSqlError(f"'{excerpt(table, offer)}' is not a table that can be asked")
    found = offer.find(identifier.name, is_quoted=bool(identifier.args.get("quoted")))
    namespace = table.args.get("db")
    is_elsewhere = table.args.get("catalog") is not None or (
        namespace is not None and (found is None or namespace.name.lower() != found.table.namespace.lower())
    )
    if found is None or is_elsewhere:
        near = get_close_matches(identifier.name.lower(), [name.lower() for name in offer.tables], 3)
        hint = (
            f"; near it are {', '.join(near)}"
            if near
            else f"; there are {', '.join(list(offer.tables)[:12])}"
        )
        raise RefusedSqlError(f"there is no table '{excerpt(table, offer)}'{hint}")
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
            raise RefusedSqlError(
                f"'{column.table}' in '{column.table}.{column.name}' is no table of this query"
            )
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
        return offered(source, offer).table.column(name) is not None
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
            inner = (
                scope if isinstance(query, exp.Select) else next(iter(scope.set_operation_scopes or [scope]))
            )
            for alias, source in inner.sources.items():
                if only and alias.lower() != only.lower():
                    continue
                names += _columns_of(source, offer)
        else:
            names.append(selected.alias_or_name or selected.sql(dialect=offer.dialect))
    holder = query.parent.args.get("alias") if isinstance(query.parent, exp.CTE | exp.Subquery) else None
    renamed = (
        [each.name for each in holder.args.get("columns") or ()] if isinstance(holder, exp.TableAlias) else []
    )
    return [*renamed, *names[len(renamed) :]]


def _columns_of(source: object, offer: Offer) -> list[str]:
    if isinstance(source, exp.Table):
        return [column.name for column in offered(source, offer).table.columns]
    return _outputs(source, offer) if isinstance(source, Scope) else []


def _is_hidden(name: str, sources: Sequence[object], offer: Offer) -> bool:
    return any(
        name.lower() in offered(source, offer).hidden for source in sources if isinstance(source, exp.Table)
    )


def _aliases(scope: Scope) -> list[str]:
    """Names that the query's own outputs have: all of a UNION's, whose ORDER BY can name nothing else."""
    query = scope.expression
    if not isinstance(query, exp.Query):
        return []
    is_union = isinstance(query, exp.SetOperation)
    return [each.alias_or_name for each in query.selects if each.alias or is_union]


def _no_column(column: exp.Column, sources: Sequence[object], offer: Offer) -> str:
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
        msg = "the query selects nothing; name its columns"
        raise RefusedSqlError(msg)
    joins = query.args.get("joins") or []
    free = [join for join in joins if not join.args.get("on") and not join.args.get("using")]
    tables = [source for _node, source in scope.selected_sources.values() if isinstance(source, exp.Table)]
    if len(free) > 1 and len(tables) > 2 and query.args.get("where") is None:
        msg = "tables are joined without a condition; write JOIN ... ON"
        raise RefusedSqlError(msg)


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
                holder = "" if is_star and name.lower() in merged else alias
                written.append(_written_column(name, holder, is_exact=isinstance(source, exp.Table)))
    query.set("expressions", written)


def _written_column(name: str, table: str, *, is_exact: bool) -> exp.Column:
    """A column of ``*``, quoted where it would not be read as it is: ``user`` is a function, ``Order`` another name."""
    is_plain = (
        name.isascii() and name.isidentifier() and name == name.lower() and name.upper() not in _KEYWORDS
    )
    quoted = not is_plain and (is_exact or name == name.lower())
    identifier = exp.to_identifier(name, quoted=True) if quoted else exp.to_identifier(name)
    return exp.column(identifier, table=exp.to_identifier(table) if table else None)
