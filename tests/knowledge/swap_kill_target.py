"""A process for test_swap_kill.py to kill: writes revisions of one document, or purges them, and can stop in the middle.

It says ``ready N`` when revision N is searchable, ``in the middle`` when it stops before a commit for good, ``done`` at the
end.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.document import Chunk, Place
from causeway.knowledge.incoming import Incoming
from causeway.knowledge.index.bm25_own import OwnKeywords
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest.revisions import Revisions
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.knowledge.page_words import PageWords
from causeway.settings import DatabaseSettings, KnowledgeSettings
from causeway.storage.blobs import Blobs
from causeway.storage.database import open_database
from causeway.storage.durable import Durable

DIMENSIONS = 8


def texts_of(revision: int) -> list[str]:
    """What a revision says: most of what the one before said, in another order, and something new."""
    kept = [f"paragraph {n}" for n in range(12) if n % 5 != revision % 5]
    return [f"news of revision {revision}", *kept[revision % 3 :], *kept[: revision % 3]]


def chunks_of(revision: int) -> list[Chunk]:
    """The revision's chunks; every third stands elsewhere than before."""
    return [
        Chunk(
            ordinal=n,
            heading="Heading",
            text=text,
            page=1,
            tokens=3,
            places=(Place(1, 0.1, 0.01 * n if n % 3 == 0 else 0.5, 0.9, 0.6),),
        )
        for n, text in enumerate(texts_of(revision))
    ]


def say(words: str) -> None:
    """Tell whoever watches."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


async def stop_here() -> None:
    """Wait to be killed."""
    say("in the middle")
    await asyncio.Event().wait()


class StoppingKeywords(OwnKeywords):
    """Stops when a swap has written everything and not committed it."""

    async def add(self, connection: AsyncConnection, document_id: str) -> None:
        await super().add(connection, document_id)
        await stop_here()


class StoppingBlobs(Blobs):
    """Stops when a file is gone and the rows that needed it are not committed."""

    async def delete(self, sha256: str) -> None:
        await super().delete(sha256)
        await stop_here()


async def main(url: str, folder: Path, task: str, first: int, last: int) -> None:
    """``write FIRST LAST``, ``stop FIRST LAST`` (in the last one's swap), ``purge`` or ``stop-purge``."""
    database = await open_database(DatabaseSettings(url=SecretStr(url)), folder)
    durable = Durable(database.url, executor_id="exe_killed")
    blobs = (StoppingBlobs if task == "stop-purge" else Blobs)(folder / "blobs")
    originals = Originals(database=database, blobs=blobs)
    collections = Collections(
        database=database,
        embedding=EmbeddingModel(name="small", dimensions=DIMENSIONS),
        settings=KnowledgeSettings(),
    )
    library = Library(database=database, collections=collections, originals=originals, durable=durable)
    revisions, index = Revisions(database=database, originals=originals), PostgresIndex(database)
    await index.prepare()
    if task.endswith("purge"):
        (document,) = (await library.documents()).documents
        await library.purge(document.id)
    for number in range(first, last + 1):
        if task == "stop" and number == last:
            index._keywords = StoppingKeywords()
        await write(library, revisions, index, folder, number)
        say(f"ready {number}")
    say("done")
    await durable.close()
    await database.close()


async def write(
    library: Library, revisions: Revisions, index: PostgresIndex, folder: Path, number: int
) -> None:
    """Add a revision and make it searchable; what a kill left of it is taken up."""
    file = folder / "incoming.txt"
    file.write_text(f"bytes of revision {number}")
    incoming = Incoming(
        collection=None,
        source="upload",
        path="a.txt",
        file=file,
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    added = await library.add(incoming)
    revision = await revisions.start(added.document_id, added.revision)
    if revision is None:
        raise AssertionError(added)
    words = PageWords.of([(f"word-{number}", (0.1, 0.1, 0.2, 0.2))])
    await revisions.keep_words(revision, {1: words.pack()})
    chunks = chunks_of(number)
    vectors = np.tile(np.eye(DIMENSIONS, dtype=np.float32)[0], (len(chunks), 1))
    await index.replace_document(
        revision.document_id,
        revision.number,
        chunks,
        vectors,
        media_type="text/plain",
        title=f"Title {number}",
        pages=1,
        blob=revision.blob,
    )
    await revisions.forget_replaced(revision)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:6])))
