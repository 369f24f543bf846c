"""A million spans: what searches of traces take, what retention holds up, and what a span weighs on disk.

    python -m bench.traces --folder FOLDER > bench/results/traces.md

``FOLDER`` is made and filled at the first run, which takes minutes, and searched anew at each. Its traces are of four spans
each, as a question's are (ask, search, embeddings, chat), with the texts of a question, three passages and an answer, over 90
days. A tenth goes in as the recorder's own thread puts it there, and nine copies of it with ids and times of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.machine import describe
from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.settings import DatabaseSettings, TelemetrySettings
from causeway.storage.database import Database, open_database

SPANS = 1_000_000
_EACH = 4
_BATCH = 2_000
_DAYS = 90
_COPIES = 10
_END = datetime(2026, 10, 1, tzinfo=UTC)
_FIRST = _END - timedelta(days=_DAYS) + timedelta(days=_DAYS) / _COPIES
_ROUNDS = 15
_WORDS = [
    f"{start}{middle}{end}"
    for start in "bcdfghklmnprst"
    for middle in ("ar", "el", "in", "or", "un")
    for end in ("", "a", "ent", "ing", "o", "s", "ty")
]
_COMMON = ("how", "long", "may", "the", "return", "price", "order", "what", "when", "is")


def _say(chance: random.Random, count: int) -> str:
    """Words as languages have them: few very often, most seldom."""
    size = len(_WORDS)
    return " ".join(
        chance.choice(_COMMON) if chance.random() < 0.35 else _WORDS[int(size * chance.random() ** 3)]
        for _ in range(count)
    )


def _traces(chance: random.Random, recorder: Spans, count: int) -> Iterator[list[Span]]:
    for number in range(count):
        at = _END - timedelta(days=_DAYS) + timedelta(days=_DAYS) / _COPIES * (number / count)
        owner = f"usr_{int(2_000 * chance.random() ** 2):05d}"
        who: dict[str, Any] = {names.OWNER: owner, names.PRINCIPAL: owner, names.PURPOSE: "ask"}
        who |= {names.TEAM: f"team_{int(20 * chance.random() ** 2)}", names.TIER: "standard"}
        question, answer = _say(chance, 12), _say(chance, 70)
        if number % 500 == 17:
            question += " zebraquartz"
        passages = [
            {
                "id": f"chk_{chance.getrandbits(64):x}",
                "document_id": f"doc_{chance.getrandbits(128):032x}",
                "title": _say(chance, 4),
                "page": 3,
                "score": 0.5,
                "text": _say(chance, 60),
            }
            for _ in range(3)
        ]
        model = f"model-{int(12 * chance.random() ** 2)}"
        root = recorder.start(
            "ask",
            kind="server",
            attributes={
                **who,
                names.QUESTION: question,
                names.ANSWER: answer,
                names.REFUSED: number % 9 == 0,
            },
        )
        steps = [
            recorder.start(
                "search",
                parent=root.traceparent,
                attributes={
                    **who,
                    names.OPERATION: "retrieval",
                    names.RETRIEVAL_QUERY: question,
                    names.RETRIEVAL_TOP_K: 8,
                    names.RETRIEVAL_DOCUMENTS: passages,
                },
            ),
            recorder.start(
                "embeddings e",
                kind="client",
                parent=root.traceparent,
                attributes={
                    **who,
                    names.OPERATION: "embeddings",
                    names.REQUEST_MODEL: "embed",
                    names.RESPONSE_MODEL: "e",
                    names.PROVIDER: "local",
                    names.INPUT_TOKENS: 14,
                    names.OUTPUT_TOKENS: 0,
                    names.COST_MICROS: 0,
                },
            ),
            recorder.start(
                "chat m",
                kind="client",
                parent=root.traceparent,
                attributes={
                    **who,
                    names.OPERATION: "chat",
                    names.REQUEST_MODEL: "chat",
                    names.RESPONSE_MODEL: model,
                    names.PROVIDER: "local",
                    names.INPUT_TOKENS: 900,
                    names.OUTPUT_TOKENS: 120,
                    names.COST_MICROS: int(4_000 * chance.random() ** 4),
                    names.PROMPT: "answer",
                    names.PROMPT_VERSION: str(1 + number % 5),
                    names.TIME_TO_FIRST_CHUNK: 0.4,
                    names.FINISH_REASONS: "stop",
                    names.REQUEST_STREAM: True,
                    names.INPUT_MESSAGES: [
                        {"role": "system", "content": "Answer from the passages, cite each claim."},
                        {"role": "user", "content": question},
                    ],
                    names.OUTPUT_MESSAGES: [{"role": "assistant", "content": answer}],
                },
            ),
        ]
        took_s = 0.4 + 20 * chance.random() ** 6
        for place, span in enumerate((root, *steps)):
            span.started_at = at + timedelta(milliseconds=20 * place)
            span.duration_s = took_s if place in (0, 3) else 0.03
        if number % 50 == 0:
            steps[2].fail(TimeoutError("the model did not answer in time"))
        yield [*steps, root]


async def _fill(database: Database) -> None:
    writer = SpanWriter(database.url, TracePolicy(TelemetrySettings()))
    chance, recorder = random.Random(7), Spans()
    batch: list[Span] = []
    raw = 0
    for spans in _traces(chance, recorder, SPANS // _EACH // _COPIES):
        batch += spans
        raw += sum(len(_raw(span)) for span in spans)
        if len(batch) >= _BATCH:
            await asyncio.to_thread(writer.store, batch)
            batch = []
    await asyncio.to_thread(writer.store, batch)
    writer.close()
    note = {"raw_bytes": raw / (SPANS // _COPIES)}
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SET statement_timeout = 0"))
        indexes = (await connection.execute(text(_INDEXES))).all()
        for name, _ in indexes:
            await connection.execute(text(f"DROP INDEX {name}"))
        columns = {name: await _columns(connection, name) for name in ("spans", "trace_summaries")}
        for copy in range(1, _COPIES):
            shift = {"copy": copy, "shift": timedelta(days=_DAYS) / _COPIES * copy}
            for name, listed in columns.items():
                await connection.execute(
                    text(
                        f"INSERT INTO {name} ({', '.join(listed)}) SELECT {', '.join(map(_moved, listed))} FROM {name} WHERE started_at < CAST('{_FIRST.isoformat()}' AS timestamptz)"
                    ),
                    shift,
                )
        await connection.execute(text("UPDATE trace_summaries SET stored_at = started_at"))
        for _, definition in indexes:
            await connection.execute(text(definition))
        await connection.execute(text(_VOTES))
        await connection.execute(text("VACUUM ANALYZE spans"))
        await connection.execute(text("VACUUM FULL ANALYZE trace_summaries"))
        await connection.execute(
            text("CREATE TABLE bench_note AS SELECT CAST(:note AS text) AS note"), {"note": json.dumps(note)}
        )


_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'trace_summaries' AND indexname NOT LIKE 'pk%'"
_VOTES = (
    "INSERT INTO votes (trace_id, principal_id, is_up) SELECT trace_id, owner, hashtext(trace_id) % 3 <> 0 "
    "FROM trace_summaries WHERE hashtext(trace_id) % 20 = 0"
)


async def _columns(connection: AsyncConnection, table: str) -> list[str]:
    found = await connection.execute(
        text(
            "SELECT column_name FROM information_schema.columns WHERE table_name = :name AND is_generated = 'NEVER'"
        ),
        {"name": table},
    )
    return list(found.scalars())


def _moved(column: str) -> str:
    """A copy has ids of its own and its own time."""
    if column == "trace_id":
        return "md5(trace_id || CAST(:copy AS text))"
    return f"{column} + CAST(:shift AS interval)" if column in ("started_at", "chat_at") else column


def _raw(span: Span) -> str:
    """A span as a collector's JSON line has it."""
    return json.dumps(
        {
            "trace_id": span.trace_id,
            "span_id": span.span_id,
            "parent_id": span.parent_id,
            "name": span.name,
            "kind": span.kind,
            "start_time": span.started_at.isoformat(),
            "duration_ms": round(span.duration_s * 1000),
            "status": "ok",
            "attributes": span.attributes,
            "events": [],
        }
    )


_LAST = _END - timedelta(days=7)
SEARCHES: dict[str, Callable[[random.Random], TraceQuery]] = {
    "all, newest": lambda _: TraceQuery(),
    "owner": lambda chance: TraceQuery(owner=f"usr_{chance.randrange(2_000):05d}"),
    "what one person may see": lambda chance: TraceQuery(whose=f"usr_{chance.randrange(2_000):05d}"),
    "model": lambda chance: TraceQuery(model=f"model-{chance.randrange(12)}"),
    "prompt version": lambda chance: TraceQuery(prompt=f"answer@{chance.randrange(1, 6)}"),
    "prompt, all versions": lambda _: TraceQuery(prompt="answer"),
    "failed": lambda _: TraceQuery(status="error"),
    "failed with a code there is none of": lambda _: TraceQuery(status="upstream_error"),
    "team": lambda chance: TraceQuery(team=f"team_{chance.randrange(20)}"),
    "cost from $0.003": lambda _: TraceQuery(min_cost_micros=3_000),
    "slower than 15 s": lambda _: TraceQuery(min_ms=15_000),
    "thumbs down": lambda _: TraceQuery(vote="down"),
    "text, a rare word": lambda _: TraceQuery(text="zebraquartz"),
    "text, a middling word": lambda chance: TraceQuery(text=_WORDS[chance.randrange(100, 300)]),
    "text, the commonest word": lambda chance: TraceQuery(text=chance.choice(_COMMON)),
    "text, two words": lambda chance: TraceQuery(text=f"{chance.choice(_COMMON)} {chance.choice(_WORDS)}"),
    "text, a word there is none of": lambda _: TraceQuery(text="nowhere"),
    "the last 7 days, failed, one model": lambda chance: TraceQuery(
        since=_LAST, status="error", model=f"model-{chance.randrange(4)}"
    ),
    "one owner, text": lambda chance: TraceQuery(
        owner=f"usr_{chance.randrange(2_000):05d}", text=chance.choice(_COMMON)
    ),
    "one team, thumbs down, slower than 1 s": lambda chance: TraceQuery(
        team=f"team_{chance.randrange(20)}", vote="down", min_ms=1_000
    ),
    "slowest": lambda _: TraceQuery(order="slowest"),
    "dearest of a prompt version": lambda chance: TraceQuery(
        order="dearest", prompt=f"answer@{chance.randrange(1, 6)}"
    ),
}


async def _timed(work: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


async def _search(store: TraceStore) -> None:
    print("| search | median ms | slowest ms | found |\n|---|---:|---:|---:|")
    for title, query in SEARCHES.items():
        chance = random.Random(3)
        took, found = [], 0
        for _ in range(_ROUNDS):
            asked = query(chance)
            took.append(await _timed(lambda asked=asked: store.find(asked)))  # type: ignore[misc]  # a default is a binding
            found = max(found, len(await store.find(asked)))
        print(f"| {title} | {statistics.median(took):.0f} | {max(took):.0f} | {found} |")
    page = [await _timed(store.choices) for _ in range(_ROUNDS)]
    print(f"| what the page's pickers offer | {statistics.median(page):.0f} | {max(page):.0f} | |")
    (newest,) = await store.find(TraceQuery(limit=1))
    whole = [await _timed(lambda: store.trace(newest.trace_id)) for _ in range(_ROUNDS)]
    print(f"| one whole trace | {statistics.median(whole):.0f} | {max(whole):.0f} | {_EACH} |")


async def _retention(database: Database, store: TraceStore) -> None:
    """A fifth of a day's share goes while 40 spans are written every tenth of a second and searches go on."""
    recorder, chance = Spans(), random.Random(11)
    writer = SpanWriter(database.url)
    arriving = _traces(chance, recorder, 10_000)
    done = asyncio.Event()
    writes: list[float] = []
    searches: list[float] = []

    async def write() -> None:
        while not done.is_set():
            batch = [span for _ in range(10) for span in next(arriving)]
            writes.append(await _timed(lambda batch=batch: asyncio.to_thread(writer.store, batch)))  # type: ignore[misc]
            searches.append(await _timed(lambda: store.find(TraceQuery(limit=50))))
            await asyncio.sleep(0.1)

    async with database.connect() as connection:
        oldest = (await connection.execute(text("SELECT min(stored_at) FROM trace_summaries"))).scalar_one()
    policy = TracePolicy(TelemetrySettings(trace_days=30))
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        await asyncio.sleep(2)
        alone = len(writes)
        begun = time.monotonic()
        gone = await store.forget_old(oldest + timedelta(days=33), policy)
        took_s = time.monotonic() - begun
        done.set()
    writer.close()
    print(
        f"\n{gone:,} traces ({gone * _EACH:,} spans) were deleted in {took_s:.1f} s, 500 traces a transaction. Meanwhile a batch of"
        f" 40 spans was stored in {statistics.median(writes[alone:]):.0f} ms (slowest {max(writes[alone:]):.0f};"
        f" {statistics.median(writes[:alone]):.0f} before), and a search took {statistics.median(searches[alone:]):.0f} ms"
        f" (slowest {max(searches[alone:]):.0f})."
    )


async def _size(database: Database) -> None:
    async with database.connect() as connection:
        spans, lines, count = (
            await connection.execute(
                text(
                    "SELECT pg_total_relation_size('spans'), pg_total_relation_size('trace_summaries'), (SELECT count(*) FROM spans)"
                )
            )
        ).one()
        note = json.loads((await connection.execute(text("SELECT note FROM bench_note"))).scalar_one())
    print(
        f"\n{count:,} spans take {spans / count:,.0f} bytes each, index included, and their traces' lines with their indexes"
        f" {lines / count:,.0f} more: {(spans + lines) / count:,.0f} bytes a span beside {note['raw_bytes']:,.0f} as raw JSON lines."
    )


async def main(folder: Path) -> None:
    database = await open_database(DatabaseSettings(), folder)
    async with database.connect() as connection:
        is_filled = (await connection.execute(text("SELECT to_regclass('bench_note')"))).scalar_one()
    if is_filled is None:
        await _fill(database)
    print("# Traces\n\nMade by `python -m bench.traces --folder FOLDER`.\n")
    print(describe())
    print(
        f"\n{SPANS:,} spans in {SPANS // _EACH:,} traces over {_DAYS} days; {_ROUNDS} searches of each kind, 50 traces a page.\n"
    )
    store = TraceStore(database, Spans())
    await _search(store)
    await _size(database)
    await _retention(database, store)
    await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    asyncio.run(main(parser.parse_args().folder))
