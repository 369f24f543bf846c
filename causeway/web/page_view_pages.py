"""A document page by page, as it looks: its picture, the passages that stand on it, and the quote that was cited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from causeway.errors import CausewayError, NotFoundError
from causeway.knowledge import Chunk, Place
from causeway.web.cited_revision import Looked, look
from causeway.web.document_places_api import PageNumber, Where, quoted
from causeway.web.documents_api import DocumentId
from causeway.web.originals_access import OriginalReader
from causeway.web.parts import WebParts
from causeway.web.rendering import link, page, place
from causeway.web.sign_in import Parts

router = APIRouter(include_in_schema=False)


class Asked(BaseModel):
    """What is looked at on the page.

    Attributes:
        passage: The ordinal of the passage that a citation points at, and ``quote`` its words.
        go: The page that somebody typed in.
    """

    revision: int | None = Field(default=None, ge=1)
    passage: int | None = Field(default=None, ge=0)
    quote: str = Field(default="", max_length=8000)
    go: int | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle as an SVG over the page's picture takes it, in per cent."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, where: Place) -> Box:
        """The box of a place."""
        return cls(
            round(100 * where.x0, 2),
            round(100 * where.y0, 2),
            round(100 * (where.x1 - where.x0), 2),
            round(100 * (where.y1 - where.y0), 2),
        )


@dataclass(frozen=True, slots=True)
class PlacedPassage:
    """A passage that stands on the page."""

    chunk: Chunk
    heading: str
    boxes: tuple[Box, ...]
    is_cited: bool


@router.get("/documents/{document_id}/pages/{number}", name="document_page")
async def show(
    document_id: DocumentId,
    number: PageNumber,
    request: Request,
    parts: Parts,
    asker: OriginalReader,
    asked: Annotated[Asked, Query()],
) -> Response:
    """One page of a document."""
    library = parts.library.seen_by(asker)
    looked = await look(library, document_id, asked.revision)
    if not looked.has_pages:
        raise NotFoundError(f"'{looked.revision.title}' has no pages to show; open its text instead")
    pages = looked.revision.pages or 1
    if number > pages:
        raise NotFoundError(f"'{looked.revision.title}' has {pages} pages and no page {number}")
    if asked.go is not None:
        at = {"document_id": document_id, "number": min(max(asked.go, 1), pages)}
        return RedirectResponse(
            link(request, "document_page", {"revision": looked.asked}, **at), status_code=303
        )
    marks = await _marks(request, parts, Where(library, looked.revision, number), asked)
    if asked.quote.strip() and not marks:
        for other in _other_pages(looked, number, asked.passage):
            if await _marks(request, parts, Where(library, looked.revision, other), asked):
                at = {"document_id": document_id, "number": other}
                query = {"revision": looked.asked, "passage": asked.passage, "quote": asked.quote}
                return RedirectResponse(link(request, "document_page", query, **at), status_code=303)
    return page(
        request,
        "document_page.html",
        {
            "looked": looked,
            "number": number,
            "pages": pages,
            "passages": _passages(looked, number, asked.passage),
            "marks": [Box.of(mark) for mark in marks],
            "is_missed": bool(asked.quote.strip()) and not marks,
            "kept": {"revision": looked.asked},
        },
    )


async def _marks(request: Request, parts: WebParts, where: Where, asked: Asked) -> Sequence[Place]:
    """Where the quote stands on a page; nowhere when its words cannot be read, which its picture says for itself."""
    if not asked.quote.strip():
        return ()
    try:
        return await quoted(request, parts.blobs, where, asked.quote, asked.passage)
    except CausewayError:
        return ()


def _other_pages(looked: Looked, number: int, cited: int | None) -> list[int]:
    """The other pages that the cited passage stands on: a citation names only the first."""
    pages = {where.page for chunk in looked.chunks if chunk.ordinal == cited for where in chunk.places} - {
        number
    }
    return sorted(pages)


def _passages(looked: Looked, number: int, cited: int | None) -> list[PlacedPassage]:
    """The passages that stand on a page, or begin on it where their places are not known."""
    found = []
    for chunk in looked.chunks:
        boxes = tuple(Box.of(where) for where in chunk.places if where.page == number)
        if boxes or (chunk.page == number and not chunk.places):
            heading = place(chunk.heading, looked.revision.title)
            found.append(PlacedPassage(chunk, heading, boxes, chunk.ordinal == cited))
    return found
