"""What the database's server can do, and what it lacks that Causeway needs.

Owns the probe and the choice of the keyword search. Creates the BM25 extension when that is chosen; pgvector is
created by the first migration.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from causeway.errors import MissingCapabilityError
from causeway.storage import migrate
from causeway.storage.database_failures import first_line, host

log = logging.getLogger(__name__)

Kind = Literal["embedded", "external"]
Bm25 = Literal["extension", "own"]
Bm25Wish = Literal["auto", "extension", "own"]

BM25_EXTENSION = "pg_textsearch"

_OLDEST_PGVECTOR = (0, 8)
"""The first with iterative index scans; before, a filtered search silently loses results."""

_OLDEST_BM25 = (1, 4)
"""The first pg_textsearch that ``auto`` trusts: 1.0.0 lost every document of its index in a crash."""


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


async def offered_extensions(engine: AsyncEngine) -> dict[str, str]:
    """Name to version: the one in the database, else the one that the server would create."""
    query = (
        "SELECT name, coalesce(installed_version, default_version) AS version FROM pg_available_extensions"
    )
    async with engine.connect() as connection:
        return {row.name: row.version for row in await connection.execute(text(query))}


def require_pgvector(extensions: Mapping[str, str], url: URL) -> str:
    """The version of pgvector.

    Raises:
        MissingCapabilityError: It is not there, or too old; the message has the commands that mend it.
    """
    version = extensions.get("vector")
    if version is None:
        raise MissingCapabilityError(
            f"PostgreSQL at {host(url)} has no pgvector; install it there (Debian: apt install "
            f"postgresql-<version>-pgvector), then run: {psql(url, 'CREATE EXTENSION vector')}"
        )
    if _numbers(version) < _OLDEST_PGVECTOR:
        raise MissingCapabilityError(
            f"PostgreSQL at {host(url)} has pgvector {version} and Causeway needs 0.8 or newer; install that, "
            f"then run: {psql(url, 'ALTER EXTENSION vector UPDATE')}"
        )
    return version


def wants_bm25_extension(wish: Bm25Wish, offered: str | None) -> bool:
    """Whether the server's BM25 extension is to be used, if it works."""
    if wish == "auto":
        return offered is not None and _numbers(offered) >= _OLDEST_BM25
    return wish == "extension"


async def choose_bm25(
    wish: Bm25Wish, offered: str | None, url: URL, *, create: Callable[[], Awaitable[str | None]]
) -> Bm25:
    """Which keyword search to use.

    Args:
        wish: The setting.
        offered: The version of the extension that the server offers.
        url: The database, for the message.
        create: Makes the extension ready; what stands against it, if something does.

    Raises:
        MissingCapabilityError: The setting insists on the extension and it does not work.
    """
    if not wants_bm25_extension(wish, offered):
        return "own"
    problem = "does not offer it" if offered is None else await create()
    if problem is None:
        return "extension"
    if wish == "auto":
        log.warning("keyword search without the server's BM25 extension", extra={"reason": problem})
        return "own"
    raise MissingCapabilityError(
        f"database.bm25 is 'extension' and PostgreSQL at {host(url)} {problem}; install {BM25_EXTENSION}, name it "
        "in shared_preload_libraries and restart that server, or set CAUSEWAY_DATABASE__BM25=auto"
    )


async def create_bm25_extension(engine: AsyncEngine) -> str | None:
    """Create the extension; what stands against it, if something does."""
    preloaded = "SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'"
    try:
        async with engine.begin() as connection:
            await migrate.take_turn(connection)
            await connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS {BM25_EXTENSION}"))
            libraries = await connection.scalar(text(preloaded))  # None when this user may not see it
    except DBAPIError as exc:
        return f"refuses it ({first_line(exc)})"
    if libraries is not None and BM25_EXTENSION not in libraries:
        return "has not loaded it at its start"
    return None


def psql(url: URL, statement: str) -> str:
    """The command by which an administrator runs ``statement``."""
    return f'psql -d {url.database} -c "{statement}"'


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
