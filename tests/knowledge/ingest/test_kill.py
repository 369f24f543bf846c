"""Ingestion is killed for real, again and again, and loses and repeats nothing."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import select

from causeway.knowledge.document_rows import title_of
from causeway.knowledge.ingest.chunking import Chunker
from causeway.knowledge.ingest.parser import parse_bytes
from causeway.knowledge.ingest.reading import Reading
from causeway.settings import DatabaseSettings, child_environment
from causeway.storage import embedded_postgres
from causeway.storage.blobs import Blobs
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import open_database
from causeway.storage.schema import chunks, documents

TARGET = Path(__file__).with_name("kill_target.py")
FILES = 50
KILL_WHEN_STORED = (1, 25)
KILL_WHEN_READY = ((1, 12), (13, 28), (29, 42))
"""Between how many stored files the first kill comes, and between how many ready documents the others."""
LONG_AGO = 1_700_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    rng = random.Random(20260101)
    for n in range(FILES):
        parts = [f"## Part {part}\n\n{sentences(rng)}" for part in range(rng.randint(1, 4))]
        write(folder / f"{n % 7}" / f"note {n}.md", f"# Note {n}\n\n" + "\n\n".join(parts))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder whose database server is stopped in the end, whoever left it running."""
    folder = DataFolder(tmp_path / "data")
    yield folder
    embedded_postgres.start(folder.postgres).close()


def sentences(rng: random.Random) -> str:
    words = [
        "tent",
        "boot",
        "rain",
        "stove",
        "lantern",
        "valley",
        "ridge",
        "river",
        "night",
        "summit",
        "map",
        "compass",
    ]
    return " ".join(" ".join(rng.choices(words, k=9)) + "." for _ in range(rng.randint(2, 8)))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    os.utime(file, (LONG_AGO, LONG_AGO))


@contextmanager
def ingesting(data: DataFolder, root: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(TARGET), str(data.root), str(root)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_when_stored(data: DataFolder, root: Path, stored: int) -> None:
    """Start, and kill with SIGKILL when so many files have been stored, of which some have rows and some have not."""
    with ingesting(data, root) as process:
        while len(list(data.blobs.glob("??/??/*"))) < stored:
            assert process.poll() is None, f"it ended before {stored} were stored: {complaints(process)}"


def kill_when_ready(data: DataFolder, root: Path, ready: int) -> None:
    """Start, and kill with SIGKILL when so many documents are ready."""
    with ingesting(data, root) as process:
        assert process.stdout is not None
        if not any(int(line) >= ready for line in process.stdout):
            pytest.fail(f"it ended before {ready} were ready: {complaints(process)}")


def complaints(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()[-2000:]


def ingest_to_the_end(data: DataFolder, root: Path) -> None:
    with ingesting(data, root) as process:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-2000:]


def expected_chunks(root: Path) -> dict[str, int]:
    """How many chunks each file has, by the reader and the chunker alone."""
    chunker = Chunker(load_target().small_tokenizer(), max_tokens=48)
    counts = {}
    for file in root.rglob("*.md"):
        parsed = parse_bytes(file.read_bytes(), name=file.name, reading=Reading(max_pages=10))
        counts[file.relative_to(root).as_posix()] = len(
            chunker.chunk(parsed, title=parsed.title or title_of(file.name))
        )
    return counts


def load_target() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kill_target", TARGET)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(240)
async def test_ingestion_killed_at_any_moment_does_every_file_exactly_once(
    data: DataFolder, root: Path
) -> None:
    rng = random.Random(7)
    kill_when_stored(data, root, rng.randint(*KILL_WHEN_STORED))
    for fewest, most in KILL_WHEN_READY:
        kill_when_ready(data, root, rng.randint(fewest, most))
    edited = ["0/note 0.md", "3/note 45.md"]
    for path in edited:
        write(root / path, f"# Edited\n\n{sentences(rng)}\n\n## More\n\n{sentences(rng)}")
        os.utime(root / path, (LONG_AGO + 1, LONG_AGO + 1))
    for path in ("1/note 1.md", "4/note 46.md"):
        (root / path).unlink()
    ingest_to_the_end(data, root)

    database = await open_database(DatabaseSettings(), data.postgres)
    async with database.connect() as connection:
        found = (await connection.execute(select(documents))).all()
        pieces = (await connection.execute(select(chunks.c.document_id, chunks.c.ordinal))).all()
    await database.close()

    expected = expected_chunks(root)
    assert len(expected) == FILES - 2
    assert sorted(row.path for row in found) == sorted(expected)
    assert {row.state for row in found} == {"ready"}
    assert all(row.ready_revision == row.revision and row.ready_blob == row.blob for row in found)
    assert {row.path for row in found if row.revision != 1} == set(edited)
    paths = {row.id: row.path for row in found}
    assert Counter(paths.get(piece.document_id, "a ghost") for piece in pieces) == expected
    assert len(set(pieces)) == len(pieces)
    blobs = Blobs(data.blobs)
    for row in found:
        assert blobs.path(row.blob).read_bytes() == (root / row.path).read_bytes()
