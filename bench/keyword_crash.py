"""Does keyword search survive? Kill PostgreSQL while documents are replaced, start it again, look for every document.

    python -m bench.keyword_crash [--rounds 3] > bench/results/keyword_crash.md

Both engines get the same work: three writers replace documents of 20 chunks while a fourth connection runs VACUUM, as
autovacuum does. After the kill every document must be found, by a word that it alone has, in its newest committed form.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from bench.machine import describe
from causeway.errors import CausewayError
from causeway.knowledge import Chunk
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.settings import DatabaseSettings
from causeway.storage.database import Database, open_database
from causeway.storage.schema import documents

CRANFIELD = Path(__file__).parent.parent.parent / "shared" / "data" / "cranfield"
DOCUMENTS = 60
CHUNKS = 20
WRITERS = 3
WORK_S = 20.0

Bm25 = Literal["own", "extension"]


@dataclass
class Work:
    """What was done up to the kill."""

    revisions: dict[int, int] = field(default_factory=dict)
    replaced: int = 0
    vacuum_failures: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"# Keyword search after kill -9\n\nMade by `python -m bench.keyword_crash`.\n\n{describe()}\n")
    print("| engine | round | documents replaced | VACUUM failed | lost of 60 after restart | VACUUM after |")
    print("|---|---:|---:|---:|---:|---|")
    engines: tuple[Bm25, ...] = ("own", "extension")
    for engine in engines:
        for number in range(1, options.rounds + 1):
            with tempfile.TemporaryDirectory(prefix="causeway-bench-", ignore_cleanup_errors=True) as folder:
                asyncio.run(one_round(engine, number, Path(folder)))


async def one_round(engine: Bm25, number: int, folder: Path) -> None:
    work = Work()
    database = await open_database(DatabaseSettings(bm25=engine), folder)
    await PostgresIndex(database).prepare()
    await add_documents(database)
    tasks = [asyncio.create_task(write(database, work, seed)) for seed in range(WRITERS)]  # noqa: TID251
    tasks.append(asyncio.create_task(vacuum(database, work)))  # noqa: TID251 - they end with the kill
    await asyncio.sleep(WORK_S)
    kill(folder)
    await asyncio.wait(tasks, timeout=30)
    await database.close()
    database = await open_database(DatabaseSettings(bm25=engine), folder)
    lost = await count_lost(database, work)
    after = await vacuum_once(database)
    print(
        f"| {engine} | {number} | {work.replaced} | {work.vacuum_failures} | {lost} | {after or 'works'} |",
        flush=True,
    )
    await database.close()


async def add_documents(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(delete(documents))
        await connection.execute(
            text(
                "INSERT INTO collections (id, name, embedding_model, dimensions) VALUES ('c', 'c', 'none', 3)"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO documents (id, collection_id, source, path, title, size_bytes, blob, modified_at, state)"
                " SELECT 'doc_' || n, 'c', 'upload', n, '', 1, 'none', now(), 'processing'"
                f" FROM generate_series(0, {DOCUMENTS - 1}) AS n"
            )
        )


async def write(database: Database, work: Work, writer: int) -> None:
    """Replace documents until the server is gone; each writer has documents of its own."""
    index = PostgresIndex(database)
    abstracts = [json.loads(line)["text"] for line in (CRANFIELD / "corpus.jsonl").open(encoding="utf-8")]
    vectors = np.tile(np.array([1, 0, 0], np.float32), (CHUNKS, 1))
    random = Random(writer)
    mine = range(writer, DOCUMENTS, WRITERS)
    while True:
        number = random.choice(mine)
        revision = work.revisions.get(number, 0) + 1
        work.revisions[number] = revision
        words = f"doc{number}word"
        pieces = [
            Chunk(ordinal=n, heading=words, text=random.choice(abstracts), page=None, tokens=1)
            for n in range(CHUNKS)
        ]
        try:
            async with database.begin() as connection:
                raised = update(documents).where(documents.c.id == f"doc_{number}").values(revision=revision)
                await connection.execute(raised)
            await index.replace_document(
                f"doc_{number}", revision, pieces, vectors, media_type="", title="", pages=None, blob="none"
            )
        except (CausewayError, DBAPIError):
            return
        work.replaced += 1


async def vacuum(database: Database, work: Work) -> None:
    while True:
        await asyncio.sleep(1)
        try:
            failure = await vacuum_once(database)
        except CausewayError:
            return
        work.vacuum_failures += failure is not None


async def vacuum_once(database: Database) -> str | None:
    """What VACUUM says against it; None when it works."""
    async with database.connect() as connection:
        free = await connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            await free.execute(text("VACUUM chunks"))
        except DBAPIError as exc:
            if free.invalidated:
                raise
            return str(exc.orig).splitlines()[0]
    return None


def kill(folder: Path) -> None:
    """The postmaster and all its children at once, as when the machine loses power; the disk keeps what it has."""
    postmaster = int((folder / "data" / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
    listing = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=False)
    for pid in [postmaster, *map(int, listing.stdout.split())]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


async def count_lost(database: Database, work: Work) -> int:
    """Documents of which not every stored chunk is found by the word that all of them share."""
    index = PostgresIndex(database)
    lost = 0
    for number in sorted(work.revisions):
        stored = {chunk.id for chunk in await index.chunks_of(f"doc_{number}")}
        try:
            found = {match.chunk_id for match in await index.lexical(f"doc{number}word", CHUNKS)}
        except DBAPIError:
            found = set()  # the index is damaged: every search fails
        lost += found != stored
    return lost


if __name__ == "__main__":
    main()
