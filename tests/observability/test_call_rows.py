"""A call's span is stored as any other span, by whichever way it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.chat import ImagePart, Message, TextPart, ToolCall
from causeway.errors import UpstreamError
from causeway.observability.call_facts import CallContent, CallFacts
from causeway.observability.call_rows import call_line, call_row, stored_call
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.observability.trace_summaries import summed
from causeway.settings import TelemetrySettings
from causeway.storage.database import Database

POLICY = TracePolicy(TelemetrySettings())
PLAIN: dict[str, Any] = {
    "operation": "chat",
    "request_model": "chat",
    "response_model": "m-1",
    "input_tokens": 20,
    "output_tokens": 5,
    "cost_micros": 70,
    "principal": "key_1",
    "owner": "user_1",
    "tier": "pro",
    "purpose": "api",
    "provider": "local",
}
ASKED = (
    Message(role="system", content="Be brief."),
    Message(role="user", content=(TextPart("What is this?"), ImagePart("https://x.example/a.png"))),
    Message(role="assistant", content=""),
)
HARD = 'a "quoted" \\path\\ with\ttabs,\nlines, \\N and ünïcode \U0001f600'


def ended(content: CallContent | None = None, *, parent: str | None = None, **more: Any) -> Span:
    span = Spans().start("chat m-1", kind="client", parent=parent)
    span.describe(CallFacts(**{**PLAIN, **more}), content)
    span.end()
    return span


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
contents = some(
    st.builds(
        CallContent,
        asked=some(
            st.lists(
                st.builds(Message, role=st.sampled_from(("user", "system", "assistant")), content=text),
                max_size=4,
            )
        ),
        said=some(text),
        called=st.lists(st.builds(ToolCall, text, text, text), max_size=2),
    )
)
facts = st.fixed_dictionaries(
    {"operation": st.sampled_from(("chat", "embeddings", "rerank", "images"))},
    optional={
        "response_model": text.filter(bool),
        "provider": some(text),
        "team": some(text.filter(bool)),
        "is_stream": st.booleans(),
        "temperature": some(st.floats(0, 2)),
        "first_chunk_s": some(st.floats(0, 1e7)),
        "conversation": some(text),
        "cache": some(st.sampled_from(("exact", "semantic"))),
        "attempts": st.integers(1, 9),
        "prompt": some(text.filter(bool)),
        "prompt_version": some(text.filter(bool)),
        "cost_micros": st.integers(0, 10**12),
    },
)


@given(facts, contents, st.booleans(), st.booleans())
def test_a_lone_call_is_summed_as_any_span_is(
    told: dict[str, Any], content: CallContent | None, is_root: bool, fails: bool
) -> None:
    span = ended(content, parent=None if is_root else f"00-{'a' * 32}-{'b' * 16}-01", **told)
    if fails:
        span.fail(UpstreamError("down"))
    assert span.facts is not None
    assert call_line(span, span.facts) == summed([span])


@given(facts, contents, text)
def test_a_call_that_was_written_down_can_be_read_back(
    told: dict[str, Any], content: CallContent | None, failure: str
) -> None:
    span = ended(content, **told)
    span.set({"causeway.cache.reason": failure})
    if failure:
        span.fail(UpstreamError(failure))
    row = call_row(span, POLICY)
    assert row is not None
    stored = stored_call(row)
    assert stored.attributes == span.attributes
    assert (stored.trace_id, stored.span_id, stored.parent_id) == (span.trace_id, span.span_id, None)
    assert (stored.name, stored.kind, stored.failure) == (span.name, "client", span.failure)
    assert stored.started_at == span.started_at
    assert stored.duration_s == pytest.approx(span.duration_s, abs=0.001)


async def test_calls_that_are_taken_as_they_end_are_stored_with_the_others(database: Database) -> None:
    writer = SpanWriter(database.url)
    recorder = Spans(writer, calls=writer)
    step = recorder.start("ask")
    call = recorder.start("chat m-1", kind="client", parent=step.traceparent)
    call.describe(CallFacts(**PLAIN), CallContent(ASKED, "Nothing."))
    call.end()
    assert recorder.waiting == writer.waiting == 1
    step.end()
    traces = TraceStore(database, recorder)
    stored = (await traces.trace(step.trace_id)).spans
    (line,) = [each for each in await traces.find(TraceQuery()) if each.trace_id == step.trace_id]
    assert recorder.waiting == 0
    assert {each.name for each in stored} == {"ask", "chat m-1"}
    assert (line.name, line.input_tokens, line.span_count) == ("ask", 20, 2)
    recorder.close()


async def test_a_taken_call_that_is_there_already_takes_nobody_with_it(database: Database) -> None:
    writer = SpanWriter(database.url)
    recorder = Spans(writer, calls=writer)
    calls = [ended(CallContent(ASKED, HARD)) for _ in range(2)]
    for call in [calls[0], *calls]:
        assert writer.take(call)
        await asyncio.to_thread(recorder.flush) if call is calls[0] else None
    found = await TraceStore(database, recorder).find(TraceQuery())
    recorder.close()
    assert sorted(each.trace_id for each in found) == sorted(call.trace_id for call in calls)
    assert [each.span_count for each in found] == [1, 1]
    assert writer.lost == 0


def test_what_is_long_or_no_call_is_left_to_the_thread(database: Database) -> None:
    writer = SpanWriter(database.url)
    assert not writer.take(Spans().start("ask"))
    assert not writer.take(ended(CallContent(ASKED, "x" * 20_000)))
    assert writer.waiting == 0
    writer.close()


def test_a_call_does_not_fail_for_its_span() -> None:
    class Broken:
        waiting = 0

        def take(self, span: Span) -> bool:
            raise ValueError(span.name)

    class Kept:
        batches: ClassVar[list[Span]] = []

        def store(self, batch: Sequence[Span]) -> None:
            self.batches.extend(batch)

        def close(self) -> None: ...

    recorder = Spans(Kept(), calls=Broken())
    call = recorder.start("chat m-1")
    call.describe(CallFacts(**PLAIN), None)
    call.end()
    recorder.close()
    assert Kept.batches == [call]


@pytest.mark.parametrize(
    "span",
    [
        ended(CallContent(ASKED, "Nothing.", (ToolCall("c", "look", '{"at": "it"}'),))),
        ended(CallContent((Message(role="user", content=HARD),), HARD), request_model=HARD, team="team_1"),
        ended(CallContent(ASKED, None), parent=f"00-{'c' * 32}-{'d' * 16}-01"),
        ended(None, operation="embeddings", is_stream=True, cache="exact", attempts=3),
    ],
)
async def test_a_stored_call_has_the_attributes_that_its_span_had(database: Database, span: Span) -> None:
    span.set({"causeway.cache.reason": "miss", "causeway.guard.found": ["email=1"]})
    span.name = HARD
    assert call_row(span, POLICY) is not None
    recorder = Spans(SpanWriter(database.url))
    recorder.take(span)
    stored = (await TraceStore(database, recorder).trace(span.trace_id)).spans[-1]
    recorder.close()
    assert stored.attributes == span.attributes
    assert (stored.name, stored.parent_id, stored.kind) == (HARD, span.parent_id, "client")
    assert (stored.started_at, stored.status, stored.status_message) == (span.started_at, "ok", None)


async def test_a_failed_call_keeps_its_words(database: Database) -> None:
    span = ended()
    span.fail(UpstreamError(HARD))
    recorder = Spans(SpanWriter(database.url))
    recorder.take(span)
    traces = TraceStore(database, recorder)
    (stored,) = (await traces.trace(span.trace_id)).spans
    (line,) = [each for each in await traces.find(TraceQuery()) if each.trace_id == span.trace_id]
    recorder.close()
    assert (stored.status, stored.status_message) == ("error", HARD)
    assert line.error_type == "upstream_error"


LONG_WAY = {
    "half of a pair": ended(CallContent(ASKED, "half of \ud83d a pair")),
    "too long": ended(CallContent(ASKED, "x" * 300_000)),
    "a zero in a name": ended(request_model="a\0b"),
}


@pytest.mark.parametrize("span", LONG_WAY.values(), ids=LONG_WAY.keys())
async def test_what_postgresql_does_not_take_or_is_too_long_goes_the_long_way(
    database: Database, span: Span
) -> None:
    assert call_row(span, POLICY) is None
    recorder = Spans(SpanWriter(database.url))
    recorder.take(span)
    (stored,) = (await TraceStore(database, recorder).trace(span.trace_id)).spans
    recorder.close()
    assert stored.attributes["gen_ai.response.model"] == "m-1"


async def test_a_zero_that_somebody_said_is_kept_where_it_can_be(database: Database) -> None:
    span = ended(CallContent((Message(role="user", content="a\0b"),), "c\0d"))
    span.set({"causeway.cache.reason": "e"})
    recorder = Spans(SpanWriter(database.url))
    recorder.take(span)
    traces = TraceStore(database, recorder)
    (stored,) = (await traces.trace(span.trace_id)).spans
    (line,) = [each for each in await traces.find(TraceQuery()) if each.trace_id == span.trace_id]
    recorder.close()
    assert stored.attributes == span.attributes
    assert (line.question, line.answer) == ("ab", "cd")
    noted = ended()
    noted.set({"causeway.cache.reason": "a\0b"})
    assert call_row(noted, POLICY) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"capture_content": False},
        {"mask": "all"},
        {"projects": {"team_1": {"capture_content": False}}},
    ],
)
def test_content_that_may_not_be_kept_as_it_is_goes_the_long_way(settings: dict[str, Any]) -> None:
    policy = TracePolicy(TelemetrySettings.model_validate(settings), mask=str.upper)
    assert call_row(ended(CallContent(ASKED, "So."), team="team_1"), policy) is None
