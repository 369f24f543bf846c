"""PostgreSQL, read only: a role without rights to write, a transaction that cannot, a cursor that takes one query.

`DECLARE CURSOR` by the extended protocol takes a single SELECT without writing CTEs, so the server itself refuses stacked
statements and everything else. Each query has a connection of its own, so nothing that one leaves behind reaches
another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import psycopg
from psycopg import sql as composed

from causeway.analyst.database import Reach
from causeway.analyst.result import LONGEST_TEXT, Caps, Gathering, Result
from causeway.analyst.schema import Column, Dialect, ForeignKey, Schema, Table, kind_of
from causeway.analyst.turns import Turns
from causeway.contracts.clock import SystemClock
from causeway.errors import QueryFailedError
from causeway.product_sections import AnalystDatabaseSettings

_CONNECT_S: Final = 8
_GRACE_S: Final = 0.5
_FETCH: Final = 200
_AT_ONCE: Final = 6
_FEW: Final = 24
_READ_CAPS: Final = Caps(timeout_s=30.0)
_LARGEST_RANGED: Final = 3_000_000
_SHORT_TYPES: Final = frozenset({16, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950})
"""Type OIDs of numbers, truths, times and UUIDs: https://www.postgresql.org/docs/current/catalog-pg-type.html"""
_SMALL_TABLE: Final = 2_000
_MOST_LISTED: Final = 300

_COLUMNS = """
SELECT n.nspname, c.relname, c.reltuples::bigint, obj_description(c.oid, 'pg_class'), a.attname,
       format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum), s.n_distinct,
       s.most_common_vals::text::text[]
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
  AND has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, a.attnum, 'SELECT')
ORDER BY n.nspname, c.relname, a.attnum
"""
_KEYS = """
SELECT k.contype, t.relname, f.relname,
       (SELECT array_agg(a.attname ORDER BY o) FROM unnest(k.conkey) WITH ORDINALITY AS u(n, o)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n)::text[],
       (SELECT array_agg(a.attname ORDER BY o) FROM unnest(k.confkey) WITH ORDINALITY AS u(n, o)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n)::text[]
FROM pg_constraint k
JOIN pg_class t ON t.oid = k.conrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_class f ON f.oid = k.confrelid
WHERE n.nspname = ANY(%s) AND k.contype IN ('p', 'f')
"""
_RIGHTS = """
SELECT current_user, EXISTS (
  SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p')
    AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
"""


class PostgresDatabase:
    """A PostgreSQL by URL."""

    dialect: Dialect = "postgres"

    def __init__(self, url: str, settings: AnalystDatabaseSettings) -> None:
        self._url = url
        self._namespaces = list(settings.schemas)
        self._may_write = settings.allow_writing_role
        self._turns = Turns(_AT_ONCE)
        self._is_vetted = settings.allow_writing_role
        self._clock = SystemClock()

    async def read_schema(self, *, hidden: Reach) -> Schema:
        """Tables, keys and comments from the catalogue, sample values from the planner's statistics."""
        async with self._session(_READ_CAPS) as connection:
            columns = await self._rows(connection, _COLUMNS, [self._namespaces])
            keys = await self._rows(connection, _KEYS, [self._namespaces])
            tables = _tables(columns, keys, hidden)
            for table in list(tables.values()):
                tables[table.name] = await self._listed(
                    connection, await self._ranged(connection, table, hidden), hidden
                )
        foreign = tuple(
            ForeignKey(str(table), tuple(own), str(other), tuple(others))
            for kind, table, other, own, others in keys
            if str(kind) == "f" and table in tables and other in tables
        )
        return Schema(dialect="postgres", tables=tables, foreign_keys=foreign)

    async def run(self, sql: str, caps: Caps, reach: Reach) -> Result:  # noqa: ARG002 - the role's own grants say it
        """Run a query through a cursor, after the planner has said what it expects it to cost."""
        began = self._clock.monotonic()
        async with self._session(caps) as connection:
            await self._require_cheap(connection, sql, caps)
            names, bounded = await self._bounded(connection, sql)
            await connection.execute(f"DECLARE asked NO SCROLL CURSOR FOR {bounded}".encode(), prepare=True)
            gathering = Gathering(names, caps)
            while True:
                rows = await (
                    await connection.execute(f"FETCH FORWARD {_FETCH} FROM asked".encode())
                ).fetchall()
                if not gathering.add(rows) or len(rows) < _FETCH:
                    return gathering.result(round((self._clock.monotonic() - began) * 1000))

    async def close(self) -> None:
        """No query is begun any more."""
        self._turns.close()

    async def _bounded(self, connection: psycopg.AsyncConnection[Any], sql: str) -> tuple[list[str], str]:
        """The names of a query's columns, and the query with its long values cut where they are made.

        One value may have a gigabyte (``string_agg``), and all of it would be in this process before it could be counted.
        """
        await connection.execute(f"DECLARE shape NO SCROLL CURSOR FOR {sql}".encode(), prepare=True)
        described = (await connection.execute(b"FETCH 0 FROM shape")).description or ()
        await connection.execute(b"CLOSE shape")
        names = [column.name for column in described]
        if all(column.type_code in _SHORT_TYPES for column in described):
            return names, sql
        places = [f"c{number}" for number in range(len(described))]
        cut = (
            place if column.type_code in _SHORT_TYPES else f"left({place}::text, {LONGEST_TEXT + 1})"
            for place, column in zip(places, described, strict=True)
        )
        return names, f"SELECT {', '.join(cut)} FROM ({sql}) AS made ({', '.join(places)})"  # noqa: S608 - checked before

    async def _require_cheap(self, connection: psycopg.AsyncConnection[Any], sql: str, caps: Caps) -> None:
        explained = await connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), prepare=True)
        row = await explained.fetchone()
        cost = float(row[0][0]["Plan"]["Total Cost"]) if row else 0.0
        if caps.cost and cost > caps.cost:
            raise QueryFailedError(
                f"the query would cost {cost:,.0f} by the database's own estimate, and {caps.cost:,.0f} are allowed;"
                " ask about fewer rows, or join on keys"
            )

    @asynccontextmanager
    async def _session(self, caps: Caps) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection in a read-only transaction, closed with it."""
        milliseconds = int(caps.timeout_s * 1000)
        options = (
            f"-c default_transaction_read_only=on -c statement_timeout={milliseconds} -c lock_timeout=2000"
            f" -c idle_in_transaction_session_timeout={milliseconds + 2000} -c cursor_tuple_fraction=1 -c timezone=UTC"
        )
        try:
            async with self._turns.one(), asyncio.timeout(caps.timeout_s + _GRACE_S):
                connection = await psycopg.AsyncConnection.connect(
                    self._url,
                    connect_timeout=_CONNECT_S,
                    options=options,
                    application_name="causeway analyst",
                )
                try:
                    await connection.set_read_only(True)
                    await self._vet(connection)
                    yield connection
                finally:
                    await connection.close()
        except TimeoutError as exc:
            raise _too_slow(caps) from exc
        except psycopg.errors.QueryCanceled as exc:
            raise _too_slow(caps) from exc
        except psycopg.OperationalError as exc:
            raise QueryFailedError(f"the database failed: {_said(exc)}") from exc
        except (psycopg.Error, UnicodeError) as exc:
            raise QueryFailedError(f"the database refuses the query: {_said(exc)}") from exc

    async def _vet(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Refuse a role that may write: the transaction alone would be all that stands between."""
        if self._is_vetted:
            return
        row = await (await connection.execute(_RIGHTS, [self._namespaces])).fetchone()
        if row is None or row[1] or connection.info.parameter_status("is_superuser") == "on":
            raise QueryFailedError(
                f"the role '{row[0] if row else '?'}' may write to this database; make one that reads (CREATE ROLE analyst"
                " LOGIN PASSWORD '...'; GRANT USAGE ON SCHEMA public TO analyst; GRANT SELECT ON ALL TABLES IN SCHEMA"
                " public TO analyst) and use it in analyst.databases.NAME.url"
            )
        self._is_vetted = True

    async def _rows(
        self, connection: psycopg.AsyncConnection[Any], sql: str, values: Sequence[object]
    ) -> list[tuple[Any, ...]]:
        return await (await connection.execute(sql.encode(), values)).fetchall()

    async def _ranged(self, connection: psycopg.AsyncConnection[Any], table: Table, hidden: Reach) -> Table:
        """``table`` with the range of its times."""
        times = [
            column
            for column in table.columns
            if column.kind == "time"
            and column.name.lower() not in hidden.get(table.name.lower(), frozenset())
        ]
        if not times or (table.rows or 0) > _LARGEST_RANGED:
            return table
        ends = composed.SQL(", ").join(
            composed.SQL("min({0})::date::text, max({0})::date::text").format(
                composed.Identifier(column.name)
            )
            for column in times
        )
        place = composed.Identifier(table.namespace, table.name)
        row = await (
            await connection.execute(composed.SQL("SELECT {} FROM {}").format(ends, place))
        ).fetchone()
        found = {column.name: (row[2 * n], row[2 * n + 1]) for n, column in enumerate(times)} if row else {}
        columns = tuple(_with_range(column, found.get(column.name)) for column in table.columns)
        return _replaced(table, columns)

    async def _listed(self, connection: psycopg.AsyncConnection[Any], table: Table, hidden: Reach) -> Table:
        """A small ``table`` with all values of its texts that are never the same twice, such as products' names."""
        if not 0 < (table.rows or 0) <= _SMALL_TABLE:
            return table
        away = hidden.get(table.name.lower(), frozenset())
        columns = []
        for column in table.columns:
            if column.kind == "text" and not column.values and column.name.lower() not in away:
                place = composed.Identifier(table.namespace, table.name)
                listing = composed.SQL(
                    "SELECT DISTINCT {0}::text FROM {1} WHERE length({0}::text) <= 60 ORDER BY 1 LIMIT {2}"
                )
                chosen = listing.format(composed.Identifier(column.name), place, _MOST_LISTED)
                rows = await (await connection.execute(chosen)).fetchall()
                columns.append(replace(column, values=tuple(row[0] for row in rows)))
            else:
                columns.append(column)
        return _replaced(table, tuple(columns))


def _with_range(column: Column, ends: tuple[str | None, str | None] | None) -> Column:
    if ends is None:
        return column
    return replace(column, lowest=ends[0], highest=ends[1])


def _replaced(table: Table, columns: tuple[Column, ...]) -> Table:
    return replace(table, columns=columns)


def _tables(columns: list[tuple[Any, ...]], keys: list[tuple[Any, ...]], hidden: Reach) -> dict[str, Table]:
    found: dict[str, list[Column]] = {}
    about: dict[str, tuple[str, int | None, str]] = {}
    for namespace, table, rows, comment, name, type_name, said, distinct, common in columns:
        if table in about and about[table][0] != namespace:
            continue  # the first schema of the settings that has the name
        about[table] = (namespace, rows if rows >= 0 else None, comment or "")
        kind = kind_of(type_name)
        is_hidden = name.lower() in hidden.get(table.lower(), frozenset())
        values = tuple(common or ()) if kind == "text" and not is_hidden else ()
        count = _distinct(distinct, rows)
        shown = values if count is not None and count <= _FEW else values[:6]
        found.setdefault(table, []).append(
            Column(
                name=name,
                type=type_name.replace("timestamp with time zone", "timestamptz").replace(
                    "character varying", "varchar"
                ),
                kind=kind,
                comment=said or "",
                values=tuple(str(value)[:60] for value in shown),
                distinct=count,
            )
        )
    primary = {table: tuple(own) for kind, table, _other, own, _others in keys if str(kind) == "p"}
    return {
        table: Table(
            name=table,
            columns=tuple(members),
            namespace=about[table][0],
            primary_key=primary.get(table, ()),
            comment=about[table][2],
            rows=about[table][1],
        )
        for table, members in found.items()
    }


def _distinct(estimate: float | None, rows: int) -> int | None:
    """PostgreSQL counts different values, or writes their share of the rows as a negative number."""
    if estimate is None:
        return None
    return round(estimate if estimate >= 0 else -estimate * max(rows, 0))


def _too_slow(caps: Caps) -> QueryFailedError:
    return QueryFailedError(
        f"the query took longer than {caps.timeout_s:g} s and was stopped; ask about fewer rows"
    )


def _said(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("LINE ", "^"))]
    return " ".join(kept)[:300] or type(error).__name__
