from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

from httpx2 import Response
from starlette.testclient import TestClient

from causeway.contracts.identity import Principal
from causeway.contracts.money import Micros
from causeway.errors import BusyError, CausewayError
from causeway.observability import genai_names as names
from causeway.observability.otlp_import import Imported
from causeway.observability.otlp_messages import parsed
from causeway.observability.trace_store import Rating, SpanRecord, Trace, TraceSummary
from causeway.web.parts import TelemetryParts, WebParts
from causeway.web.waterfall import waterfall
from tests.web.scripted import ADMIN_KEY, EXAMPLES, Scripted, ScriptedTraces
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


def test_a_step_outside_its_own_is_marked_and_left_where_it_is() -> None:
    early, late = (
        span("early", "root", at_ms=-3200, duration_ms=10),
        span("late", "root", at_ms=90, duration_ms=500),
    )
    whole = waterfall(Trace(trace_id="0" * 32, spans=(span("root"), early, late)))
    assert {step.span.span_id: step.skew for step in whole.steps} == {
        "root": "",
        "early": "begins 3,200 ms before the step it is part of",
        "late": "ends 490 ms after the step it is part of",
    }
    assert whole.started_at == START - timedelta(milliseconds=3200) or whole.steps[0].span.span_id == "root"


def test_a_clock_that_is_years_off_does_not_shrink_the_rest_to_nothing() -> None:
    far = span("far", "root", at_ms=-86_400_000 * 365, duration_ms=10)
    whole = waterfall(Trace(trace_id="0" * 32, spans=(span("root"), span("near", "root"), far)))
    assert {step.span.span_id: (step.left, step.width) for step in whole.steps} == {
        "root": (0.0, 100.0),
        "near": (0.0, 100.0),
        "far": (0.0, 10.0),
    }


def test_what_was_cut_says_how_long_it_had_been() -> None:
    odd = {names.TRUNCATED: '{"big": 1000000}', names.CLOCK: "it has no end"}
    step = waterfall(Trace(trace_id="0" * 32, spans=(span("a", attributes=odd),))).steps[0]
    assert (step.cut, step.skew) == ((("big", 1_000_000),), "it has no end")
    broken = span("a", attributes={names.TRUNCATED: "[1"})
    assert waterfall(Trace(trace_id="0" * 32, spans=(broken,))).steps[0].cut == ()


HOSTILE = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1"> [x](javascript:alert(1)) ![p](https://evil.example/p.png) {{ 7*7 }}'


def hostile_trace() -> tuple[TraceSummary, Trace]:
    attributes = {
        names.OPERATION: "chat",
        names.QUESTION: HOSTILE,
        names.ANSWER: HOSTILE,
        names.RESPONSE_MODEL: HOSTILE,
        names.INPUT_MESSAGES: [
            {"role": HOSTILE, "content": HOSTILE, "tool_calls": [{"name": HOSTILE, "arguments": HOSTILE}]}
        ],
        names.OUTPUT_MESSAGES: HOSTILE,
        names.RETRIEVAL_DOCUMENTS: [{"title": HOSTILE, "text": HOSTILE, "page": 1}],
        names.SERVICE: HOSTILE,
        names.END_USER: HOSTILE,
        HOSTILE: HOSTILE,
    }
    root = span("a", "lost", status="error", attributes=attributes)
    root = replace(
        root,
        name=HOSTILE,
        status_message=HOSTILE,
        events=({"name": HOSTILE, "attributes": {HOSTILE: HOSTILE}},),
    )
    line = TraceSummary(
        trace_id="0" * 32,
        name=HOSTILE,
        started_at=START,
        duration_ms=1,
        status="error",
        error_type=HOSTILE,
        model=HOSTILE,
        service=HOSTILE,
        end_user=HOSTILE,
        prompt=HOSTILE,
        input_tokens=0,
        output_tokens=0,
        cost_micros=Micros(0),
        question=HOSTILE,
        is_half=True,
    )
    return line, Trace(trace_id="0" * 32, spans=(root,))


def test_hostile_content_is_shown_as_the_text_it_is(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    traces = cast("ScriptedTraces", site.parts.traces)
    traces.put(*hostile_trace())
    traces.rated["0" * 32] = [
        Rating(by="vote", name="down", value=0.0, reason=HOSTILE),
        Rating(by=HOSTILE, name=HOSTILE, value=None, passed=False, reason=HOSTILE, run_id="run_1"),
    ]
    for path in ("/traces", f"/traces/{'0' * 32}"):
        shown = client.get(path, params={"owner": HOSTILE} if path == "/traces" else {}).text
        assert "&lt;script&gt;window.hacked" in shown
        assert "<script>window" not in shown
        assert "<img" not in shown
        assert not re.search("(href|src)=[\"'](javascript:|https://evil)", shown)
        assert "49" not in re.findall(r"\{\{.*?\}\}|>49<", shown)
    assert "Half a trace" in client.get(f"/traces/{'0' * 32}").text


def test_a_list_is_narrowed_by_its_address_and_by_its_form(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    traces = cast("ScriptedTraces", site.parts.traces)
    traces.put(*hostile_trace())
    assert "No trace matches" in client.get("/traces?text=nothing+of+that").text
    filled = client.get("/traces?status=error&min_ms=&min_cost=&since=24h&owner=").text
    assert "Failed" in filled
    assert 'aria-label="Filters that are set"' in filled
    rows = client.get("/traces?status=error", headers={"hx-request": "true"}).text
    assert rows.startswith('<div id="listing">')
    assert client.get("/traces?since=yesterday").status_code == 400
    assert client.get("/traces?min_ms=-1").status_code == 422
    for since in ("2026-05-01", "2026-05-01T12:00", "2026-05-01T12:00:00Z", "2026-05-01T12:00+02:00", "15m"):
        assert client.get("/api/traces", params={"since": since}).status_code == 200


class Imports:
    """Remembers what it was given."""

    def __init__(self, *, rejected: int = 0, error: CausewayError | None = None) -> None:
        self.taken: list[tuple[bytes, bool, str]] = []
        self.rejected = rejected
        self.error = error

    async def take(self, body: bytes, *, is_json: bool, sender: Principal) -> Imported:
        if self.error:
            raise self.error
        self.taken.append((body, is_json, sender.id))
        reasons = "2 rejected: no id" if self.rejected else ""
        return Imported(stored=1, known=0, left_out=0, rejected=self.rejected, reasons=reasons)


Open = Callable[[WebParts], TestClient]


def door(site: Scripted, connect: Open, imports: Imports, *, is_open: bool = False) -> TestClient:
    async def metrics() -> str:
        return "up 1\n"

    telemetry = TelemetryParts(imports=imports, metrics=metrics, import_max_bytes=10_000, is_open=is_open)
    client = connect(replace(site.parts, telemetry=telemetry))
    client.headers["authorization"] = f"Bearer {ADMIN_KEY}"
    return client


def send(
    client: TestClient, body: bytes, kind: str = "application/x-protobuf", packing: str = ""
) -> Response:
    headers = {"content-type": kind, **({"content-encoding": packing} if packing else {})}
    return client.post("/otlp/v1/traces", content=body, headers=headers)


def test_requests_of_spans_are_unpacked_and_answered_in_their_own_encoding(
    site: Scripted, connect: Open
) -> None:
    imports = Imports()
    client = door(site, connect, imports)
    two_members = gzip.compress(b"ab") + gzip.compress(b"cd")
    for body, kind, packing in (
        (b"abcd", "application/x-protobuf", ""),
        (two_members, "application/x-protobuf", "gzip"),
        (b"abcd", "application/json; charset=utf-8", "identity"),
    ):
        answer = send(client, body, kind, packing)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind.partition(";")[0])
    assert imports.taken == [
        (b"abcd", False, "key_admin"),
        (b"abcd", False, "key_admin"),
        (b"abcd", True, "key_admin"),
    ]
    assert send(client, b"{}", "application/json").json() == {}


def test_what_was_not_kept_is_told_as_the_protocol_has_it(site: Scripted, connect: Open) -> None:
    client = door(site, connect, Imports(rejected=2))
    said = send(client, b"{}", "application/json").json()["partialSuccess"]
    assert said == {"rejectedSpans": "2", "errorMessage": "2 rejected: no id"}
    partial = parsed("ExportResponse", send(client, b"").content).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, "2 rejected: no id")


def test_what_cannot_be_taken_says_why_and_whether_to_try_again(site: Scripted, connect: Open) -> None:
    client = door(site, connect, Imports())
    bomb = gzip.compress(b"0" * 5_000_000)
    for body, kind, packing, status in (
        (bomb, "application/x-protobuf", "gzip", 413),
        (b"0" * 10_001, "application/x-protobuf", "", 413),
        (b"not gzip", "application/x-protobuf", "gzip", 400),
        (gzip.compress(b"abcd")[:-9], "application/x-protobuf", "gzip", 400),
        (b"", "application/x-protobuf", "br", 415),
        (b"", "text/plain", "", 415),
    ):
        answer = send(client, body, kind, packing)
        assert answer.status_code == status
        assert parsed("RpcStatus", answer.content).message
        assert "retry-after" not in answer.headers
    busy = send(door(site, connect, Imports(error=BusyError("later"))), b"{}", "application/json")
    assert (busy.status_code, busy.json(), busy.headers["retry-after"]) == (503, {"message": "later"}, "5")


def test_spans_and_meters_are_for_keys_that_may(site: Scripted, connect: Open) -> None:
    client = door(site, connect, Imports())
    assert client.get("/metrics").text == "up 1\n"
    client.headers["authorization"] = "Bearer cw-reader"
    assert send(client, b"").status_code == 403
    assert client.get("/metrics").status_code == 403
    del client.headers["authorization"]
    assert send(client, b"").status_code == 401
    assert client.get("/metrics").status_code == 401
    public = door(site, connect, Imports(), is_open=True)
    del public.headers["authorization"]
    assert public.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
