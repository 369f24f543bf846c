"""What a search is asked, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from causeway.errors import InvalidInputError
from causeway.knowledge.document import Place
from causeway.knowledge.search.facets import FacetValue, check_fields

LONGEST_QUERY: Final = 10_000
"""In characters. No embedding model reads as much; keywords take the rarest words of it."""
MOST_HITS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A query.

    Attributes:
        collection: The collection to search; None searches all.
        filters: Document field or metadata key -> value, or list of values; see
            `causeway.knowledge.index.filters.from_pairs`.
        top_k: Most hits, 1 to `MOST_HITS`.
        rerank: Whether the cross-encoder scores the best candidates; None leaves it to the settings.
        plain_words: Whether filters are read out of the query (`causeway.knowledge.search.plain_words`).
        literal: Words of the query that are not read as a filter.
        time_zone: The asker's, such as ``Europe/Berlin``: ``yesterday`` is theirs; empty is UTC.
        facets: Fields whose values are counted among what is found (`causeway.knowledge.search.facets`).
    """

    query: str
    collection: str | None = None
    filters: Mapping[str, object] = field(default_factory=dict)
    top_k: int = 10
    rerank: bool | None = None
    plain_words: bool = True
    literal: tuple[str, ...] = ()
    time_zone: str = ""
    facets: tuple[str, ...] = ()

    @property
    def zone(self) -> tzinfo:
        """The asker's time zone.

        Raises:
            InvalidInputError: There is none of that name.
        """
        try:
            return ZoneInfo(self.time_zone) if self.time_zone else UTC
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise InvalidInputError(
                f"'{self.time_zone[:60]}' is no time zone; write it like Europe/Berlin"
            ) from exc

    def check(self) -> None:
        """Pass, or refuse.

        Raises:
            InvalidInputError: The query is empty or too long, or ``top_k`` is out of range.
        """
        if not self.query.strip():
            msg = "the query is empty; say what to look for"
            raise InvalidInputError(msg)
        if len(self.query) > LONGEST_QUERY:
            raise InvalidInputError(
                f"the query has {len(self.query)} characters; shorten it to {LONGEST_QUERY} or fewer"
            )
        if not 1 <= self.top_k <= MOST_HITS:
            raise InvalidInputError(f"top_k is {self.top_k}; ask for 1 to {MOST_HITS} hits")
        check_fields(self.facets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How a hit was found; None where an arm did not find it or was not asked.

    Attributes:
        bm25: BM25: above 0, without an upper end.
        vector: The cosine of query and chunk, -1 to 1.
        fused: Both in one, 0 to 1, comparable between queries; see `causeway.knowledge.search.fusion`.
        rerank: The cross-encoder's probability that the passage answers the query, 0 to 1.
    """

    bm25: float | None
    vector: float | None
    fused: float
    rerank: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that a search returned.

    Attributes:
        score: What hits are sorted by, 0 to 1.
        heading: The document's title and the headings above the passage, joined by ' > '.
        page: Where it begins, from 1; None where there are no pages.
        metadata: The document's.
        revision: The document's that it is of.
        places: Where it stands on its pages; empty where that is not known.
        boosts: What its collection's boosts added to its score, as shares of it (`causeway.knowledge.search.boosts`).
    """

    chunk_id: str
    document_id: str
    ordinal: int
    collection: str
    title: str
    source: str
    path: str
    media_type: str
    page: int | None
    heading: str
    text: str
    tokens: int
    score: float
    scores: Scores
    metadata: Mapping[str, object]
    revision: int = 1
    places: tuple[Place, ...] = ()
    boosts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found.

    Attributes:
        hits: Best first.
        understood: How the request was read: ``query``, what was looked for; ``collection``; ``filters``, those that
            its query says among them; ``chips``, which words said which; and ``mended``, the words that no document has, each
            with the word that was searched for instead.
        took_ms: From request to hits.
        is_reranked: Whether the cross-encoder had a share in the order.
        notes: What was left out or failed and so made the hits worse, in sentences; empty when all went well.
        facets: The values of the fields that were asked for, the most frequent first.
    """

    hits: tuple[Hit, ...]
    understood: Mapping[str, object]
    took_ms: int
    is_reranked: bool = False
    notes: tuple[str, ...] = ()
    facets: Mapping[str, tuple[FacetValue, ...]] = field(default_factory=dict)
