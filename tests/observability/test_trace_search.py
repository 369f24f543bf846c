"""Each filter finds what it should, alone and with others, page by page, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from causeway.observability import genai_names as names
from causeway.observability.feedback import Feedback
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.settings import TelemetrySettings
from causeway.storage.database import Database
from causeway.storage.product_schema import eval_results, eval_runs, eval_suites

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
TRACES: dict[str, dict[str, Any]] = {
    "tents": {
        names.QUESTION: "How long may I return a tent?",
        names.ANSWER: "For 45 days, zebraquartz.",
        names.OWNER: "usr_ann",
        names.PURPOSE: "ask",
        names.RESPONSE_MODEL: "big",
        names.PROMPT: "answer",
        names.PROMPT_VERSION: "3",
        names.COST_MICROS: 900,
        names.REFUSED: False,
    },
    "boots": {
        names.QUESTION: "Which boots are waterproof?",
        names.ANSWER: "None that I know.",
        names.OWNER: "usr_bob",
        names.PURPOSE: "ask",
        names.RESPONSE_MODEL: "small",
        names.PROMPT: "answer",
        names.PROMPT_VERSION: "4",
        names.REFUSED: True,
        names.TEAM: "team_1",
    },
    "broken": {
        names.OWNER: "usr_ann",
        names.PURPOSE: "v1",
        names.TIER: "pro",
        names.CACHE: "exact",
        names.CONVERSATION: "con_1",
        names.INPUT_TOKENS: 5_000,
        names.END_USER: "cust_7",
        names.SERVICE: "shop",
    },
}


def recorded(number: int, name: str, attributes: dict[str, Any]) -> Span:
    span = Spans().start(name, attributes={names.OPERATION: "chat", **attributes})
    span.started_at, span.duration_s = START + timedelta(minutes=number), float(number + 1)
    if name == "broken":
        span.fail(TimeoutError("away"))
    return span


@pytest.fixture
async def spans(database: Database) -> list[Span]:
    made = [recorded(number, name, TRACES[name]) for number, name in enumerate(TRACES)]
    writer = SpanWriter(database.url)
    writer.store(made)
    writer.close()
    await Feedback(database, Spans()).vote(made[0].trace_id, "usr_ann", is_up=True)
    return made


@pytest.fixture
def store(database: Database, spans: list[Span]) -> TraceStore:
    return TraceStore(database, Spans())


async def test_each_filter_finds_its_traces(store: TraceStore, spans: list[Span]) -> None:
    for query, found in (
        (TraceQuery(), "broken boots tents"),
        (TraceQuery(text="tent return"), "tents"),
        (TraceQuery(text='"return a tent"'), "tents"),
        (TraceQuery(text="boots -waterproof"), ""),
        (TraceQuery(text="zebraquartz"), "tents"),
        (TraceQuery(text=spans[1].trace_id.upper()), "boots"),
        (TraceQuery(text="') ; DROP TABLE spans; -- & | ! <->"), ""),
        (TraceQuery(owner="usr_ann"), "broken tents"),
        (TraceQuery(owner="cust_7"), "broken"),
        (TraceQuery(team="team_1"), "boots"),
        (TraceQuery(tier="pro"), "broken"),
        (TraceQuery(model="big"), "tents"),
        (TraceQuery(prompt="answer@4"), "boots"),
        (TraceQuery(prompt="answer"), "boots tents"),
        (TraceQuery(prompt="ans"), ""),
        (TraceQuery(status="ok"), "boots tents"),
        (TraceQuery(status="error"), "broken"),
        (TraceQuery(status="TimeoutError"), "broken"),
        (TraceQuery(status="upstream_error"), ""),
        (TraceQuery(product="v1"), "broken"),
        (TraceQuery(service="shop"), "broken"),
        (TraceQuery(cache="exact"), "broken"),
        (TraceQuery(conversation="con_1"), "broken"),
        (TraceQuery(vote="up"), "tents"),
        (TraceQuery(vote="down"), ""),
        (TraceQuery(vote="any"), "tents"),
        (TraceQuery(vote="none"), "broken boots"),
        (TraceQuery(score="failed"), ""),
        (TraceQuery(refused=True), "boots"),
        (TraceQuery(refused=False), "broken tents"),
        (TraceQuery(min_cost_micros=900), "tents"),
        (TraceQuery(min_ms=2_000), "broken boots"),
        (TraceQuery(max_ms=1_000), "tents"),
        (TraceQuery(min_tokens=5_000), "broken"),
        (TraceQuery(since=START + timedelta(minutes=1), until=START + timedelta(minutes=2)), "boots"),
        (TraceQuery(order="slowest"), "broken boots tents"),
        (TraceQuery(order="dearest", limit=1), "tents"),
        (TraceQuery(owner="usr_ann", status="ok", text="tent"), "tents"),
        (TraceQuery(whose="usr_bob"), "boots"),
        (TraceQuery(whose="usr_bob", owner="usr_ann"), ""),
        (TraceQuery(whose="usr_ann", text="tent"), "tents"),
        # a document may have been closed to her since: her search looks through what she asked alone
        (TraceQuery(whose="usr_ann", text="zebraquartz"), ""),
    ):
        assert " ".join(each.name for each in await store.find(query)) == found, query


@pytest.fixture
async def many(database: Database) -> TraceStore:
    """1,400 traces, the newest about boots; tents were asked for in the oldest 120 alone."""
    made: list[Span] = []
    for number in range(1_400):
        is_old = number < 120
        made.append(
            recorded(
                number,
                f"{'tents' if is_old else 'boots'} {number}",
                {
                    names.QUESTION: f"{'a tent in the rain' if is_old else 'rain in the boots'} of {number}",
                    names.ANSWER: "frost" if is_old and number % 2 else "the sun",
                    names.OWNER: "usr_ann" if number % 3 else "usr_bob",
                    names.COST_MICROS: number % 100,
                },
            )
        )
    writer = SpanWriter(database.url)
    writer.store(made)
    writer.close()
    return TraceStore(database, Spans())


@pytest.mark.parametrize("order", ["newest", "slowest", "dearest"])
@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"text": "tent"}, 120),
        ({"text": '"tent in the rain"'}, 120),
        ({"text": "rain -boots"}, 120),
        ({"text": "frost"}, 60),
        ({"text": "frost", "owner": "usr_bob"}, 20),
        ({"text": "tent", "whose": "usr_bob"}, 40),
        ({"text": "rain -boots", "whose": "usr_bob"}, 40),
        ({"text": "rain -frost", "whose": "usr_bob"}, 467),  # their search does not look through answers
        ({"text": "frost", "whose": "usr_bob"}, 0),
        ({"text": "rain"}, 1_400),
        ({"text": "frost or boots"}, 1_340),
    ],
)
async def test_words_are_found_whether_the_first_traces_have_them_or_the_last(
    many: TraceStore, order: Any, wanted: dict[str, Any], count: int
) -> None:
    seen: list[tuple[Any, str]] = []
    after = ""
    while page := await many.find(TraceQuery(order=order, after=after, limit=200, **wanted)):
        assert len(page) == min(200, count - len(seen))
        key = {"newest": "started_at", "slowest": "duration_ms", "dearest": "cost_micros"}[order]
        seen += [(getattr(each, key), each.trace_id) for each in page]
        after = page[-1].trace_id
    assert seen == sorted(seen, reverse=True)
    assert len({trace_id for _, trace_id in seen}) == count


async def test_traces_are_found_by_what_evaluations_said_of_them(
    store: TraceStore, spans: list[Span], database: Database
) -> None:
    verdicts: list[list[dict[str, Any]]] = [
        [{"name": "facts", "value": 1, "passed": True}],
        [{"name": "facts", "value": 0, "passed": False}],
    ]
    verdicts[1] += verdicts[0]
    async with database.begin() as connection:
        await connection.execute(insert(eval_suites).values(version="v", name="shop", content={}))
        run: dict[str, Any] = {
            "id": "run_1",
            "suite_version": "v",
            "suite": "shop",
            "subject": "knowledge",
            "options": {},
        }
        run |= {"identity": {}, "state": "done", "total": 2, "started_by": "key_1"}
        await connection.execute(insert(eval_runs).values(run))
        for span, scores in zip(spans[:2], verdicts, strict=True):
            result = {"run_id": "run_1", "case_name": span.name, "repeat": 0, "asked": "", "scores": scores}
            result |= {"outcome": {"trace_id": span.trace_id}, "is_faulty": False}
            await connection.execute(insert(eval_results).values(result))
    assert [each.name for each in await store.find(TraceQuery(score="passed"))] == ["tents"]
    assert [each.name for each in await store.find(TraceQuery(score="failed"))] == ["boots"]
    assert [(each.by, each.name, each.passed) for each in await store.ratings(spans[1].trace_id)] == [
        ("shop", "facts", False),
        ("shop", "facts", True),
    ]


@pytest.mark.parametrize("order", ["newest", "slowest", "dearest"])
async def test_pages_follow_one_another_without_gap_or_repeat(store: TraceStore, order: Any) -> None:
    seen: list[str] = []
    after = ""
    while page := await store.find(TraceQuery(order=order, after=after, limit=1)):
        seen.append(page[0].name)
        after = page[0].trace_id
    assert sorted(seen) == sorted(TRACES)


async def test_lists_name_what_they_can_be_narrowed_by(store: TraceStore) -> None:
    choices = await store.choices()
    assert (choices.models, choices.prompts, choices.teams) == (
        ("big", "small"),
        ("answer@3", "answer@4"),
        ("team_1",),
    )
    assert (await store.choices(owner="usr_bob")).models == ("small",)


async def test_votes_are_ratings_and_counted_in_lists(store: TraceStore, spans: list[Span]) -> None:
    (rating,) = await store.ratings(spans[0].trace_id)
    assert (rating.by, rating.name, rating.value) == ("vote", "up", 1.0)
    assert {each.name: each.votes_up for each in await store.find(TraceQuery())} == {
        "tents": 1,
        "boots": 0,
        "broken": 0,
    }


async def test_each_project_keeps_its_traces_for_its_own_days(store: TraceStore, database: Database) -> None:
    async with database.begin() as connection:
        await connection.exec_driver_sql("UPDATE trace_summaries SET stored_at = now() - interval '10 days'")
    policy = TracePolicy(
        TelemetrySettings.model_validate({"trace_days": 30, "projects": {"team_1": {"days": 5}}})
    )
    async with database.connect() as connection:
        now = (await connection.exec_driver_sql("SELECT now()")).scalar_one()
    assert await store.forget_old(now, policy) == 1
    assert [each.name for each in await store.find(TraceQuery())] == ["broken", "tents"]
    async with database.connect() as connection:
        left = (await connection.exec_driver_sql("SELECT count(*) FROM spans")).scalar_one()
    assert left == 2
