"""``/api/documents``: files in and out, and their states; what stands in them is `document_places_api`'s."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response

from causeway.errors import InvalidInputError
from causeway.knowledge import Document, DocumentState, KeptRevision
from causeway.web.collections_api import Action, Shelves, act
from causeway.web.originals_access import OriginalReader
from causeway.web.sign_in import Asker, Ingester, Parts
from causeway.web.uploads import read_upload, store

router = APIRouter(prefix="/api/documents", tags=["Documents"])

DocumentId = Annotated[str, Path(pattern="^doc_[0-9a-f]{32}$")]

_SHOWN_IN_PLACE = frozenset({"application/pdf", "image/png", "image/jpeg", "image/webp", "text/plain"})
"""Types a browser may show; every other is a download. Never HTML or SVG: they would run on our origin."""
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
_PDF_POLICY = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""A sandbox turns the browser's own PDF viewer off, and a PDF cannot script our pages."""


class DocumentShape(BaseModel):
    """A document and how far it is."""

    document_id: str
    title: str
    collection: str
    source: str
    path: str
    media_type: str
    size_bytes: int
    state: DocumentState
    failure: str | None = Field(description="Why its newest revision failed")
    notice: str | None = Field(
        default=None, description="What was left out or replaced in its newest revision"
    )
    is_searchable: bool = Field(description="True as soon as any revision is")
    revision: int
    pages: int | None
    chunks: int
    metadata: dict[str, Any]
    modified_at: datetime
    created_at: datetime
    updated_at: datetime


class DocumentList(BaseModel):
    """A page of documents, those that changed last first."""

    documents: list[DocumentShape]
    total: int
    counts: dict[DocumentState, int] = Field(
        description="Documents in each state, whatever state was asked for"
    )


class UploadShape(BaseModel):
    """What an upload did."""

    document_id: str
    state: DocumentState
    change: str = Field(description="`new`, `changed`, or `unchanged` when these very bytes were there")


_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "collection": {"type": "string", "description": "Empty means the default one"},
                        "metadata": {"type": "string", "description": "A JSON object"},
                    },
                }
            }
        },
    }
}


@router.post("", name="api_upload", status_code=202, openapi_extra=_UPLOAD_BODY)
async def upload(
    request: Request,
    parts: Parts,
    ingester: Ingester,
    idempotency_key: Annotated[
        str,
        Header(max_length=200, description="Names this very upload, for sending it again without an answer"),
    ] = "",
) -> UploadShape:
    """Add a file, or a new revision of the file of that name; it becomes searchable in the background."""
    key = f"{ingester.id}:{idempotency_key}" if idempotency_key else ""
    async with read_upload(request, parts.uploads, max_bytes=parts.settings.max_upload_bytes) as form:
        if len(form.files) != 1:
            raise InvalidInputError(f"send one file in the field 'file'; this form has {len(form.files)}")
        added = await store(form.files[0], form.fields, by=ingester, key=key)
    return UploadShape(document_id=added.document_id, state=added.state, change=added.change)


@router.get("", name="api_documents")
async def documents(
    parts: Parts,
    asker: Asker,
    collection: str | None = None,
    state: DocumentState | None = None,
    q: Annotated[str, Query(max_length=200, description="Words of the title or path")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> DocumentList:
    """Documents, those that changed last first."""
    found = await parts.library.seen_by(asker).documents(
        collection=collection, state=state, text=q, limit=limit, offset=offset
    )
    return DocumentList(
        documents=[_shape(document) for document in found.documents],
        total=found.total,
        counts=dict(found.counts),
    )


@router.get("/{document_id}", name="api_document")
async def document(document_id: DocumentId, parts: Parts, asker: Asker) -> DocumentShape:
    """One document."""
    return _shape(await parts.library.seen_by(asker).document(document_id))


@router.post("/{document_id}/{action}", name="api_control_document", status_code=202)
async def control(
    document_id: DocumentId, action: Action, shelves: Shelves, parts: Parts, ingester: Ingester
) -> DocumentShape:
    """Pause, resume, cancel or re-index one document."""
    library = parts.library.seen_by(ingester)
    await library.document(document_id)
    await act(shelves, action, await shelves.control.selection(document_id))
    return _shape(await library.document(document_id))


@router.delete("/{document_id}", name="api_delete_document", status_code=204)
async def delete(
    document_id: DocumentId,
    parts: Parts,
    ingester: Ingester,
    purge: Annotated[bool, Query(description="Also forget what is kept for those who cited it")] = False,
) -> None:
    """Forget a document: nothing finds it any more, at once.

    What answers have cited of it can be opened for `knowledge.keep_versions_days` more, unless it is purged.
    """
    await parts.library.seen_by(ingester).delete(document_id, purge=purge)


@router.get(
    "/{document_id}/file",
    name="api_document_file",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The file's bytes"}},
)
async def file(
    document_id: DocumentId,
    parts: Parts,
    asker: OriginalReader,
    download: bool = False,
    revision: Annotated[int | None, Query(ge=1, description="As it was; null is the newest")] = None,
) -> Response:
    """The file itself; shown by the browser only where that is safe, else a download."""
    found: Document | KeptRevision
    if revision is None:
        found = await parts.library.seen_by(asker).document(document_id)
    else:
        found = await parts.library.seen_by(asker).revision(document_id, revision)
    is_shown = found.media_type in _SHOWN_IN_PLACE and not download
    headers = {
        "content-disposition": _disposition(PurePosixPath(found.path).name, is_shown=is_shown),
        "content-security-policy": _PDF_POLICY if found.media_type == "application/pdf" else _FILE_POLICY,
        "cache-control": "private, no-cache",
    }
    media_type = found.media_type if is_shown else "application/octet-stream"
    if media_type == "text/plain":
        media_type = "text/plain; charset=utf-8"
    return FileResponse(parts.blobs.path(found.blob), media_type=media_type, headers=headers)


def _disposition(name: str, *, is_shown: bool) -> str:
    """RFC 6266: a plain name for old readers, the true one in UTF-8."""
    plain = "".join(letter if letter.isascii() and letter not in '"\\%' else "_" for letter in name)
    return f"{'inline' if is_shown else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _shape(document: Document) -> DocumentShape:
    return DocumentShape(
        document_id=document.id,
        title=document.title,
        collection=document.collection,
        source=document.source,
        path=document.path,
        media_type=document.media_type,
        size_bytes=document.size_bytes,
        state=document.state,
        failure=document.failure,
        notice=document.notice,
        is_searchable=document.ready_revision is not None,
        revision=document.revision,
        pages=document.pages,
        chunks=document.chunks,
        metadata=dict(document.metadata),
        modified_at=document.modified_at,
        created_at=document.created_at,
        updated_at=document.updated_at,
    )
