"""A process for test_sync_kill.py to kill: a worker that syncs a slow source, with nothing to ingest its documents.

It prints, again and again, how many documents there are; it ends when the sync has ended.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from causeway.contracts.clock import SystemClock
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.ingest.source_runs import SourceRuns
from causeway.knowledge.ingest.sources import Sources
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.observability.spans import Spans
from causeway.settings import DatabaseSettings, KnowledgeSettings, SourceSettings
from causeway.storage.blobs import Blobs
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import open_database
from causeway.storage.durable import Durable
from causeway.testing.connectors import MemorySource

ITEMS = 60
_TAKES_S = 0.03


def slow_source() -> MemorySource:
    """Takes a while for every item."""
    source = MemorySource("notion:wiki")
    for n in range(ITEMS):
        source.put(f"{n:02}.md", f"text of {n}", identity=f"id{n}")

    async def take_a_while(path: str) -> None:
        await asyncio.sleep(_TAKES_S)

    source.meanwhile = take_a_while
    return source


async def main(data: DataFolder) -> None:
    database = await open_database(DatabaseSettings(), data.postgres)
    durable = Durable(database.url, executor_id=data.executor_id)
    settings, source = KnowledgeSettings(), slow_source()
    library = Library(
        database=database,
        collections=Collections(
            database=database, embedding=EmbeddingModel(name="small", dimensions=8), settings=settings
        ),
        originals=Originals(database=database, blobs=Blobs(data.blobs)),
        durable=durable,
    )
    sources = Sources(
        library=library,
        runs=SourceRuns(database=database, durable=durable),
        clock=SystemClock(),
        spans=Spans(),
        settings={"wiki": SourceSettings.model_validate({"kind": "notion", "token": "x"})},
        knowledge=settings,
        opening=lambda *_: source.opened(),
    )
    sources.register(durable)
    await durable.launch()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(sources.tend(stop=stop, every_s=0.1))
        while (await sources.source("wiki")).last.finished_at is None:
            sys.stdout.write(f"{(await library.documents(limit=1)).total}\n")
            sys.stdout.flush()
            await asyncio.sleep(0.02)
        stop.set()
    await durable.close()
    await database.close()
    sys.stdout.write(f"fetched {len(source.fetched)}\n")


if __name__ == "__main__":
    data_folder = DataFolder(Path(sys.argv[1]))
    with data_folder.claim():
        asyncio.run(main(data_folder))
