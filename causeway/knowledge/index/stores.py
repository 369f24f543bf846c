"""What an index is asked for and gives back; PostgreSQL alone is one, and so is PostgreSQL with Pinecone.

The contract, which `causeway.testing.chunk_index_contract` holds both to:

- ``replace_document`` is the only way chunks are written: all of a revision is found, or all of the one before, whatever
  fails; a revision that is not the document's newest changes nothing.
- A document whose row is deleted is found no more from that moment on, wherever its vectors are.
- A filter decides exactly: nothing that does not pass is ever found, and few that pass are found as surely as many.
- What a caller may not see is not there, for an index that is seen by them.
- ``maintain`` is called again and again by whoever works; nothing that a search finds depends on whether it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from causeway.contracts.identity import Principal
from causeway.contracts.vectors import Vectors
from causeway.knowledge.document import Chunk, Place
from causeway.knowledge.index.filters import EVERYTHING, Filter
from causeway.knowledge.sight import Sight


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
    """What a search has to know of a collection: which model its vectors are of, and what it is told by its options."""

    id: str
    name: str
    embedding_model: str
    dimensions: int
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats:
    """What is searchable of a collection, and where its vectors are.

    Attributes:
        vectors_in: Where they end up: ``postgres`` or ``pinecone``.
        vectors_here: How many are in PostgreSQL now.
    """

    collection: str
    vectors_in: str
    documents: int
    chunks: int
    vectors_here: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What was done of what writes leave to do.

    Attributes:
        done: Vectors that were taken to where they end up, or away.
        waiting: Vectors that were written there and cannot be read back yet.
    """

    done: int = 0
    waiting: int = 0


class ChunkIndex(Protocol):
    """Chunks that can be found; see the module."""

    def seen_by(self, principal: Principal) -> ChunkIndex:
        """This index as a caller sees it: every search and read of it finds only what they may see."""
        ...

    @property
    def sight(self) -> Sight:
        """What its caller sees."""
        ...

    async def prepare(self) -> None:
        """Make what is missing; before anything else, in the process that works."""
        ...

    async def replace_document(  # noqa: PLR0913 - what becomes true of a document, together or not at all
        self,
        document_id: str,
        revision: int,
        pieces: Sequence[Chunk],
        vectors: Vectors,
        *,
        media_type: str,
        title: str,
        pages: int | None,
        blob: str,
    ) -> bool:
        """Make ``pieces`` what is found of a document, and the document ready; a repeat changes nothing.

        Returns:
            False, with nothing changed, when the document is gone or ``revision`` is no longer its newest.

        Raises:
            InvalidInputError: The vectors are not one for each piece, or not of the collection's dimensions.
        """
        ...

    async def vectors_of(self, document_id: str, digests: Sequence[bytes]) -> Mapping[bytes, Vectors]:
        """The vectors that are known of a document: of those of its searchable chunks that have one of ``digests``.

        One that is left out is embedded again, so nothing is ever wrong for want of it.
        """
        ...

    async def dense(
        self,
        vector: Vectors,
        k: int,
        where: Filter = EVERYTHING,
        *,
        missing: list[str] | None = None,
    ) -> Sequence[Match]:
        """The ``k`` chunks nearest to ``vector`` by cosine, nearest first; equal ones by chunk id.

        Args:
            vector: Shape ``(dimensions,)``, unit length.
            k: Most chunks.
            where: May only let documents pass whose vectors are of the model that made ``vector``.
            missing: Gets a sentence for each collection whose vectors cannot be reached, in place of an error.

        Raises:
            TryLaterError: Vectors cannot be reached, and ``missing`` is None; so `SettingsError`.
        """
        ...

    async def lexical(
        self, query: str, k: int, where: Filter = EVERYTHING, *, mended: dict[str, str] | None = None
    ) -> Sequence[Match]:
        """The ``k`` best chunks that hold a word of ``query``, by BM25, best first; equal ones by chunk id.

        ``mended`` gets the stems of the query that nothing has, each with the one that was searched for instead.
        """
        ...

    async def chunks_of(self, document_id: str) -> Sequence[StoredChunk]:
        """The searchable chunks of a document, in its order; none when it is not there or not ready."""
        ...

    async def get(self, chunk_ids: Sequence[str]) -> Mapping[str, PlacedChunk]:
        """Those of ``chunk_ids`` that are there now, with their documents."""
        ...

    async def cosines(
        self,
        chunk_ids: Sequence[str],
        vector: Vectors,
        where: Filter = EVERYTHING,
        *,
        missing: list[str] | None = None,
    ) -> Mapping[str, float]:
        """How near each of ``chunk_ids`` is to ``vector``; without those that are gone or do not pass ``where``.

        ``missing`` and what is raised: as for `dense`.
        """
        ...

    async def embeddings(self, chunk_ids: Sequence[str]) -> Mapping[str, Vectors]:
        """The vectors of those of ``chunk_ids`` that are there now, each of shape ``(dimensions,)`` and unit length.

        One that cannot be reached is left out.
        """
        ...

    async def collections(self) -> Sequence[IndexedCollection]:
        """Every collection, by name."""
        ...

    async def stats(self) -> Sequence[IndexStats]:
        """What is searchable of each collection, by name."""
        ...

    async def maintain(self) -> Upkeep:
        """Do a bounded piece of what writes leave to do; nothing done and nothing waiting is the end of it."""
        ...
