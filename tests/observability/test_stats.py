from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from causeway.errors import InvalidInputError
from causeway.observability.rollups import Rollups
from causeway.observability.spans import Spans
from causeway.observability.stats import Stats
from causeway.observability.stats_report import Percentiles, StatsQuery
from causeway.storage.database import Database
from causeway.storage.product_schema import eval_runs, eval_suites
from causeway.storage.schema import api_keys, teams, users, votes
from causeway.storage.stats_schema import clustered_questions, question_clusters
from causeway.storage.telemetry_schema import trace_summaries
from causeway.testing.clock import FrozenClock
from tests.observability.ledger_lines import a_line, add, mixed_lines

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


async def nothing() -> None:
    """Nothing waits."""


@pytest.fixture
def stats(database: Database) -> Stats:
    return Stats(database, Spans(), flush=nothing)


def a_trace(name: str, at: datetime, **changed: Any) -> dict[str, Any]:
    return {
        "trace_id": name,
        "started_at": at,
        "duration_ms": 1_000,
        "name": "ask",
        "status": "ok",
        "error_type": None,
        "owner": "usr_1",
        "team": None,
        "tier": "pro",
        "project": "default",
        "service": "causeway",
        "product": "ask",
        "model": "words",
        "prompt": "answer@1",
        "question": f"what is {name}?",
        "refused": False,
        "attempts": 1,
        "input_tokens": 5,
        "output_tokens": 6,
        "cost_micros": 0,
        "span_count": 1,
        "is_told": True,
        **changed,
    }


async def put(database: Database, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    async with database.begin() as connection:
        await connection.execute(insert(table), list(rows))


async def test_the_totals_are_those_of_the_requests_of_the_period(
    database: Database, clock: FrozenClock, stats: Stats
) -> None:
    now = clock.now()
    lines = [
        a_line(1, now - _HOUR, latency_ms=1_000, ttft_ms=50),
        a_line(2, now - 2 * _HOUR, latency_ms=3_000, attempts=2, outcome="upstream_error", cost_micros=0),
        a_line(
            3,
            now - 3 * _HOUR,
            cache="exact",
            cost_micros=0,
            saved_micros=700,
            input_tokens=0,
            output_tokens=0,
        ),
        a_line(4, now - 4 * _HOUR, outcome="cancelled"),
        a_line(5, now - 5 * _HOUR, operation="embeddings", cost_micros=50, latency_ms=1),
        a_line(6, now - 30 * _HOUR, cost_micros=4_000),
        a_line(7, now - 60 * _HOUR),
    ]
    await add(database, lines)
    report = await stats.read(StatsQuery(since=now - _DAY, until=now))
    totals = report.totals
    assert (totals.requests, totals.errors, totals.error_rate) == (4, 1, 0.25)
    assert (totals.input_tokens, totals.output_tokens, totals.tokens_avg) == (270, 30, 75.0)
    assert (totals.cost_usd, totals.saved_usd) == (0.00205, 0.0007)
    assert (totals.cache_rate, totals.fallback_rate) == (0.25, 0.25)
    assert totals.latency_ms.p95 == pytest.approx(3_000, rel=0.02)
    assert totals.ttft_ms == Percentiles(
        p50=totals.ttft_ms.p50, p95=totals.ttft_ms.p50, p99=totals.ttft_ms.p50
    )
    assert (report.previous.requests, report.previous.cost_usd) == (1, 0.004)
    assert [(each.code, each.count) for each in report.errors] == [("upstream_error", 1)]
    assert sum(point.requests for point in report.series) == 4
    assert report.bucket_s == 3_600
    assert len(report.series) == 25  # the period begins within an hour


async def test_every_step_of_the_period_is_there(
    database: Database, clock: FrozenClock, stats: Stats
) -> None:
    now = clock.now()
    for length, step_s in (
        (_HOUR, 60),
        (12 * _HOUR, 600),
        (7 * _DAY, 10_800),
        (30 * _DAY, 28_800),
        (366 * _DAY, 604_800),
    ):
        report = await stats.read(StatsQuery(since=now - length, until=now))
        assert report.bucket_s == step_s
        steps = {
            (b.at - a.at).total_seconds() for a, b in zip(report.series, report.series[1:], strict=False)
        }
        assert steps == {step_s}
        assert report.series[0].at <= now - length
        assert report.series[-1].at < now <= report.series[-1].at + timedelta(seconds=step_s)
        assert report.totals.error_rate == 0.0
        assert report.totals.latency_ms.p50 is None


async def test_the_numbers_do_not_change_when_they_are_rolled_up(
    database: Database, clock: FrozenClock, stats: Stats
) -> None:
    now = clock.now()
    await add(database, mixed_lines(600, since=now - 9 * _DAY, until=now))
    queries = [
        StatsQuery(since=now - 4 * _DAY, until=now, **filters)  # type: ignore[arg-type]  # texts
        for filters in ({}, {"team": "team_1"}, {"product": "ask"}, {"operation": "embeddings"})
    ]
    live = [await stats.read(query) for query in queries]
    await Rollups(database, clock).bring_up_to_date()
    assert [await stats.read(query) for query in queries] == live
    assert (await stats.totals(queries[0])) == live[0].totals


async def test_costs_have_the_names_of_teams(database: Database, clock: FrozenClock, stats: Stats) -> None:
    now = clock.now()
    await put(database, teams, [{"id": "team_1", "name": "Search"}])
    await add(
        database,
        [
            a_line(1, now - _HOUR, team="team_1", cost_micros=9_000),
            a_line(2, now - _HOUR, purpose="answer", model="large", operation="embeddings"),
        ],
    )
    costs = (await stats.read(StatsQuery(since=now - _DAY, until=now))).costs
    assert [(line.key, line.name, line.cost, line.requests) for line in costs.team] == [
        ("team_1", "Search", 9_000, 1),
        ("", "no team", 1_000, 0),
    ]
    assert [line.key for line in costs.model] == ["words", "large"]
    assert [line.key for line in costs.product] == ["api", "ask"]


async def test_a_person_s_calls_are_those_of_all_their_keys(
    database: Database, clock: FrozenClock, stats: Stats
) -> None:
    now = clock.now()
    await put(database, users, [{"id": "usr_1", "email": "a@example.com", "name": "A", "role": "reader"}])
    key = {
        "id": "key_9",
        "name": "a's",
        "prefix": "cw-",
        "secret_hash": "h",
        "scopes": ["ask"],
        "tier": "pro",
    }
    await put(database, api_keys, [{**key, "user_id": "usr_1"}])
    await add(
        database,
        [
            a_line(1, now - _HOUR, principal_id="usr_1"),
            a_line(2, now - _HOUR, principal_id="key_9"),
            a_line(3, now - _HOUR),
        ],
    )
    report = await stats.read(StatsQuery(since=now - _DAY, until=now, owner="usr_1"))
    assert report.totals.requests == 2


async def test_answers_thumbs_and_lists_are_of_the_traces_that_match(
    database: Database, clock: FrozenClock, stats: Stats
) -> None:
    now = clock.now()
    traces = [
        a_trace("a", now - _HOUR, duration_ms=9_000, cost_micros=20),
        a_trace("b", now - _HOUR, refused=True, cost_micros=90),
        a_trace("c", now - _HOUR, refused=None, product="api", status="error", error_type="deadline"),
        a_trace("d", now - 30 * _HOUR, refused=True),
        a_trace("e", now - 2 * _HOUR, team="team_1", model="large"),
    ]
    await put(database, trace_summaries, traces)
    given = [("a", True), ("b", False), ("d", False), ("e", True)]
    await put(
        database,
        votes,
        [{"trace_id": name, "principal_id": "p", "is_up": up, "at": now - _HOUR} for name, up in given],
    )
    report = await stats.read(StatsQuery(since=now - _DAY, until=now))
    assert (report.totals.asked, report.totals.refusals, report.previous.refusals) == (3, 1, 1)
    assert (report.totals.thumbs_up, report.totals.thumbs_down) == (2, 2)
    assert report.slow[0].trace_id == "a"
    assert [line.trace_id for line in report.dear] == ["b", "a"]
    assert [(line.trace_id, line.error_type) for line in report.failed] == [("c", "deadline")]
    filtered = await stats.read(StatsQuery(since=now - _DAY, until=now, model="large"))
    assert (filtered.totals.asked, filtered.totals.thumbs_up, filtered.totals.thumbs_down) == (1, 1, 0)
    assert [line.trace_id for line in filtered.slow] == ["e"]
    without = await stats.read(StatsQuery(since=now - _DAY, until=now, team=""))
    assert without.totals.asked == 2


async def test_top_questions_have_size_trend_thumbs_and_cost(
    database: Database, clock: FrozenClock, stats: Stats
) -> None:
    now = clock.now()
    cluster = {
        "space": "s",
        "label": "returns",
        "example": "how?",
        "example_trace_id": "a",
        "centroid": b"",
        "size": 1,
    }
    await put(
        database,
        question_clusters,
        [{**cluster, "id": "qcl_1"}, {**cluster, "id": "qcl_2", "label": "leave"}],
    )
    asked = [
        ("a", 1, "qcl_1"),
        ("b", 2, "qcl_1"),
        ("c", 3, "qcl_1"),
        ("d", 30, "qcl_1"),
        ("e", 30, "qcl_1"),
        ("f", 4, "qcl_2"),
    ]
    traces = [
        a_trace(name, now - hours * _HOUR, cost_micros=10, team="team_1" if name == "f" else None)
        for name, hours, _ in asked
    ]
    await put(database, trace_summaries, traces)
    await put(
        database,
        clustered_questions,
        [
            {
                "trace_id": name,
                "cluster_id": of,
                "question": "q",
                "vector": b"",
                "asked_at": now - hours * _HOUR,
            }
            for name, hours, of in asked
        ],
    )
    given = [("a", "x", True), ("a", "y", True), ("b", "x", False)]
    await put(
        database,
        votes,
        [{"trace_id": name, "principal_id": who, "is_up": up, "at": now} for name, who, up in given],
    )
    query = StatsQuery(since=now - _DAY, until=now)
    first, second = (await stats.read(query)).questions
    assert (first.label, first.size, first.trend, first.thumbs_up, first.thumbs_down) == (
        "returns",
        3,
        0.5,
        2,
        1,
    )
    assert (first.cost, second.cost, second.trend) == (30, 10, None)
    filtered = (await stats.read(StatsQuery(since=now - _DAY, until=now, team="team_1"))).questions
    assert [line.cluster_id for line in filtered] == ["qcl_2"]
    own = await stats.read(query, is_own=True)
    assert (own.questions, own.scores) == ((), ())


async def test_scores_are_the_runs_that_ended_in_the_period(
    database: Database, clock: FrozenClock, stats: Stats
) -> None:
    now = clock.now()
    await put(database, eval_suites, [{"version": "v", "name": "handbook", "content": {}}])
    run = {
        "suite_version": "v",
        "suite": "handbook",
        "subject": "knowledge",
        "options": {},
        "identity": {},
        "state": "done",
        "total": 1,
        "summary": {"passed": [0.9, 0.8, 0.95, 50]},
        "started_by": "k",
    }
    await put(
        database,
        eval_runs,
        [
            {**run, "id": "run_2", "finished_at": now - _HOUR},
            {**run, "id": "run_1", "finished_at": now - 2 * _HOUR},
            {**run, "id": "run_0", "finished_at": now - 48 * _HOUR},
            {**run, "id": "run_3", "finished_at": now - _HOUR, "state": "stopped"},
        ],
    )
    scores = (await stats.read(StatsQuery(since=now - _DAY, until=now))).scores
    assert [(line.run_id, line.passed, line.low, line.high) for line in scores] == [
        ("run_1", 0.9, 0.8, 0.95),
        ("run_2", 0.9, 0.8, 0.95),
    ]


def test_a_period_that_is_none_is_refused(clock: FrozenClock) -> None:
    now = clock.now()
    for since in (now, now + _HOUR, now - 400 * _DAY):
        with pytest.raises(InvalidInputError):
            StatsQuery(since=since, until=now)
