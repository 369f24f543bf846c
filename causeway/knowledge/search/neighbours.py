"""Candidates whose nearest neighbours match well come forward: what is about the same thing is relevant together.

Score regularization (Diaz 2005, https://doi.org/10.1145/1099554.1099722) over the cluster hypothesis of van Rijsbergen:

    smoothed = (1 - SHARE) * score + SHARE * weighted mean score of the NEIGHBOURS candidates nearest to it
    new      = max(score, smoothed)

A neighbour weighs by how much its cosine is above the mean of all pairs, which differs between embedding models; one
below it says nothing. The maximum is ours. A mean of neighbours never exceeds the best score, so the best hit stays the best, and a lone passage
that answers is not pulled down by a crowd that does not. On Cranfield this adds 2 points of nDCG@10; where each query
has one right passage it changes nothing (bench/results/retrieval.md). Without the maximum it adds more to the first and
harms the second.

The best 50 are promoted among themselves: more of them would push aside what answers (1 point of nDCG@10 on Cranfield). Who
asks for more than 50 hits gets those behind them by the neighbours that they have among all, which adds 1.5 points of
Recall@100; they stay behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from causeway.contracts.vectors import Vectors
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

CONSIDERED: Final = 50
"""The best candidates, which are promoted among themselves."""
NEIGHBOURS: Final = 3
SHARE: Final = 0.6


def promoted(scores: Mapping[str, float], vectors: Mapping[str, Vectors]) -> Mapping[str, float]:
    """``scores`` with those raised that good neighbours speak for.

    Args:
        scores: Chunk id -> score, of one query.
        vectors: Chunk id -> its embedding, shape ``(dimensions,)``, unit length. A chunk without one keeps its score, as do
            those of a model that gave fewer than two of the best candidates.
    """
    ordered = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))
    best, behind = ordered[:CONSIDERED], ordered[CONSIDERED:]
    raised = {**scores, **_among(best, scores, vectors)}
    if any(chunk_id in vectors for chunk_id in behind):
        among_all = {**scores, **_among(ordered, scores, vectors)}
        highest = max(among_all[chunk_id] for chunk_id in behind)
        share = min(1.0, min(raised[chunk_id] for chunk_id in best) / highest) if highest > 0 else 1.0
        raised |= {chunk_id: share * among_all[chunk_id] for chunk_id in behind}
    return raised


def _among(
    chunk_ids: Sequence[str], scores: Mapping[str, float], vectors: Mapping[str, Vectors]
) -> Mapping[str, float]:
    """The scores of those of ``chunk_ids`` that have a vector, raised by each other."""
    by_dimensions: dict[int, list[str]] = {}
    for chunk_id in chunk_ids:
        if chunk_id in vectors:
            by_dimensions.setdefault(len(vectors[chunk_id]), []).append(chunk_id)
    raised: dict[str, float] = {}
    for group in by_dimensions.values():
        raised |= _raised(group, scores, vectors)
    return raised


def _raised(
    group: Sequence[str], scores: Mapping[str, float], vectors: Mapping[str, Vectors]
) -> Mapping[str, float]:
    most = min(NEIGHBOURS, len(group) - 1)
    if most < 1:
        return {}
    own = np.array([scores[chunk_id] for chunk_id in group])
    matrix = np.stack([vectors[chunk_id] for chunk_id in group]).astype(np.float64)
    cosines = matrix @ matrix.T
    np.fill_diagonal(cosines, 0.0)
    mean = cosines.sum() / (len(group) * (len(group) - 1))
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :most]
    weights = np.maximum(np.take_along_axis(cosines, nearest, axis=1) - mean, 0.0)
    sums = weights.sum(axis=1)
    means = np.divide((own[nearest] * weights).sum(axis=1), sums, out=own.copy(), where=sums > 0)
    return dict(zip(group, np.maximum(own, (1 - SHARE) * own + SHARE * means).tolist(), strict=True))
