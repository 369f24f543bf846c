"""How long the dashboard's numbers take over a million spans: with rollups and without, by period and by filter.

    python -m bench.dashboard > bench/results/dashboard.md

200,000 traces of five spans, 350,000 model calls in the ledger, a thumb on every fiftieth trace, spread over 30 days with
the rhythm of working hours; made in PostgreSQL, the embedded one as it ships.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from bench.machine import describe, processor_ms
from causeway.contracts.clock import SystemClock
from causeway.observability.rollups import Rollups
from causeway.observability.spans import Spans
from causeway.observability.stats import Stats
from causeway.observability.stats_report import StatsQuery
from causeway.settings import DatabaseSettings
from causeway.storage.database import Database, open_database

_TRACES = 200_000
_DAYS = 30
_ROUNDS = 5
_FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"team": "team_1"},
    {"model": "large"},
    {"product": "ask", "tier": "pro"},
    {"prompt": "answer@3"},
    {"owner": "usr_7"},
)

# one row a trace, from which spans, summaries and calls are made; `random()` repeats itself after setseed
_MADE = f"""
CREATE TEMP TABLE made AS
SELECT n, md5('trace' || n) AS trace_id, :now ::timestamptz - make_interval(secs => day * 86400 + of_day) AS at,
  'team_' || team AS team, CASE WHEN team < 3 THEN 'pro' ELSE 'free' END AS tier, 'usr_' || (power(chance, 3) * 300)::int AS owner,
  product, model, CASE product WHEN 'ask' THEN 'answer@' || (1 + day / 10)::int WHEN 'analyst' THEN 'sql@2' END AS prompt,
  CASE WHEN wrong < 0.02 THEN 'upstream_error' WHEN wrong < 0.03 THEN 'rate_limited' WHEN wrong < 0.035 THEN 'deadline' ELSE 'ok' END
    AS outcome,
  greatest(1, exp(7 + 1.1 * spread))::int AS latency_ms, greatest(1, exp(5.5 + 0.8 * spread))::int AS ttft_ms,
  (exp(6.5 + 0.9 * spread))::int AS tokens, cached < 0.18 AS is_cached, wrong
FROM (
  SELECT n, floor(random() * {_DAYS}) AS day, 86400 * (0.25 + 0.5 * (random() + random()) / 2) AS of_day,
    floor(random() * 6)::int AS team, random() AS chance, random() AS wrong, random() AS cached,
    (random() + random() + random() + random() - 2) * 1.7 AS spread,
    (ARRAY['ask', 'ask', 'ask', 'api', 'api', 'analyst'])[1 + floor(random() * 6)::int] AS product,
    (ARRAY['fast', 'fast', 'large', 'local'])[1 + floor(random() * 4)::int] AS model
  FROM generate_series(1, {_TRACES}) AS n
) AS drawn
"""
_LEDGER = """
INSERT INTO ledger (id, at, principal_id, purpose, operation, model, provider, prompt, input_tokens, output_tokens, cost_micros,
  outcome, trace_id, team, tier, requested_model, cached_input_tokens, reasoning_tokens, is_estimate, saved_micros, latency_ms,
  ttft_ms, attempts, cache, is_stream)
SELECT 'call_' || n || '_' || step, at, owner, CASE WHEN product = 'ask' AND step > 1 THEN 'answer' ELSE product END,
  CASE WHEN step = 1 AND product = 'ask' THEN 'embeddings' ELSE 'chat' END,
  CASE WHEN step = 1 AND product = 'ask' THEN 'embedder' ELSE model END, 'provider', CASE WHEN step > 1 OR product <> 'ask' THEN prompt END,
  CASE WHEN is_cached THEN 0 ELSE tokens END, CASE WHEN is_cached THEN 0 ELSE tokens / 5 END,
  CASE WHEN is_cached OR outcome <> 'ok' THEN 0 ELSE tokens * 3 END, outcome, trace_id, team, tier, 'chat', 0, 0, false,
  CASE WHEN is_cached THEN tokens * 3 ELSE 0 END, latency_ms, CASE WHEN outcome = 'ok' THEN ttft_ms END,
  CASE WHEN wrong > 0.97 THEN 2 ELSE 1 END, CASE WHEN is_cached THEN 'exact' END, true
FROM made, generate_series(1, CASE product WHEN 'ask' THEN 2 WHEN 'analyst' THEN 2 ELSE 1 + (n % 2) * (n / 2 % 2) END) AS step
"""
_SPANS = """
INSERT INTO spans (span_id, trace_id, parent_id, name, kind, started_at, duration_ms, status, attributes)
SELECT left(md5(n || 's' || step), 16), trace_id, CASE WHEN step > 1 THEN left(md5(n || 's1'), 16) END,
  (ARRAY['ask', 'retrieval', 'embeddings', 'rerank', 'chat'])[step], 'internal', at, latency_ms,
  CASE WHEN outcome = 'ok' THEN 'ok' ELSE 'error' END,
  jsonb_build_object('causeway.owner.id', owner, 'causeway.team.id', team, 'gen_ai.response.model', model,
    'gen_ai.usage.input_tokens', tokens, 'causeway.purpose', product)
FROM made, generate_series(1, 5) AS step
"""
_SUMMARIES = """
INSERT INTO trace_summaries (trace_id, started_at, duration_ms, name, status, error_type, owner, principal_id, team, tier, project,
  service, product, model, provider, prompt, question, answer, refused, cache, attempts, input_tokens, output_tokens, cost_micros,
  ttft_ms, span_count, is_told)
SELECT trace_id, at, latency_ms + 300, product, CASE WHEN outcome = 'ok' THEN 'ok' ELSE 'error' END, nullif(outcome, 'ok'), owner,
  owner, team, tier, team, 'causeway', product, model, 'provider', prompt, 'How do I return item ' || n || ' that I bought last month?',
  repeat('It may be returned within 45 days of delivery [1]. ', 12), CASE WHEN product = 'ask' THEN wrong > 0.9 END,
  CASE WHEN is_cached THEN 'exact' END, 2, tokens, tokens / 5, tokens * 6, ttft_ms, 5, true
FROM made
"""
_VOTES = """
INSERT INTO votes (trace_id, principal_id, is_up, at)
SELECT trace_id, owner, wrong > 0.2, at + interval '1 minute' FROM made WHERE n % 50 = 0
"""
_CLUSTERS = """
INSERT INTO question_clusters (id, space, label, example, example_trace_id, centroid, size)
SELECT 'qcl_' || n, 'bench', 'label ' || n, 'How do I return an item?', '', '', 100 FROM generate_series(0, 399) AS n
"""
_CLUSTERED = """
INSERT INTO clustered_questions (trace_id, cluster_id, question, vector, asked_at)
SELECT trace_id, 'qcl_' || (power((n % 9973) / 9973.0, 3) * 399)::int, 'How do I return an item?', decode(repeat('00', 1536), 'hex'), at
FROM made WHERE product = 'ask'
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="keeps the database, which takes minutes to fill")
    parser.add_argument("--fill", action="store_true", help="fill it and stop")
    arguments = parser.parse_args()
    with ExitStack() as opened:
        folder = arguments.folder or Path(
            opened.enter_context(tempfile.TemporaryDirectory(prefix="causeway-"))
        )
        asyncio.run(_measure(folder, only_fills=arguments.fill))


async def _measure(folder: Path, *, only_fills: bool) -> None:
    database = await open_database(DatabaseSettings(), folder)
    try:
        async with database.connect() as connection:
            now: datetime | None = await connection.scalar(text("SELECT max(at) FROM ledger"))
        if now is None:
            now = SystemClock().now()
            await _fill(database, now)
        if not only_fills:
            await _report(database, folder, now)
    finally:
        await database.close()


async def _fill(database: Database, now: datetime) -> None:
    async with database.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text("SELECT setseed(0.42)"))
        await connection.execute(text(_MADE), {"now": now})
        for statement in (_LEDGER, _SPANS, _SUMMARIES, _VOTES, _CLUSTERS, _CLUSTERED):
            await connection.execute(text(statement))
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(text("VACUUM ANALYZE"))


async def _report(database: Database, folder: Path, now: datetime) -> None:
    print("# The dashboard's numbers\n\nMade by `python -m bench.dashboard`.\n")
    print(describe())
    async with database.connect() as connection:
        print("\n| stored | rows |\n|---|---:|")
        for table in ("spans", "ledger", "trace_summaries", "votes", "clustered_questions"):
            print(f"| {table} | {await connection.scalar(text(f'SELECT count(*) FROM {table}')):,} |")
    async with database.begin() as connection:
        await connection.execute(text("TRUNCATE usage_rollups, rollup_progress"))
    stats = Stats(database, Spans(), flush=_nothing)
    print(
        f"\nReadings of everything that the first screen shows, in milliseconds: processor time of this process and the"
        f" database together, which other work on the machine hardly changes, and the median and slowest of {_ROUNDS} by the"
        " clock. *Ledger alone* is before anything was rolled up.\n"
    )
    await _table(
        "Ledger alone",
        folder,
        stats,
        now,
        periods=(timedelta(days=7), timedelta(days=30)),
        filters=_FILTERS[:1],
    )
    began = time.perf_counter()
    hours = await Rollups(database, SystemClock()).bring_up_to_date()
    took = time.perf_counter() - began
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE usage_rollups"))
    periods = (timedelta(days=1), timedelta(days=7), timedelta(days=30))
    await _table("Rolled up", folder, stats, now, periods=periods, filters=_FILTERS)
    async with database.connect() as connection:
        rows, size = (
            await connection.execute(
                text("SELECT count(*), pg_total_relation_size('usage_rollups') FROM usage_rollups")
            )
        ).one()
        ledger = await connection.scalar(text("SELECT pg_total_relation_size('ledger')"))
    print(
        f"\nRolling up {hours} hours for the first time took {took:.1f} s; {rows:,} rows of {size / 1e6:.0f} MB, indexes included,"
        f" beside a ledger of {(ledger or 0) / 1e6:.0f} MB. A round that finds nothing to do takes"
        f" {await _milliseconds(lambda: _round(database)):.0f} ms."
    )


async def _table(
    title: str,
    folder: Path,
    stats: Stats,
    now: datetime,
    *,
    periods: tuple[timedelta, ...],
    filters: tuple[dict[str, str], ...],
) -> None:
    print(
        f"## {title}\n\n| period | filter | requests | processor | median | slowest |\n|---|---|---:|---:|---:|---:|"
    )
    for period in periods:
        for each in filters:
            query = StatsQuery(since=now - period, until=now, **each)  # type: ignore[arg-type]  # texts, all of them
            taken = []
            requests = 0
            await stats.read(query)
            cpu = processor_ms(folder)
            for _ in range(_ROUNDS):
                began = time.perf_counter()
                requests = (await stats.read(query)).totals.requests
                taken.append((time.perf_counter() - began) * 1000)
            cpu = (processor_ms(folder) - cpu) / _ROUNDS
            shown = ", ".join(f"{name} {value}" for name, value in each.items()) or "none"
            print(
                f"| {period.days} d | {shown} | {requests:,} | {cpu:.0f} | {statistics.median(taken):.0f} |"
                f" {max(taken):.0f} |"
            )
    print()


async def _round(database: Database) -> None:
    rollups = Rollups(database, SystemClock())
    await rollups.bring_up_to_date()
    await rollups.mend(timedelta(days=2))


async def _milliseconds(work: Callable[[], Awaitable[None]]) -> float:
    taken = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def _nothing() -> None:
    """Nothing waits to be flushed."""


if __name__ == "__main__":
    main()
