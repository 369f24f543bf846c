"""The sources for people: how the last sync of each went, when the next is, and a button that runs one now."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from causeway.web.collections_api import Action, Shelves
from causeway.web.rendering import is_fragment, link, page
from causeway.web.sign_in import Operator, Parts
from causeway.web.sources_api import SourceName, act_on_source

router = APIRouter(include_in_schema=False)


@router.get("/sources", name="sources")
async def show(request: Request, parts: Parts, _operator: Operator) -> Response:
    """The page; its table alone when htmx asks."""
    found = await parts.sources.all()
    left = [] if is_fragment(request) else await parts.sources.left()
    is_busy = any(each.state in ("queued", "running") for each in found)
    template = "sources_table.html" if is_fragment(request) else "sources.html"
    return page(request, template, {"sources": found, "left": left, "is_busy": is_busy})


@router.post("/sources/{source}/sync", name="source_sync")
async def sync(source: SourceName, request: Request, parts: Parts, _operator: Operator) -> Response:
    """Run one now, from a plain form."""
    await parts.sources.request(source)
    return RedirectResponse(link(request, "sources"), status_code=303)


@router.post("/sources/{source}/remove", name="source_remove")
async def remove(
    source: SourceName,
    request: Request,
    parts: Parts,
    _operator: Operator,
    documents: Annotated[Literal["keep", "delete"], Form()] = "keep",
) -> Response:
    """Decide on a source that was taken out of the settings, from a plain form; without a word documents are kept."""
    await parts.sources.forget(source, documents=documents == "delete")
    return RedirectResponse(link(request, "sources"), status_code=303)


@router.post("/sources/{source}/{action}", name="source_control")
async def control(
    source: SourceName,
    action: Action,
    request: Request,
    parts: Parts,
    shelves: Shelves,
    _operator: Operator,
) -> Response:
    """Pause, resume, cancel or re-index a source's documents, from a plain form."""
    await act_on_source(parts, shelves, source, action)
    return RedirectResponse(link(request, "sources"), status_code=303)
