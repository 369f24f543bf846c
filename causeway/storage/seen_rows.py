"""The second wall: reads on somebody's behalf run as a role that row-level security binds, whoever owns the tables.

The embedded server's user is a superuser and an external one's owns the tables; neither is bound by policies. So a read
for a caller takes the role `ROLE` and names the caller in the setting ``causeway.viewer``, both for one transaction only:
a connection that goes back to the pool has lost them. Without a viewer the role sees nothing. The policies are the
migrations'; the predicate in every query, the first wall, is `causeway.knowledge.access`'s. docs/adr/0024 has both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from causeway.errors import MissingCapabilityError
from causeway.storage.capabilities import psql
from causeway.storage.database_failures import MAY_NOT, sqlstate
from causeway.storage.migrate import take_turn

ROLE = "causeway_reader"
READABLE = (
    "collections",
    "documents",
    "chunks",
    "past_revisions",
    "past_chunks",
    "page_words",
)
"""The tables that the role may read, and only read."""

_IS_READY = text(
    """
    SELECT coalesce(bool_and(has_table_privilege(role.oid, name, 'SELECT')), false)
        AND bool_or(pg_has_role(role.oid, 'MEMBER'))
    FROM pg_roles AS role, unnest(CAST(:names AS text[])) AS name WHERE role.rolname = :role
    """
)
_SEE_AS = "SELECT set_config('causeway.viewer', %s::text[]::text, true), set_config('role', %s, true)"
_MAKE = text(
    """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_reader') THEN
            BEGIN
                CREATE ROLE causeway_reader NOLOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- roles are the whole server's: another database's Causeway made it just now
            END;
        END IF;
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            EXECUTE format('GRANT causeway_reader TO %I', current_user);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO causeway_reader', current_schema());
        GRANT SELECT ON collections, documents, chunks TO causeway_reader;
        GRANT SELECT ON past_revisions, past_chunks, page_words TO causeway_reader;
    END $$
    """
)


class SeenRows:
    """Connections that read what one caller may see; made by `Database.seen_by`."""

    def __init__(
        self, connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]], names: Iterable[str]
    ) -> None:
        self._connect = connect
        self._names = sorted(names)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading, in a transaction that sees the caller's rows alone. Raises as `Database.begin`."""
        async with self._connect() as connection:
            await connection.exec_driver_sql(_SEE_AS, (self._names, ROLE))
            yield connection


async def prepare_role(engine: AsyncEngine) -> None:
    """Make the role and give it what it reads, unless that has been done.

    Raises:
        MissingCapabilityError: This database's user may not make roles; the message says what an administrator runs.
    """
    asked = {"names": list(READABLE), "role": ROLE}
    async with engine.connect() as connection:
        if await connection.scalar(_IS_READY, asked):
            return
    try:
        async with engine.begin() as connection:
            await take_turn(connection)
            await connection.execute(_MAKE)
    except DBAPIError as exc:
        if sqlstate(exc) not in MAY_NOT:
            raise
        raise _missing(engine.url) from exc


def _missing(url: URL) -> MissingCapabilityError:
    command = psql(url, f"CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO {url.username}")
    return MissingCapabilityError(
        f"the user '{url.username}' may not make the role '{ROLE}', as which documents are read on people's behalf; "
        f"as an administrator run: {command}"
    )
