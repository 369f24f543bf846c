"""Traces for people: a list that is narrowed by filters, and one trace as a waterfall."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from causeway.contracts.identity import Scope
from causeway.web.rendering import is_fragment, page
from causeway.web.sign_in import Parts, Tracer
from causeway.web.traces_api import TraceFilters, TraceId, rated_for, shown_to, whose
from causeway.web.waterfall import waterfall

router = APIRouter(include_in_schema=False)

_PAGE_SIZE: Final = 50
_LABELS: Final = {
    "text": "Text",
    "owner": "User",
    "team": "Team",
    "tier": "Tier",
    "model": "Model",
    "prompt": "Prompt",
    "status": "Status",
    "product": "Product",
    "service": "Program",
    "cache": "Cache",
    "min_attempts": "Provider calls from",
    "conversation": "Conversation",
    "cluster": "Question group",
    "vote": "Thumbs",
    "score": "Evaluation",
    "refused": "Refused",
    "min_cost": "Cost from $",
    "min_ms": "Took from ms",
    "max_ms": "Took up to ms",
    "min_tokens": "Tokens from",
    "since": "Since",
    "until": "Until",
    "order": "Order",
}
_IN_SIGHT: Final = frozenset({"text", "status", "since", "product", "model", "order"})
"""Filters whose fields always show."""


@router.get("/traces", name="traces")
async def show(
    request: Request, parts: Parts, asker: Tracer, filters: Annotated[TraceFilters, Query()]
) -> Response:
    """The list; its next rows alone when htmx asks for those after a trace, the listing when it asks for another search."""
    found = await parts.traces.find(filters.query(asker, parts.clock.now(), limit=_PAGE_SIZE))
    chosen = filters.chosen()
    values = {
        "traces": found,
        "filters": filters,
        "chosen": chosen,
        "labels": _LABELS,
        "after": found[-1].trace_id if len(found) == _PAGE_SIZE else None,
        "is_admin": asker.may(Scope.ADMIN),
    }
    if is_fragment(request) and filters.after:
        return page(request, "traces_rows.html", values)
    if is_fragment(request):
        return page(request, "traces_listing.html", values)
    choices = await parts.traces.choices(owner=whose(asker))
    is_wide = bool(chosen.keys() - _IN_SIGHT)
    return page(request, "traces.html", {**values, "choices": choices, "is_wide": is_wide})


@router.get("/traces/{trace_id}", name="trace")
async def trace(trace_id: TraceId, request: Request, parts: Parts, asker: Tracer) -> Response:
    """One trace."""
    found = shown_to(asker, await parts.traces.trace(trace_id, owner=whose(asker)))
    whole = waterfall(found)
    return page(
        request,
        "trace.html",
        {
            "trace_id": trace_id,
            "started_at": whole.started_at,
            "whole": whole,
            "ratings": rated_for(asker, await parts.traces.ratings(trace_id)),
            "is_admin": asker.may(Scope.ADMIN),
        },
    )
