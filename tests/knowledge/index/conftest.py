"""An index of each kind over a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import pytest

from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.settings import DatabaseSettings
from causeway.storage import embedded_postgres
from causeway.storage.database import Database, open_database
from causeway.testing.documents import SheetPile

Bm25 = Literal["own", "extension"]
OpenDatabase = Callable[[Bm25], AbstractAsyncContextManager[Database]]


@pytest.fixture
async def index(database: Database) -> PostgresIndex:
    made = PostgresIndex(database)
    await made.prepare()
    return made


@pytest.fixture
def pile(database: Database, index: PostgresIndex) -> SheetPile:
    return SheetPile(database, index)


@pytest.fixture(scope="session")
def open_with_bm25(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDatabase]:
    """Opens the database of a server that has loaded pg_textsearch, which the other tests' server has not."""
    folder = tmp_path_factory.mktemp("pg-bm25")
    options = {"shared_preload_libraries": "pg_textsearch", "fsync": "off", "autovacuum": "off"}
    server = embedded_postgres.start(folder, options=options)

    @asynccontextmanager
    async def opened(bm25: Bm25) -> AsyncIterator[Database]:
        database = await open_database(DatabaseSettings(bm25=bm25), folder)
        try:
            yield database
        finally:
            await database.close()

    yield opened
    server.close()
