"""A call that is all of its trace is written down with the ledger's row, and read as one that has a span of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text

from causeway.contracts.chat import ChatRequest, ImagePart, Message, TextPart
from causeway.contracts.clock import SystemClock
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import EmbedRequest, RerankRequest
from causeway.errors import CausewayError
from causeway.gateway.call_record import Books
from causeway.gateway.entries import encoded_row
from causeway.gateway.gateway import Gateway
from causeway.gateway.journal import Journal
from causeway.gateway.ledger import Ledger, open_ledger
from causeway.gateway.routing import Routes
from causeway.observability import genai_names as names
from causeway.observability.lone_calls import LoneCalls, Step
from causeway.observability.meters import Meters
from causeway.observability.spans import Spans
from causeway.observability.storable import StoredSpan
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.settings import TelemetrySettings
from causeway.storage import schema
from causeway.storage.database import Database
from tests.gateway.calls import an_entry, an_opening
from tests.gateway.conftest import steps_over

HARD = 'a "quoted" \\path\\ with\ttabs,\nlines, \\N and ünïcode \U0001f600'
_TIMES = {names.TIME_TO_FIRST_CHUNK}
Doing = Callable[[Gateway, Call], Awaitable[object]]


class Ways:
    """The same gateway twice: one writes calls with the ledger's row, the other gives each a span."""

    def __init__(self, database: Database, ledger: Ledger, routes: Routes, **settings: Any) -> None:
        policy = TracePolicy(TelemetrySettings(capture_calls=True, **settings))
        self.meters = [Meters(), Meters()]
        self._database = database
        self._ledger = ledger
        self.lone_calls = LoneCalls(policy, self.meters[0])
        self._recorders = [Spans(meters, SpanWriter(database.url, policy)) for meters in self.meters]
        self._gateways = [
            Gateway(
                steps_over(routes, ledger),
                Books(
                    ledger=ledger,
                    spans=spans,
                    clock=SystemClock(),
                    captures=policy.captures_call,
                    lone_calls=lone_calls,
                ),
            )
            for spans, lone_calls in zip(self._recorders, (self.lone_calls, None), strict=True)
        ]

    async def do(self, doing: Doing, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
        """What both keep of it."""
        told = []
        for gateway in self._gateways:
            with suppress(CausewayError):
                await doing(gateway, call)
            told.append(await self._kept())
        return told[0], told[1]

    async def spans_stored(self) -> int:
        async with self._database.connect() as connection:
            return int(await connection.scalar(select(func.count()).select_from(schema.spans)) or 0)

    async def _kept(self) -> dict[str, Any]:
        await self._ledger.flush()
        for recorder in self._recorders:
            recorder.flush()
        store = TraceStore(self._database, self._recorders[0], flush=self._ledger.flush)
        line = (await store.find(TraceQuery()))[0]
        (span,) = (await store.trace(line.trace_id)).spans
        shown = asdict(line) | dict.fromkeys(("trace_id", "started_at", "duration_ms", "ttft_ms"))
        step = asdict(span) | dict.fromkeys(("trace_id", "span_id", "started_at", "duration_ms"))
        step["events"] = list(span.events)
        step["attributes"] = {name: value for name, value in span.attributes.items() if name not in _TIMES}
        return {"line": shown, "span": step}

    def close(self) -> None:
        for recorder in self._recorders:
            recorder.close()


@pytest.fixture
async def ways(database: Database, ledger: Ledger, routes: Routes) -> AsyncIterator[Ways]:
    both = Ways(database, ledger, routes)
    yield both
    both.close()


def asking(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(model="chat", messages=messages, **more)


def asked(text: str) -> Message:
    return Message("user", text)


async def complete(gateway: Gateway, call: Call) -> object:
    request = asking(Message("system", HARD), asked(f"the capital? {HARD}"), max_tokens=7, temperature=0.5)
    return await gateway.complete(request, call)


async def stream(gateway: Gateway, call: Call) -> object:
    return [chunk async for chunk in gateway.stream(asking(asked("the capital?")), call)]


async def embed(gateway: Gateway, call: Call) -> object:
    return await gateway.embed(EmbedRequest(model="embed", texts=("one", "two")), call)


async def rerank(gateway: Gateway, call: Call) -> object:
    return await gateway.rerank(RerankRequest(model="rerank", query="a", texts=("b",)), call)


async def unknown(gateway: Gateway, call: Call) -> object:
    return await gateway.complete(ChatRequest(model="nobody", messages=(asked(HARD),)), call)


async def long(gateway: Gateway, call: Call) -> object:
    return await gateway.complete(asking(asked("the capital? " + "x" * 3_000)), call)


@pytest.mark.parametrize(
    ("doing", "changed"),
    [
        (complete, {"prompt": None}),
        (complete, {"conversation_id": "con_1", "prompt": "a"}),
        (stream, {}),
        (embed, {}),
        (rerank, {}),
        (unknown, {"prompt": None}),
        (long, {"prompt": None}),
    ],
)
async def test_it_is_read_as_if_it_had_a_span(
    ways: Ways, call: Call, doing: Doing, changed: dict[str, Any]
) -> None:
    lone, general = await ways.do(doing, msgspec.structs.replace(call, **changed))
    assert lone == general
    assert await ways.spans_stored() == 1  # the general one's
    ways.lone_calls.count_ended()
    first, second = (meters.text() for meters in ways.meters)
    assert _without_times(first) == _without_times(second)


def _without_times(text: str) -> list[str]:
    return [line for line in text.splitlines() if "duration" not in line and "first_chunk" not in line]


async def boom(gateway: Gateway, call: Call) -> object:
    return await gateway.complete(asking(asked("boom")), call)


async def zero(gateway: Gateway, call: Call) -> object:
    return await gateway.complete(asking(asked("the capital? a\0b")), call)


async def picture(gateway: Gateway, call: Call) -> object:
    parts = (TextPart("the capital?"), ImagePart("https://x.example/a.png"))
    return await gateway.complete(asking(Message("user", parts)), call)


async def endless(gateway: Gateway, call: Call) -> object:
    return await gateway.complete(asking(asked("the capital? " + "x" * 20_000)), call)


async def within(gateway: Gateway, call: Call) -> object:
    inner = msgspec.structs.replace(call, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    return await gateway.complete(asking(asked("the capital?")), inner)


@pytest.mark.parametrize("doing", [boom, zero, picture, endless])
async def test_what_is_unusual_has_a_span_of_its_own(ways: Ways, call: Call, doing: Doing) -> None:
    lone, general = await ways.do(doing, call)
    assert lone["span"]["attributes"] == general["span"]["attributes"]
    assert await ways.spans_stored() == 2


async def test_a_step_of_a_trace_has_a_span_of_its_own(ways: Ways, call: Call) -> None:
    await within(ways._gateways[0], call)
    ways._recorders[0].flush()
    assert await ways.spans_stored() == 1


async def test_half_of_a_pair_does_not_stop_the_ledger(ways: Ways, call: Call) -> None:
    async def halved(gateway: Gateway, call: Call) -> object:
        return await gateway.complete(asking(asked("the capital? \ud83d")), call)

    lone, _ = await ways.do(halved, msgspec.structs.replace(call, may_cache=False))
    assert "the capital? ?" in lone["span"]["attributes"]["gen_ai.input.messages"]


@pytest.mark.parametrize(
    ("settings", "is_kept"),
    [
        ({}, True),
        ({"capture_content": False}, False),
        ({"projects": {"default": {"capture_calls": False}}}, False),
        ({"projects": {"default": {"capture_content": False}}}, False),
    ],
)
async def test_words_are_kept_where_that_is_allowed(
    database: Database, ledger: Ledger, routes: Routes, call: Call, settings: dict[str, Any], is_kept: bool
) -> None:
    both = Ways(database, ledger, routes, **settings)
    lone, general = await both.do(complete, msgspec.structs.replace(call, prompt=None))
    both.close()
    assert lone == general
    assert ("gen_ai.input.messages" in lone["span"]["attributes"]) is is_kept
    assert (lone["line"]["question"] is not None) is is_kept


def test_nothing_that_programs_say_is_kept_unless_that_is_allowed() -> None:
    policy = TracePolicy(TelemetrySettings())
    assert not policy.captures_call("api", None)
    assert policy.captures_call("ask", None)
    allowed = TracePolicy(TelemetrySettings.model_validate({"projects": {"team_1": {"capture_calls": True}}}))
    assert allowed.captures_call("api", "team_1")
    assert not allowed.captures_call("api", "team_2")


TOLD: dict[str, Any] = {
    "owner": "user_1",
    "span_id": "b" * 16,
    "step": Step(),
    "asked": [{"role": "user", "content": "why?"}],
    "question_at": 0,
}


async def test_a_row_that_is_written_twice_is_one_call_of_one_trace(
    database: Database, ledger: Ledger, spans: Spans
) -> None:
    row = an_entry("call_1", **TOLD, prompt=None)
    for _ in range(2):
        ledger.closed(row)
        await ledger.flush()
    (line,) = await TraceStore(database, spans).find(TraceQuery())
    assert (line.input_tokens, line.span_count, line.question) == (90, 1, "why?")


async def test_what_a_process_that_died_had_not_stored_is_a_trace(
    database: Database, tmp_path: Path, spans: Spans
) -> None:
    folder = tmp_path / "journal"
    died = Journal(folder)
    died.closed(encoded_row(an_entry("call_1", **TOLD, prompt=None)))
    died.opened(msgspec.json.encode(an_opening("call_2", trace_id="cd" * 16)))
    died.close(is_settled=False)
    async with open_ledger(database, folder, flush_s=3600):
        (line,) = await TraceStore(database, spans).find(TraceQuery())
    assert (line.trace_id, line.question, line.owner) == ("ab" * 16, "why?", "user_1")


async def test_it_is_part_of_what_others_send_of_its_trace(
    database: Database, ledger: Ledger, spans: Spans
) -> None:
    writer = SpanWriter(database.url)
    ledger.closed(an_entry("call_1", **TOLD))
    await ledger.flush()
    row = await TraceStore(database, spans).trace("ab" * 16)
    (own,) = row.spans
    again = StoredSpan(
        trace_id=own.trace_id,
        span_id=own.span_id,
        parent_id=None,
        name=own.name,
        kind=own.kind,
        started_at=own.started_at,
        duration_s=1,
        failure=None,
        attributes={},
        events=[],
    )
    other = msgspec.structs.replace(again, span_id="c" * 16, parent_id=own.span_id, name="look up")
    added = writer.add([again, other])
    writer.close()
    assert (added.stored, added.known) == (1, 1)
    found = await TraceStore(database, spans).trace("ab" * 16)
    assert [span.name for span in found.spans] == [own.name, "look up"]
    (line,) = await TraceStore(database, spans).find(TraceQuery())
    assert line.span_count == 2


async def test_it_joins_what_others_sent_before_it_was_stored(
    database: Database, ledger: Ledger, spans: Spans
) -> None:
    store = TraceStore(database, spans)
    writer = SpanWriter(database.url)
    sent = Spans().start("look up", parent=f"00-{'ab' * 16}-{TOLD['span_id']}-01")
    sent.end()
    writer.store([sent])
    writer.close()
    ledger.closed(an_entry("call_1", **TOLD, prompt=None))
    ledger.closed(an_entry("call_2", **{**TOLD, "trace_id": "cd" * 16}, prompt=None))
    await ledger.flush()
    found = {line.trace_id: (line.span_count, line.question) for line in await store.find(TraceQuery())}
    assert found == {"ab" * 16: (2, "why?"), "cd" * 16: (1, "why?")}


async def test_when_a_trace_goes_so_does_what_was_said(
    database: Database, ledger: Ledger, spans: Spans
) -> None:
    ledger.closed(an_entry("call_1", **TOLD))
    await ledger.flush()
    store = TraceStore(database, spans)
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE trace_summaries SET stored_at = stored_at - interval '100 days'")
        )
    assert await store.forget_old(SystemClock().now(), TracePolicy(TelemetrySettings())) == 1
    async with database.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM trace_summaries")) == 0
        assert await connection.scalar(text("SELECT count(*) FROM ledger")) == 1
