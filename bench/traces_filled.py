"""A million spans to search in, made in minutes: a tenth as the recorder's own thread stores it, and nine copies of that.

Each of the 250,000 traces is of four spans, as a question's are (ask, search, embeddings, chat), with the texts of a question,
three passages and an answer. Four of ten are one program's, the others two thousand people's. The oldest tenth alone has a model,
a team and a word of its own, for what has gone out of use is what an index by time finds last. ``bench/traces.py`` measures.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.observability import genai_names as names
from causeway.observability.otlp_export import encoded
from causeway.observability.otlp_messages import parsed
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_store import SpanWriter
from causeway.seams import deferred
from causeway.settings import TelemetrySettings
from causeway.storage.database import Database
from causeway.storage.schema import spans
from causeway.storage.telemetry_schema import trace_summaries

json_format = deferred("google.protobuf.json_format")

SPANS = 1_000_000
EACH = 4
DAYS = 90
END = datetime(2026, 10, 1, tzinfo=UTC)
PROGRAM = "key_shop"
PEOPLE = 2_000
RARE, SEASONAL = "zebraquartz", "winterfest"
OLD_MODEL, OLD_TEAM = "model-old", "team_old"
_BATCH = 2_000
_COPIES = 10
_STEP = timedelta(days=DAYS) / _COPIES
_FIRST = END - timedelta(days=DAYS) + _STEP
WORDS = [
    f"{start}{middle}{end}"
    for start in "bcdfghklmnprst"
    for middle in ("ar", "el", "in", "or", "un")
    for end in ("", "a", "ent", "ing", "o", "s", "ty")
]
COMMON = ("how", "long", "may", "the", "return", "price", "order", "what", "when", "is")


def person(chance: random.Random) -> str:
    """Some ask much, most little."""
    return f"usr_{int(PEOPLE * chance.random() ** 2):05d}"


def say(chance: random.Random, count: int) -> str:
    """Words as languages have them: few very often, most seldom."""
    size = len(WORDS)
    return " ".join(
        chance.choice(COMMON) if chance.random() < 0.35 else WORDS[int(size * chance.random() ** 3)]
        for _ in range(count)
    )


def traces(chance: random.Random, recorder: Spans, count: int) -> Iterator[list[Span]]:
    """Finished spans, a trace at a time, over the oldest tenth of the time."""
    for number in range(count):
        at = END - timedelta(days=DAYS) + _STEP * (number / count)
        owner = PROGRAM if chance.random() < 0.4 else person(chance)
        team = OLD_TEAM if number % 60 == 5 else f"team_{int(20 * chance.random() ** 2)}"
        who: dict[str, Any] = {names.OWNER: owner, names.PRINCIPAL: owner, names.PURPOSE: "ask"}
        who |= {names.TEAM: team, names.TIER: ("standard", "standard", "pro", "own")[number % 4]}
        question, answer = say(chance, 12), say(chance, 70)
        if number % 500 == 17:
            question += f" {RARE}"
        if number % 5 < 2:
            question += f" {SEASONAL}"
        passages = [
            {
                "id": f"chk_{chance.getrandbits(64):x}",
                "document_id": f"doc_{chance.getrandbits(128):032x}",
                "title": say(chance, 4),
                "page": 3,
                "score": 0.5,
                "text": say(chance, 60),
            }
            for _ in range(3)
        ]
        model = OLD_MODEL if number % 40 == 7 else f"model-{int(12 * chance.random() ** 2)}"
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


async def fill(database: Database) -> dict[str, float]:
    """Make what is missing, a step at a time, so that a run broken off goes on; bytes a span has as OTLP, by encoding."""
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(
            text("CREATE TABLE IF NOT EXISTS bench_steps (name text PRIMARY KEY, note jsonb)")
        )
        found = await connection.execute(text("SELECT name, note FROM bench_steps"))
        done: dict[str, Any] = {row.name: row.note for row in found}
        if "own" not in done:
            for index in trace_summaries.indexes:
                await connection.run_sync(index.drop, checkfirst=True)
            await connection.execute(text("TRUNCATE spans, trace_summaries"))
            done["own"] = await asyncio.to_thread(_store_own, database.url)
            await connection.execute(text("UPDATE trace_summaries SET stored_at = started_at"))
            await connection.execute(text("VACUUM FULL trace_summaries"))
            await _mark(connection, "own", done["own"])
        for copy in range(1, _COPIES):
            if f"copy {copy}" not in done:
                await _copy(database, copy)
        for name, statements in _RATED.items():
            if name not in done:
                await _step(database, name, statements)
        for index in trace_summaries.indexes:
            await connection.run_sync(index.create, checkfirst=True)
        if "settled" not in done:
            await connection.execute(text("VACUUM ANALYZE"))
            await _mark(connection, "settled", {})
    sizes: dict[str, float] = done["own"]
    return sizes


def _store_own(database_url: str) -> dict[str, float]:
    writer = SpanWriter(database_url, TracePolicy(TelemetrySettings()))
    batch: list[Span] = []
    sizes: dict[str, float] = {}
    for finished in traces(random.Random(7), Spans(), SPANS // EACH // _COPIES):
        batch += finished
        if len(batch) >= _BATCH:
            sizes = sizes or _weighed(batch)
            writer.store(batch)
            batch = []
    writer.store(batch)
    writer.close()
    return sizes


def _weighed(batch: Sequence[Span]) -> dict[str, float]:
    """Bytes a span has in an exporter's request, in OTLP's JSON and in its protobuf."""
    binary = encoded(batch, with_content=True)
    request = json_format.MessageToDict(parsed("ExportRequest", binary))
    for of_resource in request["resourceSpans"]:
        for of_scope in of_resource["scopeSpans"]:
            for span in of_scope["spans"]:
                for name in (
                    "traceId",
                    "spanId",
                    "parentSpanId",
                ):  # OTLP has hexadecimal where protobuf's JSON has base64
                    if name in span:
                        span[name] = base64.b64decode(span[name]).hex()
    written = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
    return {
        "json": len(written) / len(batch),
        "json, gzip": len(gzip.compress(written)) / len(batch),
        "protobuf": len(binary) / len(batch),
    }


async def _copy(database: Database, copy: int) -> None:
    shift = {"copy": str(copy), "shift": _STEP * copy}
    async with database.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        for table in (spans, trace_summaries):
            listed = [column.name for column in table.columns]
            await connection.execute(
                text(
                    f"INSERT INTO {table.name} ({', '.join(listed)}) SELECT {', '.join(map(_moved, listed))} "
                    f"FROM {table.name} WHERE started_at < CAST('{_FIRST.isoformat()}' AS timestamptz)"
                ),
                shift,
            )
        await _mark(connection, f"copy {copy}", {})


def _moved(column: str) -> str:
    """A copy has ids of its own and its own time, and nothing of what has gone out of use."""
    match column:
        case "trace_id":
            return "md5(trace_id || CAST(:copy AS text))"
        case "started_at" | "chat_at" | "stored_at":
            return f"{column} + CAST(:shift AS interval)"
        case "question":
            return f"replace(question, '{SEASONAL}', 'house')"
        case "model":
            return f"CASE model WHEN '{OLD_MODEL}' THEN 'model-0' ELSE model END"
        case "team" | "project":
            return f"CASE {column} WHEN '{OLD_TEAM}' THEN 'team_0' ELSE {column} END"
        case _:
            return column


async def _step(database: Database, name: str, statements: Sequence[str]) -> None:
    async with database.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in statements:
            await connection.execute(text(statement))
        await _mark(connection, name, {})


async def _mark(connection: AsyncConnection, name: str, note: dict[str, Any]) -> None:
    await connection.execute(
        text("INSERT INTO bench_steps (name, note) VALUES (:name, CAST(:note AS jsonb))"),
        {"name": name, "note": json.dumps(note)},
    )


_RATED = {
    "votes": (
        "INSERT INTO votes (trace_id, principal_id, is_up, at) SELECT trace_id, owner, hashtext(trace_id) % 3 <> 0, started_at "
        "FROM trace_summaries WHERE hashtext(trace_id) % 20 = 0",
    ),
    "results": (
        "INSERT INTO eval_suites (version, name, content) VALUES ('bench', 'bench', '{}')",
        "INSERT INTO eval_runs (id, suite_version, suite, subject, options, identity, state, total, started_by, finished_at) "
        "SELECT 'run_' || n, 'bench', 'bench', 'knowledge', '{}', '{}', 'done', 500, 'bench', now() FROM generate_series(0, 39) AS n",
        "INSERT INTO eval_results (run_id, case_name, repeat, asked, outcome, scores, is_faulty) "
        "SELECT 'run_' || n / 500, 'case ' || n % 500, 0, md5(question), "
        "jsonb_build_object('text', answer, 'trace_id', trace_id, 'passages', jsonb_build_array(answer, question)), "
        "jsonb_build_array(jsonb_build_object('name', 'passed', 'value', 1, 'passed', n % 7 <> 0), "
        "jsonb_build_object('name', 'cites', 'value', 1, 'passed', n % 11 <> 0)), false "
        "FROM (SELECT row_number() OVER (ORDER BY trace_id) - 1 AS n, trace_id, question, answer FROM trace_summaries LIMIT 20000) AS answered",
    ),
}
