"""An index of each kind over a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.pinecone_api import PineconeApi, open_pinecone
from causeway.knowledge.index.pinecone_index import PineconeIndex
from causeway.knowledge.index.pinecone_upkeep import PineconeUpkeep
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.settings import DatabaseSettings, PineconeSettings
from causeway.storage import embedded_postgres
from causeway.storage.database import Database, open_database
from causeway.testing.chunk_index_contract import Bench
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import SheetPile
from tests.knowledge.index.pinecone_server import KEY, PineconeServer
from tests.knowledge.ingest.vendor_server import served

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


@dataclass(frozen=True)
class Pinecone:
    """A local Pinecone, and an index that keeps its vectors there."""

    server: PineconeServer
    api: PineconeApi
    upkeep: PineconeUpkeep
    index: PineconeIndex
    moves: CollectionMoves
    database: Database
    clock: FrozenClock

    async def settle(self) -> None:
        """Do upkeep and moves until nothing is left, as the worker's loop does."""
        for _ in range(500):
            moved, kept = await self.moves.step(), await self.index.maintain()
            if not any((moved.done, moved.waiting, kept.done, kept.waiting)):
                return
        msg = "it never came to rest"
        raise AssertionError(msg)

    async def here(self) -> int:
        """How many vectors are in PostgreSQL."""
        return sum(each.vectors_here for each in await self.index.stats())


def pinecone_settings(address: str, *, key: str = KEY) -> PineconeSettings:
    return PineconeSettings(api_key=SecretStr(key), host=address, timeout_s=5)


@pytest.fixture
async def pinecone_server() -> AsyncIterator[PineconeServer]:
    server = PineconeServer()
    async with served(server.answer) as address:
        server.address = address
        yield server


@pytest.fixture
async def pinecone(
    database: Database, index: PostgresIndex, pinecone_server: PineconeServer, clock: FrozenClock
) -> AsyncIterator[Pinecone]:
    """Collections that are made here stay in PostgreSQL until they are moved."""
    async with open_pinecone(pinecone_settings(pinecone_server.address)) as api:
        assert api is not None
        upkeep = PineconeUpkeep(database, api, clock=clock, at_once=50)
        moves = CollectionMoves(database=database, api=api, upkeep=upkeep, clock=clock)
        there = PineconeIndex(index, database, api, upkeep, most_documents=2)
        yield Pinecone(pinecone_server, api, upkeep, there, moves, database, clock)


async def keep_all_in_pinecone(database: Database) -> None:
    """Have every collection that is made from now on keep its vectors there."""
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE collections ALTER vectors_in SET DEFAULT 'pinecone'"))


@pytest.fixture(params=["postgres", "pinecone, not yet sent", "pinecone, late", "pinecone"])
async def bench(
    request: pytest.FixtureRequest, database: Database, index: PostgresIndex, pinecone: Pinecone
) -> Bench:
    """Each index under its contract; Pinecone's also while all is still in PostgreSQL, and half way."""

    async def as_it_is() -> None:
        return

    if request.param == "postgres":
        return Bench(index, SheetPile(database, index), database, as_it_is)
    await keep_all_in_pinecone(database)

    async def half_way() -> None:
        for _ in range(2):
            await pinecone.index.maintain()

    pinecone.server.lag = {"pinecone": 3, "pinecone, late": 2}.get(request.param, 0)
    rest = {"pinecone": pinecone.settle, "pinecone, late": half_way}.get(request.param, as_it_is)
    return Bench(pinecone.index, SheetPile(database, pinecone.index), database, rest)
