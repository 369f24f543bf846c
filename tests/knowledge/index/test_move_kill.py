"""A collection's move is killed for real at several places, in both directions, and searched in between."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from causeway.contracts.clock import SystemClock
from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.pinecone_api import open_pinecone
from causeway.knowledge.index.pinecone_index import PineconeIndex
from causeway.knowledge.index.pinecone_upkeep import PineconeUpkeep
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.settings import DatabaseSettings, child_environment
from causeway.storage import embedded_postgres
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import open_database
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import bags_of_words
from tests.knowledge.index.conftest import pinecone_settings
from tests.knowledge.index.pinecone_server import KEY, PineconeServer

TARGET = Path(__file__).with_name("move_kill_target.py")
TENTS = bags_of_words(["t tents"], 64)[0]
CHUNKS = 300


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataFolder]:
    folder = DataFolder(tmp_path / "data")
    yield folder
    embedded_postgres.start(folder.postgres).close()


@asynccontextmanager
async def moving(data: DataFolder, server: PineconeServer, target: str) -> AsyncIterator[Process]:
    arguments = [str(TARGET), str(data.root), server.address, KEY, target]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=PIPE, stderr=PIPE, env=child_environment()
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        yield line.decode().strip()


@pytest.mark.timeout(240)
async def test_a_move_that_is_killed_anywhere_goes_on_and_is_searched_meanwhile(
    data: DataFolder, pinecone_server: PineconeServer
) -> None:
    database = await open_database(DatabaseSettings(), data.postgres)
    async with open_pinecone(pinecone_settings(pinecone_server.address)) as api:
        assert api is not None
        steps = PineconeUpkeep(database, api, clock=SystemClock())
        index = PineconeIndex(PostgresIndex(database), database, api, steps)
        moves = CollectionMoves(database=database, api=api, upkeep=steps, clock=SystemClock())
        pile = SheetPile(database, index)
        for number in range(CHUNKS // 10):
            await pile.add(Sheet(id=f"doc_{number}", title="t", texts=[f"tents {number}"] * 10))

        async def found() -> set[str]:
            return {match.chunk_id for match in await index.dense(TENTS, CHUNKS)}

        before = await found()
        assert len(before) == CHUNKS
        for target, here in (("pinecone", 0), ("postgres", CHUNKS)):
            for killed_at in (("copying", 60), ("copying", 200), ("cleaning", 0)):
                async with moving(data, pinecone_server, target) as process:
                    async for line in said(process):
                        if line == "moved" or _is_past(line, killed_at):
                            break
                    process.kill()
                assert await found() == before, f"killed at {killed_at} on the way to {target}"
            async with moving(data, pinecone_server, target) as process:
                out, errors = await process.communicate()
                assert process.returncode == 0, errors.decode()[-2000:]
                assert out.decode().endswith("moved\n")
            assert await found() == before
            assert (await moves.status("default")).state == "done"
            assert sum(each.vectors_here for each in await index.stats()) == here
        assert pinecone_server.ids() == set()
    await database.close()


def _is_past(line: str, killed_at: tuple[str, int]) -> bool:
    state, _, copied = line.partition(" ")
    return state == "cleaning" or (state == killed_at[0] and int(copied or 0) >= killed_at[1])
