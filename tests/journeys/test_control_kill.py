"""Pause, changed options and resume, with the worker killed after each: what was said holds, and is done once."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from causeway.knowledge.holds import Selection
from causeway.storage.database import Database
from tests.journeys.test_two_workers import counted, desk, environment_of, until, worker

pytestmark = pytest.mark.timeout(300)

FILES = 40
_READY = "SELECT count(*) FROM documents WHERE state = 'ready'"
_PAUSED = "SELECT count(*) FROM documents WHERE state = 'paused'"
_HELD = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING'"
_BEGUN_ANEW = "SELECT count(*) FROM documents WHERE options_version = 1 AND state = 'ready'"


async def is_working(log: Path) -> None:
    async with asyncio.timeout(90):
        while "working" not in await asyncio.to_thread(log.read_text):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.1)


async def test_what_was_said_before_a_kill_holds_after_it(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    root, blobs = tmp_path / "files", tmp_path / "shared"
    root.mkdir()
    for n in range(FILES):
        lines = "\n\n".join(f"## Part {n}.{m}\n\n{f'word{n} of part {m} ' * 30}" for m in range(8))
        (root / f"{n:03}.md").write_text(f"# File {n}\n\n{lines}\n")
    environment = environment_of(tmp_path / "data", database_url, blobs)
    logs = [tmp_path / f"{n}.log" for n in range(3)]
    async with desk(environment_of(tmp_path / "own", database_url, blobs)) as platform:
        with worker(environment, logs[0]) as first:
            await platform.folders.sync(root)
            await until(database, _READY, 4, within_s=120)
            chosen = Selection(collection_id=await platform.collections.ensure())
            await platform.control.pause(chosen)
            first.send_signal(signal.SIGKILL)
            first.wait()
        ready = await counted(database, _READY)
        assert 4 <= ready < FILES, "it was too quick for this test"
        assert await counted(database, _PAUSED) == FILES - ready

        with worker(environment, logs[1]) as second:
            await is_working(logs[1])
            async with asyncio.timeout(60):  # what the first held is begun again, and let go at once
                while await counted(database, _HELD):  # noqa: ASYNC110 - another process does it
                    await asyncio.sleep(0.1)
            assert await counted(database, _READY) == ready
            assert await counted(database, _PAUSED) == FILES - ready
            await platform.control.change_options(
                chosen.collection_id, {"chunking": {"strategy": "sentence"}}
            )
            await platform.control.resume(chosen)
            await until(database, _BEGUN_ANEW, 3, within_s=120)
            second.send_signal(signal.SIGKILL)
            second.wait()
        assert await counted(database, _BEGUN_ANEW) < FILES, "it was too quick for this test"

        with worker(environment, logs[2]):
            await until(database, _BEGUN_ANEW, FILES, within_s=180)
        progress = await platform.progress.read(collection_id=chosen.collection_id)
        assert (progress.documents, progress.left, progress.stale) == (FILES, 0, 0)
        chunks = "SELECT count(DISTINCT number) FROM (SELECT count(*) AS number FROM chunks GROUP BY document_id) AS c"
        assert await counted(database, chunks) == 1, "every file was cut the new way, whole, and once"
