"""A few confirmed answers shown to the model before the question: how answers here are given, not what is true.

Only answers to questions of nearly the same meaning are shown, `MOST_EXAMPLES` of them, as turns that were said before; the rules
of the prompt still hold, so what is not in the passages is not said, and a citation is checked as ever. An example is an
excerpt of documents: it is shown only for somebody who may see all that it rests on, and only while these passages are
still there, word for word. On only with a proof: `causeway.knowledge.proofs`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import func, select

from causeway.contracts.chat import Message
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.errors import CausewayError
from causeway.knowledge.confirmed_answers import ConfirmedAnswer, ConfirmedAnswers
from causeway.knowledge.proofs import Proofs
from causeway.knowledge.sight import Sight
from causeway.seams import deferred
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collections, documents

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

log = logging.getLogger(__name__)

MOST_EXAMPLES: Final = 2
NEAR_EXAMPLE: Final = 0.8
"""Least cosine of two questions for the answer to one to be an example for the other."""
_CONSIDERED: Final = 8
_REMEMBERED_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Example:
    """A question and the answer that people found good."""

    question: str
    answer: str


class Examples(Protocol):
    """What an answerer asks for examples."""

    async def near(self, question: str, collection: str | None, call: Call) -> tuple[Example, ...]:
        """Those that may be shown for a question, the nearest last."""
        ...


class FixedExamples:
    """The same examples for every question, whatever is switched on: an experiment's arm."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = tuple(examples)

    async def near(
        self,
        question: str,  # noqa: ARG002 - see above
        collection: str | None,  # noqa: ARG002
        call: Call,  # noqa: ARG002
    ) -> tuple[Example, ...]:
        """See `Examples`."""
        return self._examples


class AnswerExamples:
    """The examples of the collections that have them switched on."""

    def __init__(
        self,
        answers: ConfirmedAnswers,
        proofs: Proofs,
        *,
        database: Database,
        gateway: ModelGateway,
        clock: Clock,
    ) -> None:
        self._answers = answers
        self._proofs = proofs
        self._database = database
        self._gateway = gateway
        self._clock = clock
        self._known: dict[str, tuple[float, Sequence[ConfirmedAnswer]]] = {}

    async def near(self, question: str, collection: str | None, call: Call) -> tuple[Example, ...]:
        """See `Examples`; none, and a line in the log, when the question cannot be embedded."""
        on = await self._proofs.on("answer-examples")
        if not on:
            return ()
        known = [each for one in await self._asked(on, collection) for each in await self._of(one)]
        models = dict.fromkeys(each.embedding_model for each in known)
        try:
            vectors = {model: await self._vector(question, model, call) for model in models}
        except CausewayError as exc:
            log.warning("answered without examples", extra={"reason": exc.code})
            return ()
        ranked = by_nearness(known, vectors)[:_CONSIDERED]
        best = [each for cosine, each in ranked if cosine >= NEAR_EXAMPLE]
        shown = [each for each in best if await self._is_seen(each, call.principal)][:MOST_EXAMPLES]
        return tuple(Example(each.question, each.answer or "") for each in reversed(shown))

    async def _asked(self, on: frozenset[str], collection: str | None) -> Sequence[str]:
        """The ids of the collections that a question is asked of and that have examples switched on."""
        wanted = select(collections.c.id).where(collections.c.id.in_(on)).order_by(collections.c.id)
        if collection is not None:
            wanted = wanted.where(collections.c.name == collection)
        async with self._database.connect() as connection:
            return [row.id for row in await connection.execute(wanted)]

    async def _of(self, collection_id: str) -> Sequence[ConfirmedAnswer]:
        read_at, known = self._known.get(collection_id, (float("-inf"), ()))
        if self._clock.monotonic() - read_at > _REMEMBERED_S:
            known = [each for each in await self._answers.of(collection_id) if each.answer]
            self._known[collection_id] = (self._clock.monotonic(), known)
        return known

    async def _vector(self, question: str, model: str, call: Call) -> Vectors:
        request = EmbedRequest(model=model.partition("@")[0], texts=(question,), kind="query")
        embedded = await self._gateway.embed(request, call)
        return np.asarray(embedded.vectors[0], np.float32)

    async def _is_seen(self, answer: ConfirmedAnswer, principal: Principal) -> bool:
        """Whether every passage that it rests on is still there, and seen by ``principal``."""
        sight = Sight.of(principal, self._database)
        counted = (
            select(func.count())
            .select_from(chunks.join(documents, documents.c.id == chunks.c.document_id))
            .where(chunks.c.id == func.any(list(answer.chunk_ids)), sight.documents)
        )
        async with sight.connect() as connection:
            return await connection.scalar(counted) == len(answer.chunk_ids)


def by_nearness(
    answers: Iterable[ConfirmedAnswer], vectors: Mapping[str, Vectors]
) -> list[tuple[float, ConfirmedAnswer]]:
    """``answers`` with the cosine of their question and another, nearest first.

    Args:
        answers: Of any embedding models.
        vectors: The other question's, by embedding model, shape ``(dimensions,)``, unit length.
    """
    measured = [(float(each.vector @ vectors[each.embedding_model]), each) for each in answers]
    return sorted(measured, key=lambda pair: (-pair[0], pair[1].trace_id))


def with_examples(messages: Sequence[Message], examples: Sequence[Example]) -> tuple[Message, ...]:
    """A prompt with ``examples`` as turns between its rules and its question."""
    turns: list[Message] = []
    for example in examples:
        turns += [Message("user", f"Question: {example.question}"), Message("assistant", example.answer)]
    rules = sum(message.role == "system" for message in messages)
    return (*messages[:rules], *turns, *messages[rules:])
