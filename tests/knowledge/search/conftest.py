"""A search over a database of its own and a gateway without models."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.search.search import Search
from causeway.observability.spans import Spans
from causeway.settings import KnowledgeSettings, ModelSettings
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import SheetPile
from causeway.testing.gateway import FakeGateway


@pytest.fixture
async def index(database: Database) -> PostgresIndex:
    made = PostgresIndex(database)
    await made.prepare()
    return made


@pytest.fixture
def pile(database: Database, index: PostgresIndex) -> SheetPile:
    return SheetPile(database, index)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
async def spans() -> AsyncIterator[Spans]:
    made = Spans()
    yield made
    made.close()


@pytest.fixture
def search(index: PostgresIndex, gateway: FakeGateway, spans: Spans, clock: FrozenClock) -> Search:
    settings = KnowledgeSettings()
    return Search(index, gateway, settings, models=ModelSettings(), spans=spans, clock=clock)


@pytest.fixture
def call() -> Call:
    return Call(principal=SYSTEM, purpose="test")
