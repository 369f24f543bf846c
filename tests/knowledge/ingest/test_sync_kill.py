"""A sync is killed for real, twice, and takes every item exactly once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from causeway.settings import DatabaseSettings, child_environment
from causeway.storage import embedded_postgres
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import open_database
from causeway.storage.schema import documents, source_runs

TARGET = Path(__file__).with_name("sync_kill_target.py")
ITEMS = 60
KILLED_AT = (15, 40)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder whose database server is stopped in the end, whoever left it running."""
    folder = DataFolder(tmp_path / "data")
    yield folder
    embedded_postgres.start(folder.postgres).close()


@contextmanager
def syncing(data: DataFolder) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(TARGET), str(data.root)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(180)
async def test_a_sync_killed_twice_is_one_run_that_takes_every_item_once(data: DataFolder) -> None:
    for taken in KILLED_AT:
        with syncing(data) as process:
            assert process.stdout is not None
            if not any(int(line) >= taken for line in process.stdout if line.strip().isdigit()):
                assert process.stderr is not None
                pytest.fail(f"it ended before {taken} were taken: {process.stderr.read()[-2000:]}")
    with syncing(data) as process:
        said, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-2000:]
    fetched = int(said.rpartition("fetched ")[2])

    database = await open_database(DatabaseSettings(), data.postgres)
    async with database.connect() as connection:
        rows = (await connection.execute(select(documents))).all()
        (run,) = (await connection.execute(select(source_runs))).all()
    await database.close()

    assert sorted(row.path for row in rows) == [f"{n:02}.md" for n in range(ITEMS)]
    assert {row.revision for row in rows} == {1}
    assert (run.run, run.state, run.problem) == (1, "idle", None)
    assert run.counts["new"] + run.counts["unchanged"] == ITEMS
    assert fetched == run.counts["new"] <= ITEMS - KILLED_AT[-1], "what was taken is not fetched again"
