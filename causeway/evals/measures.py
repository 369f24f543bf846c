"""What an experiment measures of one question, arm by arm: the order of its hits, or whether its answer passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.evals.checks import PASSED, FindsPersonalData, grade
from causeway.evals.no_harm import Arm, Group, Question, Scores, placebo_of
from causeway.evals.ranking import ndcg
from causeway.evals.subject import EVALS, Searches, Subject
from causeway.evals.suite import Budgets, Case
from causeway.knowledge import (
    MOST_EXAMPLES,
    NEAR_EXAMPLE,
    ConfirmedAnswer,
    Example,
    FixedBoosts,
    FixedExamples,
    Hit,
    SearchRequest,
    VoteTable,
    by_nearness,
)
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

Learnt = Mapping[Group, Sequence[ConfirmedAnswer]]
_CALL: Final = Call(principal=EVALS, purpose="experiments", may_cache=False)
_DEPTH: Final = 50
"""Hits of the arm that is off, among which a placebo finds passages to move."""
_SCORED: Final = 10


class Measure(Protocol):
    """Scores one question in every arm."""

    metric: str

    async def scores(self, question: Question, learnt: Learnt, *, collection: str) -> Scores:
        """By group and arm, 0 to 1; a `CausewayError` when it cannot be asked."""
        ...


class RetrievalMeasure:
    """nDCG@10 of the documents that hold the answer, by search as it is set."""

    metric = "nDCG@10"

    def __init__(self, gateway: ModelGateway, moving: Callable[[FixedBoosts], Searches]) -> None:
        self._gateway = gateway
        self._moving = moving

    async def scores(self, question: Question, learnt: Learnt, *, collection: str) -> Scores:
        """See `Measure`; an arm that moves nothing is not searched again."""
        off = await self._found(question, {}, collection, top_k=_DEPTH)
        plain = _ranked(off, question)
        found = [hit.chunk_id for hit in off]
        models = {each.embedding_model for answers in learnt.values() for each in answers}
        vectors = {model: await self._vector(question.text, model) for model in models}
        measured: dict[Group, dict[Arm, float]] = {}
        for group, answers in learnt.items():
            boosts = _boosts(answers, vectors)
            arms: dict[Arm, float] = {"off": plain, "on": plain, "placebo": plain}
            if not boosts.keys().isdisjoint(found):
                arms["on"] = _ranked(await self._found(question, boosts, collection), question)
                placebo = placebo_of(boosts, found, question=question.text)
                arms["placebo"] = _ranked(await self._found(question, placebo, collection), question)
            measured[group] = arms
        return measured

    async def _found(
        self, question: Question, boosts: Mapping[str, float], collection: str, *, top_k: int = _SCORED
    ) -> Sequence[Hit]:
        filters = (question.case or {}).get("inputs", {}).get("filters", {})
        request = SearchRequest(query=question.text, collection=collection, filters=filters, top_k=top_k)
        return (await self._moving(FixedBoosts(boosts)).search(request, _CALL)).hits

    async def _vector(self, question: str, model: str) -> Vectors:
        request = EmbedRequest(model=model.partition("@")[0], texts=(question,), kind="query")
        embedded = await self._gateway.embed(request, _CALL)
        return np.asarray(embedded.vectors[0], np.float32)


class AnswerMeasure:
    """Whether the answer to a suite's case passes its checks, by the knowledge base as it is set."""

    metric = "cases passed"

    def __init__(
        self,
        gateway: ModelGateway,
        showing: Callable[[FixedExamples], Subject],
        personal_data: FindsPersonalData,
    ) -> None:
        self._gateway = gateway
        self._showing = showing
        self._personal_data = personal_data

    async def scores(self, question: Question, learnt: Learnt, *, collection: str) -> Scores:
        """See `Measure`; an arm that shows nothing is not asked again."""
        if question.case is None:
            return {}
        case = Case.model_validate(question.case)
        inputs = case.inputs.model_copy(update={"collection": case.inputs.collection or collection})
        case = case.model_copy(update={"inputs": inputs})
        plain = await self._passes(case, ())
        models = {each.embedding_model for answers in learnt.values() for each in answers}
        vectors = {model: await self._vector(question.text, model) for model in models}
        measured: dict[Group, dict[Arm, float]] = {}
        for group, answers in learnt.items():
            ranked = by_nearness([each for each in answers if each.answer], vectors)
            near = [each for cosine, each in ranked[:MOST_EXAMPLES] if cosine >= NEAR_EXAMPLE]
            far = [each for _, each in ranked[len(ranked) - len(near) :]]
            arms: dict[Arm, float] = {"off": plain, "on": plain, "placebo": plain}
            if near:
                arms["on"] = await self._passes(case, near)
                arms["placebo"] = await self._passes(case, far)
            measured[group] = arms
        return measured

    async def _passes(self, case: Case, shown: Sequence[ConfirmedAnswer]) -> float:
        examples = FixedExamples([Example(each.question, each.answer or "") for each in reversed(shown)])
        subject = self._showing(examples)
        outcome = await subject.answer(case.inputs, _CALL)
        scores = grade(
            case,
            outcome,
            aspects=subject.aspects,
            budgets=Budgets(),
            personal_data=self._personal_data,
        )
        return next((1.0 for score in scores if score.name == PASSED and score.passed), 0.0)

    async def _vector(self, question: str, model: str) -> Vectors:
        request = EmbedRequest(model=model.partition("@")[0], texts=(question,), kind="query")
        embedded = await self._gateway.embed(request, _CALL)
        return np.asarray(embedded.vectors[0], np.float32)


def _boosts(answers: Sequence[ConfirmedAnswer], vectors: Mapping[str, Vectors]) -> Mapping[str, float]:
    boosts: dict[str, float] = {}
    for model, vector in vectors.items():
        of_model = [each for each in answers if each.embedding_model == model]
        boosts |= VoteTable.of(of_model).boosts(vector)
    return boosts


def _ranked(hits: Sequence[Hit], question: Question) -> float:
    documents = list(dict.fromkeys(hit.document_id for hit in hits))[:_SCORED]
    gained = ndcg(documents, question.documents)
    most = len(set(question.documents))
    return gained if most <= _SCORED else gained * _best(most) / _best(_SCORED)


def _best(documents: int) -> float:
    return sum(1 / math.log2(place + 2) for place in range(documents))
