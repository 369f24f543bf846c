"""Brings a database to this release's schema, once, whoever comes first.

Owns the order and the lock. The steps are Alembic revisions in ``migrations/versions``, one line without branches;
a file is named ``r<revision>_<what it does>.py``, so the newest revision is known without importing Alembic, which
takes 0.2 s and 15 MB that a start at the newest revision need not spend.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from causeway.errors import DatabaseTooNewError, DatabaseUnavailableError

MIGRATIONS = Path(__file__).parent / "migrations"
REVISIONS = tuple(sorted(file.name[1:5] for file in (MIGRATIONS / "versions").glob("r[0-9]*.py")))
"""Every revision this release knows, oldest first."""

_LOCK_KEY = 0x6361757365776179  # 'causeway'
_LOCK_DEADLINE_S = 300


async def migrate(engine: AsyncEngine) -> bool:
    """Apply what is missing, all of it in one transaction; True when something was.

    Raises:
        DatabaseTooNewError: The database is at a revision that this release does not know.
        DatabaseUnavailableError: Another process has been migrating for minutes.
    """
    async with engine.connect() as connection:
        if await connection.run_sync(_is_newest):
            return False
    async with engine.begin() as connection:
        await take_turn(connection)
        if await connection.run_sync(_is_newest):
            return False
        await connection.run_sync(_apply)
        return True


async def take_turn(connection: AsyncConnection) -> None:
    """Wait until no other process changes the schema; the turn ends with the transaction.

    Raises:
        DatabaseUnavailableError: Another process has been at it for minutes.
    """
    await connection.execute(text("SET LOCAL statement_timeout = 0"))
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_DEADLINE_S}s'"))
    try:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    except OperationalError as exc:
        raise DatabaseUnavailableError(
            f"another Causeway has been changing this database's schema for {_LOCK_DEADLINE_S} s; "
            "wait until it is done or end it, then start again"
        ) from exc


def _is_newest(connection: Connection) -> bool:
    stored = stored_revision(connection)
    if stored is not None and stored not in REVISIONS:
        raise DatabaseTooNewError(
            f"the database is at revision {stored} and this Causeway knows revisions up to {REVISIONS[-1]}; "
            "start the newer Causeway that wrote it, or restore a backup from before that one ran"
        )
    return stored == REVISIONS[-1]


def stored_revision(connection: Connection) -> str | None:
    """The revision the database is at; None for one that holds no Causeway."""
    # not to_regclass(): its cache still says no right after the turn in which another process made the table
    found = "SELECT 1 FROM pg_tables WHERE tablename = 'alembic_version' AND schemaname = current_schema()"
    if connection.scalar(text(found)) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _apply(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - only when there is something to apply
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
