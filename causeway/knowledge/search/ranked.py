"""Candidates in the order of hits: promoted by neighbours, moved by votes and boosts, each saying something of its own.

Their texts are read at the end, and of as many as are wanted: of a page of ten not of the hundred that were found. Only what
texts or documents decide by themselves, identifiers of the query and a collection's boosts, needs all of them first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from causeway.knowledge.collection_options import Ranking
from causeway.knowledge.index.identifiers import identifiers
from causeway.knowledge.index.stores import ChunkIndex, PlacedChunk
from causeway.knowledge.search.boosts import added, boosted
from causeway.knowledge.search.fusion import Fused
from causeway.knowledge.search.neighbours import promoted
from causeway.knowledge.search.repeats import first_of_each
from causeway.knowledge.search.retrieval_votes import raised
from causeway.knowledge.search.retrieve import Candidates

_MOST_IDENTIFIER_SHARE: Final = 0.8
_SPARE: Final = 1.5
"""Passages that are read for each one that is wanted: some say what another said."""
_FEWEST_READ: Final = 20


@dataclass(frozen=True, slots=True)
class Ranked:
    """A chunk on its way to being a hit; ``score`` is what it is sorted by so far."""

    placed: PlacedChunk
    fused: Fused
    score: float
    rerank: float | None = None
    boosts: Mapping[str, float] = field(default_factory=dict)


async def ranked(
    index: ChunkIndex,
    query: str,
    candidates: Candidates,
    votes: Mapping[str, float],
    rankings: Mapping[str, Ranking],
    now: datetime,
    *,
    wanted: int,
) -> list[Ranked]:
    """The best of the candidates in order, at least ``wanted`` where there are as many that differ.

    Args:
        index: As the caller sees it.
        query: The query.
        candidates: What the arms found.
        votes: Chunk id -> share of the way to 1 that its score is moved.
        rankings: The boosts of collections, by name.
        now: What a document's age counts from.
        wanted: Hits, or passages for the cross-encoder.
    """
    scores = raised(
        promoted({one.chunk_id: one.score for one in candidates.fused}, candidates.embeddings), votes
    )
    asked = identifiers(query)
    if asked or any(ranking.is_on for ranking in rankings.values()):
        placed = await index.get([one.chunk_id for one in candidates.fused])
        scores = boosted(scores, placed, rankings, now)
        found = _favour_identifiers(query, asked, _placed(candidates.fused, scores, placed, rankings, now))
        return _first_of_each(found)
    ordered = sorted(candidates.fused, key=lambda one: (-scores[one.chunk_id], one.chunk_id))
    found, kept, read = list[Ranked](), list[Ranked](), 0
    while read < len(ordered) and len(kept) < wanted:
        part = ordered[read : read + max(_FEWEST_READ, round(_SPARE * wanted))]
        read += len(part)
        placed = await index.get([one.chunk_id for one in part])
        found += _placed(part, scores, placed, rankings, now)
        kept = _first_of_each(found)
    return kept


def _placed(
    fused: Sequence[Fused],
    scores: Mapping[str, float],
    placed: Mapping[str, PlacedChunk],
    rankings: Mapping[str, Ranking],
    now: datetime,
) -> list[Ranked]:
    """Those of ``fused`` that are still there, best first."""
    found = [
        Ranked(place, one, scores[one.chunk_id], boosts=added(place, rankings.get(place.collection), now))
        for one in fused
        if (place := placed.get(one.chunk_id)) is not None
    ]
    return sorted(found, key=_order)


def _first_of_each(found: Sequence[Ranked]) -> list[Ranked]:
    return [found[number] for number in first_of_each([one.placed.chunk.text for one in found])]


def _favour_identifiers(query: str, asked: frozenset[str], found: list[Ranked]) -> list[Ranked]:
    """Candidates that hold the query's part numbers and codes come forward, the more so the less else is asked.

    A vector hardly tells ``E-4017`` from ``E-4071``. Where no candidate holds any, the order stays as it is.
    """
    shares = [
        len(asked & identifiers(candidate.placed.chunk.searchable)) / len(asked) if asked else 0.0
        for candidate in found
    ]
    if not any(shares):
        return found
    weight = min(_MOST_IDENTIFIER_SHARE, len(asked) / len(query.split()))
    favoured = [
        replace(candidate, score=(1 - weight) * candidate.score + weight * share)
        for candidate, share in zip(found, shares, strict=True)
    ]
    return sorted(favoured, key=_order)


def blended(best: Sequence[Ranked], relevance: Sequence[float], weight: float) -> list[Ranked]:
    """``best`` in a new order: relevance is laid on the range of their own scores, so they stay ahead of the rest.

    Blended, not replaced: on Cranfield the cross-encoder alone makes the order worse (bench/results/retrieval.md).
    """
    highest, lowest = best[0].score, best[-1].score
    scored = [
        replace(
            one, score=(1 - weight) * one.score + weight * (lowest + (highest - lowest) * score), rerank=score
        )
        for one, score in zip(best, relevance, strict=True)
    ]
    return sorted(scored, key=_order)


def _order(candidate: Ranked) -> tuple[float, str]:
    return -candidate.score, candidate.placed.chunk.id
