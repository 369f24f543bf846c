"""A process for test_durable.py to kill: works on keys that each leave one row, and ends when all are done."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from causeway.settings import DatabaseSettings
from causeway.storage.database import open_database
from causeway.storage.durable import Durable


async def main(url: str, count: int) -> None:
    database = await open_database(DatabaseSettings(url=SecretStr(url)), Path("unused"))
    durable = Durable(database.url, executor_id="exe_killed")

    async def leave_a_row(argument: str) -> None:
        async with database.begin() as connection:
            await connection.execute(text("INSERT INTO starts VALUES (:key)"), {"key": argument})
        await asyncio.sleep(0.02)  # a moment to be killed in
        async with database.begin() as connection:
            await connection.execute(
                text("INSERT INTO effects VALUES (:key) ON CONFLICT DO NOTHING"), {"key": argument}
            )

    durable.register("row", leave_a_row, concurrency=4)
    await durable.launch()
    keys = [f"row:{n}" for n in range(count)]
    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(durable.enqueue("row", key, key=key))
    for key in keys:
        while await durable.state(key) == "pending":  # noqa: ASYNC110 - another process may do it
            await asyncio.sleep(0.05)
    await durable.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
