"""Two lists of matches into one order: the cosine and BM25, each on a fixed scale, weighted.

fused = weight * max(0, cosine) + (1 - weight) * bm25 / (bm25 + BM25_HALF)

Both scales are the same for every query and candidate list. Min-max normalisation, the usual choice, makes the best
match 1 and the worst 0 however good or bad they are: it is unstable for small collections, and says nothing about
relevance. Reciprocal ranks say nothing about it either. On Cranfield the fixed scales are as good as min-max and better
than reciprocal ranks (bench/results/retrieval.md); Bruch et al. (https://arxiv.org/abs/2210.11934) find the same of
fixed lower ends. A match without a cosine or without BM25 has 0 for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BM25_HALF: Final = 10.0
"""The BM25 score that counts one half; 5 and 20 do as well on Cranfield."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A chunk and its scores, as far as they are known."""

    chunk_id: str
    bm25: float | None
    cosine: float | None
    score: float


def fuse(
    cosines: Mapping[str, float], bm25: Mapping[str, float], *, vector_weight: float
) -> tuple[Fused, ...]:
    """Every chunk of either arm, best first; equal scores by chunk id, so the order of the input does not matter."""
    fused = [
        Fused(
            chunk_id=chunk_id,
            bm25=bm25.get(chunk_id),
            cosine=cosines.get(chunk_id),
            score=vector_weight * max(0.0, cosines.get(chunk_id, 0.0))
            + (1 - vector_weight) * saturated(bm25.get(chunk_id, 0.0)),
        )
        for chunk_id in cosines.keys() | bm25.keys()
    ]
    fused.sort(key=lambda match: (-match.score, match.chunk_id))
    return tuple(fused)


def saturated(bm25: float) -> float:
    """A BM25 score on a scale from 0 to 1."""
    return bm25 / (bm25 + BM25_HALF)
