"""Other programs' spans: as real exporters send them, and as nobody should."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from causeway.contracts.identity import Principal, Scope
from causeway.errors import InvalidInputError
from causeway.observability import genai_names as names
from causeway.observability.foreign_names import brought_home
from causeway.observability.messages import listed, messages
from causeway.observability.otlp_decode import decoded
from causeway.observability.otlp_import import Imported, TraceImport
from causeway.observability.otlp_messages import message
from causeway.observability.spans import Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.settings import TelemetrySettings
from causeway.storage.database import Database

REAL = (Path(__file__).parent / "otlp" / "openinference.pb").read_bytes()
"""What opentelemetry-exporter-otlp-proto-http 1.45 sends for a chain of OpenInference's own instrumentation helpers."""
SENDER = Principal(id="key_1", name="bot", scopes=frozenset({Scope.TRACES}), team="team_1")
OTHER = Principal(id="key_2", name="other", scopes=frozenset({Scope.TRACES}))
START = 1_790_000_000_000_000_000
TRACE = "ab" * 16


def importing(database: Database, **settings: Any) -> TraceImport:
    policy = TracePolicy(
        TelemetrySettings.model_validate(settings),
        mask=lambda text: text.replace("ann@example.com", "[EMAIL_1]"),
    )
    return TraceImport(SpanWriter(database.url, policy), policy)


@pytest.fixture
async def imports(database: Database) -> AsyncIterator[TraceImport]:
    opened = importing(database)
    yield opened
    opened.close()


def span(
    span_id: str, parent: str = "", *, at_ms: float = 0, took_ms: float = 100, **more: Any
) -> dict[str, Any]:
    begin = START + int(at_ms * 1e6)
    given = more.pop("attributes", {})
    return {
        "traceId": TRACE,
        "spanId": span_id * 8,
        "parentSpanId": parent * 8,
        "name": span_id,
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + int(took_ms * 1e6)),
        "attributes": [{"key": name, "value": {"stringValue": value}} for name, value in given.items()],
        **more,
    }


def body(*spans: dict[str, Any], service: str = "shop") -> bytes:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).encode()


async def sent(imports: TraceImport, *spans: dict[str, Any], sender: Principal = SENDER) -> Imported:
    return await imports.take(body(*spans), is_json=True, sender=sender)


async def test_a_real_exporters_request_becomes_a_trace(database: Database, imports: TraceImport) -> None:
    done = await imports.take(REAL, is_json=False, sender=SENDER)
    assert (done.stored, done.rejected) == (4, 0)
    store = TraceStore(database, Spans())
    (line,) = await store.find(TraceQuery(owner="cust_7", text="tent"))
    assert (line.service, line.model, line.provider, line.conversation_id) == (
        "shop-bot",
        "gpt-x",
        "openai",
        "chat-42",
    )
    assert (line.question, line.answer) == ("How long may I return a tent? Write to [EMAIL_1]", "45 days.")
    assert (line.input_tokens, line.output_tokens, line.status) == (120, 18, "error")
    spans = {each.name: each for each in (await store.trace(line.trace_id, owner="key_1")).spans}
    passages = listed(spans["retrieve"].attributes[names.RETRIEVAL_DOCUMENTS])
    assert [(each["title"], each["page"], each["score"]) for each in passages] == [
        ("Returns", 2, 0.91),
        ("Returns", 2, 0.72),
    ]
    (reply,) = messages(spans["llm"].attributes[names.OUTPUT_MESSAGES])
    assert (reply.text, reply.tools[0].name, reply.tools[0].arguments) == (
        "45 days.",
        "look_up",
        '{"order": 7}',
    )
    assert spans["llm"].attributes[names.REQUEST_TEMPERATURE] == 0.2
    assert spans["look_up"].attributes[names.ERROR_TYPE] == "KeyError"
    assert spans["look_up"].events[0]["name"] == "exception"


async def test_a_request_that_comes_twice_changes_nothing(database: Database, imports: TraceImport) -> None:
    store = TraceStore(database, Spans())
    await imports.take(REAL, is_json=False, sender=SENDER)
    first = await store.find(TraceQuery())
    again = await imports.take(REAL, is_json=False, sender=SENDER)
    assert (again.stored, again.known, again.rejected) == (0, 4, 0)
    assert await store.find(TraceQuery()) == first


async def test_a_program_puts_nothing_into_anothers_trace(database: Database, imports: TraceImport) -> None:
    await sent(imports, span("a1"))
    intruder = await sent(imports, span("b2", "a1"), span("c3"), sender=OTHER)
    assert (intruder.stored, intruder.rejected) == (0, 2)
    assert "belongs to another owner" in intruder.reasons
    store = TraceStore(database, Spans())
    assert [each.owner for each in await store.find(TraceQuery())] == ["key_1"]
    assert await store.find(TraceQuery(whose="key_2")) == []


async def test_whose_a_span_is_it_cannot_say_itself(database: Database, imports: TraceImport) -> None:
    claims = {
        names.OWNER: "usr_boss",
        names.TEAM: "team_9",
        names.PRINCIPAL: "key_9",
        "service.name": "causeway",
    }
    await sent(imports, span("a1", attributes=claims))
    (line,) = await TraceStore(database, Spans()).find(TraceQuery())
    assert (line.owner, line.team, line.service) == ("key_1", "team_1", "shop")


async def test_what_cannot_be_kept_is_counted_with_the_reason_and_the_rest_is_stored(
    database: Database, imports: TraceImport
) -> None:
    done = await sent(
        imports,
        span("a1"),
        {**span("b2"), "traceId": "00" * 16},
        {**span("c3"), "spanId": "xyz"},
        {**span("d4"), "startTimeUnixNano": "0"},
    )
    assert (done.stored, done.rejected) == (1, 3)
    assert "a trace id is 16 bytes" in done.reasons
    assert "start_time_unix_nano" in done.reasons


async def test_a_huge_attribute_is_cut_and_says_how_long_it_was(
    database: Database, imports: TraceImport
) -> None:
    await sent(imports, span("a1", attributes={"big": "x" * 1_000_000, names.INPUT_VALUE: "why?"}))
    (stored,) = (await TraceStore(database, Spans()).trace(TRACE)).spans
    assert len(stored.attributes["big"]) == 200_000
    assert json.loads(stored.attributes[names.TRUNCATED]) == {"big": 1_000_000}


async def test_skewed_clocks_stay_as_they_were_sent(database: Database, imports: TraceImport) -> None:
    await sent(imports, span("a1"), span("b2", "a1", at_ms=-5000, took_ms=-7), span("c3", "a1", at_ms=10))
    spans = {each.name: each for each in (await TraceStore(database, Spans()).trace(TRACE)).spans}
    assert (spans["a1"].started_at - spans["b2"].started_at).total_seconds() == 5
    assert spans["b2"].duration_ms == 0
    assert spans["b2"].attributes[names.CLOCK] == "it ends 7 ms before it begins"


async def test_half_a_trace_is_found(database: Database, imports: TraceImport) -> None:
    await sent(imports, span("c3", "b2", at_ms=10), span("b2", "a1"))
    (line,) = await TraceStore(database, Spans()).find(TraceQuery())
    assert (line.name, line.is_half) == ("b2", True)
    await sent(imports, span("a1", at_ms=-20, took_ms=200))
    (line,) = await TraceStore(database, Spans()).find(TraceQuery())
    assert (line.name, line.is_half, line.duration_ms, line.span_count) == ("a1", False, 200, 3)


async def test_a_project_keeps_no_content_and_only_its_share(database: Database) -> None:
    rules = {"projects": {"team_1": {"capture_content": False, "sample": 0.0}}}
    opened = importing(database, **rules)
    content = {
        names.INPUT_VALUE: "secret words",
        "llm.prompts.0": "secret words",
        "openinference.span.kind": "CHAIN",
    }
    kept = await sent(
        opened, span("a1", attributes=content, status={"code": 2, "message": "down"}), span("b2", "a1")
    )
    opened.close()
    assert (kept.stored, kept.left_out) == (1, 1)  # failures are always kept
    (stored,) = (await TraceStore(database, Spans()).trace(TRACE)).spans
    assert "secret" not in json.dumps(dict(stored.attributes))
    assert stored.attributes["openinference.span.kind"] == "CHAIN"


@pytest.mark.parametrize("is_json", [True, False])
async def test_what_is_no_request_is_refused(imports: TraceImport, is_json: bool) -> None:
    with pytest.raises(InvalidInputError, match="OTLP request"):
        await imports.take(b'{"resourceSpans": 7}\xff', is_json=is_json, sender=SENDER)


def test_values_of_every_kind_are_read_alike_from_json_and_protobuf() -> None:
    request = message("ExportRequest")
    sent_span = request.resource_spans.add().scope_spans.add().spans.add()
    sent_span.trace_id, sent_span.span_id, sent_span.name = bytes.fromhex(TRACE), b"12345678", "s"
    sent_span.start_time_unix_nano = START
    values: dict[str, Any] = {
        "text": {"stringValue": "ü"},
        "truth": {"boolValue": False},
        "whole": {"intValue": str(2**60)},
        "part": {"doubleValue": 0.5},
        "list": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}},
        "map": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}},
        "bytes": {"bytesValue": base64.b64encode(b"\x00\xff").decode()},
    }
    for key, given in values.items():
        pair = sent_span.attributes.add()
        pair.key = key
        _fill(pair.value, given)
    as_json = {
        "traceId": TRACE,
        "spanId": b"12345678".hex(),
        "name": "s",
        "startTimeUnixNano": START,
        "attributes": [{"key": key, "value": given} for key, given in values.items()],
    }
    (left,) = decoded(request.SerializeToString(), is_json=False).spans
    (right,) = decoded(body(as_json), is_json=True).spans
    assert left.attributes == right.attributes
    assert left.attributes["list"] == ["a", 1]
    assert left.attributes["map"] == {"k": True}
    assert left.attributes["whole"] == 2**60
    assert left.attributes["bytes"] == "AP8="


def _fill(value: Any, given: dict[str, Any]) -> None:
    (kind, held), *_ = given.items()
    if kind == "arrayValue":
        for each in held["values"]:
            _fill(value.array_value.values.add(), each)
    elif kind == "kvlistValue":
        for each in held["values"]:
            pair = value.kvlist_value.values.add()
            pair.key = each["key"]
            _fill(pair.value, each["value"])
    elif kind == "bytesValue":
        value.bytes_value = base64.b64decode(held)
    elif kind == "intValue":
        value.int_value = int(held)
    else:
        setattr(
            value,
            {"stringValue": "string_value", "boolValue": "bool_value", "doubleValue": "double_value"}[kind],
            held,
        )


@pytest.mark.parametrize(
    ("given", "asked", "operation"),
    [
        (
            {
                "gen_ai.system": "openai",
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "why?",
                "llm.request.type": "chat",
                "gen_ai.usage.prompt_tokens": 3,
            },
            "why?",
            "chat",
        ),
        (
            {
                "gen_ai.operation.name": "chat",
                names.INPUT_MESSAGES: '[{"role": "user", "parts": [{"type": "text", "content": "why?"}]}]',
                names.INPUT_TOKENS: 3,
            },
            "why?",
            "chat",
        ),
        (
            {"openinference.span.kind": "LLM", "input.value": "why?", "llm.token_count.prompt": 3},
            "why?",
            "chat",
        ),
        (
            {
                "langfuse.observation.type": "generation",
                "langfuse.observation.input": "why?",
                names.INPUT_TOKENS: 3,
            },
            "why?",
            "chat",
        ),
    ],
)
def test_the_names_of_before_and_of_others_mean_the_same(
    given: dict[str, Any], asked: str, operation: str
) -> None:
    named = brought_home(given)
    assert named[names.OPERATION] == operation
    assert named[names.INPUT_TOKENS] == 3
    assert messages(named[names.INPUT_MESSAGES])[-1].text == asked


def test_messages_that_older_conventions_kept_in_events_are_read() -> None:
    events = [
        ("gen_ai.user.message", {"content": "why?"}),
        ("gen_ai.choice", {"message": '{"role": "assistant", "content": "because"}'}),
    ]
    named = brought_home({names.OPERATION: "chat"}, events)
    assert messages(named[names.INPUT_MESSAGES])[0].text == "why?"
    assert messages(named[names.OUTPUT_MESSAGES])[0].text == "because"


def test_hostile_shapes_are_plain_values_in_the_end() -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = {"arrayValue": {"values": [deep if isinstance(deep, dict) else {"stringValue": deep}]}}
    (read,) = decoded(
        body({**span("a1"), "attributes": [{"key": "deep", "value": deep}]}), is_json=True
    ).spans
    named = brought_home(
        {
            **read.attributes,
            "llm.input_messages.99999.message.content": ["odd"],
            "retrieval.documents.0.document.metadata": "[not json",
            "embedding.vector": [0.5] * 100,
            "llm.cost.total": float("nan"),
        }
    )
    assert all(isinstance(value, str | bool | int | float) for value in named.values())
    assert named["embedding.vector"] == "[100 numbers]"
