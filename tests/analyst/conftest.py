"""Databases to ask: the sample shop on the tests' PostgreSQL, and a small one in every other kind."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg
import pymysql
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import make_url

from causeway.analyst import shop_tables
from causeway.analyst.database import ReadOnlyDatabase
from causeway.analyst.duckdb_database import DuckdbDatabase
from causeway.analyst.mysql_database import MysqlDatabase
from causeway.analyst.postgres_database import PostgresDatabase
from causeway.analyst.sqlite_database import SqliteDatabase
from causeway.product_sections import AnalystDatabaseSettings
from causeway.storage.embedded_postgres import EmbeddedPostgres

ORDERS = 300
SCHEMA = """
CREATE TABLE customers (customer_id integer PRIMARY KEY, first_name varchar(80), email varchar(80), phone varchar(20),
  segment varchar(20), team varchar(20));
CREATE TABLE reviews (review_id integer PRIMARY KEY, customer_id integer REFERENCES customers (customer_id),
  rating integer, body varchar(200), written_on date);
CREATE TABLE secrets (word varchar(40));
INSERT INTO customers VALUES (1, 'Ada', 'ada@mail.example', '555-0101', 'club', 'north'),
  (2, 'Ben', 'ben@mail.example', '555-0102', 'consumer', 'south'), (3, 'Mei', 'mei@mail.example', '555-0103', 'club', 'north');
INSERT INTO reviews VALUES (1, 1, 5, 'Love it', '2025-01-03'), (2, 2, 2, 'Not for me', '2025-02-04');
INSERT INTO secrets VALUES ('TOPSECRET');
"""
"""The tables that the attacks name, in words that every dialect understands."""


_USERS = [
    "CREATE USER analyst IDENTIFIED BY 'p'",
    "GRANT SELECT (customer_id, first_name, segment, team) ON small.customers TO analyst",
    "GRANT SELECT ON small.reviews TO analyst",
    "CREATE USER writer IDENTIFIED BY 'p'",
    "GRANT ALL ON small.* TO writer",
]


@dataclass(frozen=True, slots=True)
class Shop:
    """The sample shop: where its reader connects, and its administrator."""

    url: str
    administrator: str

    def fingerprint(self) -> list[tuple[object, ...]]:
        """What changes with any byte of any table."""
        with psycopg.connect(self.administrator) as connection:
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            ).fetchall()
            found: list[tuple[object, ...]] = []
            for (name,) in names:
                counted = connection.execute(
                    sql.SQL("SELECT {}, count(*), sum(hashtext(t::text)) FROM {} t").format(
                        name, sql.Identifier(name)
                    )
                )
                found += counted.fetchall()
            return found


@pytest.fixture(scope="session")
def shop(postgres: EmbeddedPostgres) -> Shop:
    """The sample shop with few orders, and a table that nobody is offered."""
    shop_tables.load(postgres.url(), orders=ORDERS)
    url = postgres.url(shop_tables.DATABASE)
    administrator = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(administrator) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS secrets AS SELECT 'TOPSECRET'::text AS word")
        connection.execute("CREATE SEQUENCE IF NOT EXISTS s")
    return Shop(shop_tables.reader(postgres.url()).url.get_secret_value(), administrator)


@pytest.fixture
def shop_database(shop: Shop) -> PostgresDatabase:
    """The shop as its reader sees it."""
    return PostgresDatabase(shop.url, AnalystDatabaseSettings(url=SecretStr(shop.url)))


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    """The small database in SQLite."""
    file = tmp_path / "small.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(SCHEMA)
    connection.close()
    return file


@pytest.fixture
def duckdb_file(tmp_path: Path) -> Path:
    """The small database in DuckDB."""
    file = tmp_path / "small.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(SCHEMA)
    return file


@pytest.fixture(scope="session")
def mysql_url() -> Iterator[str]:
    """The small database in a MariaDB of this run's own, as a user that only reads."""
    program, install = shutil.which("mariadbd", path="/usr/sbin:/usr/bin"), shutil.which("mariadb-install-db")
    if program is None or install is None:
        pytest.skip("mariadb-server is not installed; 'apt install mariadb-server' brings it")
    with tempfile.TemporaryDirectory(prefix="causeway-mysql-") as name:
        folder = Path(name)
        common = ["--no-defaults", f"--datadir={folder / 'data'}", "--user=root"]
        made = subprocess.run(
            [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
            capture_output=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr.decode()[-500:]
        begin = ["CREATE DATABASE small", "USE small", *SCHEMA.split(";\n"), *_USERS]
        one_line = (" ".join(statement.split()) for statement in begin)
        (folder / "begin.sql").write_text(";\n".join(line for line in one_line if line) + ";\n")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = [
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--socket={folder / 'sock'}",
            f"--log-error={folder / 'log'}",
        ]
        options += [
            "--innodb-buffer-pool-size=32M",
            f"--init-file={folder / 'begin.sql'}",
            "--pid-file=" + str(folder / "pid"),
        ]
        server = subprocess.Popen([program, *common, *options], stderr=subprocess.DEVNULL)
        try:
            url = f"mysql://analyst:p@127.0.0.1:{port}/small"
            deadline = time.monotonic() + 40
            while not _answers(port):
                is_hopeless = server.poll() is not None or time.monotonic() > deadline
                assert not is_hopeless, (folder / "log").read_text()[-800:]
                time.sleep(0.05)
            yield url
        finally:
            server.terminate()
            server.wait()


def _answers(port: int) -> bool:
    try:
        pymysql.connect(host="127.0.0.1", port=port, user="analyst", password="p", database="small").close()
    except pymysql.Error:
        return False
    return True


@pytest.fixture(params=["postgres", "sqlite", "duckdb", "mysql"])
def each_database(request: pytest.FixtureRequest) -> ReadOnlyDatabase:
    """Every kind of database in turn, each with tables called ``customers`` and ``reviews``."""
    match request.param:
        case "postgres":
            return request.getfixturevalue("shop_database")  # type: ignore[no-any-return]  # a fixture's own type
        case "sqlite":
            return SqliteDatabase(request.getfixturevalue("sqlite_file"))
        case "duckdb":
            return DuckdbDatabase(request.getfixturevalue("duckdb_file"))
        case _:
            url = request.getfixturevalue("mysql_url")
            return MysqlDatabase(url, AnalystDatabaseSettings(url=SecretStr(url)))
