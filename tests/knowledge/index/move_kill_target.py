"""A process for test_move_kill.py to kill: a worker that does the upkeep of the index, and nothing else.

It prints, again and again, how far the move of the collection is; it ends when the move is done.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydantic import SecretStr

from causeway.contracts.clock import SystemClock
from causeway.knowledge.index import upkeep
from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.pinecone_api import open_pinecone
from causeway.knowledge.index.pinecone_index import PineconeIndex
from causeway.knowledge.index.pinecone_upkeep import PineconeUpkeep
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.settings import DatabaseSettings, PineconeSettings
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import open_database


async def main(data: DataFolder, address: str, key: str, target: str) -> None:
    clock = SystemClock()
    database = await open_database(DatabaseSettings(), data.postgres)
    settings = PineconeSettings(api_key=SecretStr(key), host=address)
    async with open_pinecone(settings) as api:
        assert api is not None
        steps = PineconeUpkeep(database, api, clock=clock, at_once=20)
        moves = CollectionMoves(database=database, api=api, upkeep=steps, clock=clock)
        index = PineconeIndex(PostgresIndex(database), database, api, steps)
        await moves.request("default", target)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(upkeep.tend(index, moves, stop=stop, waiting_s=0.01, idle_s=0.01))
            while (status := await moves.status("default")).state != "done" or status.target != target:
                sys.stdout.write(f"{status.state} {status.copied}\n")
                sys.stdout.flush()
                await asyncio.sleep(0.005)
            stop.set()
    await database.close()
    sys.stdout.write("moved\n")


if __name__ == "__main__":
    data_folder = DataFolder(Path(sys.argv[1]))
    asyncio.run(main(data_folder, *sys.argv[2:5]))
