"""Two machines' workers on one PostgreSQL and one shared store of files; one of them is killed at work.

Each worker is a ``causeway worker`` of its own with its own data folder, as on machines that share nothing else.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from causeway.settings import Source, child_environment
from causeway.storage.database import Database
from causeway.wiring import Platform, Work, open_platform

pytestmark = pytest.mark.timeout(300)

FILES = 70
_LINES = 6


def environment_of(folder: Path, database_url: str, blobs: Path) -> dict[str, str]:
    return {
        "CAUSEWAY_DATABASE__URL": database_url,
        "CAUSEWAY_STORAGE__DIR": str(folder),
        "CAUSEWAY_STORAGE__BLOBS_DIR": str(blobs),
        "CAUSEWAY_MODELS__EMBED": "words/embed",
        "CAUSEWAY_MODELS__CHAT": "words/chat",
        "CAUSEWAY_MODELS__FAST": "words/chat",
        "CAUSEWAY_MODELS__RERANK": "",
        "CAUSEWAY_PROVIDERS__WORDS__KIND": "scripted",
        "CAUSEWAY_CONFIG": "",
    }


@contextmanager
def worker(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker; it is told to stop at the end."""
    command = [sys.executable, "-m", "causeway", "worker"]
    with log.open("w") as said:
        process = subprocess.Popen(command, env=child_environment() | environment, stderr=said, text=True)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@asynccontextmanager
async def desk(environment: dict[str, str]) -> AsyncIterator[Platform]:
    """The platform of a process that only queues."""
    source = Source(environment)
    async with open_platform(source.read()[0], work=Work.NEVER, source=source) as platform:
        yield platform


async def counted(database: Database, query: str, **values: object) -> int:
    async with database.connect() as connection:
        return int(await connection.scalar(text(query), values) or 0)


async def until(database: Database, query: str, least: int, *, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while await counted(database, query) < least:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.1)


_READY = "SELECT count(*) FROM documents WHERE state = 'ready'"
_AT_WORK = "SELECT count(*) FROM durable_workers"
_HELD = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING' AND queue_name = 'ingest' AND executor_id = :who"


async def test_what_a_killed_worker_held_is_done_by_the_other_and_every_file_once(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    root, blobs = tmp_path / "files", tmp_path / "shared"
    root.mkdir()
    for n in range(FILES):
        lines = "\n\n".join(f"## Part {n}.{m}\n\n{f'word{n} of part {m} ' * 30}" for m in range(_LINES))
        (root / f"{n:03}.md").write_text(f"# File {n}\n\n{lines}\n")
    one, other, own = (
        environment_of(tmp_path / name, database_url, blobs) for name in ("one", "other", "own")
    )
    async with desk(own) as platform:
        first = worker(one, tmp_path / "first.log")
        second = worker(other, tmp_path / "second.log")
        with first as killed, second:
            await until(database, _AT_WORK, 2, within_s=60)
            found = await platform.folders.sync(root)
            assert len(found.new) == FILES
            await until(database, _READY, 5, within_s=90)
            async with database.connect() as connection:
                name = await connection.scalar(
                    text("SELECT executor_id FROM durable_workers WHERE pid = :pid"), {"pid": killed.pid}
                )
            killed.send_signal(signal.SIGKILL)
            killed.wait()
            held = await counted(database, _HELD, who=name)
            assert held > 0, "the killed worker held nothing: nothing is shown"
            # a lease of 20 s, looked at every 5 s, and the work itself
            await until(database, _READY, FILES, within_s=120)
            assert await counted(database, _HELD, who=name) == 0

        done = "SELECT count(*) FROM dbos.workflow_status WHERE queue_name = 'ingest' AND status = 'SUCCESS'"
        async with asyncio.timeout(20):
            while await counted(database, done) < FILES:  # noqa: ASYNC110 - recorded after the document is ready
                await asyncio.sleep(0.1)
        assert await counted(database, done) == FILES
        once = "SELECT count(*) FROM documents WHERE revision = 1 AND ready_revision = 1"
        assert (
            await counted(database, once)
            == FILES
            == await counted(database, "SELECT count(*) FROM documents")
        )
        chunks = "SELECT count(DISTINCT number) FROM (SELECT count(*) AS number FROM chunks GROUP BY document_id) AS c"
        assert await counted(database, chunks) == 1, "every file has as many chunks as every other"


async def test_a_second_worker_in_the_same_data_folder_works_under_a_name_of_its_own(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    environment = environment_of(tmp_path / "data", database_url, tmp_path / "shared")
    logs = [tmp_path / "1.log", tmp_path / "2.log"]
    with worker(environment, logs[0]), worker(environment, logs[1]):
        async with asyncio.timeout(60):
            for log in logs:
                while "working" not in await asyncio.to_thread(log.read_text):  # noqa: ASYNC110 - a file
                    await asyncio.sleep(0.1)
        assert await counted(database, _AT_WORK) == 2
    assert await counted(database, _AT_WORK) == 0, "workers that were told to stop said so"
