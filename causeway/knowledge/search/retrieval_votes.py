"""Retrieval votes: passages that a confirmed answer cites come forward for questions that are asked nearly alike.

    strength = the best of (cosine - NEAR) / (1 - NEAR) over the confirmed answers that cite the passage, at least 0
    score    = score + MOST * strength * (1 - score)

Bounded on every side. Only candidates that the arms found are moved, so nothing is found that was not before, nor by
somebody who may not see it. Many votes for one passage count as the best of them, so what is popular does not push
aside what is right; a question that is not nearly the same moves nothing. Even so it may do harm, as a pilot did (up to
11 points on topics that nobody had voted on), so it is on only with a proof: `causeway.knowledge.proofs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from causeway.contracts.clock import Clock
from causeway.contracts.vectors import Vectors
from causeway.knowledge.confirmed_answers import ConfirmedAnswer, ConfirmedAnswers
from causeway.knowledge.index.stores import IndexedCollection
from causeway.knowledge.proofs import Proofs
from causeway.knowledge.search.retrieve import QueryVector
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

NEAR: Final = 0.8
"""Of bge-small's cosines, whose mean over two questions is .64; both chosen on half of Cranfield (bench/results/no_harm.md)."""
MOST: Final = 0.3
_REMEMBERED_S: Final = 30.0


class Boosts(Protocol):
    """What a search asks how far to move its candidates."""

    async def boosts(
        self, vectors: Sequence[QueryVector], collections: Sequence[IndexedCollection]
    ) -> Mapping[str, float]:
        """Chunk id -> share of the way to 1 that its score is moved; what is not there stays."""
        ...


@dataclass(frozen=True, slots=True)
class VoteTable:
    """Confirmed answers of one collection, their questions as one matrix ``(n, dimensions)`` of unit length."""

    questions: Vectors
    chunk_ids: Sequence[Sequence[str]]

    @classmethod
    def of(cls, answers: Sequence[ConfirmedAnswer]) -> VoteTable:
        """The table of ``answers``, which are of one embedding model."""
        empty = np.zeros((0, 0), np.float32)
        return cls(
            np.stack([each.vector for each in answers]) if answers else empty,
            [each.chunk_ids for each in answers],
        )

    def boosts(self, question: Vectors, *, near: float = NEAR, most: float = MOST) -> Mapping[str, float]:
        """How far each passage is moved for a question, shape ``(dimensions,)``, unit length."""
        if not len(self.questions) or self.questions.shape[1] != len(question):
            return {}
        cosines = self.questions @ question
        moved: dict[str, float] = {}
        for number in np.flatnonzero(cosines > near).tolist():
            strength = most * min(1.0, (float(cosines[number]) - near) / (1 - near))
            for chunk_id in self.chunk_ids[number]:
                moved[chunk_id] = max(moved.get(chunk_id, 0.0), strength)
        return moved


class RetrievalVotes:
    """The boosts of the collections that have them switched on; their tables are held in memory, half a minute old at most."""

    def __init__(self, answers: ConfirmedAnswers, proofs: Proofs, clock: Clock) -> None:
        self._answers = answers
        self._proofs = proofs
        self._clock = clock
        self._tables: dict[str, tuple[float, VoteTable]] = {}

    async def boosts(
        self, vectors: Sequence[QueryVector], collections: Sequence[IndexedCollection]
    ) -> Mapping[str, float]:
        """See `Boosts`."""
        on = await self._proofs.on("retrieval-votes")
        moved: dict[str, float] = {}
        for collection in collections:
            if collection.id in on:
                table = await self._table(collection.id)
                for vector in vectors:
                    if vector.model == collection.embedding_model:
                        moved |= table.boosts(vector.vector)
        return moved

    async def _table(self, collection_id: str) -> VoteTable:
        read_at, table = self._tables.get(collection_id, (float("-inf"), None))
        if table is None or self._clock.monotonic() - read_at > _REMEMBERED_S:
            table = VoteTable.of(await self._answers.of(collection_id))
            self._tables[collection_id] = (self._clock.monotonic(), table)
        return table


class FixedBoosts:
    """The same boosts for every question, whatever is switched on: an experiment's arm."""

    def __init__(self, boosts: Mapping[str, float]) -> None:
        self._boosts = boosts

    async def boosts(
        self,
        vectors: Sequence[QueryVector],  # noqa: ARG002 - see above
        collections: Sequence[IndexedCollection],  # noqa: ARG002
    ) -> Mapping[str, float]:
        """See `Boosts`."""
        return self._boosts


def raised(scores: Mapping[str, float], boosts: Mapping[str, float]) -> Mapping[str, float]:
    """``scores`` with those that are boosted nearer to 1."""
    return {
        chunk_id: score + boosts[chunk_id] * (1 - score) if chunk_id in boosts else score
        for chunk_id, score in scores.items()
    }
