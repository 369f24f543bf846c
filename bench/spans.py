"""What a span costs: recording it, and storing it, beside OpenTelemetry's SDK doing the same; and a call's of the gateway.

    python -m bench.spans > bench/results/spans.md

Processor time of this process, PostgreSQL's own apart.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import create_engine, text

from bench.machine import describe
from causeway.contracts.chat import Message
from causeway.observability.call_facts import CallContent, CallFacts
from causeway.observability.meters import Meters
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_store import SpanWriter
from causeway.settings import DatabaseSettings
from causeway.storage.database import open_database

_SPANS = 20_000
_ROUNDS = 5
ATTRIBUTES: Mapping[str, object] = {
    **{f"gen_ai.request.k{number}": number for number in range(8)},
    **{f"gen_ai.response.s{number}": "a value of some length" for number in range(8)},
    **{f"causeway.n{number}": number for number in range(4)},
}

_ASKED = (
    Message("system", "You are terse."),
    Message("user", "Summarise this text." + " lorem ipsum dolor sit amet" * 31),
)
_SAID = "mock " * 40
_CALL: Mapping[str, Any] = {
    "operation": "chat",
    "request_model": "upstream/mock",
    "response_model": "mock",
    "input_tokens": 256,
    "output_tokens": 50,
    "cost_micros": 68,
    "principal": "key_6f1c2f6f5f0b4c3e8f2d7a9b1c0d3e5f",
    "owner": "key_6f1c2f6f5f0b4c3e8f2d7a9b1c0d3e5f",
    "tier": "bench",
    "purpose": "api",
    "provider": "upstream",
    "max_tokens": 256,
    "finish_reason": "end",
}


class _Nowhere:
    def store(self, batch: Sequence[Span]) -> None:
        """Forget them."""

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    print("# Spans\n\nMade by `python -m bench.spans`.\n")
    print(describe())
    print(f"\n{len(ATTRIBUTES)} attributes a span, {_SPANS} spans a round, least of {_ROUNDS} rounds.\n")
    print("| | microseconds a span |\n|---|---:|")
    spans = Spans(_Nowhere(), most_waiting=_SPANS)
    print(f"| recorded | {_microseconds(lambda: _record(spans)):.1f} |")
    print(f"| a call's, recorded | {_microseconds(lambda: _call(spans)):.1f} |")
    counted = Spans(Meters(), most_waiting=_SPANS)
    print(f"| a call's, recorded and counted for Prometheus | {_microseconds(lambda: _call(counted)):.1f} |")
    counted.close()
    spans.close()
    print(f"| recorded by OpenTelemetry's SDK, batch processor, no exporter | {_microseconds(_sdk()):.1f} |")
    asyncio.run(_stored())


def _record(spans: Spans) -> None:
    for _ in range(_SPANS):
        with spans.start("chat m", kind="client") as span:
            span.set(ATTRIBUTES)
    spans.flush()


def _call(spans: Spans, *, has_content: bool = True) -> None:
    """Calls of the gateway, of a kilobyte of messages each."""
    for _ in range(_SPANS):
        with spans.start("chat", kind="client") as span:
            span.name = "chat mock"
            span.describe(CallFacts(**_CALL), CallContent(_ASKED, _SAID) if has_content else None)
    spans.flush()


def _sdk() -> Callable[[], None]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_SPANS))
    tracer = provider.get_tracer("bench")

    def record() -> None:
        for _ in range(_SPANS):
            span = tracer.start_span("chat m")
            for name, value in ATTRIBUTES.items():
                span.set_attribute(name, value)  # type: ignore[arg-type]  # plain values, all of them
            span.end()
        provider.force_flush()
        exporter.clear()

    return record


async def _stored() -> None:
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        database = await open_database(DatabaseSettings(), Path(name))
        spans = Spans(SpanWriter(database.url), most_waiting=_SPANS)
        cost = _microseconds(lambda: _record(spans))
        print(f"| recorded and stored by COPY, PostgreSQL's own time apart | {cost:.1f} |")
        engine = create_engine(database.url)
        with engine.connect() as connection:
            count, size = connection.execute(
                text("SELECT count(*), pg_total_relation_size('spans') FROM spans")
            ).one()
        engine.dispose()
        for has_content, which in ((False, "nothing said kept"), (True, "a kilobyte of messages")):
            cost = _microseconds(partial(_call, spans, has_content=has_content))
            print(f"| a call's, {which}, recorded and stored with its trace's line | {cost:.1f} |")
        spans.close()
        await database.close()
    raw = len(json.dumps(dict(ATTRIBUTES)))
    print(
        f"\nStored, indexes included: {size / count:.0f} bytes a span; its attributes as JSON: {raw} bytes."
    )


def _microseconds(work: Callable[[], None]) -> float:
    taken = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        work()
        taken.append((time.process_time() - begun) / _SPANS * 1e6)
    return min(taken)


if __name__ == "__main__":
    main()
