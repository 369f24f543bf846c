"""``/api/documents/ID/...``: what stands in a document and where, page by page, and its revisions from before.

Places are shares of the page as it is shown, 0 to 1 from its top left corner, so they hold for its picture at any size.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from causeway.errors import NotFoundError
from causeway.knowledge import (
    PDF,
    SHOWN,
    KeptRevision,
    Pages,
    PageWords,
    Place,
    find_quote,
    picture_type,
)
from causeway.web.answers import PlaceShape, place_shapes
from causeway.web.documents_api import DocumentId
from causeway.web.originals_access import OriginalReader
from causeway.web.parts import BlobDoor, SeenLibraryDoor
from causeway.web.sign_in import Asker, Ingester, Parts

router = APIRouter(prefix="/api/documents", tags=["Documents"])

PageNumber = Annotated[int, Path(ge=1, le=100_000)]
RevisionNumber = Annotated[
    int | None, Query(ge=1, description="As a citation names it; null is the searchable one")
]

_SIDE = 10_000


class ChunkShape(BaseModel):
    """A passage as the search has it."""

    ordinal: int = Field(description="Its place in the document, from 0")
    heading: str = Field(description="The headings above it, joined by ` > `")
    text: str = Field(description="Markdown")
    page: int | None = Field(description="Where it begins, from 1; null where there are no pages")
    tokens: int
    bbox: list[PlaceShape]


class ChunkList(BaseModel):
    """A revision's passages in order."""

    document_id: str
    revision: int
    title: str
    pages: int | None
    is_current: bool = Field(
        description="False when a newer revision has replaced it, or the document is deleted"
    )
    chunks: list[ChunkShape]


class RevisionShape(BaseModel):
    """A revision that has been replaced and can still be opened."""

    revision: int
    title: str
    path: str
    media_type: str
    pages: int | None
    retired_at: datetime | None = Field(description="When it was replaced, or the document deleted")


class RevisionList(BaseModel):
    """The newest first."""

    revisions: list[RevisionShape]


class PurgedShape(BaseModel):
    """What a purge did."""

    purged: int = Field(description="Revisions that can no longer be opened")


class WordShape(BaseModel):
    """A word on a page."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float


class WordList(BaseModel):
    """The words of a page, or where a quote stands on it."""

    page: int
    revision: int
    bbox: list[PlaceShape] = Field(
        description="With a `quote`: a rectangle for each of its lines; empty when the page does not have it"
    )
    words: list[WordShape] = Field(description="Without one: every word, in the order of reading")


@router.get("/{document_id}/chunks", name="api_document_chunks")
async def chunks(
    document_id: DocumentId, parts: Parts, asker: Asker, revision: RevisionNumber = None
) -> ChunkList:
    """What a document's revision says, passage by passage, and where each stands."""
    library = parts.library.seen_by(asker)
    found = await library.revision(document_id, revision)
    return ChunkList(
        document_id=document_id,
        revision=found.revision,
        title=found.title,
        pages=found.pages,
        is_current=found.retired_at is None,
        chunks=[
            ChunkShape(
                ordinal=chunk.ordinal,
                heading=chunk.heading,
                text=chunk.text,
                page=chunk.page,
                tokens=chunk.tokens,
                bbox=place_shapes(chunk.places),
            )
            for chunk in await library.read(found)
        ],
    )


@router.get("/{document_id}/revisions", name="api_document_revisions")
async def revisions(document_id: DocumentId, parts: Parts, asker: Asker) -> RevisionList:
    """Revisions that were replaced, or whose document was deleted, and can still be opened."""
    return RevisionList(
        revisions=[
            RevisionShape(
                revision=each.revision,
                title=each.title,
                path=each.path,
                media_type=each.media_type,
                pages=each.pages,
                retired_at=each.retired_at,
            )
            for each in await parts.library.seen_by(asker).revisions(document_id)
        ]
    )


@router.delete("/{document_id}/revisions", name="api_purge_revisions")
async def purge(document_id: DocumentId, parts: Parts, ingester: Ingester) -> PurgedShape:
    """Forget them for good, files and all; the document itself, if there is one, stays as it is."""
    return PurgedShape(purged=await parts.library.seen_by(ingester).purge(document_id))


@router.get(
    "/{document_id}/pages/{number}",
    name="api_page_image",
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The page as a picture"}},
)
async def page_image(
    document_id: DocumentId,
    number: PageNumber,
    request: Request,
    parts: Parts,
    asker: OriginalReader,
    revision: RevisionNumber = None,
) -> Response:
    """A page of a PDF or of a picture, as a picture of at most 1,100 pixels across."""
    found = await parts.library.seen_by(asker).revision(document_id, revision)
    if found.media_type not in SHOWN:
        raise NotFoundError(f"'{found.title}' has no page pictures: it is neither a PDF nor a picture")
    etag = f'"{found.blob[:32]}-{number}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    pages: Pages = request.app.state.pages
    picture = await pages.picture(parts.blobs.path(found.blob), number)
    return Response(picture, media_type=picture_type(picture), headers=headers)


class QuoteQuery(BaseModel):
    """A quote whose place on a page is asked for."""

    quote: str = Field(default="", max_length=8000, description="Where does this stand on the page?")
    ordinal: int | None = Field(default=None, ge=0, description="The passage it is from, looked in first")
    revision: int | None = Field(default=None, ge=1, description="As it was; null is the newest")


@router.get("/{document_id}/pages/{number}/words", name="api_page_words")
async def page_words(
    document_id: DocumentId,
    number: PageNumber,
    request: Request,
    parts: Parts,
    asker: OriginalReader,
    wanted: Annotated[QuoteQuery, Query()],
) -> WordList:
    """Where a quote stands on a page; without one, every word and where it stands.

    Scans know it from when they were read, PDFs with text are asked.
    """
    library = parts.library.seen_by(asker)
    found = await library.revision(document_id, wanted.revision)
    where = Where(library, found, number)
    if wanted.quote.strip():
        places = await quoted(request, parts.blobs, where, wanted.quote, wanted.ordinal)
        return WordList(page=number, revision=found.revision, bbox=place_shapes(places), words=[])
    words = await _words(request, parts.blobs, where)
    return WordList(page=number, revision=found.revision, bbox=[], words=_shapes(words))


@dataclass(frozen=True, slots=True)
class Where:
    """A page of a revision, in the library as its reader sees it."""

    library: SeenLibraryDoor
    revision: KeptRevision
    page: int


async def quoted(
    request: Request, blobs: BlobDoor, where: Where, quote: str, ordinal: int | None
) -> tuple[Place, ...]:
    """Where a quote stands on a page, looked for in passage ``ordinal`` first.

    Raises:
        NotFoundError: There is no such page.
        UnreadableDocumentError: Its words cannot be read.
    """
    words = await _words(request, blobs, where)
    within = [
        place
        for chunk in (await where.library.read(where.revision) if ordinal is not None else ())
        if chunk.ordinal == ordinal
        for place in chunk.places
    ]
    return await asyncio.to_thread(find_quote, words, where.page, quote, within=within)


async def _words(request: Request, blobs: BlobDoor, where: Where) -> PageWords:
    found, number = where.revision, where.page
    stored = await where.library.words_of(found.document_id, found.revision, page=number)
    if stored is not None:
        return stored
    if found.pages is not None and number > found.pages:
        raise NotFoundError(f"'{found.title}' has no page {number}")
    if found.media_type != PDF:
        return PageWords(())
    pages: Pages = request.app.state.pages
    return await pages.words(blobs.path(found.blob), number)


def _shapes(words: PageWords) -> list[WordShape]:
    return [
        WordShape(
            text=word.text, x0=word.x0 / _SIDE, y0=word.y0 / _SIDE, x1=word.x1 / _SIDE, y1=word.y1 / _SIDE
        )
        for word in words.words
    ]
