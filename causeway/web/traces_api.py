"""``/api/traces``: what happened, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from causeway.contracts.identity import Principal, Scope
from causeway.contracts.money import to_dollars
from causeway.observability import genai_names as names
from causeway.observability.trace_store import Trace
from causeway.web.sign_in import Parts, Tracer

router = APIRouter(prefix="/api/traces", tags=["Traces"])

TraceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


class TraceLine(BaseModel):
    """A trace in a list; tokens and cost are sums over its model calls."""

    trace_id: str
    name: str
    question: str | None
    started_at: datetime
    duration_ms: int
    status: str
    model: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: float


class TraceList(BaseModel):
    """Traces, newest first."""

    traces: list[TraceLine]


class SpanShape(BaseModel):
    """One step."""

    span_id: str
    parent_id: str | None
    name: str
    kind: str
    started_at: datetime
    duration_ms: int
    status: str
    status_message: str | None
    attributes: dict[str, Any]
    events: list[dict[str, Any]]


class TraceShape(BaseModel):
    """A whole trace, its steps by start time."""

    trace_id: str
    spans: list[SpanShape]


@router.get("", name="api_traces")
async def traces(
    parts: Parts,
    asker: Tracer,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[datetime | None, Query(description="Only traces that began before this time")] = None,
) -> TraceList:
    """The newest traces: of everybody for an administrator, else the caller's own."""
    found = await parts.traces.recent(limit=limit, before=before, owner=whose(asker))
    return TraceList(
        traces=[
            TraceLine(
                trace_id=each.trace_id,
                name=each.name,
                question=each.question,
                started_at=each.started_at,
                duration_ms=each.duration_ms,
                status=each.status,
                model=each.model,
                input_tokens=each.input_tokens,
                output_tokens=each.output_tokens,
                cost_usd=to_dollars(each.cost_micros),
            )
            for each in found
        ]
    )


@router.get("/{trace_id}", name="api_trace")
async def trace(trace_id: TraceId, parts: Parts, asker: Tracer) -> TraceShape:
    """One whole trace; who is no administrator gets no texts with it but their own question."""
    found = shown_to(asker, await parts.traces.trace(trace_id, owner=whose(asker)))
    return TraceShape(
        trace_id=found.trace_id,
        spans=[
            SpanShape(
                span_id=span.span_id,
                parent_id=span.parent_id,
                name=span.name,
                kind=span.kind,
                started_at=span.started_at,
                duration_ms=span.duration_ms,
                status=span.status,
                status_message=span.status_message,
                attributes=dict(span.attributes),
                events=[dict(event) for event in span.events],
            )
            for span in found.spans
        ],
    )


def whose(asker: Principal) -> str | None:
    """Whose traces a caller may see; None is everybody's."""
    return None if asker.may(Scope.ADMIN) else asker.owner


def shown_to(asker: Principal, trace: Trace) -> Trace:
    """``trace`` without the words of documents for who is no administrator.

    A document may have been closed to them since, and their trace would be its copy.
    """
    if asker.may(Scope.ADMIN):
        return trace
    spans = tuple(
        replace(
            span,
            attributes={name: value for name, value in span.attributes.items() if name in _WITHOUT_TEXTS},
            events=(),
        )
        for span in trace.spans
    )
    return replace(trace, spans=spans)


_WITHOUT_TEXTS: Final = frozenset(
    {
        names.OPERATION,
        names.PROVIDER,
        names.REQUEST_MODEL,
        names.REQUEST_STREAM,
        names.RESPONSE_MODEL,
        names.FINISH_REASONS,
        names.TIME_TO_FIRST_CHUNK,
        names.INPUT_TOKENS,
        names.OUTPUT_TOKENS,
        names.CACHED_INPUT_TOKENS,
        names.REASONING_TOKENS,
        names.ERROR_TYPE,
        names.COST_MICROS,
        names.PURPOSE,
        names.QUESTION,
        names.REFUSED,
        names.TEXTS,
        names.CACHE,
    }
)
