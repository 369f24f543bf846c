"""Which revision of a document is looked at: the one that was asked for, or the newest where that is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request

from causeway.errors import NotFoundError
from causeway.knowledge import SHOWN, Chunk, Document, Hit, KeptRevision
from causeway.web.parts import SeenLibraryDoor
from causeway.web.rendering import link


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A revision that is looked at.

    Attributes:
        document: None when it has been deleted, and the revision stays for those who cited it.
        lost: The number of the revision that was asked for and is not kept any more; the newest stands for it.
    """

    revision: KeptRevision
    document: Document | None
    chunks: Sequence[Chunk]
    lost: int | None = None

    @property
    def asked(self) -> int | None:
        """What links to the same revision carry: its number, or nothing for the newest."""
        return None if self.revision.retired_at is None else self.revision.revision

    @property
    def has_pages(self) -> bool:
        """Whether its pages can be shown."""
        return bool(self.revision.pages) and self.revision.media_type in SHOWN


async def look(library: SeenLibraryDoor, document_id: str, number: int | None) -> Looked:
    """The revision ``number`` of a document, or its searchable one.

    Raises:
        NotFoundError: There is neither.
    """
    document: Document | None
    try:
        document = await library.document(document_id)
    except NotFoundError:
        document = None
    lost = None
    try:
        revision = await library.revision(document_id, number)
    except NotFoundError:
        if document is None or number is None:
            raise
        lost = number
        revision = await library.revision(document_id)
    return Looked(revision=revision, document=document, chunks=await library.read(revision), lost=lost)


def passage_link(request: Request, hit: Hit, quote: str = "") -> str:
    """Where a passage is read in its document as it was found: on its page where that can be shown, else in the text."""
    anchor = f"#chunk-{hit.ordinal}"
    asked = {"revision": hit.revision, "quote": quote}
    if hit.page is None or hit.media_type not in SHOWN:
        return link(request, "document", asked, document_id=hit.document_id) + anchor
    at = {"document_id": hit.document_id, "number": hit.page}
    return link(request, "document_page", {**asked, "passage": hit.ordinal}, **at) + anchor
