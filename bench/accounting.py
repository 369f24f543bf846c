"""What it takes to know a caller and to write down a call, in the gateway's own process and in PostgreSQL.

    python -m bench.accounting > bench/results/accounting.md

One core, one process; the database is an embedded PostgreSQL made for the run, with the settings Causeway runs it with.
Each figure is the best of several rounds, so that other work on the machine counts least.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from sqlalchemy.dialects.postgresql import insert

from bench.machine import describe
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Scope
from causeway.contracts.money import Micros
from causeway.gateway.entries import Opening, Row, decoded_row, encoded_row
from causeway.gateway.keys import Keys
from causeway.gateway.ledger import Ledger, open_ledger
from causeway.settings import DatabaseSettings
from causeway.storage.database import Database, open_database
from causeway.storage.notices import Notices
from causeway.storage.schema import ledger as ledger_table

ROUNDS, CALLS = 7, 20_000
AT = datetime(2026, 1, 2, tzinfo=UTC)
OPENING = Opening(
    id="call_6f1c2f6f5f0b4c3e8f2d7a9b1c0d3e5f",
    at=AT,
    principal_id="key_6f1c2f6f5f0b4c3e8f2d7a9b1c0d3e5f",
    team="team_6f1c2f6f5f0b4c3e8f2d7a9b1c0d3e5f",
    tier="pro",
    purpose="api",
    operation="chat",
    model="gpt-4o-mini",
    input_tokens=900,
    output_tokens=1_000,
    cost=Micros(735),
    trace_id="0af7651916cd43dd8448eb211c80319c",
)
ROW = Row(
    id=OPENING.id,
    at=AT,
    principal_id=OPENING.principal_id,
    purpose="api",
    operation="chat",
    model="gpt-4o-mini",
    provider="openai",
    prompt=None,
    input_tokens=874,
    output_tokens=213,
    cost_micros=259,
    outcome="ok",
    trace_id=OPENING.trace_id,
    team=OPENING.team,
    tier="pro",
    requested_model="gpt-4o-mini",
    cached_input_tokens=512,
    reasoning_tokens=0,
    is_estimate=False,
    saved_micros=0,
    latency_ms=1_870,
    ttft_ms=310,
    attempts=1,
    cache=None,
    is_stream=False,
    route_reason="named",
)


def microseconds(work: Callable[[], object], calls: int = CALLS) -> float:
    """The best mean time of one call of ``work``."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(calls):
            work()
        best = min(best, (time.perf_counter() - begun) / calls)
    return best * 1e6


async def identify(database: Database) -> tuple[float, float, float]:
    """Microseconds: a remembered key, the same through ``identify``, and its SHA-256 alone."""
    notices = Notices(database)
    keys = Keys(database, SystemClock(), notices=notices, default_tier="pro")
    async with notices.listening():
        await notices.live()
        secret = (await keys.create("bench", [Scope.MODELS])).secret
        while keys.remembered(secret) is None:
            await keys.identify(secret)
        best = float("inf")
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            for _ in range(CALLS):
                await keys.identify(secret)
            best = min(best, (time.perf_counter() - begun) / CALLS)
        plain = microseconds(lambda: sha256(secret.encode()).digest())
        return microseconds(lambda: keys.remembered(secret)), best * 1e6, plain


async def write_down(ledger: Ledger) -> tuple[float, float]:
    """Microseconds of an opening and of an entry, without the flushes between the rounds."""
    opened, closed = float("inf"), float("inf")
    for round_ in range(ROUNDS):
        openings = [replace(OPENING, id=f"call_{round_}_{number:028}") for number in range(5_000)]
        entries = [replace(ROW, id=opening.id) for opening in openings]
        begun = time.perf_counter()
        for opening in openings:
            ledger.opened(opening)
        middle = time.perf_counter()
        for entry in entries:
            ledger.closed(entry)
        opened = min(opened, (middle - begun) / len(openings))
        closed = min(closed, (time.perf_counter() - middle) / len(entries))
        await ledger.flush()
    return opened * 1e6, closed * 1e6


async def flush(ledger: Ledger) -> tuple[float, float]:
    """Rows a second into PostgreSQL in batches of 1,000, and the microseconds of our own CPU that one takes."""
    wall_s = cpu_s = 0.0
    for round_ in range(5):
        for number in range(10_000):
            ledger.closed(replace(ROW, id=f"flush_{round_}_{number:026}"))
        begun, cpu = time.perf_counter(), _cpu_s()
        await ledger.flush()
        wall_s, cpu_s = wall_s + time.perf_counter() - begun, cpu_s + _cpu_s() - cpu
    return 50_000 / wall_s, cpu_s / 50_000 * 1e6


async def insert_many(database: Database) -> tuple[float, float]:
    """The same rows the usual way: SQLAlchemy's ``executemany``."""
    first = msgspec.structs.asdict(decoded_row(encoded_row(ROW)))
    wall_s = cpu_s = 0.0
    for round_ in range(10):
        rows = [{**first, "id": f"many_{round_}_{number:026}"} for number in range(1_000)]
        begun, cpu = time.perf_counter(), _cpu_s()
        async with database.begin() as connection:
            await connection.execute(insert(ledger_table).on_conflict_do_nothing(), rows)
        wall_s, cpu_s = wall_s + time.perf_counter() - begun, cpu_s + _cpu_s() - cpu
    return 10_000 / wall_s, cpu_s / 10_000 * 1e6


def fsynced(folder: Path) -> float:
    """Microseconds of a line of the journal's length that is forced to the disk."""
    line = b"c" + encoded_row(ROW) + b"\n"
    file = os.open(folder / "forced", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write() -> None:
        os.write(file, line)
        os.fdatasync(file)

    try:
        return microseconds(write, calls=200)
    finally:
        os.close(file)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as name:
        folder = Path(name)
        database = await open_database(DatabaseSettings(), folder / "postgres")
        try:
            remembered, identified, hashed = await identify(database)
            async with open_ledger(database, folder / "journal", flush_s=3600) as ledger:
                opened, closed = await write_down(ledger)
                rows_s, row_cpu = await flush(ledger)
            many_s, many_cpu = await insert_many(database)
            forced = fsynced(folder)
        finally:
            await database.close()
    line = len(encoded_row(ROW)) + 2
    print("# Knowing callers and keeping accounts\n\nMade by `python -m bench.accounting`.\n")
    print(f"{describe()}\n")
    print("| on the path of a call | microseconds |\n|---|---|")
    print(f"| `Keys.remembered`, of which SHA-256 takes {hashed:.2f} | {remembered:.2f} |")
    print(f"| `await Keys.identify`, remembered | {identified:.2f} |")
    print(f"| `Ledger.opened` | {opened:.2f} |")
    print(f"| `Ledger.closed`, a line of {line} bytes | {closed:.2f} |")
    print(f"| the same line forced to the disk (`fdatasync`), which is not done | {forced:.0f} |\n")
    print("| behind the path, batches of 1,000 | rows/s | our CPU a row, microseconds |\n|---|---|---|")
    print(f"| one JSON parameter, taken apart by PostgreSQL | {rows_s:,.0f} | {row_cpu:.1f} |")
    print(f"| `executemany` of SQLAlchemy, which is not used | {many_s:,.0f} | {many_cpu:.1f} |")


if __name__ == "__main__":
    asyncio.run(main())
