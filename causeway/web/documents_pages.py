"""The documents: what is there and how far each is; adding and deleting; a document read as the search reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from causeway.contracts.identity import Principal, Scope
from causeway.errors import NotFoundError
from causeway.knowledge import SHOWN, Chunk, DocumentState
from causeway.web.admin_access import Storable
from causeway.web.cited_revision import look
from causeway.web.collections_api import Action, Shelves, act
from causeway.web.documents_api import DocumentId
from causeway.web.parts import WebParts
from causeway.web.rendering import is_fragment, link, page, place
from causeway.web.sign_in import CSRF_FIELD, Asker, Ingester, Known, Parts, check_csrf
from causeway.web.tables import Listing, Order
from causeway.web.uploads import read_upload, store

router = APIRouter(include_in_schema=False)

PAGE_SIZE = 50
_SORTED_BY = ("title", "collection", "size", "updated")


class View(BaseModel):
    """Which documents are looked at, and in which order, as the address says."""

    q: Annotated[Storable, Field(max_length=200)] = ""
    state: str = Field(default="", max_length=20)
    collection: Annotated[Storable, Field(max_length=200)] = ""
    sort: str = Field(default="", max_length=20)
    number: int = Field(default=1, alias="page", ge=1, le=100_000)

    @property
    def wanted(self) -> DocumentState | None:
        """The state that is looked for; None is every one."""
        return DocumentState(self.state) if self.state in set(DocumentState) else None

    @property
    def order(self) -> Order:
        """By what they are sorted."""
        return Order.read(self.sort, _SORTED_BY, "-updated")


@dataclass(frozen=True, slots=True)
class Section:
    """Chunks that stand under the same headings."""

    heading: str
    chunks: tuple[Chunk, ...]


@router.get("/documents", name="documents")
async def show(request: Request, parts: Parts, asker: Asker, view: Annotated[View, Query()]) -> Response:
    """The page; its table alone when htmx asks."""
    listing = Listing(
        request=request,
        route="documents",
        values={"q": view.q, "state": view.state, "collection": view.collection, "sort": view.sort},
        order=view.order,
        first=("size", "updated"),
    )
    template = "documents_table.html" if is_fragment(request) else "documents.html"
    return page(request, template, {**await _listing(parts, asker, view), "listing": listing})


@router.post("/documents", name="documents_post")
async def add(request: Request, parts: Parts, known: Known) -> Response:
    """Files from a plain form, for browsers without scripts."""
    known.require(Scope.INGEST)
    async with read_upload(request, parts.uploads, max_bytes=parts.settings.max_upload_bytes) as form:
        check_csrf(request, form.fields.get(CSRF_FIELD))
        for file in form.files:
            await store(file, form.fields, by=known)
    return RedirectResponse(link(request, "documents"), status_code=303)


@router.get("/documents/{document_id}", name="document")
async def document(
    document_id: DocumentId,
    request: Request,
    parts: Parts,
    asker: Asker,
    revision: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """A document's passages in order, under its headings; ``revision`` as it was when it was cited."""
    library = parts.library.seen_by(asker)
    looked = await look(library, document_id, revision)
    values = {
        "looked": looked,
        "document": looked.document,
        "sections": _sections(looked.chunks, looked.revision.title),
        "revisions": await library.revisions(document_id),
    }
    return page(request, "document.html", values)


@router.post("/documents/{document_id}/delete", name="document_delete")
async def delete(document_id: DocumentId, request: Request, parts: Parts, ingester: Ingester) -> Response:
    """Delete from a plain form."""
    await parts.library.seen_by(ingester).delete(document_id)
    return RedirectResponse(link(request, "documents"), status_code=303)


@router.post("/documents/{document_id}/purge", name="document_purge")
async def purge(document_id: DocumentId, request: Request, parts: Parts, ingester: Ingester) -> Response:
    """Forget the revisions that are kept for those who cited them, from a plain form."""
    library = parts.library.seen_by(ingester)
    await library.purge(document_id)
    try:
        await library.document(document_id)
    except NotFoundError:
        return RedirectResponse(link(request, "documents"), status_code=303)
    return RedirectResponse(link(request, "document", document_id=document_id), status_code=303)


@router.post("/documents/{document_id}/retry", name="document_retry")
async def retry(
    document_id: DocumentId,
    request: Request,
    parts: Parts,
    ingester: Ingester,
    back: Annotated[str, Form()] = "",
) -> Response:
    """Ingest the newest bytes once more."""
    await parts.library.seen_by(ingester).retry(document_id)
    target = (
        link(request, "document", document_id=document_id)
        if back == "document"
        else link(request, "documents")
    )
    return RedirectResponse(target, status_code=303)


@router.post("/documents/{document_id}/{action}", name="document_control")
async def control(
    document_id: DocumentId,
    action: Action,
    request: Request,
    shelves: Shelves,
    parts: Parts,
    ingester: Ingester,
) -> Response:
    """Pause, resume, cancel or re-index one, from a plain form."""
    await parts.library.seen_by(ingester).document(document_id)
    await act(shelves, action, await shelves.control.selection(document_id))
    return RedirectResponse(link(request, "documents"), status_code=303)


async def _listing(parts: WebParts, asker: Principal, view: View) -> dict[str, object]:
    library = parts.library.seen_by(asker)
    found = await library.documents(
        collection=view.collection or None,
        state=view.wanted,
        text=view.q,
        order=str(view.order),
        limit=PAGE_SIZE,
        offset=(view.number - 1) * PAGE_SIZE,
    )
    collections = await library.collections()
    ids = {each.name: each.id for each in collections}
    progress = None
    if parts.ingest and asker.sees_as is None:  # it counts every document
        progress = await parts.ingest.progress.read(collection_id=ids.get(view.collection))
    return {
        "progress": progress,
        "documents": found.documents,
        "total": found.total,
        "counts": {state.value: number for state, number in found.counts.items()},
        "collections": [each.name for each in collections],
        "is_empty": not any(each.documents for each in collections),
        "is_busy": any(found.counts[state] for state in (DocumentState.QUEUED, DocumentState.PROCESSING)),
        "view": view,
        "shown_types": SHOWN,
        "pages": max(1, -(-found.total // PAGE_SIZE)),
        "max_upload_bytes": parts.settings.max_upload_bytes,
    }


def _sections(chunks: Sequence[Chunk], title: str) -> list[Section]:
    sections: list[Section] = []
    for chunk in chunks:
        heading = place(chunk.heading, title)
        if sections and sections[-1].heading == heading:
            sections[-1] = Section(heading, (*sections[-1].chunks, chunk))
        else:
            sections.append(Section(heading, (chunk,)))
    return sections
