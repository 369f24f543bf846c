"""Which kind of database an address means."""

from __future__ import annotations

from pathlib import Path

from causeway.analyst.database import ReadOnlyDatabase
from causeway.errors import SettingsError
from causeway.product_sections import AnalystDatabaseSettings


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
