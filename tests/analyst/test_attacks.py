"""The red team: every attack against the allow-list alone, and against the engines alone."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from pydantic import SecretStr

from causeway.analyst.database import Reach, ReadOnlyDatabase
from causeway.analyst.duckdb_database import DuckdbDatabase
from causeway.analyst.mysql_database import MysqlDatabase
from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.postgres_database import PostgresDatabase
from causeway.analyst.result import Caps
from causeway.analyst.schema import Column, Dialect, Table, kind_of
from causeway.analyst.sql_rules import check
from causeway.analyst.sqlite_database import SqliteDatabase
from causeway.errors import QueryFailedError, RefusedSqlError
from causeway.product_sections import AnalystDatabaseSettings
from tests.analyst import attacks
from tests.analyst.conftest import Shop

_CAPS = Caps(timeout_s=2.0)
_LATEST_S = 6.0
_TELLTALES = ("TOPSECRET", "@mail.example", "root:x:0", "555-01")
_REACH: Reach = {
    "customers": frozenset({"customer_id", "first_name", "segment", "team"}),
    "reviews": frozenset({"review_id", "customer_id", "rating", "body", "written_on"}),
}

_BY_DIALECT: list[tuple[Dialect, list[str]]] = [
    ("postgres", attacks.POSTGRES + attacks.POSTGRES_BY_RULES),
    ("sqlite", attacks.SQLITE),
    ("duckdb", attacks.DUCKDB + attacks.DUCKDB_BY_RULES),
    ("mysql", attacks.MYSQL + attacks.MYSQL_BY_RULES),
]


def _offer(dialect: Dialect) -> Offer:
    namespace = {"postgres": "public", "mysql": ""}.get(dialect, "main")

    def table(name: str, columns: str) -> Table:
        made = tuple(
            Column(name=column, type=type_name, kind=kind_of(type_name))
            for column, _, type_name in (each.partition(" ") for each in columns.split(", "))
        )
        return Table(name=name, columns=made, namespace=namespace)

    customers = table("customers", "customer_id integer, first_name text, segment text")
    reviews = table("reviews", "review_id integer, customer_id integer, rating integer, body text")
    hidden = frozenset({"email", "phone", "team"})
    tables = {
        "customers": OfferedTable(table=customers, hidden=hidden),
        "reviews": OfferedTable(table=reviews),
    }
    return Offer(dialect=dialect, tables=tables)


def test_there_are_enough_attacks() -> None:
    assert len({attack for _dialect, each in _BY_DIALECT for attack in each}) >= 200


@pytest.mark.parametrize(("dialect", "attack"), [(d, a) for d, each in _BY_DIALECT for a in each])
def test_the_allow_list_alone_refuses(dialect: Dialect, attack: str) -> None:
    with pytest.raises(RefusedSqlError):
        check(attack, _offer(dialect))


async def test_postgresql_alone_neither_changes_nor_tells(
    shop: Shop, shop_database: PostgresDatabase
) -> None:
    before = shop.fingerprint()
    assert await _what_got_through(shop_database, attacks.POSTGRES) == []
    assert shop.fingerprint() == before


async def test_sqlite_alone_neither_changes_nor_tells(sqlite_file: Path) -> None:
    before = _digest(sqlite_file)
    assert await _what_got_through(SqliteDatabase(sqlite_file), attacks.SQLITE) == []
    assert _digest(sqlite_file) == before
    assert _beside(sqlite_file) == []


async def test_duckdb_alone_neither_changes_nor_reaches_out(duckdb_file: Path) -> None:
    before = _digest(duckdb_file)
    writing = [each for each in attacks.ANY if not each.lower().startswith(("select", "with"))]
    assert await _what_got_through(DuckdbDatabase(duckdb_file), attacks.DUCKDB + writing) == []
    assert _digest(duckdb_file) == before


async def test_mysql_alone_neither_changes_nor_tells(mysql_url: str) -> None:
    database = MysqlDatabase(mysql_url, AnalystDatabaseSettings(url=SecretStr(mysql_url)))
    before = await database.run("SELECT * FROM reviews ORDER BY 1", _CAPS, _REACH)
    assert await _what_got_through(database, attacks.MYSQL) == []
    assert (await database.run("SELECT * FROM reviews ORDER BY 1", _CAPS, _REACH)).rows == before.rows


async def test_a_role_that_may_write_is_refused(shop: Shop, mysql_url: str) -> None:
    administrator = shop.url.replace("causeway_analyst", "postgres")
    settings = AnalystDatabaseSettings(url=SecretStr(administrator))
    with pytest.raises(QueryFailedError, match="may write to this database"):
        await PostgresDatabase(administrator, settings).run("SELECT 1", _CAPS, _REACH)
    writer = mysql_url.replace("analyst:p", "writer:p")
    with pytest.raises(QueryFailedError, match="may do more than read"):
        await MysqlDatabase(writer, AnalystDatabaseSettings(url=SecretStr(writer))).run(
            "SELECT 1", _CAPS, _REACH
        )


async def test_every_engine_answers_again_after_the_attacks(each_database: ReadOnlyDatabase) -> None:
    for attack in attacks.ANY[:12]:
        with pytest.raises(QueryFailedError):
            await each_database.run(attack, _CAPS, _REACH)
    found = await each_database.run("SELECT count(*) AS n FROM reviews", _CAPS, _REACH)
    assert found.rows[0][0]


async def _what_got_through(database: ReadOnlyDatabase, statements: list[str]) -> list[tuple[str, object]]:
    """Attacks that told something, or took longer than they may."""
    through: list[tuple[str, object]] = []
    for attack in statements:
        try:
            async with asyncio.timeout(_LATEST_S):
                result = await database.run(attack, _CAPS, _REACH)
        except QueryFailedError:
            continue
        except TimeoutError:
            through.append((attack, "it was not stopped in time"))
            continue
        if any(telltale in str(result.rows) for telltale in _TELLTALES):
            through.append((attack, result.rows[:2]))
    return through


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _beside(file: Path) -> list[Path]:
    """What else was written there."""
    return [other for other in file.parent.iterdir() if other != file]
