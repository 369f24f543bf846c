from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from causeway.contracts.clock import SystemClock
from causeway.errors import NotFoundError, UpstreamError
from causeway.observability import genai_names as names
from causeway.observability import logs
from causeway.observability.feedback import Feedback
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.settings import TelemetrySettings
from causeway.storage.database import Database
from causeway.testing.spans import CollectedSpans


@pytest.fixture
def spans(database: Database) -> Iterator[Spans]:
    recorder = Spans(SpanWriter(database.url))
    yield recorder
    recorder.close()


async def test_a_trace_is_its_spans_under_one_root(database: Database, spans: Spans) -> None:
    with (
        spans.start("ask", attributes={names.QUESTION: "why?"}) as root,
        spans.start("retrieval", parent=root.traceparent) as step,
    ):
        step.set({names.RETRIEVAL_DOCUMENTS: [{"id": "chk_1"}], "left out": None})
    trace = await TraceStore(database, spans).trace(root.trace_id)
    assert {span.name: span.parent_id for span in trace.spans} == {"ask": None, "retrieval": root.span_id}
    retrieval = next(span for span in trace.spans if span.name == "retrieval")
    assert json.loads(retrieval.attributes[names.RETRIEVAL_DOCUMENTS]) == [{"id": "chk_1"}]
    assert "left out" not in retrieval.attributes


async def test_a_failed_step_keeps_the_errors_code_and_sentence(database: Database, spans: Spans) -> None:
    error = UpstreamError("the provider is down")
    with pytest.raises(UpstreamError), spans.start("chat") as span:
        raise error
    (stored,) = (await TraceStore(database, spans).trace(span.trace_id)).spans
    assert (stored.status, stored.status_message) == ("error", "the provider is down")
    assert stored.attributes[names.ERROR_TYPE] == "upstream_error"


def test_an_error_carries_the_trace_it_happened_in() -> None:
    spans = Spans()
    traces: list[str] = []

    def fail(error: Exception) -> None:
        with spans.start("ask") as outer:
            traces.append(outer.trace_id)
            with spans.start("chat", parent=outer.traceparent):
                raise error

    known, unknown = UpstreamError("the provider is down"), ZeroDivisionError()
    for error in (known, unknown):
        with pytest.raises(type(error)):
            fail(error)
    assert (known.trace_id, unknown.__notes__) == (traces[0], [f"trace {traces[1]}"])
    spans.close()


async def test_a_list_of_traces_sums_tokens_and_cost_and_is_newest_first(
    database: Database, spans: Spans
) -> None:
    for question in ("first", "second"):
        with spans.start("ask", attributes={names.QUESTION: question}) as root:
            for _ in range(2):
                with spans.start("chat m", parent=root.traceparent) as call:
                    call.set({names.OPERATION: "chat", names.RESPONSE_MODEL: "m"})
                    call.set({names.INPUT_TOKENS: 3, names.OUTPUT_TOKENS: 2, names.COST_MICROS: 7})
    found = await TraceStore(database, spans).find(TraceQuery())
    assert [trace.question for trace in found] == ["second", "first"]
    assert (found[0].input_tokens, found[0].output_tokens, found[0].cost_micros) == (6, 4, 14)
    assert found[0].model == "m"


async def test_text_that_postgresql_refuses_is_stored_without_its_nul(
    database: Database, spans: Spans
) -> None:
    with spans.start("ask", attributes={names.QUESTION: "a\x00b"}) as root:
        pass
    (stored,) = (await TraceStore(database, spans).trace(root.trace_id)).spans
    assert stored.attributes[names.QUESTION] == "ab"


async def test_old_traces_are_forgotten(database: Database, spans: Spans) -> None:
    with spans.start("ask") as root:
        pass
    store = TraceStore(database, spans)
    await store.trace(root.trace_id)
    policy = TracePolicy(TelemetrySettings())
    assert await store.forget_old(SystemClock().now() + timedelta(days=89), policy) == 0
    assert await store.forget_old(datetime(9999, 1, 1, tzinfo=UTC), policy) == 1
    with pytest.raises(NotFoundError):
        await store.trace(root.trace_id)


async def test_a_second_vote_replaces_the_first(database: Database, spans: Spans) -> None:
    feedback = Feedback(database, spans)
    with spans.start("ask") as root:
        pass
    await feedback.vote(root.trace_id, "key_1", is_up=True)
    await feedback.vote(root.trace_id, "key_1", is_up=False, reason="wrong page")
    async with database.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT is_up, reason FROM votes")).all()
    assert [tuple(row) for row in rows] == [(False, "wrong page")]


async def test_a_vote_needs_an_answer(database: Database, spans: Spans) -> None:
    with pytest.raises(NotFoundError):
        await Feedback(database, spans).vote("0" * 32, "key_1", is_up=True)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_line_has_its_fields(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    try:
        logs.configure(TelemetrySettings.model_validate({"log_format": form}))
        logging.getLogger("causeway.x").warning("reply cached", extra={"key": "k1"})
    finally:
        logging.getLogger().handlers[:] = before
        logging.getLogger().setLevel(logging.WARNING)
    line = capsys.readouterr().err.strip()
    assert (json.loads(line)["key"] if form == "json" else line.rpartition("key=")[2]) == "k1"


async def test_what_postgresql_cannot_hold_is_cleaned_and_the_rest_kept(
    database: Database, spans: Spans
) -> None:
    with spans.start(
        "read\x00", attributes={"text": "a\x00b", "path": "C:\\u0000", "half": "\ud83d"}
    ) as span:
        span.event("seen", {"what": "x\x00"})
    (stored,) = (await TraceStore(database, spans).trace(span.trace_id)).spans
    assert stored.name == "read"
    assert stored.attributes == {"text": "ab", "path": "C:\\u0000", "half": "?"}
    assert stored.events[0]["attributes"] == {"what": "x"}


@pytest.mark.parametrize("parent", ["00-0-1-01", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "", "hello"])
def test_a_malformed_parent_begins_a_trace(parent: str) -> None:
    assert Spans().start("ask", parent=parent).parent_id is None


def test_spans_that_end_faster_than_they_are_stored_are_dropped_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = CollectedSpans()
    spans = Spans(sink, most_waiting=2)
    for number in range(5):
        spans.start(str(number)).end()
    spans.close()
    assert [span.name for span in sink.finished] == ["0", "1"]
    assert caplog.records[-1].__dict__["count"] == 3


def test_a_sink_that_fails_loses_its_batch_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(CollectedSpans):
        def store(self, batch: Sequence[Span]) -> None:
            msg = "no room"
            raise OSError(msg)

    kept = CollectedSpans()
    spans = Spans(Broken(), kept)
    spans.start("ask").end()
    spans.close()
    assert [span.name for span in kept.finished] == ["ask"]
    assert "spans lost" in caplog.text
