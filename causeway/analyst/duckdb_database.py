"""DuckDB files, and CSV and Parquet files imported into one, read only, without access to anything outside of the file.

The configuration is locked, so no query can open what it closes. CSV and Parquet files are imported once into a file of
their own, since a query that reads them where they are needs the very access that is taken away.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from causeway.analyst.database import Reach
from causeway.analyst.result import Caps, Gathering, Result
from causeway.analyst.schema import Column, Dialect, ForeignKey, Schema, Table, kind_of
from causeway.analyst.turns import Turns
from causeway.contracts.clock import SystemClock
from causeway.errors import MissingCapabilityError, QueryFailedError, SettingsError

try:
    import duckdb
except ImportError as exc:  # pragma: no cover - the extra is there in tests
    msg = "DuckDB, CSV and Parquet need the extra 'analyst': pip install 'causeway[analyst]'"
    raise MissingCapabilityError(msg) from exc

_FETCH: Final = 200
_AT_ONCE: Final = 4
_SAMPLE: Final = 20_000
_FEW: Final = 24
_MEMORY: Final = "512MB"
_READERS: Final = {".csv": "read_csv", ".tsv": "read_csv", ".parquet": "read_parquet"}
_NAME: Final = re.compile(r"[^a-z0-9_]+")
_CLOSED: Final = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "memory_limit": _MEMORY,
    "threads": "2",
    "lock_configuration": "true",
}


class DuckdbDatabase:
    """A DuckDB file."""

    dialect: Dialect = "duckdb"

    def __init__(self, file: Path) -> None:
        self._file = file.expanduser()
        self._turns = Turns(_AT_ONCE)
        self._clock = SystemClock()

    async def read_schema(self, *, hidden: Reach) -> Schema:
        """Tables, views, keys and comments, and samples of the values of texts and times."""
        async with self._turns.one():
            return await self._turns.in_thread(self._read_schema, hidden)

    async def run(self, sql: str, caps: Caps, reach: Reach) -> Result:  # noqa: ARG002 - the file holds nothing else
        """Run a query in a thread; a timer interrupts it at its deadline, or when nobody waits any more."""
        async with self._turns.one():
            stop = threading.Event()
            try:
                return await self._turns.in_thread(self._run, sql, caps, stop)
            finally:
                stop.set()

    async def close(self) -> None:
        """No query is begun any more."""
        self._turns.close()

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            connection = duckdb.connect(str(self._file), read_only=True, config=dict(_CLOSED))
        except duckdb.Error as exc:
            raise QueryFailedError(f"'{self._file}' cannot be opened: {_said(exc)}") from exc
        try:
            yield connection
        finally:
            connection.close()

    def _run(self, sql: str, caps: Caps, stop: threading.Event) -> Result:
        began = self._clock.monotonic()
        with self._connection() as connection:
            done = threading.Event()
            watcher = threading.Thread(
                target=_watch, args=(connection, began + caps.timeout_s, stop, done, self._clock), daemon=True
            )
            watcher.start()
            try:
                _require_one(connection, sql)
                _require_few(connection, sql, caps)
                cursor = connection.execute(sql)
                gathering = Gathering([column[0] for column in cursor.description or ()], caps)
                while rows := cursor.fetchmany(_FETCH):
                    if not gathering.add(rows):
                        break
            except duckdb.InterruptException as exc:
                raise QueryFailedError(
                    f"the query took longer than {caps.timeout_s:g} s and was stopped; ask about fewer rows"
                ) from exc
            except (duckdb.Error, ValueError, OverflowError) as exc:
                raise QueryFailedError(f"the database refuses the query: {_said(exc)}") from exc
            finally:
                done.set()
                watcher.join()
        return gathering.result(round((self._clock.monotonic() - began) * 1000))

    def _read_schema(self, hidden: Reach) -> Schema:
        tables: dict[str, Table] = {}
        keys: list[ForeignKey] = []
        with self._connection() as connection:
            try:
                found = connection.execute(
                    "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
                    " WHERE table_schema = 'main' ORDER BY table_name, ordinal_position"
                ).fetchall()
                columns: dict[str, list[Column]] = {}
                for _schema, table, name, type_name in found:
                    column = Column(name=name, type=type_name.lower(), kind=kind_of(type_name))
                    is_hidden = name.lower() in hidden.get(table.lower(), frozenset())
                    columns.setdefault(table, []).append(
                        column if is_hidden else _sampled(connection, table, column)
                    )
                for table, members in columns.items():
                    count = connection.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()  # noqa: S608
                    tables[table] = Table(
                        name=table, columns=tuple(members), namespace="main", rows=count[0] if count else None
                    )
                constraints = connection.execute(
                    "SELECT table_name, constraint_column_names, referenced_table, referenced_column_names"
                    " FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY'"
                ).fetchall()
                keys = [
                    ForeignKey(own, tuple(mine), other, tuple(theirs))
                    for own, mine, other, theirs in constraints
                ]
            except duckdb.Error as exc:
                raise QueryFailedError(f"'{self._file}' cannot be read: {_said(exc)}") from exc
        return Schema(dialect="duckdb", tables=tables, foreign_keys=tuple(keys))


def import_files(files: Sequence[Path], target: Path) -> DuckdbDatabase:
    """The files as tables of one database, named for them; imported anew when one has changed.

    Raises:
        SettingsError: A file is not there, or of no kind that can be imported.
    """
    sources = [file.expanduser() for file in files]
    for source in sources:
        if source.suffix.lower() not in _READERS or not source.is_file():
            raise SettingsError(f"'{source}' is no CSV, TSV or Parquet file that can be read; mend 'files'")
    stamp = hashlib.sha256(
        "\n".join(
            f"{source} {source.stat().st_mtime_ns} {source.stat().st_size}" for source in sources
        ).encode()
    ).hexdigest()[:12]
    imported = target.with_name(f"{target.stem}-{stamp}.duckdb")
    if not imported.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        for old in target.parent.glob(f"{target.stem}-*.duckdb*"):
            old.unlink()
        draft = imported.with_suffix(".partial")
        with suppress(FileNotFoundError):
            draft.unlink()
        try:
            with duckdb.connect(str(draft), config={"memory_limit": _MEMORY, "threads": "2"}) as connection:
                for source in sources:
                    table = _quoted(_NAME.sub("_", source.stem.lower()).strip("_") or "data")
                    reader = _READERS[source.suffix.lower()]
                    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM {reader}(?)", [str(source)])  # noqa: S608
        except duckdb.Error as exc:
            raise SettingsError(f"the files of '{target.stem}' cannot be imported: {_said(exc)}") from exc
        draft.rename(imported)
    return DuckdbDatabase(imported)


def _watch(
    connection: duckdb.DuckDBPyConnection,
    deadline: float,
    stop: threading.Event,
    done: threading.Event,
    clock: SystemClock,
) -> None:
    while not done.wait(0.05):
        if stop.is_set() or clock.monotonic() > deadline:
            connection.interrupt()


def _require_one(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        msg = "only one SELECT is allowed"
        raise QueryFailedError(msg)


def _require_few(connection: duckdb.DuckDBPyConnection, sql: str, caps: Caps) -> None:
    """Refuse a plan that expects more rows anywhere than the ceiling: DuckDB estimates rows, not costs."""
    explained = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()
    expected = [
        int(number) for number in re.findall(r'"Estimated Cardinality":\s*"(\d+)"', str(explained[0][1]))
    ]
    if caps.cost and expected and max(expected) > caps.cost * 10:
        raise QueryFailedError(
            f"the query would go through {max(expected):,} rows by the database's own estimate, and"
            f" {caps.cost * 10:,.0f} are allowed; ask about fewer rows, or join on keys"
        )


def _sampled(connection: duckdb.DuckDBPyConnection, table: str, column: Column) -> Column:
    name, place = _quoted(column.name), _quoted(table)
    if column.kind == "text":
        part = f"(SELECT {name} AS v FROM {place} LIMIT {_SAMPLE})"  # noqa: S608 - names from the catalogue, quoted
        counted = connection.execute(
            f"SELECT v::varchar, count(*) FROM {part} WHERE v IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_FEW + 1}"  # noqa: S608
        ).fetchall()
        shown = counted if len(counted) <= _FEW else counted[:6]
        few = len(counted) if len(counted) <= _FEW else None
        values = tuple(str(value)[:60] for value, _count in shown)
        return Column(name=column.name, type=column.type, kind="text", values=values, distinct=few)
    if column.kind == "time":
        ends = connection.execute(
            f"SELECT min({name})::varchar, max({name})::varchar FROM {place}"  # noqa: S608 - as above
        ).fetchone()
        low, high = ends or (None, None)
        return Column(name=column.name, type=column.type, kind="time", lowest=low, highest=high)
    return column


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _said(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
