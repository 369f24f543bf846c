"""What an index gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from causeway.knowledge.document import Place


@dataclass(frozen=True, slots=True)
class Match:
    """A chunk that one search arm found.

    Attributes:
        score: The cosine for vectors; for keywords BM25, which is above 0 and has no upper end. More is better.
    """

    chunk_id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """A chunk as it is kept; see `causeway.knowledge.document.Chunk` for its parts."""

    id: str
    document_id: str
    ordinal: int
    heading: str
    text: str
    page: int | None
    tokens: int
    places: tuple[Place, ...] = field(default=(), compare=False)

    @property
    def searchable(self) -> str:
        """What is embedded and matched."""
        return f"{self.heading}\n{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedChunk:
    """A chunk with the document it belongs to.

    Attributes:
        revision: The document's that is searchable now; a citation of the chunk is of this one.
    """

    chunk: StoredChunk
    revision: int
    collection: str
    title: str
    source: str
    path: str
    media_type: str
    modified_at: datetime
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedCollection:
    """What a search has to know of a collection: which model its vectors are of."""

    id: str
    name: str
    embedding_model: str
    dimensions: int
