from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from starlette.testclient import TestClient

from causeway.observability import genai_names as names
from causeway.observability.trace_store import SpanRecord, Trace
from causeway.web.waterfall import waterfall
from tests.web.scripted import EXAMPLES
from tests.web.test_sign_in import sign_in, token_of

START = datetime(2026, 1, 2, tzinfo=UTC)


def span(
    span_id: str,
    parent_id: str | None = None,
    *,
    at_ms: int = 0,
    duration_ms: int = 100,
    status: str = "ok",
    attributes: Mapping[str, object] | None = None,
) -> SpanRecord:
    return SpanRecord(
        span_id=span_id,
        trace_id="0" * 32,
        parent_id=parent_id,
        name=span_id,
        kind="internal",
        started_at=START + timedelta(milliseconds=at_ms),
        duration_ms=duration_ms,
        status=status,
        status_message="no luck" if status == "error" else None,
        attributes=attributes or {},
        events=(),
    )


def drawn(*spans: SpanRecord) -> list[tuple[str, int]]:
    return [
        (step.span.span_id, step.depth) for step in waterfall(Trace(trace_id="0" * 32, spans=spans)).steps
    ]


def test_steps_stand_under_their_parents_by_start() -> None:
    late, early = span("late", "root", at_ms=50), span("early", "root", at_ms=10)
    assert drawn(late, span("inner", "early", at_ms=20), early, span("root")) == [
        ("root", 0),
        ("early", 1),
        ("inner", 2),
        ("late", 1),
    ]


def test_a_step_without_its_parent_stands_alone() -> None:
    assert drawn(span("orphan", "lost"), span("own", "own", at_ms=1)) == [("orphan", 0), ("own", 0)]


def test_stretches_are_shares_of_the_whole_and_never_vanish() -> None:
    whole = waterfall(
        Trace(
            trace_id="0" * 32, spans=(span("a", duration_ms=1000), span("b", "a", at_ms=500, duration_ms=0))
        )
    )
    assert [(step.left, step.width) for step in whole.steps] == [(0.0, 100.0), (50.0, 0.4)]


def test_attributes_of_strangers_are_shown_and_do_no_harm() -> None:
    odd: dict[str, object] = {
        names.INPUT_MESSAGES: "not json",
        names.OUTPUT_MESSAGES: '[{"role": "assistant", "parts": [{"content": "hi"}]}, 7]',
        names.RETRIEVAL_DOCUMENTS: '{"not": "a list"}',
        names.INPUT_TOKENS: "many",
        "x": ["<b>", 1],
    }
    step = waterfall(Trace(trace_id="0" * 32, spans=(span("a", status="error", attributes=odd),))).steps[0]
    assert [said.text for said in step.asked] == ["not json"]
    assert [said.text for said in step.replied] == ["hi", "7"]
    assert step.found == ()
    assert ("x", '["<b>", 1]') in step.rest


def test_an_answers_trace_shows_what_was_read_said_and_spent(client: TestClient) -> None:
    sign_in(client)
    token = {"x-csrf-token": token_of(client)}
    trace_id = client.post("/api/ask", json={"question": EXAMPLES[0]}, headers=token).json()["trace_id"]
    assert EXAMPLES[0] in client.get("/traces").text
    page = client.get(f"/traces/{trace_id}").text
    for shown in ("Returning an online order", "cite each claim", "3.4 s", "gen_ai.prompt.name"):
        assert shown in page
    assert re.search(r'href="/documents/doc_[0-9a-f]{32}\?revision=1#chunk-1"', page)
    spans = client.get(f"/api/traces/{trace_id}").json()["spans"]
    assert [each["name"] for each in spans][:2] == ["ask", "search"]
    assert client.get("/api/traces").json()["traces"][0]["trace_id"] == trace_id
    assert client.get(f"/traces/{'f' * 32}").status_code == 404
    assert client.get("/traces/nonsense").status_code == 422
