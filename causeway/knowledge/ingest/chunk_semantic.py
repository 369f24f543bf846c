"""The strategy ``semantic``: a chunk ends where the text turns to something else, as its sentences' vectors tell.

After Kamradt, "5 levels of text splitting" (2024): neighbouring sentences are compared, two on each side so that a lone
short one does not decide, and the text is cut where they differ more than a share of all of them do. A long document's
sentences are put together first, so that it never needs more than `MOST_VECTORS` vectors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from causeway.contracts.vectors import Vectors
from causeway.knowledge.document import Block, Chunk
from causeway.knowledge.ingest.chunk_flat import Filling, Size
from causeway.knowledge.ingest.chunk_text import Counter, Unit
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

MOST_VECTORS = 2000
_LEAST_SHARE = 0.15
"""Of a chunk: a shorter one is not ended for the sake of its meaning."""

Embed = Callable[[Sequence[str]], Awaitable[Vectors]]


async def semantic(
    counter: Counter, blocks: Sequence[Block], *, title: str, size: Size, percentile: int, embed: Embed
) -> tuple[Chunk, ...]:
    """Chunks that end where the text turns to something else, or are full.

    Raises:
        CausewayError: The embedding model failed.
    """
    filling = Filling(counter, blocks, heading=title, size=replace(size, overlap_tokens=0))
    units = list(filling.text.sentences(filling.room))
    together = max(1, -(-len(units) // MOST_VECTORS))
    groups = [units[first : first + together] for first in range(0, len(units), together)]
    if len(groups) < 3:
        return filling.chunks(iter(units))
    vectors = await embed([filling.text.write(group, repeats_headers=False) for group in groups])
    turns = _turns(vectors, percentile)
    return filling.chunks(iter(units), _long_enough(filling, groups, turns))


def _turns(vectors: Vectors, percentile: int) -> frozenset[int]:
    """The groups before which the text turns to something else."""
    before = vectors[:-1] + np.vstack([vectors[:1], vectors[:-2]])
    after = vectors[1:] + np.vstack([vectors[2:], vectors[-1:]])
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    distances = 1.0 - np.einsum("ij,ij->i", before, after) / np.maximum(lengths, 1e-9)
    edge = np.percentile(distances, percentile)
    return frozenset(int(place) + 1 for place in np.nonzero(distances >= edge)[0] if distances[place] > 0)


def _long_enough(
    filling: Filling, groups: Sequence[Sequence[Unit]], turns: frozenset[int]
) -> frozenset[Unit]:
    """The units before which a chunk ends: not right after a heading, nor one that is a scrap."""
    breaks: set[Unit] = set()
    length = 0
    before: Unit | None = None
    for number, group in enumerate(groups):
        is_scrap = length < _LEAST_SHARE * filling.room
        if number in turns and before is not None and not before.is_heading and not is_scrap:
            breaks.add(group[0])
            length = 0
        for unit in group:
            length += filling.text.cost(unit, before)
            before = unit
    return frozenset(breaks)
