"""The one database: opens it, brings it to this release's schema, finds out what it can do.

Owns the connection pool. Does not own the tables (``schema``), the steps between versions (``migrate``), the
embedded server (``embedded_postgres``) or the probe (``capabilities``). Nothing outside ``storage`` knows which
kind of server it is, except by ``Capabilities``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from causeway.errors import MissingCapabilityError, SettingsError
from causeway.settings import DatabaseSettings
from causeway.storage import embedded_postgres, migrate
from causeway.storage.capabilities import (
    BM25_EXTENSION,
    Capabilities,
    Kind,
    choose_bm25,
    create_bm25_extension,
    offered_extensions,
    psql,
    require_pgvector,
    wants_bm25_extension,
)
from causeway.storage.database_failures import MAY_NOT, explained, sqlstate
from causeway.storage.liveness import watch_connections
from causeway.storage.postgres_package import offered_version
from causeway.storage.seen_rows import SeenRows, prepare_role

log = logging.getLogger(__name__)

_POOL_WAIT_S = 30
_VECTOR_SCANS = "-c hnsw.iterative_scan=relaxed_order -c hnsw.ef_search=300 -c hnsw.max_scan_tuples=40000"
"""pgvector's settings for scans of a vector index, which a filter must not end before they have enough
(`causeway.knowledge.index.postgres_index`): of the session, since one for each search is a trip to the server more."""
_SESSION = (
    f"-c statement_timeout=120s -c idle_in_transaction_session_timeout=300s -c timezone=UTC {_VECTOR_SCANS}"
)
"""No request waits two minutes; what may (an index build) lifts it with SET LOCAL."""


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
        with explained(self.engine.url):
            async with self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; what it writes is rolled back. Raises like ``begin``."""
        with explained(self.engine.url):
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading whose statements stand alone, without the two trips to the server that a transaction takes.

        Raises like ``begin``.
        """
        async with self.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    def seen_by(self, names: Iterable[str]) -> SeenRows:
        """Connections that read only what one of ``names`` may see, by row-level security."""
        return SeenRows(self.connect, names)

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
    server = await asyncio.to_thread(embedded_postgres.start, folder, options=_preload(settings))
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
        pool_recycle=1800 if kind == "external" else -1,  # firewalls drop connections that sleep for hours
        connect_args={"connect_timeout": 10, "application_name": "causeway", "options": _SESSION},
    )
    watch_connections(engine.sync_engine)
    try:
        with explained(url):
            capabilities = await _prepare(engine, settings, kind)
    except BaseException:
        await engine.dispose()
        raise
    return Database(engine, capabilities, release)


def _preload(settings: DatabaseSettings) -> dict[str, str]:
    offered = offered_version(BM25_EXTENSION)
    if offered is None or not wants_bm25_extension(settings.bm25, offered):
        return {}
    return {"shared_preload_libraries": BM25_EXTENSION}


async def _prepare(engine: AsyncEngine, settings: DatabaseSettings, kind: Kind) -> Capabilities:
    extensions = await offered_extensions(engine)
    pgvector = require_pgvector(extensions, engine.url)
    await _bring_up_to_date(engine)
    await prepare_role(engine)
    async with engine.connect() as connection:
        version = await connection.scalar(text("SELECT current_setting('server_version')"))
    offered = extensions.get(BM25_EXTENSION)
    create = partial(create_bm25_extension, engine)
    return Capabilities(
        server_version=str(version).split()[0],
        kind=kind,
        pgvector=pgvector,
        bm25_extension=offered,
        vectorscale=extensions.get("vectorscale"),
        bm25=await choose_bm25(settings.bm25, offered, engine.url, create=create),
    )


async def _bring_up_to_date(engine: AsyncEngine) -> None:
    try:
        is_changed = await migrate.migrate(engine)
    except DBAPIError as exc:
        if sqlstate(exc) not in MAY_NOT:
            raise
        user, command = engine.url.username, psql(engine.url, "CREATE EXTENSION IF NOT EXISTS vector")
        raise MissingCapabilityError(
            f"the user '{user}' may not create what Causeway needs in the database '{engine.url.database}'; as an "
            f"administrator run: {command}, and make '{user}' the database's owner"
        ) from exc
    if is_changed:
        log.info("database brought to this release's schema", extra={"revision": migrate.REVISIONS[-1]})


def _external_url(written: str) -> URL:
    try:
        url = make_url(written)
    except ArgumentError:
        url = None  # the message of the exception shows the password
    if url is None or url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        form = "postgresql://user:password@host/name"
        raise SettingsError(f"database.url is not of the form {form}; mend it")
    return url.set(drivername="postgresql+psycopg")
