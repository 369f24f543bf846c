"""Groups vectors that are near each other: average linkage, by chains of nearest neighbours.

Average linkage is reducible (two groups that join come no nearer to a third than the nearer of them was), so a chain of
nearest neighbours finds the same groups as always joining the two nearest does, in n squared steps (Murtagh 1983,
https://doi.org/10.1093/comjnl/26.4.354). What has no neighbour within the wanted distance is final, and left alone.
``bench/top_questions.py`` says how well questions are grouped by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from causeway.contracts.vectors import Vectors
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = deferred("numpy")

Distances: TypeAlias = "npt.NDArray[np.float32]"


def groups_of(vectors: Vectors, *, within: float) -> list[list[int]]:
    """The rows of each group, largest group first.

    Args:
        vectors: (n, dim), unit length; 4 n squared bytes of memory are taken.
        within: The mean cosine distance up to which two groups join.
    """
    count = len(vectors)
    distances: Distances = (1.0 - vectors @ vectors.T).astype(np.float32)
    np.fill_diagonal(distances, np.inf)
    members = {row: [row] for row in range(count)}
    open_rows = dict.fromkeys(range(count))
    chain: list[int] = []
    while open_rows:
        if not chain:
            chain.append(next(iter(open_rows)))
        row = chain[-1]
        nearest = int(np.argmin(distances[row]))
        before = chain[-2] if len(chain) > 1 else None
        if before is not None and distances[row, before] <= distances[row, nearest]:
            nearest = before
        if not distances[row, nearest] <= within:
            _close(distances, row)
            del open_rows[row]
            chain.pop()
        elif nearest == before:
            del chain[-2:]
            del open_rows[row]
            _join(distances, nearest, row, len(members[nearest]), len(members[row]))
            members[nearest] += members.pop(row)
        else:
            chain.append(nearest)
    return sorted((sorted(rows) for rows in members.values()), key=lambda rows: (-len(rows), rows[0]))


def _join(distances: Distances, into: int, row: int, into_size: int, row_size: int) -> None:
    joined = (into_size * distances[into] + row_size * distances[row]) / (into_size + row_size)
    distances[into, :] = joined
    distances[:, into] = joined
    distances[into, into] = np.inf
    _close(distances, row)


def _close(distances: Distances, row: int) -> None:
    distances[row, :] = np.inf
    distances[:, row] = np.inf
