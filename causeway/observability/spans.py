"""Spans: one timed step of what was done, in a trace per user action.

A thin face on OpenTelemetry. Parents are passed explicitly as W3C ``traceparent`` strings, since an answer is an
async generator and a context variable set in one does not survive its consumer's task switches. Use a span as a
context manager around the step; it ends, with the error if there was one, when the block does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from causeway import __version__
from causeway.errors import CausewayError
from causeway.observability.genai_names import ERROR_TYPE

Kind = Literal["internal", "client", "server"]
Attribute = str | bool | int | float
_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "server": SpanKind.SERVER,
}
_EXPORT_EVERY_MS = 1_000


class Span:
    """A step under way; ``with`` ends it."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"
        self.traceparent = f"00-{self.trace_id}-{self.span_id}-{context.trace_flags:02x}"

    def set(self, attributes: Mapping[str, object]) -> None:
        """Add attributes; None is left out, and what is neither text, number nor truth is stored as JSON."""
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, _attribute(value))

    def event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Note a moment within the step."""
        self._span.add_event(name, {key: _attribute(value) for key, value in (attributes or {}).items()})

    def fail(self, error: BaseException) -> None:
        """Mark the step as failed; it still has to be ended.

        The error learns its trace: one of ours in ``trace_id``, any other in a note below its traceback.
        """
        if isinstance(error, CausewayError):
            code = error.code
            error.trace_id = error.trace_id or self.trace_id
        else:
            code = type(error).__name__
            note = f"trace {self.trace_id}"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
        self._span.set_attribute(ERROR_TYPE, code)
        self._span.set_status(Status(StatusCode.ERROR, str(error) or code))

    def end(self) -> None:
        """End the step; ending it twice does nothing."""
        if self._span.is_recording():
            self._span.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, GeneratorExit):
            self.fail(error)
        self.end()


class Spans:
    """Starts spans and hands finished ones to the exporters."""

    def __init__(self, *exporters: SpanExporter) -> None:
        resource = Resource({"service.name": "causeway", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        for exporter in exporters:
            self._provider.add_span_processor(
                BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_EVERY_MS, max_queue_size=8192)
            )
        self._tracer = self._provider.get_tracer("causeway", __version__)

    def start(
        self,
        name: str,
        *,
        kind: Kind = "internal",
        parent: str | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> Span:
        """Begin a step under ``parent``, a ``traceparent``; a malformed one, as None, begins a trace."""
        carrier = {"traceparent": parent} if parent else {}
        context = TraceContextTextMapPropagator().extract(
            carrier, context=trace.set_span_in_context(trace.INVALID_SPAN)
        )
        span = Span(self._tracer.start_span(name, context=context, kind=_KINDS[kind]))
        span.set(attributes or {})
        return span

    def flush(self) -> None:
        """Store what has ended; blocks, so call it in a thread."""
        self._provider.force_flush(timeout_millis=10_000)

    def close(self) -> None:
        """Store what has ended and stop; blocks, so call it in a thread."""
        self._provider.shutdown()


def _attribute(value: object) -> Attribute:
    if isinstance(value, str | bool | int | float):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
