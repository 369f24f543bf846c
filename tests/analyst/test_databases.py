"""What every kind of database does: the caps, the schema, a connection that is given back."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr

from causeway.analyst.database import Reach, ReadOnlyDatabase
from causeway.analyst.duckdb_database import import_files
from causeway.analyst.kinds import open_read_only
from causeway.analyst.postgres_database import PostgresDatabase
from causeway.analyst.result import Caps
from causeway.analyst.sqlite_database import SqliteDatabase
from causeway.errors import QueryFailedError, SettingsError
from causeway.product_sections import AnalystDatabaseSettings

REACH: Reach = {
    "customers": frozenset({"customer_id", "first_name", "segment"}),
    "reviews": frozenset({"review_id", "customer_id", "rating", "body"}),
}
SLOW = "SELECT count(*) FROM reviews a, reviews b, reviews c, reviews d, reviews e, reviews f, reviews g, reviews h"


async def test_rows_come_back_in_order_with_their_kinds(each_database: ReadOnlyDatabase) -> None:
    found = await each_database.run(
        "SELECT customer_id, first_name FROM customers ORDER BY customer_id LIMIT 2", Caps(), REACH
    )
    assert [column.kind for column in found.columns] == ["number", "text"]
    assert [row[0] for row in found.rows] == [1, 2]
    assert not found.is_cut


async def test_rows_beyond_the_cap_are_cut_and_said_so(each_database: ReadOnlyDatabase) -> None:
    found = await each_database.run("SELECT customer_id FROM customers", Caps(rows=2), REACH)
    assert len(found.rows) == 2
    assert found.is_cut


async def test_bytes_beyond_the_cap_are_cut(each_database: ReadOnlyDatabase) -> None:
    found = await each_database.run("SELECT first_name, first_name FROM customers", Caps(size_bytes=5), REACH)
    assert len(found.rows) < 3
    assert found.is_cut


async def test_a_schema_has_tables_columns_and_keys(each_database: ReadOnlyDatabase) -> None:
    schema = await each_database.read_schema(hidden={"customers": frozenset({"email", "phone"})})
    customers = schema.tables["customers"]
    assert {"customer_id", "first_name", "segment"} <= {column.name for column in customers.columns}
    shown = [value for table in schema.tables.values() for column in table.columns for value in column.values]
    assert not any("@mail.example" in value for value in shown), "a hidden column was sampled"
    segment = customers.column("segment")
    assert segment is not None
    assert "club" in segment.values
    assert any(key.table == "reviews" and key.other == "customers" for key in schema.foreign_keys)


async def test_wrong_sql_is_told_in_the_databases_words(each_database: ReadOnlyDatabase) -> None:
    with pytest.raises(QueryFailedError, match=r"(?i)nothing"):
        await each_database.run("SELECT nothing FROM reviews", Caps(), REACH)


async def test_postgresql_stops_at_the_timeout(shop_database: PostgresDatabase) -> None:
    with pytest.raises(QueryFailedError, match=r"longer than 0\.3 s"):
        await shop_database.run(
            "SELECT count(*) FROM order_items a, order_items b, order_items c",
            Caps(timeout_s=0.3, cost=0),
            {},
        )


async def test_postgresql_refuses_what_its_planner_calls_dear(shop_database: PostgresDatabase) -> None:
    with pytest.raises(QueryFailedError, match="would cost"):
        await shop_database.run(
            "SELECT 1 FROM order_items a, order_items b, order_items c, order_items d", Caps(), {}
        )


async def test_sqlite_stops_at_the_timeout(sqlite_file: Path) -> None:
    with_many = SqliteDatabase(_grown(sqlite_file))
    with pytest.raises(QueryFailedError, match=r"longer than 0\.3 s"):
        await with_many.run(SLOW, Caps(timeout_s=0.3), REACH)


def _grown(file: Path) -> Path:
    import sqlite3

    with sqlite3.connect(file) as connection:
        connection.executemany(
            "INSERT INTO reviews VALUES (?, 1, 5, 'x', '2025-01-01')", [(n,) for n in range(10, 500)]
        )
    connection.close()
    return file


async def test_sqlite_bounds_memory(sqlite_file: Path) -> None:
    rows = "SELECT group_concat(a.body || b.body || c.body || d.body) FROM reviews a, reviews b, reviews c, reviews d"
    with pytest.raises(QueryFailedError):
        await SqliteDatabase(_grown(sqlite_file)).run(rows, Caps(timeout_s=5), REACH)


async def test_csv_files_are_asked_as_tables_and_imported_anew_when_they_change(tmp_path: Path) -> None:
    file = tmp_path / "Daily Sales.csv"
    file.write_text("day,amount\n2025-01-01,3\n2025-01-02,4\n")
    parquet = tmp_path / "stores.parquet"
    duckdb.sql(f"COPY (SELECT 'Oslo' AS city) TO '{parquet}'")
    first = import_files([file, parquet], tmp_path / "kept" / "sales.duckdb")
    assert set((await first.read_schema(hidden={})).tables) == {"daily_sales", "stores"}
    assert (await first.run("SELECT sum(amount) FROM daily_sales", Caps(), {})).rows == ((7,),)
    file.write_text("day,amount\n2025-01-01,30\n")
    again = import_files([file, parquet], tmp_path / "kept" / "sales.duckdb")
    assert (await again.run("SELECT sum(amount) FROM daily_sales", Caps(), {})).rows == ((30,),)


def test_an_address_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"analyst\.databases\.x\.url"):
        open_read_only("x", AnalystDatabaseSettings(url=SecretStr("oracle://db/x")), tmp_path)


async def test_postgresql_cuts_a_long_value_where_it_is_made(shop_database: PostgresDatabase) -> None:
    found = await shop_database.run(
        "SELECT string_agg(body, ' ' ORDER BY review_id) AS whole, count(*) AS n FROM reviews", Caps(), {}
    )
    assert [column.name for column in found.columns] == ["whole", "n"]
    assert len(str(found.rows[0][0])) <= 10_001
    ordered = await shop_database.run(
        "SELECT first_name, customer_id FROM customers ORDER BY customer_id DESC", Caps(), {}
    )
    numbers = [row[1] for row in ordered.rows if isinstance(row[1], int)]
    assert numbers == sorted(numbers, reverse=True)
