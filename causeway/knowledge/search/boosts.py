"""What a collection's options add to a score: newer documents, and those that are marked as the ones to go by.

    boosted = score * (1 + recency * 0.5 ** (age / half life) + authority * is marked) / (1 + recency + authority)

Scores stay from 0 to 1, and at the default shares of 0 they stay as they are. A boost moves documents that match about as
well; it cannot lift one above another that matches more than ``1 + recency + authority`` times as well. Whether it helps is
for the evals of a collection to say (docs/adr/0035-search-at-scale.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from causeway.knowledge.collection_options import Ranking
from causeway.knowledge.index.stores import PlacedChunk


def boosted(
    scores: Mapping[str, float],
    placed: Mapping[str, PlacedChunk],
    rankings: Mapping[str, Ranking],
    now: datetime,
) -> Mapping[str, float]:
    """``scores`` by chunk id, with the boosts of each chunk's collection; ``rankings`` are by its name."""
    if not any(ranking.is_on for ranking in rankings.values()):
        return scores
    raised = dict(scores)
    for chunk_id, score in scores.items():
        place = placed.get(chunk_id)
        ranking = rankings.get(place.collection) if place else None
        if place is not None and ranking is not None and ranking.is_on:
            raised[chunk_id] = score * _factor(place, ranking, now)
    return raised


def added(place: PlacedChunk, ranking: Ranking | None, now: datetime) -> Mapping[str, float]:
    """What each boost adds to the score of a chunk, as a share of it: ``recency``, ``authority``; empty where none is on."""
    if ranking is None or not ranking.is_on:
        return {}
    rounded = {name: round(share, 3) for name, share in _shares(place, ranking, now).items()}
    return {name: share for name, share in rounded.items() if share}


def _shares(place: PlacedChunk, ranking: Ranking, now: datetime) -> Mapping[str, float]:
    age_days = max(timedelta(), now - place.modified_at) / timedelta(days=1)
    newness: float = 0.5 ** (age_days / ranking.half_life_days)
    is_marked = any(_is(place, *mark.split("=", 1)) for mark in ranking.authority)
    return {
        "recency": ranking.recency_percent / 100 * newness,
        "authority": ranking.authority_percent / 100 * is_marked,
    }


def _factor(place: PlacedChunk, ranking: Ranking, now: datetime) -> float:
    most = (ranking.recency_percent + ranking.authority_percent) / 100
    return (1 + sum(_shares(place, ranking, now).values())) / (1 + most)


def _is(place: PlacedChunk, field: str, wanted: str) -> bool:
    match field.strip():
        case "source":
            return place.source == wanted
        case "folder":
            return place.path.startswith(f"{wanted.strip('/')}/")
        case "type":
            return wanted in (place.media_type, place.media_type.rpartition("/")[2])
        case name:
            held = place.metadata.get(name)
            values: Sequence[object] = held if isinstance(held, list) else [held]
            return any(str(value).lower() == wanted.strip().lower() for value in values if value is not None)
