"""What is observed, put together: spans recorded once and handed to the meters, the own store and a collector."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from causeway.contracts.clock import Clock
from causeway.errors import CausewayError
from causeway.observability.lone_calls import LoneCalls
from causeway.observability.meters import Meters
from causeway.observability.otlp_export import OtlpExport
from causeway.observability.otlp_import import TraceImport
from causeway.observability.spans import Span, Spans, SpanSink
from causeway.observability.trace_policy import Mask, TracePolicy
from causeway.observability.trace_sampling import SampledSpans
from causeway.observability.trace_store import SpanWriter
from causeway.settings import TelemetrySettings
from causeway.storage.database import Database
from causeway.storage.schema import documents

_STATES: Final = ("queued", "processing", "failed")
_IMPORT_CONNECTIONS: Final = 2
Gauges = dict[str, tuple[str, str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Everything that observes, open.

    Attributes:
        imports: The door of other programs' spans.
        lone_calls: Who says which calls are written down with the ledger's row; None where spans go elsewhere, too.
    """

    spans: Spans
    policy: TracePolicy
    imports: TraceImport
    lone_calls: LoneCalls | None
    _meters: Meters
    _writer: SpanWriter
    _sampled: SampledSpans | None
    _export: OtlpExport | None

    async def metrics(self, database: Database) -> str:
        """What Prometheus reads: this process's meters, and how long the queues are at this moment."""
        await asyncio.to_thread(self.spans.flush)
        if self.lone_calls is not None:
            self.lone_calls.count_ended()
        return self._meters.text(self._own() | await _queues(database))

    def _own(self) -> Gauges:
        spans, export = self.spans, self._export
        gauges: Gauges = {
            "process_cpu_seconds_total": ("counter", "Processor time of this process", time.process_time()),
            "process_resident_memory_bytes": ("gauge", "Memory of this process", float(_resident_bytes())),
            "causeway_spans_waiting": ("gauge", "Finished spans that are not stored yet", spans.waiting),
            "causeway_spans_lost_total": (
                "counter",
                "Spans that could not be kept",
                spans.lost + self._writer.lost,
            ),
        }
        if self._sampled is not None:
            gauges["causeway_spans_sampled_out_total"] = (
                "counter",
                "Spans that sampling left out",
                self._sampled.left_out,
            )
        if export is not None:
            gauges |= {
                "causeway_spans_export_waiting": (
                    "gauge",
                    "Spans that wait for the collector",
                    export.waiting,
                ),
                "causeway_spans_exported_total": ("counter", "Spans that the collector took", export.sent),
                "causeway_spans_export_lost_total": (
                    "counter",
                    "Spans that the collector did not take",
                    export.lost,
                ),
            }
        return gauges


@asynccontextmanager
async def open_telemetry(
    settings: TelemetrySettings, database: Database, clock: Clock, *, mask: Mask | None = None
) -> AsyncIterator[Telemetry]:
    """The recorder and its sinks; what has ended is stored when the block ends.

    Args:
        settings: What is kept, and where it goes.
        database: Where the own store is.
        clock: What spans and sampling go by.
        mask: The guard's: puts placeholders in the place of personal data.

    Raises:
        SettingsError: The collector's address is none.
    """
    policy = TracePolicy(settings, mask=mask)
    meters, writer = Meters(), SpanWriter(database.url, policy)
    sampled = SampledSpans(writer, policy, now=clock.monotonic) if policy.lowest_sample < 1 else None
    export = OtlpExport(settings) if settings.otlp_endpoint else None
    sinks: list[SpanSink] = [meters, *([export] if export else []), sampled or writer]
    has_others = sampled is not None or export is not None  # who want spans, not lines
    spans = Spans(*sinks, clock=clock, calls=None if has_others else _CallsAtOnce(meters, writer))
    imports = TraceImport(SpanWriter(database.url, policy, connections=_IMPORT_CONNECTIONS), policy)
    try:
        yield Telemetry(
            spans=spans,
            policy=policy,
            imports=imports,
            lone_calls=None if has_others else LoneCalls(policy, meters),
            _meters=meters,
            _writer=writer,
            _sampled=sampled,
            _export=export,
        )
    finally:
        await asyncio.to_thread(spans.close)
        await asyncio.to_thread(imports.close)


class _CallsAtOnce:
    """A `causeway.observability.spans.CallSink`: counts a call and writes it down."""

    def __init__(self, meters: Meters, writer: SpanWriter) -> None:
        self._meters = meters
        self._writer = writer

    @property
    def waiting(self) -> int:
        return self._writer.waiting

    def take(self, span: Span) -> bool:
        if not self._writer.take(span):
            return False
        self._meters.count(span)
        return True


async def _queues(database: Database) -> Gauges:
    """How much ingestion is behind; nothing while the database cannot say."""
    query = select(documents.c.state, func.count()).where(documents.c.state.in_(_STATES))
    try:
        async with database.connect() as connection:
            rows = (await connection.execute(query.group_by(documents.c.state))).all()
    except CausewayError:
        return {}
    counts = dict.fromkeys(_STATES, 0) | {str(state): int(count) for state, count in rows}
    return {
        f"causeway_documents_{state}": ("gauge", f"Documents that are {state}", float(count))
        for state, count in counts.items()
    }


def _resident_bytes() -> int:
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0  # no Linux
