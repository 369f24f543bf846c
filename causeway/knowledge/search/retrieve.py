"""Candidates for a query: the vector arm and the keyword arm side by side, on a database connection each, then fused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from causeway.contracts.vectors import Vectors
from causeway.errors import DeadlineError
from causeway.knowledge.index.filters import EVERYTHING, Filter, all_of
from causeway.knowledge.index.stores import ChunkIndex, PlacedChunk
from causeway.knowledge.search.fusion import Fused, fuse
from causeway.knowledge.search.neighbours import CONSIDERED

_TIMEOUT_S: Final = 10.0
_KEYWORD_DEPTH: Final = 8
"""Keyword matches for each one of the vectors': ids and scores alone, so they cost little. A chunk that the vectors found
and the keyword list ends before counts as without words; with lists of one length that costs 5 points of Recall@100."""


@dataclass(frozen=True, slots=True)
class QueryVector:
    """The query as one embedding model sees it, and which documents' vectors are of that model."""

    vector: Vectors
    where: Filter = EVERYTHING
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the arms found.

    Attributes:
        fused: The best of both arms, best first.
        placed: The chunks themselves, by id; one that was replaced since is missing.
        embeddings: The vectors of the very best, by id.
        matched: The ids of all that either arm found.
        from_vectors: How many the vector arm brought.
        from_keywords: How many the keyword arm brought.
        missing: Why vectors could not be asked for, a sentence for each collection.
    """

    fused: Sequence[Fused]
    placed: Mapping[str, PlacedChunk]
    embeddings: Mapping[str, Vectors]
    from_vectors: int
    from_keywords: int
    matched: Sequence[str] = ()
    missing: Sequence[str] = ()


async def retrieve(
    index: ChunkIndex,
    query: str,
    vectors: Sequence[QueryVector],
    *,
    k: int,
    where: Filter,
    vector_weight: float,
) -> Candidates:
    """The ``2 * k`` best candidates among the documents that pass ``where``, fused.

    Raises:
        DeadlineError: The database did not answer in time.
        CausewayError: It cannot be reached.
    """
    missing: list[str] = []
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            bm25, nearest = await _both_arms(index, query, vectors, missing, k=k, where=where)
            unmeasured = [chunk_id for chunk_id in bm25 if chunk_id not in nearest]
            cosines = {**nearest, **await _cosines(index, unmeasured, vectors, missing)}
            fused = fuse(cosines, bm25, vector_weight=vector_weight)
            best = fused[: 2 * k]
            placed, embeddings = await _details(index, [each.chunk_id for each in best])
    except TimeoutError as exc:
        raise DeadlineError(
            f"search did not finish within {_TIMEOUT_S:.0f} s; ask with fewer words, or try again later"
        ) from exc
    except ExceptionGroup as group:
        raise _first(group) from group
    return Candidates(
        fused=best,
        placed=placed,
        embeddings=embeddings,
        from_vectors=len(nearest),
        from_keywords=len(bm25),
        matched=tuple(each.chunk_id for each in fused),
        missing=tuple(dict.fromkeys(missing)),
    )


async def _both_arms(
    index: ChunkIndex,
    query: str,
    vectors: Sequence[QueryVector],
    missing: list[str],
    *,
    k: int,
    where: Filter,
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    async with asyncio.TaskGroup() as arms:
        words = arms.create_task(index.lexical(query, _KEYWORD_DEPTH * k, where))
        nearest = [
            arms.create_task(index.dense(one.vector, k, all_of(one.where, where), missing=missing))
            for one in vectors
        ]
    bm25 = {match.chunk_id: match.score for match in words.result()}
    return bm25, {match.chunk_id: match.score for task in nearest for match in task.result()}


async def _cosines(
    index: ChunkIndex, chunk_ids: Sequence[str], vectors: Sequence[QueryVector], missing: list[str]
) -> Mapping[str, float]:
    """Of chunks that only the keyword arm found."""
    if not chunk_ids:
        return {}
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(index.cosines(chunk_ids, one.vector, one.where, missing=missing))
            for one in vectors
        ]
    return {chunk_id: cosine for task in tasks for chunk_id, cosine in task.result().items()}


async def _details(
    index: ChunkIndex, chunk_ids: Sequence[str]
) -> tuple[Mapping[str, PlacedChunk], Mapping[str, Vectors]]:
    async with asyncio.TaskGroup() as group:
        placed = group.create_task(index.get(chunk_ids))
        embeddings = group.create_task(index.embeddings(chunk_ids[:CONSIDERED]))
    return placed.result(), embeddings.result()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of a task group: the one that cancelled the others."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
