"""Candidates for a query: the vector arm and the keyword arm side by side, on a database connection each, then fused.

The keyword arm does not wait until the query is embedded, which takes as long as half of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from causeway.contracts.vectors import Vectors
from causeway.errors import DeadlineError, first_failure
from causeway.knowledge.index.filters import EVERYTHING, Filter, all_of
from causeway.knowledge.index.stores import ChunkIndex
from causeway.knowledge.search.fusion import Fused, fuse
from causeway.knowledge.search.neighbours import CONSIDERED

T = TypeVar("T")

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
        vectors: The query, as it was embedded.
        embeddings: The vectors of the very best, by id.
        matched: The ids of all that either arm found.
        from_vectors: How many the vector arm brought.
        from_keywords: How many the keyword arm brought.
        mended: Stems of the query that nothing has, each with the one that was searched for instead.
        missing: Why vectors could not be asked for, a sentence for each collection.
    """

    fused: Sequence[Fused]
    vectors: Sequence[QueryVector]
    embeddings: Mapping[str, Vectors]
    from_vectors: int
    from_keywords: int
    matched: Sequence[str] = ()
    mended: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()


async def retrieve(
    index: ChunkIndex,
    query: str,
    embed: Callable[[], Awaitable[Sequence[QueryVector]]],
    *,
    k: int,
    where: Filter,
    vector_weight: float,
    top_k: int = 0,
) -> Candidates:
    """The ``2 * k`` best candidates among the documents that pass ``where``, fused; ``embed`` gives the query's vectors.

    The best `CONSIDERED` bring their vectors, and all of them where more hits are wanted (``top_k``): see `neighbours`.

    Raises:
        DeadlineError: The database did not answer in time.
        CausewayError: It cannot be reached; or what ``embed`` raises.
    """
    missing: list[str] = []
    mended: dict[str, str] = {}
    try:
        async with asyncio.TaskGroup() as arms:
            words = arms.create_task(_in_time(index.lexical(query, _KEYWORD_DEPTH * k, where, mended=mended)))
            vectors_first = arms.create_task(_near(index, embed, missing, k=k, where=where))
        bm25 = {match.chunk_id: match.score for match in words.result()}
        vectors, nearest = vectors_first.result()
        unmeasured = [chunk_id for chunk_id in bm25 if chunk_id not in nearest]
        cosines = {**nearest, **await _in_time(_cosines(index, unmeasured, vectors, missing))}
        fused = fuse(cosines, bm25, vector_weight=vector_weight)
        best = fused[: 2 * k]
        near = best if top_k > CONSIDERED else best[:CONSIDERED]
        embeddings = await _in_time(index.embeddings([each.chunk_id for each in near]))
    except TimeoutError as exc:
        raise _late() from exc
    except ExceptionGroup as group:
        first = first_failure(group)
        raise (_late() if isinstance(first, TimeoutError) else first) from group
    return Candidates(
        fused=best,
        vectors=vectors,
        embeddings=embeddings,
        from_vectors=len(nearest),
        from_keywords=len(bm25),
        matched=tuple(each.chunk_id for each in fused),
        mended=mended,
        missing=tuple(dict.fromkeys(missing)),
    )


async def _near(
    index: ChunkIndex,
    embed: Callable[[], Awaitable[Sequence[QueryVector]]],
    missing: list[str],
    *,
    k: int,
    where: Filter,
) -> tuple[Sequence[QueryVector], Mapping[str, float]]:
    """The query's vectors, and the chunks that are nearest to them with their cosines."""
    vectors = await embed()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_in_time(index.dense(one.vector, k, all_of(one.where, where), missing=missing)))
            for one in vectors
        ]
    return vectors, {match.chunk_id: match.score for task in tasks for match in task.result()}


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


async def _in_time(reading: Awaitable[T]) -> T:
    async with asyncio.timeout(_TIMEOUT_S):
        return await reading


def _late() -> DeadlineError:
    return DeadlineError(
        f"search did not finish within {_TIMEOUT_S:.0f} s; ask with fewer words, or try again later"
    )
