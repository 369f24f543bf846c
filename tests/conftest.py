"""Fixtures for every test: a real PostgreSQL, a database of its own per test, a clock that stands still."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from causeway.settings import DatabaseSettings
from causeway.storage import embedded_postgres
from causeway.storage.database import Database, open_database
from causeway.storage.durable import Durable
from causeway.storage.embedded_postgres import EmbeddedPostgres
from causeway.testing.clock import FrozenClock

# what a crash of the machine would need; a test's database does not outlive it
_CARELESS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server whose database ``causeway`` is at the newest revision: the template of every test's."""
    # not below pytest's folder: as root the server has an account of its own, which every pytest that starts
    # on the machine locks out of there
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        folder = Path(name)
        server = embedded_postgres.start(folder, options=_CARELESS)

        async def migrate() -> None:
            database = await open_database(DatabaseSettings(url=SecretStr(server.url())), folder)
            durable = Durable(database.url, executor_id="exe_template")
            await durable.state("nothing")  # makes its tables
            await durable.close()
            await database.close()

        asyncio.run(migrate())
        yield server
        server.close()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database at the newest revision that is this test's alone."""
    name = f"test_{secrets.token_hex(6)}"
    query = make_url(postgres.url()).query
    administrator = psycopg.connect(
        host=str(query["host"]), port=str(query["port"]), user="postgres", dbname="postgres", autocommit=True
    )
    with administrator:
        administrator.execute(f"CREATE DATABASE {name} TEMPLATE causeway STRATEGY FILE_COPY".encode())
        yield postgres.url(name)
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def database(database_url: str, postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    """An open database that is this test's alone."""
    opened = await open_database(DatabaseSettings(url=SecretStr(database_url)), postgres.folder)
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands still until the test moves it."""
    return FrozenClock()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """``await eventually(condition)`` returns when the awaited condition is true, and fails after 20 s."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + 20
        while not await condition():
            assert time.monotonic() < deadline, "the condition did not come true within 20 s"
            await asyncio.sleep(0.01)

    return wait
