"""What the knowledge base keeps: documents, the chunks they are searched by, and what a parser makes of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Literal, NamedTuple

HEADING_SEPARATOR = " > "


class DocumentState(StrEnum):
    """Where a document's newest revision is on its way to being searchable."""

    QUEUED = "queued"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    PAUSED = "paused"
    """Somebody holds it, or its source or collection."""
    CANCELLED = "cancelled"
    """Somebody wanted it no longer; what was searchable before still is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file of one source, identified by ``(collection, source, path)`` and never by its content.

    Attributes:
        source: ``upload``; ``folder:`` and the root's absolute path; ``notion:``, ``slack:``, ``web:`` or ``mail:`` and the
            name that the settings give it.
        path: Where it is in its source, with forward slashes.
        blob: sha256 of its newest bytes.
        revision: Goes up with every new content, from 1.
        ready_revision: The revision that is searchable now; None when none is. An edit that fails to parse
            leaves the last good revision searchable.
        failure: Why the newest revision failed, for its owner.
        pages: Pages of the searchable revision; None where there are no pages.
        notice: What was left out or replaced in the newest revision, for its owner.
    """

    id: str
    collection: str
    source: str
    path: str
    title: str
    media_type: str
    size_bytes: int
    blob: str
    modified_at: datetime
    revision: int
    state: DocumentState
    failure: str | None
    ready_revision: int | None
    ready_blob: str | None
    pages: int | None
    chunks: int
    metadata: Mapping[str, object]
    created_at: datetime
    updated_at: datetime
    notice: str | None = None


BlockKind = Literal["heading", "paragraph", "list", "table", "code"]


class Place(NamedTuple):
    """A rectangle on a page as it is shown, so that a passage can be marked on the page's picture at any size.

    Attributes:
        page: From 1.
        x0, y0, x1, y1: Shares of the page's width and height from its top left corner, 0 to 1.
    """

    page: int
    x0: float
    y0: float
    x1: float
    y1: float

    def packed(self) -> list[int]:
        """Page and sides as the database keeps them: five whole numbers, the sides in `SIDE` ths of the page's."""
        return [self.page, *(round(side * SIDE) for side in (self.x0, self.y0, self.x1, self.y1))]


SIDE = 10_000
"""Parts that a page's side has where places are kept: a fiftieth of a millimetre on A4."""


def unpacked(places: Iterable[Sequence[int]]) -> tuple[Place, ...]:
    """Places from what `Place.packed` made of them."""
    return tuple(Place(page, *(side / SIDE for side in sides)) for page, *sides in places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of a parsed file in reading order, as Markdown.

    Attributes:
        level: 1 to 6 for headings, 0 for all else.
        page: The page it begins on, from 1; None where there are no pages.
        places: Where it stands, a rectangle for each page or column it runs over; empty where that is not known.
            It is no part of what the block says: blocks that differ in it alone are equal.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int | None = None
    places: tuple[Place, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDocument:
    """What a parser makes of a file.

    Attributes:
        title: The document's own title; empty when it has none.
        media_type: What the bytes really are, such as ``application/pdf``.
        pages: None where there are no pages.
        metadata: What the file says about itself: ``author``, ``created``, ``subject``.
        page_words: Pages that were read from their picture -> their words with their places, as
            `causeway.knowledge.page_words` packs them.
    """

    title: str
    media_type: str
    blocks: tuple[Block, ...]
    pages: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    page_words: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A stretch of a document that is embedded, found and cited as one.

    Attributes:
        ordinal: Its place in the document, from 0.
        heading: The document's title and the headings above the chunk, joined by ``HEADING_SEPARATOR``; it is
            indexed with the text.
        tokens: Of heading and text together, as the embedding model counts them.
        places: Where the blocks stand that it was made of; no part of what it says.
        context: What a model wrote of its place in the document: it is found by it, and not shown as its text.
        parent: The ordinal of the first chunk of the section that an answer is given in its stead; None: itself.
    """

    ordinal: int
    heading: str
    text: str
    page: int | None
    tokens: int
    places: tuple[Place, ...] = field(default=(), compare=False)
    context: str = ""
    parent: int | None = None

    @property
    def searchable(self) -> str:
        """What is embedded and matched: the heading path and the context above the text."""
        return "\n".join(
            (self.heading, self.context, self.text) if self.context else (self.heading, self.text)
        )

    def digest(self, embedding_model: str) -> bytes:
        """What tells that its vector is known: sha256 of the model and of all that is embedded."""
        return sha256(f"{embedding_model}\n{self.searchable}".encode("utf-8", "surrogatepass")).digest()
