"""A library on a database of its own, with a place for its files and work that is queued but not done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.settings import KnowledgeSettings
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database
from causeway.storage.durable import Durable

DIMENSIONS = 8


@pytest.fixture
def knowledge_settings() -> KnowledgeSettings:
    return KnowledgeSettings()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
async def durable(database: Database) -> AsyncIterator[Durable]:
    """Takes work and does none: it is not launched."""
    queue = Durable(database.url, executor_id="exe_test")
    yield queue
    await queue.close()


@pytest.fixture
def originals(database: Database, blobs: Blobs) -> Originals:
    return Originals(database=database, blobs=blobs)


@pytest.fixture
def collections(database: Database, knowledge_settings: KnowledgeSettings) -> Collections:
    embedding = EmbeddingModel(name="small", dimensions=DIMENSIONS)
    return Collections(database=database, embedding=embedding, settings=knowledge_settings)


@pytest.fixture
def library(database: Database, collections: Collections, originals: Originals, durable: Durable) -> Library:
    return Library(database=database, collections=collections, originals=originals, durable=durable)
