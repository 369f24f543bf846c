"""MySQL and MariaDB by URL, read only: a user without rights to write, a read-only transaction, one statement a call.

PyMySQL asks the server to refuse stacked statements and local files. A connection of its own a query, closed with it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from causeway.analyst.database import Reach
from causeway.analyst.result import Caps, Gathering, Result
from causeway.analyst.schema import Column, Dialect, ForeignKey, Schema, Table, kind_of
from causeway.analyst.turns import Turns
from causeway.contracts.clock import SystemClock
from causeway.errors import MissingCapabilityError, QueryFailedError
from causeway.product_sections import AnalystDatabaseSettings

try:
    import pymysql
    from pymysql.cursors import SSCursor
except ImportError as exc:  # pragma: no cover - the extra is there in tests
    msg = "MySQL needs the extra 'analyst': pip install 'causeway[analyst]'"
    raise MissingCapabilityError(msg) from exc

if TYPE_CHECKING:
    from pymysql.connections import Connection

_CONNECT_S: Final = 8
_FETCH: Final = 200
_AT_ONCE: Final = 4
_FEW: Final = 24
_READING: Final = frozenset({"USAGE", "SELECT", "SHOW VIEW"})
_GRANT: Final = re.compile(r"GRANT (.+?) ON ", re.IGNORECASE)
_COLUMN_LIST: Final = re.compile(r"\([^)]*\)")


class MysqlDatabase:
    """A MySQL or MariaDB by URL."""

    dialect: Dialect = "mysql"

    def __init__(self, url: str, settings: AnalystDatabaseSettings) -> None:
        parts = urlsplit(url)
        query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
        self._database = parts.path.lstrip("/")
        self._where: dict[str, Any] = {
            "host": parts.hostname or "127.0.0.1",
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": self._database,
        }
        if "unix_socket" in query:
            self._where["unix_socket"] = unquote(query["unix_socket"])
        self._is_vetted = settings.allow_writing_role
        self._turns = Turns(_AT_ONCE)
        self._clock = SystemClock()

    async def read_schema(self, *, hidden: Reach) -> Schema:
        """Tables, keys and comments from information_schema, and samples of texts and times."""
        async with self._turns.one():
            return await self._turns.in_thread(self._read_schema, hidden)

    async def run(self, sql: str, caps: Caps, reach: Reach) -> Result:  # noqa: ARG002 - the user's own grants say it
        """Run a query in a thread; another connection kills it at its deadline, or when nobody waits any more."""
        stop = threading.Event()
        async with self._turns.one():
            try:
                return await self._turns.in_thread(self._run, sql, caps, stop)
            finally:
                stop.set()

    async def close(self) -> None:
        """No query is begun any more."""
        self._turns.close()

    def _run(self, sql: str, caps: Caps, stop: threading.Event) -> Result:
        began = self._clock.monotonic()
        with self._connection(caps) as connection, self._bounded(connection, began + caps.timeout_s, stop):
            self._require_cheap(connection, sql, caps)
            with connection.cursor(SSCursor) as cursor:
                cursor.execute(sql)
                gathering = Gathering([column[0] for column in cursor.description or ()], caps)
                while rows := cursor.fetchmany(_FETCH):
                    if not gathering.add(rows):
                        self._kill(_number(connection))
                        break
                cursor._result = None  # type: ignore[attr-defined]  # else it reads what is left to the end
        return gathering.result(round((self._clock.monotonic() - began) * 1000))

    @contextmanager
    def _connection(self, caps: Caps) -> Iterator[Connection[Any]]:
        try:
            connection = pymysql.connect(
                **self._where,
                connect_timeout=_CONNECT_S,
                read_timeout=int(caps.timeout_s) + 5,
                local_infile=False,
                autocommit=False,
                charset="utf8mb4",
            )
            try:
                self._prepare(connection, caps)
                yield connection
            finally:
                with suppress(pymysql.Error, OSError):
                    connection._force_close()  # type: ignore[attr-defined]  # does not wait for the server
        except pymysql.Error as exc:
            if exc.args and exc.args[0] in (1317, 1969, 3024, 2013):
                raise QueryFailedError(
                    f"the query took longer than {caps.timeout_s:g} s and was stopped; ask about fewer rows"
                ) from exc
            said = str(exc.args[1]) if len(exc.args) > 1 else str(exc)
            raise QueryFailedError(f"the database refuses the query: {said[:300]}") from exc

    def _prepare(self, connection: Connection[Any], caps: Caps) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            is_mariadb = "mariadb" in str((cursor.fetchone() or ("",))[0]).lower()
            if is_mariadb:
                cursor.execute(f"SET SESSION max_statement_time = {caps.timeout_s}")
            else:
                cursor.execute(f"SET SESSION max_execution_time = {int(caps.timeout_s * 1000)}")
            cursor.execute("SET SESSION time_zone = '+00:00', sql_mode = 'ONLY_FULL_GROUP_BY'")
            self._vet(cursor)
            cursor.execute("START TRANSACTION READ ONLY")

    def _vet(self, cursor: Any) -> None:
        """Refuse a user who may do anything but read."""
        if self._is_vetted:
            return
        cursor.execute("SHOW GRANTS")
        rights: set[str] = set()
        for (grant,) in cursor.fetchall():
            found = _GRANT.match(str(grant))
            if found:
                rights |= {right.strip().upper() for right in _COLUMN_LIST.sub("", found[1]).split(",")}
        beyond = sorted(rights - _READING)
        if beyond:
            raise QueryFailedError(
                f"the user '{self._where['user']}' may do more than read ({', '.join(beyond)[:80]}); make one that reads"
                f" (CREATE USER analyst IDENTIFIED BY '...'; GRANT SELECT ON {self._database}.* TO analyst) and use it in"
                " analyst.databases.NAME.url"
            )
        self._is_vetted = True

    @contextmanager
    def _bounded(self, connection: Connection[Any], deadline: float, stop: threading.Event) -> Iterator[None]:
        """Kill what still runs at the deadline: the server's own bound covers SELECT alone."""
        done = threading.Event()
        number = _number(connection)

        def watch() -> None:
            while not done.wait(0.05):
                if stop.is_set() or self._clock.monotonic() > deadline + 0.2:
                    self._kill(number)
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _kill(self, number: int) -> None:
        with suppress(pymysql.Error):
            other = pymysql.connect(**self._where, connect_timeout=_CONNECT_S, local_infile=False)
            try:
                with other.cursor() as cursor:
                    cursor.execute(f"KILL QUERY {int(number)}")
            finally:
                other.close()

    def _require_cheap(self, connection: Connection[Any], sql: str, caps: Caps) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN FORMAT=JSON {sql}")
            row = cursor.fetchone()
        cost = _cost(json.loads(row[0])) if row else 0.0
        if caps.cost and cost > caps.cost:
            raise QueryFailedError(
                f"the query would cost {cost:,.0f} by the database's own estimate, and {caps.cost:,.0f} are allowed;"
                " ask about fewer rows, or join on keys"
            )

    def _read_schema(self, hidden: Reach) -> Schema:
        tables: dict[str, list[Column]] = {}
        primary: dict[str, list[str]] = {}
        with self._connection(Caps(timeout_s=30.0)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, column_type, column_comment, column_key FROM information_schema.columns"
                " WHERE table_schema = %s ORDER BY table_name, ordinal_position",
                [self._database],
            )
            for table, name, type_name, comment, key in cursor.fetchall():
                column = Column(
                    name=name, type=str(type_name), kind=kind_of(str(type_name)), comment=comment or ""
                )
                is_hidden = name.lower() in hidden.get(table.lower(), frozenset())
                tables.setdefault(table, []).append(column if is_hidden else _sampled(cursor, table, column))
                if key == "PRI":
                    primary.setdefault(table, []).append(name)
            cursor.execute(
                "SELECT table_name, table_rows, table_comment FROM information_schema.tables WHERE table_schema = %s",
                [self._database],
            )
            about = {table: (rows, comment) for table, rows, comment in cursor.fetchall()}
            cursor.execute(
                "SELECT table_name, column_name, referenced_table_name, referenced_column_name"
                " FROM information_schema.key_column_usage WHERE table_schema = %s AND referenced_table_name IS NOT NULL",
                [self._database],
            )
            keys = [
                ForeignKey(own, (mine,), other, (theirs,)) for own, mine, other, theirs in cursor.fetchall()
            ]
        found = {
            name: Table(
                name=name,
                columns=tuple(columns),
                primary_key=tuple(primary.get(name, ())),
                rows=about.get(name, (None, ""))[0],
                comment=about.get(name, (None, ""))[1] or "",
            )
            for name, columns in tables.items()
        }
        return Schema(
            dialect="mysql", tables=found, foreign_keys=tuple(key for key in keys if key.other in found)
        )


def _cost(node: object) -> float:
    """The dearest cost that a plan names: MySQL writes ``query_cost``, MariaDB ``cost``; else the rows gone through."""
    if isinstance(node, list):
        return max((_cost(each) for each in node), default=0.0)
    if not isinstance(node, dict):
        return 0.0
    own = [
        float(node[name]) for name in ("query_cost", "cost") if isinstance(node.get(name), str | int | float)
    ]
    if not own and isinstance(node.get("query_block"), dict):
        own = [_rows(node["query_block"])]
    return max([*own, *(_cost(each) for each in node.values())], default=0.0)


def _rows(node: object) -> float:
    """The product of the rows that a plan's tables are expected to be gone through."""
    product = 1.0
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, list):
            stack += current
        elif isinstance(current, dict):
            rows = current.get("rows", current.get("rows_examined_per_scan"))
            product *= max(1.0, float(rows)) if isinstance(rows, int | float) else 1.0
            stack += list(current.values())
    return product


def _sampled(cursor: Any, table: str, column: Column) -> Column:
    name, place = _quoted(column.name), _quoted(table)
    if column.kind == "text":
        cursor.execute(
            f"SELECT v, count(*) FROM (SELECT {name} AS v FROM {place} LIMIT 20000) s WHERE v IS NOT NULL"  # noqa: S608
            f" GROUP BY v ORDER BY 2 DESC, 1 LIMIT {_FEW + 1}"
        )
        counted = cursor.fetchall()
        shown = counted if len(counted) <= _FEW else counted[:6]
        return Column(
            name=column.name,
            type=column.type,
            kind="text",
            comment=column.comment,
            values=tuple(str(value)[:60] for value, _count in shown),
            distinct=len(counted) if len(counted) <= _FEW else None,
        )
    if column.kind == "time":
        cursor.execute(f"SELECT min({name}), max({name}) FROM {place}")  # noqa: S608
        low, high = cursor.fetchone() or (None, None)
        ends = [None if end is None else str(end)[:19] for end in (low, high)]
        return Column(
            name=column.name,
            type=column.type,
            kind="time",
            comment=column.comment,
            lowest=ends[0],
            highest=ends[1],
        )
    return column


def _number(connection: Connection[Any]) -> int:
    """What the server calls the connection."""
    return int(connection.thread_id())  # type: ignore[no-untyped-call]  # PyMySQL's stubs leave it out


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
