"""A swap and a purge are killed for real, right before they commit: what was there before is there, whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from causeway.knowledge.collections import Collections
from causeway.knowledge.document import Chunk, DocumentState
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.settings import child_environment
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.storage.schema import chunk_keywords, chunks, past_chunks
from tests.knowledge.swap_kill_target import chunks_of, texts_of


def run(url: str, folder: Path, task: str, first: int, last: int) -> None:
    """Run the target to its end; kill it with SIGKILL as soon as it stops in the middle."""
    module = "tests.knowledge.swap_kill_target"
    command = [sys.executable, "-m", module, url, str(folder), task, str(first), str(last)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment()
    ) as process:
        try:
            assert process.stdout
            said = [line.strip() for line in iter(process.stdout.readline, "") if stops(line, process)]
        finally:
            process.kill()
        assert process.stderr
        complaints = process.stderr.read()[-2000:]
    assert ("in the middle" in said) == task.startswith("stop"), (said, complaints)
    assert process.returncode == (-9 if task.startswith("stop") else 0), complaints


def stops(line: str, process: subprocess.Popen[str]) -> bool:
    if line.strip() == "in the middle":
        process.kill()
    return True


@pytest.fixture
def library(database: Database, tmp_path: Path, collections: Collections, durable: Durable) -> Library:
    originals = Originals(database=database, blobs=Blobs(tmp_path / "blobs"))
    return Library(database=database, collections=collections, originals=originals, durable=durable)


def same(found: tuple[Chunk, ...], revision: int) -> bool:
    """Whether chunks are a revision's: text, order, page and places."""
    expected = chunks_of(revision)
    return [(each, each.places) for each in found] == [(each, each.places) for each in expected]


async def ids_of_nowhere(database: Database) -> set[str]:
    """Chunks that are neither the document's nor any kept revision's, and words of chunks that are gone."""
    async with database.connect() as connection:
        live = set((await connection.execute(select(chunks.c.id))).scalars())
        past = set((await connection.execute(select(past_chunks.c.id))).scalars())
        keywords = set((await connection.execute(select(chunk_keywords.c.chunk_id))).scalars())
    return (live & past) | (keywords ^ live)


@pytest.mark.timeout(120)
async def test_a_swap_killed_before_its_commit_leaves_every_revision_as_it_was(
    database: Database, database_url: str, tmp_path: Path, library: Library
) -> None:
    run(database_url, tmp_path, "write", 1, 3)
    run(database_url, tmp_path, "stop", 4, 4)
    (document,) = (await library.documents()).documents
    assert (document.revision, document.ready_revision, document.title) == (4, 3, "Title 3")
    assert document.state == DocumentState.PROCESSING
    assert same(await library.text_of(document.id), 3)
    assert [kept.revision for kept in await library.revisions(document.id)] == [2, 1]
    assert await ids_of_nowhere(database) == set()

    await library.retry(document.id)  # what `worker.tend` does for unfinished work
    run(database_url, tmp_path, "stop", 4, 4)
    run(database_url, tmp_path, "write", 5, 6)
    (document,) = (await library.documents()).documents
    assert document.state == DocumentState.READY
    assert same(await library.text_of(document.id), 6)
    numbers = {kept.revision: kept.title for kept in await library.revisions(document.id)}
    # revision 4 of the process's never became searchable; its numbers 4 and 5 of the library's were overtaken
    assert sorted(numbers.values()) == ["Title 1", "Title 2", "Title 3", "Title 5"]
    for number, title in numbers.items():
        revision = await library.revision(document.id, number)
        written = int(title.split()[1])
        assert same(await library.read(revision), written)
        blob = library.originals.path(revision.blob)
        assert blob.read_text() == f"bytes of revision {written}"
        words = await library.words_of(document.id, number, page=1)
        assert words is not None
        assert [word.text for word in words.words] == [f"word-{written}"]
    assert await ids_of_nowhere(database) == set()


@pytest.mark.timeout(120)
async def test_a_purge_killed_before_its_commit_is_done_by_the_next(
    database: Database, database_url: str, tmp_path: Path, library: Library
) -> None:
    run(database_url, tmp_path, "write", 1, 4)
    run(database_url, tmp_path, "stop-purge", 1, 0)
    (document,) = (await library.documents()).documents
    kept = await library.revisions(document.id)
    assert [each.revision for each in kept] == [3, 2, 1]
    for each in kept:
        assert [chunk.text for chunk in await library.read(each)] == texts_of(each.revision)
    run(database_url, tmp_path, "purge", 1, 0)
    assert await library.revisions(document.id) == ()
    assert same(await library.text_of(document.id), 4)
    files = [file for file in (tmp_path / "blobs").glob("??/??/*") if file.is_file()]
    assert [file.name for file in files] == [document.blob]
    async with database.connect() as connection:
        assert (await connection.execute(select(past_chunks.c.id))).all() == []
