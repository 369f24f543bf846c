"""A million spans: what searches of traces take, what retention holds up, and what a span weighs on disk.

    python -m bench.traces --folder FOLDER > bench/results/traces.md

``FOLDER`` is made and filled at the first run, by steps, so that one broken off goes on; ``--only fill``, ``search``, ``size`` or
``retention`` does a part. Retention is measured on a copy of the folder, which needs as much room again while it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select, text, true

from bench.machine import describe, processor_ms
from bench.traces_filled import (
    COMMON,
    DAYS,
    EACH,
    END,
    OLD_MODEL,
    OLD_TEAM,
    PROGRAM,
    RARE,
    SEASONAL,
    SPANS,
    WORDS,
    fill,
    person,
    traces,
)
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.settings import DatabaseSettings, TelemetrySettings
from causeway.storage.database import Database, open_database
from causeway.storage.telemetry_schema import trace_summaries

_PARTS = ("fill", "search", "size", "retention")
_ROUNDS = 40
_BAR_MS = 300
_ALONE_S = 60.0
_DELETED = 500_000

_Ask = Callable[[random.Random], TraceQuery]


def _model(chance: random.Random) -> str:
    return f"model-{chance.randrange(12)}"


def _prompt(chance: random.Random) -> str:
    return f"answer@{chance.randrange(1, 6)}"


def _team(chance: random.Random) -> str:
    return f"team_{chance.randrange(20)}"


def _days(chance: random.Random) -> Mapping[str, Any]:
    """A week, at any time."""
    since = END - timedelta(days=chance.uniform(7, DAYS))
    return {"since": since, "until": since + timedelta(days=7)}


SEARCHES: dict[str, _Ask] = {
    "all, newest": lambda _: TraceQuery(),
    "owner": lambda chance: TraceQuery(owner=person(chance)),
    "owner, a program with 40 % of all": lambda _: TraceQuery(owner=PROGRAM),
    "owner there is none of": lambda _: TraceQuery(owner="usr_none"),
    "model": lambda chance: TraceQuery(model=_model(chance)),
    "model of long ago": lambda _: TraceQuery(model=OLD_MODEL),
    "prompt version": lambda chance: TraceQuery(prompt=_prompt(chance)),
    "prompt, all versions": lambda _: TraceQuery(prompt="answer"),
    "team": lambda chance: TraceQuery(team=_team(chance)),
    "team of long ago": lambda _: TraceQuery(team=OLD_TEAM),
    "team there is none of": lambda _: TraceQuery(team="team_none"),
    "tier": lambda _: TraceQuery(tier="own"),
    "product there is none of": lambda _: TraceQuery(product="poster"),
    "service there is none of": lambda _: TraceQuery(service="shop bot"),
    "conversation there is none of": lambda _: TraceQuery(conversation="cnv_none"),
    "failed": lambda _: TraceQuery(status="error"),
    "failed with a code": lambda _: TraceQuery(status="TimeoutError"),
    "failed with a code there is none of": lambda _: TraceQuery(status="upstream_error"),
    "cache hits, of which there are none": lambda _: TraceQuery(cache="any"),
    "tried again, which none was": lambda _: TraceQuery(min_attempts=5),
    "refused": lambda _: TraceQuery(refused=True),
    "cost from $0.003": lambda _: TraceQuery(min_cost_micros=3_000),
    "cost from $1, which none had": lambda _: TraceQuery(min_cost_micros=1_000_000),
    "slower than 15 s": lambda _: TraceQuery(min_ms=15_000),
    "slower than an hour, which none was": lambda _: TraceQuery(min_ms=3_600_000),
    "faster than 400 ms, which none was": lambda _: TraceQuery(max_ms=399),
    "from 1,000,000 tokens, which none had": lambda _: TraceQuery(min_tokens=1_000_000),
    "thumbs down": lambda _: TraceQuery(vote="down"),
    "no thumb": lambda _: TraceQuery(vote="none"),
    "score: failed": lambda _: TraceQuery(score="failed"),
    "score: passed": lambda _: TraceQuery(score="passed"),
    "a week": lambda chance: TraceQuery(**_days(chance)),
    "text, a rare word": lambda _: TraceQuery(text=RARE),
    "text, a middling word": lambda chance: TraceQuery(text=WORDS[chance.randrange(100, 300)]),
    "text, a common word": lambda chance: TraceQuery(text=chance.choice(COMMON)),
    "text, a common word of long ago": lambda _: TraceQuery(text=SEASONAL),
    "text, two words": lambda chance: TraceQuery(text=f"{chance.choice(COMMON)} {chance.choice(WORDS)}"),
    "text, two words in a row": lambda chance: TraceQuery(text=f'"{chance.choice(COMMON)} {WORDS[0]}"'),
    "text, two middling words in a row, which none are": lambda chance: TraceQuery(
        text=f'"{WORDS[chance.randrange(200, 300)]} {WORDS[chance.randrange(300, 400)]} {RARE}"'
    ),
    "text, a common word without another": lambda _: TraceQuery(text=f"{COMMON[0]} -{COMMON[1]}"),
    "text, without the commonest": lambda _: TraceQuery(text=f"-{COMMON[0]}"),
    "text, a word there is none of": lambda _: TraceQuery(text="nowhere"),
    "a week, failed, one model": lambda chance: TraceQuery(
        status="error", model=_model(chance), **_days(chance)
    ),
    "a week, a common word": lambda chance: TraceQuery(text=chance.choice(COMMON), **_days(chance)),
    "a program, a common word": lambda chance: TraceQuery(owner=PROGRAM, text=chance.choice(COMMON)),
    "a model, a rare word": lambda chance: TraceQuery(model=_model(chance), text=RARE),
    "a model of long ago, a common word": lambda chance: TraceQuery(
        model=OLD_MODEL, text=chance.choice(COMMON)
    ),
    "a team, thumbs down, slower than 1 s": lambda chance: TraceQuery(
        team=_team(chance), vote="down", min_ms=1_000
    ),
    "a prompt version, failed, cost from $0.001": lambda chance: TraceQuery(
        prompt=_prompt(chance), status="error", min_cost_micros=1_000
    ),
    "slowest": lambda _: TraceQuery(order="slowest"),
    "slowest of a team": lambda chance: TraceQuery(order="slowest", team=_team(chance)),
    "dearest of a prompt version": lambda chance: TraceQuery(order="dearest", prompt=_prompt(chance)),
    "dearest with a common word": lambda chance: TraceQuery(order="dearest", text=chance.choice(COMMON)),
    "slowest of a week": lambda chance: TraceQuery(order="slowest", **_days(chance)),
    "own: all": lambda chance: TraceQuery(whose=person(chance)),
    "own: a common word": lambda chance: TraceQuery(whose=person(chance), text=chance.choice(COMMON)),
    "own: a model, failed": lambda chance: TraceQuery(
        whose=person(chance), model=_model(chance), status="error"
    ),
    "own of a program: a rare word": lambda _: TraceQuery(whose=PROGRAM, text=RARE),
    "own of a program: a common word": lambda chance: TraceQuery(whose=PROGRAM, text=chance.choice(COMMON)),
    "own of a program: a common word of long ago": lambda _: TraceQuery(whose=PROGRAM, text=SEASONAL),
    "own of a program: a word there is none of": lambda _: TraceQuery(whose=PROGRAM, text="nowhere"),
    "own of a program: slowest of a team": lambda chance: TraceQuery(
        whose=PROGRAM, team=_team(chance), order="slowest"
    ),
}

_line = trace_summaries.c
_PAGED = {
    "last page of all": (TraceQuery(), _line.started_at, true()),
    "last page of the slowest": (TraceQuery(order="slowest"), _line.duration_ms, true()),
    "last page of the dearest": (TraceQuery(order="dearest"), _line.cost_micros, true()),
    "last page of a program's": (TraceQuery(whose=PROGRAM), _line.started_at, _line.owner == PROGRAM),
    "last page of a model": (TraceQuery(model="model-3"), _line.started_at, _line.model == "model-3"),
    "last page of a common word": (TraceQuery(text=COMMON[0]), _line.started_at, true()),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", choices=_PARTS, help="one part; all by default")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="searches of each kind")
    parser.add_argument("--kind", default="", help="only searches whose name has this in it")
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments))


async def _measure(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.folder
    parts = {arguments.only} if arguments.only else set(_PARTS)
    database = await open_database(DatabaseSettings(), folder)
    try:
        sizes = await fill(database)
        if parts == {"fill"}:
            return
        if not arguments.only:
            print("# Traces\n\nMade by `python -m bench.traces --folder FOLDER`.\n")
            print(describe())
            print(f"\n{SPANS:,} spans in {SPANS // EACH:,} traces over {DAYS} days.")
        if "search" in parts:
            await _search(database, folder, arguments.rounds, arguments.kind)
        if "size" in parts:
            await _size(database, sizes)
    finally:
        await database.close()
    if "retention" in parts:
        with tempfile.TemporaryDirectory(prefix="causeway-", dir=folder.parent) as copied:
            shutil.copytree(folder, copied, dirs_exist_ok=True)
            database = await open_database(DatabaseSettings(), Path(copied))
            try:
                await _retention(database)
            finally:
                await database.close()


# --- searches ----------------------------------------------------------------------------------------


async def _search(database: Database, folder: Path, rounds: int, kind: str) -> None:
    store = TraceStore(database, Spans())
    print(
        f"\n## Searches\n\n{rounds} of each kind, one after another, each with words and names of its own, 50 traces a page;"
        " the processor time is the database's and this process's.\n"
    )
    print("| search | median ms | p95 ms | processor ms, mean | found |\n|---|---:|---:|---:|---:|")
    over = []
    for title, ask in (SEARCHES | await _pages(database)).items():
        if kind not in title:
            continue
        chance = random.Random(3)
        took, found, before = [], 0, processor_ms(folder)
        for _ in range(rounds):
            query, begun = ask(chance), time.perf_counter()
            found = max(found, len(await store.find(query)))
            took.append((time.perf_counter() - begun) * 1000)
        used = (processor_ms(folder) - before) / rounds
        print(
            f"| {title} | {_at(took, 0.5):.0f} | {_at(took, 0.95):.0f} | {used:.0f} | {found} |", flush=True
        )
        if _at(took, 0.95) > _BAR_MS:
            over.append(title)
    pickers: dict[str, Callable[[], Awaitable[Any]]] = {
        "what the page's pickers offer": store.choices,
        "what they offer one asker": partial(store.choices, owner=PROGRAM),
        "what they offer one who has nothing": partial(store.choices, owner="usr_none"),
    }
    for title, read in pickers.items():
        if kind in title:
            times = [await _timed(read) for _ in range(rounds)]
            print(f"| {title} | {_at(times, 0.5):.0f} | {_at(times, 0.95):.0f} | | |")
    print(f"\nOver {_BAR_MS} ms at the 95th percentile: {', '.join(over) or 'none'}.")


async def _pages(database: Database) -> dict[str, _Ask]:
    """Searches for the last page: each after the trace that is the fifty-first from the end."""
    found: dict[str, _Ask] = {}
    async with database.connect() as connection:
        for title, (query, key, wanted) in _PAGED.items():
            from_the_end = select(_line.trace_id).where(wanted).order_by(key, _line.trace_id)
            before = from_the_end.offset(query.limit).limit(1)
            after = (await connection.execute(before)).scalar_one()
            found[title] = partial(_same, replace(query, after=after))
    return found


def _same(query: TraceQuery, _: random.Random) -> TraceQuery:
    return query


async def _timed(work: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


def _at(times: Sequence[float], share: float) -> float:
    """A quantile that was measured, not one between two."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


# --- size --------------------------------------------------------------------------------------------

_SIZES = """
SELECT relname, pg_relation_size(c.oid) AS rows, pg_indexes_size(c.oid) AS indexes,
  pg_total_relation_size(c.oid) - pg_relation_size(c.oid) - pg_indexes_size(c.oid) AS rest
FROM pg_class AS c WHERE relname IN ('spans', 'trace_summaries') AND relkind = 'r' ORDER BY relname
"""
_INDEX_SIZES = """
SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes
WHERE relname IN ('spans', 'trace_summaries') ORDER BY 2 DESC
"""


async def _size(database: Database, raw: Mapping[str, float]) -> None:
    async with database.connect() as connection:
        count = (await connection.execute(text("SELECT count(*) FROM spans"))).scalar_one()
        tables = (await connection.execute(text(_SIZES))).all()
        indexes = (await connection.execute(text(_INDEX_SIZES))).all()
    print(
        f"\n## Bytes a span\n\nOf {count:,} spans.\n\n| | rows | long values (TOAST) | indexes | all |\n|---|---:|---:|---:|---:|"
    )
    for name, rows, of_indexes, rest in tables:
        parts = (rows, rest, of_indexes, rows + rest + of_indexes)
        print(f"| `{name}` | {' | '.join(f'{part / count:,.0f}' for part in parts)} |")
    whole = sum(sum(sizes) for _, *sizes in tables) / count
    print(
        f"\nTogether {whole:,.0f} bytes a span. As a program sends it, a span has:\n\n| OTLP | bytes | stored beside it |\n|---|---:|---:|"
    )
    for name, size in raw.items():
        print(f"| {name} | {size:,.0f} | {whole / size:.0%} |")
    print("\n| index | bytes a span |\n|---|---:|")
    for name, size in indexes:
        print(f"| `{name}` | {size / count:,.0f} |")


# --- retention ---------------------------------------------------------------------------------------


async def _retention(database: Database) -> None:
    """Half of all goes while forty spans are stored ten times a second and somebody searches."""
    store = TraceStore(database, Spans())
    writer = SpanWriter(database.url)
    arriving = traces(random.Random(11), Spans(), 100_000)
    policy = TracePolicy(TelemetrySettings(trace_days=30))
    async with database.connect() as connection:
        newest = await connection.execute(
            text("SELECT stored_at FROM trace_summaries ORDER BY stored_at OFFSET :count LIMIT 1"),
            {"count": _DELETED // EACH},
        )
        now = newest.scalar_one() + timedelta(days=30)
    alone = await _beside(store, writer, arriving, partial(asyncio.sleep, _ALONE_S))
    gone = 0

    async def forget() -> None:
        nonlocal gone
        gone = await store.forget_old(now, policy)

    begun = time.perf_counter()
    beside = await _beside(store, writer, arriving, forget)
    took_s = time.perf_counter() - begun
    writer.close()
    print(
        f"\n## Retention\n\n{gone:,} traces ({gone * EACH:,} spans) were deleted in {took_s:.0f} s, while 40 spans were stored ten"
        f" times a second and searches ran one after another; beside the same for {_ALONE_S:.0f} s without deletion.\n"
    )
    print("| | batches or searches | median ms | p99 ms | slowest ms |\n|---|---:|---:|---:|---:|")
    for name in beside:
        for when, times in ((f"{name}, alone", alone[name]), (f"{name}, beside deletion", beside[name])):
            print(
                f"| {when} | {len(times)} | {_at(times, 0.5):.0f} | {_at(times, 0.99):.0f} | {max(times):.0f} |"
            )


async def _beside(
    store: TraceStore,
    writer: SpanWriter,
    arriving: Iterator[list[Span]],
    work: Callable[[], Awaitable[None]],
) -> dict[str, list[float]]:
    """What storing and searching take while ``work`` is done."""
    done = asyncio.Event()
    times: dict[str, list[float]] = {"storing 40 spans": [], "a search": []}
    chance = random.Random(5)
    asked = [SEARCHES[name] for name in _BESIDE]

    async def write() -> None:
        while not done.is_set():
            batch = [span for _ in range(10) for span in next(arriving)]
            times["storing 40 spans"].append(await _timed(partial(asyncio.to_thread, writer.store, batch)))
            await asyncio.sleep(0.1)

    async def search() -> None:
        while not done.is_set():
            query = chance.choice(asked)(chance)
            times["a search"].append(await _timed(partial(store.find, query)))
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(search())
        await work()
        done.set()
    return times


_BESIDE = (
    "all, newest",
    "owner",
    "model",
    "failed",
    "thumbs down",
    "text, a rare word",
    "team",
    "slower than 15 s",
)

if __name__ == "__main__":
    main()
