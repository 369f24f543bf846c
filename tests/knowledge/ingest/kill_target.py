"""A process for test_kill.py to kill: ingests a folder as Causeway does, with vectors made of words and no models.

When all files are queued it prints, again and again, how many documents are ready or failed; it ends when all are.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from causeway.contracts.clock import SystemClock
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest import worker
from causeway.knowledge.ingest.chunk_strategies import ChunkStrategies
from causeway.knowledge.ingest.personal_data import PersonalData
from causeway.knowledge.ingest.pipeline import Pipeline
from causeway.knowledge.ingest.preparation import Preparation
from causeway.knowledge.ingest.revisions import Revisions
from causeway.knowledge.ingest.sandbox import FreshSandbox, ParseLimits
from causeway.knowledge.ingest.watch_folder import Folders
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.observability.spans import Spans
from causeway.settings import DatabaseSettings, GuardSettings, KnowledgeSettings
from causeway.storage.blobs import Blobs
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import Database, open_database
from causeway.storage.durable import Durable
from causeway.testing.gateway import FakeGateway

DIMENSIONS = 16


def small_tokenizer() -> Tokenizer:
    """Counts words as tokens."""
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


async def main(data: DataFolder, root: Path) -> None:
    database = await open_database(DatabaseSettings(), data.postgres)
    durable = Durable(database.url, executor_id=data.executor_id)
    spans = Spans()
    try:
        await ingest(database, durable, spans, Blobs(data.blobs), root)
    finally:
        await durable.close()
        await database.close()
        spans.close()


async def ingest(database: Database, durable: Durable, spans: Spans, blobs: Blobs, root: Path) -> None:
    settings = KnowledgeSettings()
    originals = Originals(database=database, blobs=blobs)
    embedding = EmbeddingModel(name="small", dimensions=DIMENSIONS)
    collections = Collections(database=database, embedding=embedding, settings=settings)
    library = Library(database=database, collections=collections, originals=originals, durable=durable)
    index = PostgresIndex(database)
    await index.prepare()
    pipeline = Pipeline(
        revisions=Revisions(database=database, originals=originals),
        index=index,
        preparation=Preparation(
            strategies=ChunkStrategies(small_tokenizer(), default_tokens=48),
            personal_data=PersonalData(GuardSettings()),
        ),
        gateway=FakeGateway(dimensions=DIMENSIONS),
        spans=spans,
        sandbox=FreshSandbox(ParseLimits.from_settings(settings)),
        model="small",
    )
    worker.register(durable, pipeline, settings)
    await durable.launch()
    await library.resume()
    folders = Folders(library=library, clock=SystemClock(), settings=settings, settle_s=0.1)
    found = await folders.sync(root)
    before = len(found.new + found.changed + found.unchanged) - len(found.documents)
    await folders.wait(found, lambda done: tell(before + done))


def tell(done: int) -> None:
    sys.stdout.write(f"{done}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    data_folder = DataFolder(Path(sys.argv[1]))
    with data_folder.claim():
        asyncio.run(main(data_folder, Path(sys.argv[2])))
