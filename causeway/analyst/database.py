"""A database that questions are asked of: what each kind must do, and which kind an address means."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from causeway.analyst.result import Caps, Result
from causeway.analyst.schema import Dialect, Schema
from causeway.errors import SettingsError
from causeway.sections import AnalystDatabaseSettings

log = logging.getLogger(__name__)

Reach = Mapping[str, frozenset[str]]
"""The columns that a query may read of each table, in lower case; row rules' columns included."""


class ReadOnlyDatabase(Protocol):
    """A connection that cannot write, whatever it is given to run.

    The second and third layers of safety (`docs/adr/0025-safe-sql.md`): each kind does by means of its engine what the
    allow-list does by reading, and holds every query to its caps. All implementations pass
    `causeway.testing.read_only_database_contract`.
    """

    @property
    def dialect(self) -> Dialect:
        """Its SQL."""
        ...

    async def read_schema(self, *, hidden: Reach) -> Schema:
        """Its tables; no value of a ``hidden`` column is read.

        Raises:
            QueryFailedError: It cannot be reached or read.
        """
        ...

    async def run(self, sql: str, caps: Caps, reach: Reach) -> Result:
        """Run a query.

        Raises:
            QueryFailedError: The database refuses it, or it goes beyond the caps.
        """
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...


def open_read_only(name: str, settings: AnalystDatabaseSettings, folder: Path) -> ReadOnlyDatabase:
    """The database of one setting; nothing is connected to before it is first used.

    Args:
        name: In the settings.
        settings: Where it is.
        folder: Where imported CSV and Parquet files may be kept.

    Raises:
        SettingsError: The address is of no kind that is known.
        MissingCapabilityError: Its driver is not installed.
    """
    # each driver is imported when a database of its kind is there: DuckDB alone takes 60 MB
    url = settings.url.get_secret_value()
    scheme, _, rest = url.partition("://")
    match scheme:
        case "postgresql" | "postgres":
            from causeway.analyst.postgres_database import PostgresDatabase  # noqa: PLC0415

            return PostgresDatabase(url, settings)
        case "sqlite":
            from causeway.analyst.sqlite_database import SqliteDatabase  # noqa: PLC0415

            return SqliteDatabase(Path(rest))
        case "duckdb":
            from causeway.analyst.duckdb_database import DuckdbDatabase  # noqa: PLC0415

            return DuckdbDatabase(Path(rest))
        case "mysql" | "mariadb":
            from causeway.analyst.mysql_database import MysqlDatabase  # noqa: PLC0415

            return MysqlDatabase(url, settings)
        case "" if settings.files:
            from causeway.analyst.duckdb_database import import_files  # noqa: PLC0415

            return import_files(settings.files, folder / f"{name}.duckdb")
        case _:
            raise SettingsError(
                f"analyst.databases.{name}.url begins with none of postgresql://, mysql://, sqlite:// and duckdb://;"
                " mend it, or name CSV and Parquet files in 'files'"
            )
