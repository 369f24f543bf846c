"""Candidates for a query: the vector arm and the keyword arm side by side, on a database connection each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from causeway.contracts.vectors import Vectors
from causeway.errors import DeadlineError
from causeway.knowledge.index.filters import EVERYTHING, Filter, all_of
from causeway.knowledge.index.stores import ChunkIndex, PlacedChunk

_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class QueryVector:
    """The query as one embedding model sees it, and which documents' vectors are of that model."""

    vector: Vectors
    where: Filter = EVERYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the arms found: chunk id -> score.

    Attributes:
        cosines: Of all candidates, those that only the keyword arm found as well.
        placed: The chunks themselves; one that was replaced since is missing.
        missing: Why vectors could not be asked for, a sentence for each collection.
    """

    cosines: Mapping[str, float] = field(default_factory=dict)
    bm25: Mapping[str, float] = field(default_factory=dict)
    placed: Mapping[str, PlacedChunk] = field(default_factory=dict)
    missing: Sequence[str] = ()


async def retrieve(
    index: ChunkIndex, query: str, vectors: Sequence[QueryVector], *, k: int, where: Filter
) -> Candidates:
    """The ``k`` best candidates of each arm among the documents that pass ``where``.

    Raises:
        DeadlineError: The database did not answer in time.
        CausewayError: It cannot be reached.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await _retrieve(index, query, vectors, k=k, where=where)
    except TimeoutError as exc:
        raise DeadlineError(
            f"search did not finish within {_TIMEOUT_S:.0f} s; ask with fewer words, or try again later"
        ) from exc
    except ExceptionGroup as group:
        raise _first(group) from group


async def _retrieve(
    index: ChunkIndex, query: str, vectors: Sequence[QueryVector], *, k: int, where: Filter
) -> Candidates:
    missing: list[str] = []
    async with asyncio.TaskGroup() as arms:
        words = arms.create_task(index.lexical(query, k, where))
        nearest = [
            arms.create_task(index.dense(one.vector, k, all_of(one.where, where), missing=missing))
            for one in vectors
        ]
    bm25 = {match.chunk_id: match.score for match in words.result()}
    cosines = {match.chunk_id: match.score for task in nearest for match in task.result()}
    unmeasured = [chunk_id for chunk_id in bm25 if chunk_id not in cosines]
    async with asyncio.TaskGroup() as details:
        placed = details.create_task(index.get([*cosines, *unmeasured]))
        more = [
            details.create_task(index.cosines(unmeasured, one.vector, one.where, missing=missing))
            for one in vectors
            if unmeasured
        ]
    for task in more:
        cosines |= task.result()
    return Candidates(
        cosines=cosines, bm25=bm25, placed=placed.result(), missing=tuple(dict.fromkeys(missing))
    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of a task group: the one that cancelled the others."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
