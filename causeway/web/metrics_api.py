"""``/metrics`` for Prometheus: what calls of models took, used and cost, and how the telemetry itself is doing."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from causeway.errors import NotFoundError
from causeway.observability.meters import CONTENT_TYPE
from causeway.web.sign_in import Parts, Scraper

router = APIRouter(tags=["Health"])


@router.get("/metrics", name="metrics", response_class=Response)
async def metrics(parts: Parts, _scraper: Scraper) -> Response:
    """This process's meters since it started, as Prometheus reads them; for administrators unless telemetry.metrics_open."""
    if parts.telemetry is None:
        msg = "nothing is measured here"
        raise NotFoundError(msg)
    return Response(await parts.telemetry.metrics(), media_type=CONTENT_TYPE)
