"""Confirmed answers: what people liked and a reviewer agreed to, as search and answers may learn from it.

Each is kept by collection: which of its chunks the answer cites, and the question's vector in the collection's own model.
Whoever's vote it was can take it back, and then it is gone. Nothing here changes what is found or said: that is
`causeway.knowledge.search.retrieval_votes` and `causeway.knowledge.answer.examples`, and whether they may,
`causeway.knowledge.proofs`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.seams import deferred
from causeway.storage.database import Database
from causeway.storage.feedback_schema import confirmed_answers
from causeway.storage.schema import chunks, collections

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

MOST: Final = 5_000
"""Of a collection: the newest. Of 384 dimensions they take 8 MB, and 2 ms to compare a question with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedAnswer:
    """One, as far as it rests on one collection.

    Attributes:
        question: As it was searched for.
        answer: With its marks, such as [1]; None when it rests on other collections too.
        chunk_ids: Chunks that it cites.
        document_ids: Whose chunks they are.
        vector: Of the question, shape ``(dimensions,)``, unit length.
    """

    trace_id: str
    question: str
    answer: str | None
    chunk_ids: tuple[str, ...]
    document_ids: tuple[str, ...]
    embedding_model: str
    vector: Vectors


class ConfirmedAnswers:
    """Keeps confirmed answers."""

    def __init__(self, database: Database, gateway: ModelGateway) -> None:
        self._database = database
        self._gateway = gateway

    async def learn(
        self,
        trace_id: str,
        voter: str,
        *,
        question: str,
        answer: str,
        chunk_ids: Sequence[str],
        call: Call,
    ) -> int:
        """Keep the answer of a vote that there is; of how many collections it was kept.

        Chunks that are gone since are left out, and an answer without any is not kept.

        Raises:
            CausewayError: The question cannot be embedded.
        """
        cited = await self._cited(chunk_ids)
        vectors = {model: await self._vector(question, model, call) for model in {row.model for row in cited}}
        by_collection: defaultdict[str, list[Any]] = defaultdict(list)
        for row in cited:
            by_collection[row.collection_id].append(row)
        rows = [
            {
                "trace_id": trace_id,
                "principal_id": voter,
                "collection_id": collection_id,
                "question": question,
                "answer": answer if len(by_collection) == 1 and len(cited) == len(set(chunk_ids)) else None,
                "chunk_ids": [row.id for row in found],
                "document_ids": list(dict.fromkeys(row.document_id for row in found)),
                "embedding_model": found[0].model,
                "vector": vectors[found[0].model],
            }
            for collection_id, found in by_collection.items()
        ]
        async with self._database.begin() as connection:
            await connection.execute(_of_vote(trace_id, voter))
            if rows:
                await connection.execute(insert(confirmed_answers), rows)
        return len(rows)

    async def forget(self, trace_id: str, voter: str) -> None:
        """Keep the answer of a vote no longer."""
        async with self._database.begin() as connection:
            await connection.execute(_of_vote(trace_id, voter))

    async def of(self, collection_id: str) -> list[ConfirmedAnswer]:
        """Those of a collection, newest first, as many as are used; one whose vector is of another model is left out."""
        table = confirmed_answers.c
        wanted = (
            select(confirmed_answers)
            .join(collections, collections.c.id == table.collection_id)
            .where(
                table.collection_id == collection_id, table.embedding_model == collections.c.embedding_model
            )
            .order_by(table.at.desc(), table.trace_id, table.principal_id)
            .limit(MOST)
        )
        async with self._database.connect() as connection:
            return [_confirmed(row) for row in await connection.execute(wanted)]

    async def counts(self) -> Mapping[str, int]:
        """How many there are, by the id of the collection."""
        table = confirmed_answers.c
        counted = select(table.collection_id, func.count().label("held")).group_by(table.collection_id)
        async with self._database.connect() as connection:
            return {row.collection_id: row.held for row in await connection.execute(counted)}

    async def _cited(self, chunk_ids: Sequence[str]) -> list[Any]:
        wanted = (
            select(
                chunks.c.id,
                chunks.c.document_id,
                chunks.c.collection_id,
                collections.c.embedding_model.label("model"),
            )
            .join(collections, collections.c.id == chunks.c.collection_id)
            .where(chunks.c.id == func.any(list(chunk_ids)))
        )
        places = {chunk_id: place for place, chunk_id in enumerate(chunk_ids)}
        async with self._database.connect() as connection:
            found = (await connection.execute(wanted)).all()
        return sorted(found, key=lambda row: places[row.id])

    async def _vector(self, question: str, model: str, call: Call) -> Vectors:
        # a local model's name in a collection ends in '@' and its file's hash; it is called without that
        request = EmbedRequest(model=model.partition("@")[0], texts=(question,), kind="query")
        embedded = await self._gateway.embed(request, call)
        return np.asarray(embedded.vectors[0], np.float32)


def _of_vote(trace_id: str, voter: str) -> Any:
    table = confirmed_answers.c
    return delete(confirmed_answers).where(table.trace_id == trace_id, table.principal_id == voter)


def _confirmed(row: Row[Any]) -> ConfirmedAnswer:
    return ConfirmedAnswer(
        trace_id=row.trace_id,
        question=row.question,
        answer=row.answer,
        chunk_ids=tuple(row.chunk_ids),
        document_ids=tuple(row.document_ids),
        embedding_model=row.embedding_model,
        vector=np.asarray(row.vector, np.float32),
    )
