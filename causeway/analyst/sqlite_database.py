"""SQLite files, read only: opened so, `query_only`, and an authorizer that is asked about every table, column and function.

The authorizer decides when a statement is compiled, on what the engine will really do, whatever the SQL looks like:
https://www.sqlite.org/c3ref/set_authorizer.html
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from causeway.analyst.database import Reach
from causeway.analyst.result import Caps, Gathering, Result
from causeway.analyst.schema import Column, Dialect, ForeignKey, Schema, Table, kind_of
from causeway.analyst.turns import Turns
from causeway.contracts.clock import SystemClock
from causeway.errors import QueryFailedError

_FETCH: Final = 200
_AT_ONCE: Final = 4
_STEPS_BETWEEN_LOOKS: Final = 5_000
_LONGEST_VALUE: Final = 5_000_000
_SAMPLE: Final = 20_000
_FEW: Final = 24
_HARMLESS: Final = (
    "abs avg ceil ceiling coalesce concat concat_ws count cume_dist date datetime dense_rank exp first_value floor format "
    "glob group_concat ifnull iif instr julianday lag last_value lead length like ln log log10 lower ltrim max min mod "
    "nth_value ntile nullif percent_rank pow power rank replace round row_number rtrim sign sqrt strftime string_agg "
    "substr substring sum time total trim trunc unixepoch upper"
)
_FUNCTIONS: Final = frozenset(_HARMLESS.split())

_Reads = frozenset[tuple[str, str]]
_Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


class SqliteDatabase:
    """A SQLite file."""

    dialect: Dialect = "sqlite"

    def __init__(self, file: Path) -> None:
        self._file = file.expanduser()
        self._views: dict[str, _Reads] = {}
        self._turns = Turns(_AT_ONCE)
        self._clock = SystemClock()

    async def read_schema(self, *, hidden: Reach) -> Schema:
        """Tables and views with their keys, and samples of the values of texts and times."""
        async with self._turns.one():
            return await self._turns.in_thread(self._read_schema, hidden)

    async def run(self, sql: str, caps: Caps, reach: Reach) -> Result:
        """Run a query in a thread that stops at its deadline, or when nobody waits any more."""
        stop = threading.Event()
        async with self._turns.one():
            try:
                return await self._turns.in_thread(self._run, sql, caps, reach, stop)
            finally:
                stop.set()

    async def close(self) -> None:
        """No query is begun any more."""
        self._turns.close()

    def _run(self, sql: str, caps: Caps, reach: Reach, stop: threading.Event) -> Result:
        began = self._clock.monotonic()
        deadline = began + caps.timeout_s

        def is_over() -> int:
            return int(stop.is_set() or self._clock.monotonic() > deadline)

        with self._connection() as connection:
            connection.execute(f"PRAGMA hard_heap_limit = {caps.memory_bytes}")
            connection.execute("PRAGMA query_only = ON")
            connection.set_progress_handler(is_over, _STEPS_BETWEEN_LOOKS)
            connection.set_authorizer(_authorizer(reach, self._views))
            try:
                cursor = connection.execute(sql)
                gathering = Gathering([column[0] for column in cursor.description or ()], caps)
                while rows := cursor.fetchmany(_FETCH):
                    if not gathering.add(rows):
                        break
            except (sqlite3.Error, sqlite3.Warning, MemoryError) as exc:
                if is_over():
                    raise QueryFailedError(
                        f"the query took longer than {caps.timeout_s:g} s and was stopped; ask about fewer rows"
                    ) from exc
                raise QueryFailedError(
                    f"the database refuses the query: {str(exc) or 'out of memory'}"
                ) from exc
        return gathering.result(round((self._clock.monotonic() - began) * 1000))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(
                f"{self._file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=2.0
            )
        except sqlite3.Error as exc:
            raise QueryFailedError(f"'{self._file}' cannot be opened: {exc}") from exc
        try:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)
            connection.setlimit(sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
            yield connection
        finally:
            connection.close()

    def _read_schema(self, hidden: Reach) -> Schema:
        tables: dict[str, Table] = {}
        keys: list[ForeignKey] = []
        try:
            with self._connection() as connection:
                names = connection.execute(
                    "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
                    " ORDER BY name"
                ).fetchall()
                self._views = {
                    name.lower(): _reads_of(connection, name) for name, kind in names if kind == "view"
                }
                for name, _kind in names:
                    tables[name] = _table(connection, name, hidden.get(name.lower(), frozenset()))
                    keys += _foreign_keys(connection, name)
        except sqlite3.Error as exc:
            raise QueryFailedError(f"'{self._file}' cannot be read: {exc}") from exc
        known = tuple(key for key in keys if key.other in tables)
        return Schema(dialect="sqlite", tables=tables, foreign_keys=known)


def _authorizer(reach: Reach, views: dict[str, _Reads]) -> _Authorizer:
    def may(
        action: int, first: str | None, second: str | None, _database: str | None, within: str | None
    ) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_OK if (second or "").lower() in _FUNCTIONS else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ:
            table, column, view = ((name or "").lower() for name in (first, second, within))
            columns = reach.get(table)
            is_open = columns is not None and (not column or column in columns)
            is_of_view = view in reach and (table, column) in views.get(view, ())
            return sqlite3.SQLITE_OK if is_open or is_of_view else sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_DENY

    return may


def _reads_of(connection: sqlite3.Connection, view: str) -> _Reads:
    """What a view reads: ``within`` names views and WITH alike, so that a name alone opens nothing."""
    found: set[tuple[str, str]] = set()

    def note(
        action: int, first: str | None, second: str | None, _database: str | None, _within: str | None
    ) -> int:
        if action == sqlite3.SQLITE_READ:
            found.add(((first or "").lower(), (second or "").lower()))
        return sqlite3.SQLITE_OK

    connection.set_authorizer(note)
    try:
        connection.execute(f"SELECT * FROM {_quoted(view)} LIMIT 0")  # noqa: S608
    finally:
        connection.set_authorizer(None)
    return frozenset(found)


def _table(connection: sqlite3.Connection, name: str, hidden: frozenset[str]) -> Table:
    place = _quoted(name)
    columns = []
    keys: list[tuple[int, str]] = []
    for _id, column, type_name, _not_null, _default, key in connection.execute(f"PRAGMA table_info({place})"):
        if key:
            keys.append((key, column))
        kind = kind_of(type_name)
        if column.lower() in hidden:
            columns.append(Column(name=column, type=type_name, kind=kind))
            continue
        columns.append(_sampled(connection, place, Column(name=column, type=type_name or "text", kind=kind)))
    rows = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM {place} LIMIT 1000000)").fetchone()[0]  # noqa: S608
    ordered = tuple(column for _place, column in sorted(keys))
    return Table(name=name, columns=tuple(columns), namespace="main", primary_key=ordered, rows=rows)


def _sampled(connection: sqlite3.Connection, place: str, column: Column) -> Column:
    name = _quoted(column.name)
    part = f"(SELECT {name} AS v FROM {place} LIMIT {_SAMPLE})"  # noqa: S608 - names from the catalogue, quoted
    if column.kind == "text":
        counted = connection.execute(
            f"SELECT v, count(*) FROM {part} WHERE v IS NOT NULL GROUP BY v ORDER BY 2 DESC, 1 LIMIT {_FEW + 1}"  # noqa: S608
        ).fetchall()
        shown = counted if len(counted) <= _FEW else counted[:6]
        values = tuple(str(value)[:60] for value, _count in shown)
        few = len(counted) if len(counted) <= _FEW else None
        return Column(name=column.name, type=column.type, kind="text", values=values, distinct=few)
    if column.kind == "time":
        low, high = connection.execute(f"SELECT min({name}), max({name}) FROM {place}").fetchone()  # noqa: S608
        ends = [None if end is None else str(end)[:19] for end in (low, high)]
        return Column(name=column.name, type=column.type, kind="time", lowest=ends[0], highest=ends[1])
    return column


def _foreign_keys(connection: sqlite3.Connection, name: str) -> list[ForeignKey]:
    found: dict[int, list[tuple[str, str, str]]] = {}
    for number, _seq, other, own, theirs, *_rest in connection.execute(
        f"PRAGMA foreign_key_list({_quoted(name)})"
    ):
        found.setdefault(number, []).append((other, own, theirs or own))
    return [
        ForeignKey(
            name, tuple(own for _, own, _ in pairs), pairs[0][0], tuple(theirs for *_, theirs in pairs)
        )
        for pairs in found.values()
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
