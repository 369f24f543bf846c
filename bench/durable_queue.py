"""How much work the durable queue moves, and what it costs when there is none.

    python -m bench.durable_queue [--items 400] > bench/results/durable_queue.md

The work does nothing, so the numbers are the queue's own. The server is an embedded PostgreSQL made for the run, with
the settings that Causeway runs it with (every commit is forced to disk).
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import describe
from causeway.settings import DatabaseSettings
from causeway.storage.database import open_database
from causeway.storage.durable import Durable

IDLE_S = 10.0


async def until(condition: Callable[[], bool], *, deadline_s: float = 120.0) -> None:
    end = time.perf_counter() + deadline_s
    while not condition():
        if time.perf_counter() > end:
            sys.exit("the work was not done in time")
        await asyncio.sleep(0.002)


async def throughput(durable: Durable, name: str, items: int, finished: list[float]) -> tuple[float, float]:
    """Items a second: into the queue, and through it from the first enqueue to the last end."""
    begun = time.perf_counter()
    limit = asyncio.Semaphore(16)

    async def put(number: int) -> None:
        async with limit:
            await durable.enqueue(name, str(number), key=f"{name}:{number}")

    async with asyncio.TaskGroup() as group:
        for number in range(items):
            group.create_task(put(number))
    queued_s = time.perf_counter() - begun
    await until(lambda: len(finished) >= items)
    return items / queued_s, items / (finished[-1] - begun)


async def latency(durable: Durable, name: str, finished: list[float], *, tries: int = 20) -> list[float]:
    """Seconds from an enqueue into an empty queue until the work starts, sorted."""
    took = []
    for number in range(tries):
        before = len(finished)
        begun = time.perf_counter()
        await durable.enqueue(name, "one", key=f"{name}:one:{number}")
        await until(lambda before=before: len(finished) > before)  # type: ignore[misc]  # binds the loop's value
        took.append(finished[-1] - begun)
    return sorted(took)


async def main(items: int, folder: Path) -> None:
    print("# The durable queue\n\nMade by `python -m bench.durable_queue`.\n")
    print(describe())
    database = await open_database(DatabaseSettings(), folder)
    rows = []
    for concurrency in (1, 4, 16):
        finished: list[float] = []

        async def work(_argument: str, finished: list[float] = finished) -> None:
            finished.append(time.perf_counter())

        durable = Durable(database.url, executor_id="exe_bench")
        name = f"work{concurrency}"
        durable.register(name, work, concurrency=concurrency)
        begun = time.perf_counter()
        await durable.launch()
        launched_s = time.perf_counter() - begun
        queued, done = await throughput(durable, name, items, finished)
        waits = await latency(durable, name, finished)
        used = time.process_time()
        await asyncio.sleep(IDLE_S)
        idle = (time.process_time() - used) / IDLE_S
        begun = time.perf_counter()
        await durable.close()
        closed_s = time.perf_counter() - begun
        rows.append(
            f"| {concurrency} | {queued:.0f} | {done:.0f} | {waits[len(waits) // 2] * 1000:.0f} "
            f"| {waits[-1] * 1000:.0f} | {launched_s:.2f} | {closed_s:.2f} | {idle:.1%} |"
        )
    await database.close()
    print(f"\n{items} items that do nothing; one queue; the first launch also makes DBOS's tables.\n")
    print(
        "| at the same time | enqueued/s | done/s | start after, p50 ms | worst of 20 | launch s | close s | idle CPU |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\nPeak memory of the process, DBOS and SQLAlchemy included: {peak // 1024} MB.")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--items", type=int, default=400)
    with tempfile.TemporaryDirectory(prefix="causeway-") as made:
        asyncio.run(main(arguments.parse_args().items, Path(made) / "postgres"))
