"""Puts the analyst's queries on the large sample shop: how long they take, what is stopped, whether the process stays awake.

    python bench/analyst_load.py --orders 2000000 --folder /var/tmp/large-shop > bench/results/analyst_load.md

Starts a PostgreSQL of its own in the folder, loads the shop, runs the gold queries of ``bench/analyst_questions.jsonl``, over tables and over views, six at a
time with the caps of the settings, and queries that would run for hours. Meanwhile a timer of 10 ms on the event loop tells how late it is woken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path

from bench.machine import describe
from causeway.analyst import shop_tables
from causeway.analyst.asked import SHOP, Asked, AskedDatabases
from causeway.analyst.result import Caps
from causeway.analyst.sql_rules import check
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import SYSTEM
from causeway.errors import QueryFailedError
from causeway.storage import embedded_postgres

QUESTIONS = Path(__file__).parent / "analyst_questions.jsonl"
CAPS = Caps()
HEAVY = (
    "SELECT COUNT(*) FROM order_items a JOIN order_items b ON a.product_id = b.product_id",
    "SELECT COUNT(DISTINCT a.quantity + b.quantity) FROM order_items a JOIN order_items b ON a.order_id < b.order_id",
    "SELECT STRING_AGG(body, ',' ORDER BY body) FROM reviews",
    "SELECT * FROM order_items ORDER BY unit_price * quantity - discount_amount, order_id DESC",
    "SELECT customer_id, COUNT(*) FROM orders GROUP BY customer_id ORDER BY 2 DESC, 1",
)


def main() -> None:
    """Load, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    server = embedded_postgres.start(arguments.folder)
    try:
        began = time.perf_counter()
        is_new = shop_tables.load(server.url(), orders=arguments.orders)
        loaded_s = time.perf_counter() - began if is_new else None
        asyncio.run(_measure(server.url(), arguments.orders, loaded_s, arguments.folder))
    finally:
        server.close()


async def _measure(url: str, orders: int, loaded_s: float | None, folder: Path) -> None:
    databases = AskedDatabases({SHOP: shop_tables.reader(url)}, folder=folder, clock=SystemClock())
    began = time.perf_counter()
    asked = await databases.asked(None, SYSTEM)
    schema_s = time.perf_counter() - began
    cases = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    gold = [sql for case in cases for sql in (case["sql"], case.get("pair", case["sql"]))]
    late: list[float] = []
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_watch(late, stop))
        plain = await _all(gold, asked)
        heavy = await _all(HEAVY, asked)
        stop.set()
    print("# The analyst on the large shop\n")
    print(describe())
    print(
        f"\nMade by `bench/analyst_load.py` with {orders:,} orders; caps as the settings have them, six queries at a time.\n"
    )
    print("| what | measured |\n|---|---|")
    if loaded_s is not None:
        print(f"| loading it | {loaded_s:.0f} s |")
    print(f"| reading its schema, once in ten minutes | {schema_s:.1f} s |")
    times = [seconds for seconds, _ in plain]
    stopped = sum(bool(problem) for _, problem in plain)
    print(
        f"| {len(gold)} gold queries: median, longest | {statistics.median(times):.2f} s, {max(times):.2f} s; {stopped} stopped by a cap |"
    )
    print(
        f"| longest of {len(HEAVY)} heavy queries, bound {CAPS.timeout_s:g} s | {max(seconds for seconds, _ in heavy):.2f} s |"
    )
    print(
        f"| event loop woken late: median, 99 of 100, worst | {_ms(late, 0.5)}, {_ms(late, 0.99)}, {_ms(late, 1.0)} |"
    )
    print("\n| heavy query | seconds | outcome |\n|---|---|---|")
    for sql, (seconds, problem) in zip(HEAVY, heavy, strict=True):
        print(f"| `{sql}` | {seconds:.2f} | {problem or 'answered, cut at the caps or complete'} |")
    await databases.close()


async def _all(queries: tuple[str, ...] | list[str], asked: Asked) -> list[tuple[float, str]]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_one(sql, asked)) for sql in queries]
    return [task.result() for task in tasks]


_SIX = asyncio.Semaphore(6)


async def _one(sql: str, asked: Asked) -> tuple[float, str]:
    checked = await asyncio.to_thread(check, sql, asked.offer)
    async with _SIX:
        began = time.perf_counter()
        try:
            await asked.database.run(checked.sql, CAPS, asked.reach)
        except QueryFailedError as exc:
            return time.perf_counter() - began, exc.message
        return time.perf_counter() - began, ""


async def _watch(late: list[float], stop: asyncio.Event) -> None:
    while not stop.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        late.append(time.perf_counter() - began - 0.01)


def _ms(values: list[float], share: float) -> str:
    return f"{sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000:.0f} ms"


if __name__ == "__main__":
    main()
