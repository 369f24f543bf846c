"""The one database: opens it, brings it to this release's schema, finds out what it can do.

Owns the connection pool and the capability probe. Does not own the tables (``schema``), the steps between versions
(``migrate``) or the embedded server (``embedded_postgres``); nothing outside ``storage`` knows which kind of server
it is, except by ``Capabilities``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from causeway.errors import (
    BusyError,
    DatabaseUnavailableError,
    DeadlineError,
    DiskFullError,
    MissingCapabilityError,
    SettingsError,
)
from causeway.settings import DatabaseSettings
from causeway.storage import embedded_postgres, migrate

log = logging.getLogger(__name__)

Kind = Literal["embedded", "external"]
Bm25 = Literal["extension", "own"]

_OLDEST_PGVECTOR = (0, 8)
"""The first with iterative index scans; before, a filtered search silently loses results."""

_BM25 = "pg_textsearch"
_OLDEST_BM25 = (1, 4)
"""The first pg_textsearch that ``auto`` trusts: 1.0.0 lost every document of its index in a crash."""

_POOL_WAIT_S = 30
_STATEMENT_S = 120
_SESSION = f"-c statement_timeout={_STATEMENT_S}s -c idle_in_transaction_session_timeout=300s -c timezone=UTC"
"""No request waits two minutes; what may (an index build) lifts it with SET LOCAL."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server can do."""

    server_version: str
    kind: Kind
    pgvector: str
    bm25_extension: str | None
    """The version of pg_textsearch that the server offers."""
    vectorscale: str | None
    """The version of pgvectorscale that the server offers."""
    bm25: Bm25
    """Which keyword search is to be used."""


class Database:
    """An open database; made by ``open_database``, closed by ``close``."""

    def __init__(self, engine: AsyncEngine, capabilities: Capabilities, release: Callable[[], None]) -> None:
        self.engine = engine
        self.capabilities = capabilities
        self._release = release

    @property
    def url(self) -> str:
        """Its SQLAlchemy URL with the password: for programs that open connections of their own."""
        return self.engine.url.render_as_string(hide_password=False)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, committed when the block ends well and rolled back when it does not.

        Raises:
            DatabaseUnavailableError: The server cannot be reached.
            DiskFullError: The server has no room left.
            BusyError: Every connection of the pool has been in use for half a minute.
        """
        with _explained(self.engine.url):
            async with self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; what it writes is rolled back. Raises like ``begin``."""
        with _explained(self.engine.url):
            async with self.engine.connect() as connection:
                yield connection

    async def close(self) -> None:
        """Close the connections; stops the embedded server when no other process uses it."""
        try:
            await self.engine.dispose()
        finally:
            await asyncio.to_thread(self._release)


async def open_database(settings: DatabaseSettings, folder: Path) -> Database:
    """Reach the database of ``settings``, starting the embedded one in ``folder`` when no URL is set.

    Raises:
        DatabaseUnavailableError: It cannot be started or reached.
        DatabaseTooNewError: A newer Causeway wrote it.
        MissingCapabilityError: The server lacks pgvector, or the BM25 extension that the settings insist on.
        SettingsError: ``database.url`` is not a PostgreSQL URL.
        DiskFullError: There is no room to start it.
    """
    url = settings.url.get_secret_value()
    if url:
        return await _open(_external_url(url), settings, "external", release=lambda: None)
    preload = {"shared_preload_libraries": _BM25} if _wants_bm25_loaded(settings) else {}
    server = await asyncio.to_thread(embedded_postgres.start, folder, options=preload)
    try:
        return await _open(make_url(server.url()), settings, "embedded", release=server.close)
    except BaseException:
        await asyncio.to_thread(server.close)
        raise


async def _open(url: URL, settings: DatabaseSettings, kind: Kind, *, release: Callable[[], None]) -> Database:
    engine = create_async_engine(
        url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_S,
        pool_pre_ping=True,
        pool_recycle=1800 if kind == "external" else -1,  # firewalls drop connections that sleep for hours
        connect_args={"connect_timeout": 10, "application_name": "causeway", "options": _SESSION},
    )
    try:
        with _explained(url):
            capabilities = await _prepare(engine, settings, kind)
    except BaseException:
        await engine.dispose()
        raise
    return Database(engine, capabilities, release)


# --- what it can do ------------------------------------------------------------------------------------


async def _prepare(engine: AsyncEngine, settings: DatabaseSettings, kind: Kind) -> Capabilities:
    async with engine.connect() as connection:
        extensions = await _extensions(connection)
        version = await connection.scalar(text("SELECT current_setting('server_version')"))
    _require_pgvector(extensions, engine.url)
    try:
        if await migrate.migrate(engine):
            log.info("database brought to this release's schema", extra={"revision": migrate.REVISIONS[-1]})
    except DBAPIError as exc:
        if _sqlstate(exc) != _MAY_NOT:
            raise
        raise MissingCapabilityError(
            f"the user '{engine.url.username}' may not create what Causeway needs in the database "
            f"'{engine.url.database}'; as its owner run: {_psql(engine.url, 'CREATE EXTENSION IF NOT EXISTS vector')}"
            f", and make '{engine.url.username}' the owner of the database"
        ) from exc
    pgvector, bm25, vectorscale = (extensions.get(name) for name in ("vector", _BM25, "vectorscale"))
    return Capabilities(
        server_version=str(version).split()[0],
        kind=kind,
        pgvector=str(pgvector),
        bm25_extension=bm25,
        vectorscale=vectorscale,
        bm25=await _choose_bm25(engine, settings, bm25),
    )


async def _extensions(connection: AsyncConnection) -> dict[str, str]:
    """Name to version, of those created in the database and those that the server offers."""
    rows = await connection.execute(
        text(
            "SELECT name, coalesce(installed_version, default_version) AS version FROM pg_available_extensions"
        )
    )
    return {row.name: row.version for row in rows}


def _require_pgvector(extensions: dict[str, str], url: URL) -> None:
    version = extensions.get("vector")
    if version is None:
        raise MissingCapabilityError(
            f"PostgreSQL at {_host(url)} has no pgvector; install it there (Debian: apt install "
            f"postgresql-<version>-pgvector), then run: {_psql(url, 'CREATE EXTENSION vector')}"
        )
    if _numbers(version) < _OLDEST_PGVECTOR:
        raise MissingCapabilityError(
            f"PostgreSQL at {_host(url)} has pgvector {version} and Causeway needs 0.8 or newer; install that, "
            f"then run: {_psql(url, 'ALTER EXTENSION vector UPDATE')}"
        )


def _wants_bm25_loaded(settings: DatabaseSettings) -> bool:
    offered = embedded_postgres.offered_version(_BM25)
    if offered is None or settings.bm25 == "own":
        return False
    return settings.bm25 == "extension" or _numbers(offered) >= _OLDEST_BM25


async def _choose_bm25(engine: AsyncEngine, settings: DatabaseSettings, offered: str | None) -> Bm25:
    if settings.bm25 == "own":
        return "own"
    if settings.bm25 == "auto" and (offered is None or _numbers(offered) < _OLDEST_BM25):
        return "own"
    problem = "does not offer it" if offered is None else await _create_bm25(engine)
    if problem is None:
        return "extension"
    if settings.bm25 == "auto":
        log.warning("keyword search without the server's BM25 extension", extra={"reason": problem})
        return "own"
    raise MissingCapabilityError(
        f"database.bm25 is 'extension' and PostgreSQL at {_host(engine.url)} {problem}; install {_BM25}, name it "
        "in shared_preload_libraries and restart that server, or set CAUSEWAY_DATABASE__BM25=auto"
    )


async def _create_bm25(engine: AsyncEngine) -> str | None:
    """Create the extension; what stands against it, if something does."""
    preloaded = "SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'"
    try:
        async with engine.begin() as connection:
            await migrate.take_turn(connection)
            await connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS {_BM25}"))
            libraries = await connection.scalar(text(preloaded))  # None when this user may not see it
    except DBAPIError as exc:
        return f"refuses it ({_first_line(exc)})"
    if libraries is not None and _BM25 not in libraries:
        return "has not loaded it at its start"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())


# --- failures --------------------------------------------------------------------------------------------

_MAY_NOT = "42501"
_DISK_FULL = "53100"
_TIMED_OUT = "57014"
_GONE = ("08", "57P", "53300")
"""Broken connections, a server that stops or starts, one that has no connection left."""


@contextmanager
def _explained(url: URL) -> Iterator[None]:
    """Turn the failures that a person can mend into a sentence with the remedy; others pass."""
    try:
        yield
    except PoolTimeoutError as exc:
        raise BusyError(
            f"every database connection has been in use for {_POOL_WAIT_S} s; "
            "try again, or raise CAUSEWAY_DATABASE__POOL_SIZE"
        ) from exc
    except (OperationalError, InterfaceError) as exc:
        state = _sqlstate(exc)
        if state == _DISK_FULL:
            raise DiskFullError(
                f"PostgreSQL at {_host(url)} has no room left; free some on its disk"
            ) from exc
        if state == _TIMED_OUT:
            raise DeadlineError(
                f"the database did not answer within {_STATEMENT_S} s; try again later"
            ) from exc
        if state is None or state.startswith(_GONE):
            raise DatabaseUnavailableError(
                f"PostgreSQL at {_host(url)} cannot be reached: {_first_line(exc)}; "
                "see that it runs and that CAUSEWAY_DATABASE__URL is right"
            ) from exc
        raise


def _sqlstate(error: DBAPIError) -> str | None:
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def _first_line(error: DBAPIError) -> str:
    lines = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
    reason = next((line for line in lines if "FATAL:" in line or "ERROR:" in line), lines[0] if lines else "")
    return reason.rpartition("FATAL:")[2].strip()


def _host(url: URL) -> str:
    host = url.host or url.query.get("host") or "localhost"
    return f"'{host}{f':{url.port}' if url.port else ''}'"


def _psql(url: URL, statement: str) -> str:
    return f'psql -d {url.database} -c "{statement}"'


def _external_url(written: str) -> URL:
    try:
        url = make_url(written)
    except ArgumentError:
        url = None  # the message of the exception shows the password
    if url is None or url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        form = "postgresql://user:password@host/name"
        raise SettingsError(f"database.url is not of the form {form}; mend it")
    return url.set(drivername="postgresql+psycopg")
