"""A trace's line is the same in whatever order, and in however many batches, its spans come."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.storage.database import Database
from causeway.storage.telemetry_schema import trace_summaries

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}]


def chat(recorder: Spans, root: Span | None, at_s: float, **attributes: Any) -> Span:
    span = recorder.start(
        "chat", parent=root.traceparent if root else "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    )
    span.set(
        {names.OPERATION: "chat", names.OWNER: "usr_ann", names.PRINCIPAL: "key_1", names.TEAM: "team_1"}
    )
    span.set({names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 5, names.COST_MICROS: 7, **attributes})
    return lasted(span, at_s, 1.0)


def lasted(span: Span, at_s: float, duration_s: float) -> Span:
    span.started_at, span.duration_s = START + timedelta(seconds=at_s), duration_s
    return span


def asked(recorder: Spans) -> list[Span]:
    """A question whose follow-up was rewritten by one model, searched for, and answered by another."""
    root = recorder.start("ask", attributes={names.OWNER: "usr_ann", names.PRINCIPAL: "key_1"})
    root.set({names.QUESTION: "why?", names.ANSWER: "because", names.PURPOSE: "ask", names.REFUSED: False})
    root.set({names.CONVERSATION: "con_1"})
    first = chat(recorder, root, 0.1, **{names.RESPONSE_MODEL: "small", names.PROMPT: "standalone"})
    last = chat(recorder, root, 2, **{names.RESPONSE_MODEL: "big", names.PROMPT: "answer"})
    last.set({names.PROMPT_VERSION: "3", names.TIME_TO_FIRST_CHUNK: 0.25, names.PROVIDER: "local"})
    last.set({names.INPUT_MESSAGES: MESSAGES, names.ATTEMPTS: 2, names.TIER: "pro"})
    search = lasted(recorder.start("search", parent=root.traceparent), 1, 0.5)
    search.fail(TimeoutError("slow"))
    return [lasted(root, 0, 4.0), first, search, last]


async def line_of(database: Database, batches: Sequence[Sequence[Span]]) -> dict[str, Any]:
    writer = SpanWriter(database.url)
    for batch in batches:
        writer.store(batch)
    writer.close()
    async with database.begin() as connection:
        found = dict((await connection.execute(select(trace_summaries))).mappings().one())
        await connection.exec_driver_sql("TRUNCATE trace_summaries, spans")
    return found


async def test_the_order_and_number_of_batches_changes_nothing(database: Database) -> None:
    spans = asked(Spans())
    whole = await line_of(database, [spans])
    orders = list(itertools.permutations(spans))[::5]
    for batches in [*([[each] for each in order] for order in orders), [spans[:2], spans[2:]]]:
        line = await line_of(database, batches)
        assert {**line, "stored_at": None} == {**whole, "stored_at": None}


async def test_a_line_tells_what_was_done_by_whom_and_what_it_cost(database: Database) -> None:
    line = await line_of(database, [asked(Spans())])
    told = {name: value for name, value in line.items() if name not in ("trace_id", "root_id", "stored_at")}
    assert told == {
        "started_at": START,
        "duration_ms": 4000,
        "name": "ask",
        "status": "error",
        "error_type": "TimeoutError",
        "owner": "usr_ann",
        "principal_id": "key_1",
        "team": "team_1",
        "tier": "pro",
        "project": "team_1",
        "service": "causeway",
        "product": "ask",
        "model": "big",
        "provider": "local",
        "prompt": "answer@3",
        "question": "why?",
        "answer": "because",
        "refused": False,
        "cache": None,
        "attempts": 3,
        "input_tokens": 20,
        "output_tokens": 10,
        "cost_micros": 14,
        "ttft_ms": 250,
        "span_count": 4,
        "conversation_id": "con_1",
        "end_user": None,
        "chat_at": START + timedelta(seconds=2),
        "is_told": True,
        **dict.fromkeys(("call_id", "step", "asked", "said")),
    }


async def test_half_a_trace_is_listed_by_its_earliest_span_and_its_owner_reads_it(database: Database) -> None:
    recorder = Spans()
    calls = [chat(recorder, None, at_s, **{names.INPUT_MESSAGES: MESSAGES}) for at_s in (3, 1)]
    calls[0].name = "late"
    calls[0].set({names.OUTPUT_MESSAGES: [{"role": "assistant", "content": "because"}]})
    for batches in ([calls], [[calls[1]], [calls[0]]]):
        line = await line_of(database, batches)
        assert (line["name"], line["started_at"], line["duration_ms"]) == (
            "chat",
            START + timedelta(seconds=1),
            3000,
        )
        assert (line["question"], line["answer"]) == ("why?", "because")
    writer = SpanWriter(database.url)
    writer.store(calls)
    writer.close()
    store = TraceStore(database, Spans())
    assert [each.trace_id for each in await store.find(TraceQuery(whose="usr_ann"))] == ["a" * 32]
    assert len((await store.trace("a" * 32, owner="usr_ann")).spans) == 2
    assert await store.find(TraceQuery(whose="usr_bob")) == []


@pytest.mark.parametrize("odd", ["many", None, True, -5, 1e300, [1]])
async def test_numbers_that_are_none_count_for_nothing_and_break_nothing(
    database: Database, odd: Any
) -> None:
    span = chat(Spans(), None, 0)
    span.attributes[names.INPUT_TOKENS] = odd
    span.attributes[names.TIME_TO_FIRST_CHUNK] = odd
    line = await line_of(database, [[span]])
    assert 0 <= line["input_tokens"] <= 10**15
