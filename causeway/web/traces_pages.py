"""Traces for people: the newest first, and one as a waterfall."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from causeway.web.rendering import is_fragment, page
from causeway.web.sign_in import Parts, Tracer
from causeway.web.traces_api import TraceId, shown_to, whose
from causeway.web.waterfall import waterfall

router = APIRouter(include_in_schema=False)

_PAGE_SIZE = 50


@router.get("/traces", name="traces")
async def show(
    request: Request, parts: Parts, asker: Tracer, before: Annotated[datetime | None, Query()] = None
) -> Response:
    """The list; its next rows alone when htmx asks."""
    found = await parts.traces.recent(limit=_PAGE_SIZE, before=before, owner=whose(asker))
    older = found[-1].started_at.isoformat() if len(found) == _PAGE_SIZE else None
    template = "traces_rows.html" if is_fragment(request) else "traces.html"
    return page(request, template, {"traces": found, "older": older, "before": before})


@router.get("/traces/{trace_id}", name="trace")
async def trace(trace_id: TraceId, request: Request, parts: Parts, asker: Tracer) -> Response:
    """One trace."""
    found = shown_to(asker, await parts.traces.trace(trace_id, owner=whose(asker)))
    return page(
        request,
        "trace.html",
        {"trace_id": trace_id, "started_at": found.spans[0].started_at, "whole": waterfall(found)},
    )
