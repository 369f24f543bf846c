"""``/api/review`` and ``/api/experiments``: votes reviewed, cases made of them, and what is learnt from them proved and switched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.collect import facts_of
from causeway.evals.collected import FIRST
from causeway.evals.experiments import Experiment, kind_of
from causeway.evals.learning import Decision
from causeway.evals.suite import Case, Expected, Metadata
from causeway.observability.feedback import LONGEST_CORRECTION
from causeway.observability.review import LONGEST_NOTE, Reviewed, ReviewQuery, State
from causeway.web.feedback_api import TraceId
from causeway.web.parts import ReviewParts
from causeway.web.sign_in import Admin, Parts

router = APIRouter(prefix="/api", tags=["Review"])

MOST_FACTS = 30
Decided = Literal["confirm", "dismiss", "reopen"]
STATE_OF: dict[Decided, State] = {"confirm": "confirmed", "dismiss": "dismissed", "reopen": "new"}


def review_parts(parts: Parts, _admin: Admin) -> ReviewParts:
    """What reviews stand over, for administrators.

    Raises:
        NotFoundError: There are none here.
    """
    if parts.review is None:
        msg = "there is no review of feedback here"
        raise NotFoundError(msg)
    return parts.review


Review = Annotated[ReviewParts, Depends(review_parts)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class ReviewedShape(BaseModel):
    """A vote, what it was on, and what became of it."""

    trace_id: str
    voter: str = Field(description="The principal whose vote it is")
    vote: Literal["up", "down"]
    reason: str | None
    correction: str | None
    at: datetime
    state: State
    reviewed_by: str | None
    reviewed_at: datetime | None
    note: str | None
    right_answer: str | None = Field(description="The reviewer's, which goes before the correction")
    question: str | None = Field(description="Null when it was not kept, or its trace is older than is kept")
    answer: str | None
    refused: bool
    suites: list[str] = Field(description="Suites that have a case made from this answer")


class ReviewQueue(BaseModel):
    """Down-votes before up-votes, each the newest first."""

    votes: list[ReviewedShape]
    counts: dict[State, int] = Field(description="Of all votes, by state")


class CaseDraft(BaseModel):
    """What a case of an answer would be, as far as its vote tells."""

    name: str
    question: str
    collection: str | None
    facts: list[str] = Field(description="Proposed: dates, amounts, numbers and codes of what was right")
    refused: bool
    reference: str | None
    documents: list[str] = Field(description="Gold documents")
    tags: list[str]


class ReviewItem(BaseModel):
    """Every vote on one answer, and the case that it would make."""

    votes: list[ReviewedShape]
    case: CaseDraft | None = Field(description="Null when the question was not kept")


class DecisionBody(_Body):
    """What a reviewer decides."""

    decision: Decided = Field(description="`reopen` takes an earlier decision back")
    voter: str | None = Field(default=None, max_length=100, description="Whose vote; null decides on all")
    note: str | None = Field(default=None, max_length=LONGEST_NOTE, description="For other reviewers")
    right_answer: str | None = Field(
        default=None,
        max_length=LONGEST_CORRECTION,
        description="What would have been right; null leaves what there is, empty takes it away",
    )


Line = Annotated[str, Field(min_length=1, max_length=500)]


class CaseBody(_Body):
    """A case of an answer; what is not given is as the vote tells."""

    suite: str = Field(default=FIRST, max_length=80, description="A collected suite, made when it is new")
    name: str | None = Field(default=None, min_length=1, max_length=200)
    question: str | None = Field(default=None, min_length=1, max_length=4000)
    facts: list[Line | Annotated[list[Line], Field(min_length=1)]] | None = Field(
        default=None, max_length=MOST_FACTS, description="Each has to be said; a list holds ways of saying it"
    )
    refused: bool | None = Field(
        default=None, description="The documents do not say, and it has to be refused"
    )
    reference: str | None = Field(default=None, max_length=LONGEST_CORRECTION)
    documents: list[Line] | None = Field(
        default=None, max_length=MOST_FACTS, description="Gold documents, by path"
    )


class CaseMade(BaseModel):
    """Where a case is now."""

    suite: str
    name: str
    cases: int = Field(description="How many the suite has")


class ExperimentBody(_Body):
    """An experiment to run."""

    kind: str = Field(max_length=40, description="`retrieval-votes` or `answer-examples`")
    collection: str = Field(max_length=200)
    suite: str = Field(
        default="confirmed",
        max_length=80,
        description="Whose questions are asked; `confirmed`: the confirmed answers' own",
    )


class ExperimentShape(BaseModel):
    """An experiment, as far as it is."""

    id: str
    kind: str
    collection: str
    suite: str
    state: Literal["queued", "running", "done", "failed"]
    problem: str | None
    done: int
    total: int
    accepted: bool
    conditions: dict[str, Any] = Field(description="What its proof holds for")
    proof: dict[str, Any] | None = Field(
        description="Groups with the means of the arms, the differences in points with 95 % intervals, and the objections"
    )
    created_at: datetime
    finished_at: datetime | None


class StandingShape(BaseModel):
    """How an improvement of a collection stands."""

    collection: str
    kind: str
    on: bool = Field(description="It has an effect")
    switched_on: bool = Field(description="Somebody wants it to")
    accepted: bool = Field(description="By its newest experiment")
    void_because: str | None = Field(description="Why that proof holds no longer")
    experiment_id: str | None


class Experimented(BaseModel):
    """Experiments, newest first, and how every improvement stands."""

    experiments: list[ExperimentShape]
    improvements: list[StandingShape]


class SwitchBody(_Body):
    """Whether an improvement is to have an effect."""

    on: bool


@router.get("/review", name="api_review")
async def queue(
    review: Review,
    _admin: Admin,
    state: State | None = None,
    vote: Literal["up", "down"] | None = None,
    reason: Annotated[str, Query(max_length=40)] = "",
    text: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> ReviewQueue:
    """Votes that match."""
    asked = ReviewQuery(
        state=state,
        is_up=None if vote is None else vote == "up",
        reason=reason or None,
        text=text,
        limit=limit,
        offset=offset,
    )
    reviews = review.reviewing.reviews
    return ReviewQueue(
        votes=[reviewed_shape(each) for each in await reviews.queue(asked)],
        counts=dict(await reviews.counts()),
    )


@router.get("/review/{trace_id}", name="api_review_one")
async def one(trace_id: TraceId, review: Review, _admin: Admin) -> ReviewItem:
    """The votes on one answer, and the case that it would make."""
    votes = await review.reviewing.reviews.of(trace_id)
    case = await case_of(trace_id, votes, review)
    if not votes and case is None:
        raise NotFoundError(f"there is no answer in the trace '{trace_id}', and no vote on it")
    return ReviewItem(votes=[reviewed_shape(each) for each in votes], case=case)


@router.post("/review/{trace_id}", name="api_review_decide")
async def decide(trace_id: TraceId, body: DecisionBody, review: Review, admin: Admin) -> list[ReviewedShape]:
    """Confirm or dismiss votes; a confirmed up-vote on a cited answer is learnt from."""
    decision = Decision(
        state=STATE_OF[body.decision], voter=body.voter, note=body.note, right_answer=body.right_answer
    )
    decided = await review.reviewing.decide(trace_id, decision, by=admin.owner)
    return [reviewed_shape(each) for each in decided]


@router.post("/review/{trace_id}/case", name="api_review_case", status_code=201)
async def make_case(trace_id: TraceId, body: CaseBody, review: Review, admin: Admin) -> CaseMade:
    """Make a case of an answer and put it into a suite; the answer's case in that suite before is replaced."""
    return await made(trace_id, body, review, by=admin.owner)


@router.delete("/review/{trace_id}/case", name="api_review_case_remove", status_code=204)
async def remove_case(
    trace_id: TraceId,
    review: Review,
    _admin: Admin,
    suite: Annotated[str, Query(max_length=80)],
    name: Annotated[str, Query(max_length=200)],
) -> None:
    """Take a case out of its suite."""
    if not await review.collected.remove(suite, name):
        raise NotFoundError(f"suite '{suite}' has no case '{name}' of the answer of trace '{trace_id}'")


@router.get("/experiments", name="api_experiments")
async def experiments(review: Review, _admin: Admin) -> Experimented:
    """What was measured, and what is on."""
    return Experimented(
        experiments=[experiment_shape(each) for each in await review.experiments.all()],
        improvements=[
            StandingShape(
                collection=each.collection,
                kind=each.kind,
                on=each.is_on,
                switched_on=each.is_switched_on,
                accepted=each.is_accepted,
                void_because=each.void_because,
                experiment_id=each.experiment_id,
            )
            for each in await review.experiments.standings()
        ],
    )


@router.post("/experiments", name="api_experiment_start", status_code=202)
async def start(body: ExperimentBody, review: Review, admin: Admin) -> ExperimentShape:
    """Measure whether what was learnt helps and does no harm."""
    begun = await review.experiments.start(kind_of(body.kind), body.collection, body.suite, by=admin.owner)
    return experiment_shape(begun)


@router.get("/experiments/{experiment_id}", name="api_experiment")
async def experiment(experiment_id: str, review: Review, _admin: Admin) -> ExperimentShape:
    """One experiment."""
    return experiment_shape(await review.experiments.one(experiment_id))


@router.put("/improvements/{collection}/{kind}", name="api_improvement", status_code=204)
async def switch(collection: str, kind: str, body: SwitchBody, review: Review, admin: Admin) -> None:
    """Switch an improvement on, which takes a proof that holds, or off."""
    await review.experiments.switch(kind_of(kind), collection, on=body.on, by=admin.owner)


async def made(trace_id: str, body: CaseBody, review: ReviewParts, *, by: str) -> CaseMade:
    """The case that ``body`` and the vote make together, kept.

    Raises:
        NotFoundError: The question was not kept.
        InvalidInputError: The case contradicts itself, or the suite's name cannot be used.
    """
    votes = await review.reviewing.reviews.of(trace_id)
    draft = await review.reviewing.draft(trace_id, votes)
    case = _completed(draft, body, right=votes[0].right if votes else None)
    await review.collected.add(body.suite, case, trace_id=trace_id, by=by)
    held = await review.collected.names()
    return CaseMade(suite=body.suite, name=case.name, cases=held[body.suite])


async def case_of(trace_id: str, votes: Sequence[Reviewed], review: ReviewParts) -> CaseDraft | None:
    """The case that an answer would make; None when its question was not kept."""
    try:
        draft = await review.reviewing.draft(trace_id, votes)
    except NotFoundError:
        return None
    return drafted(draft, votes[0].right if votes else None)


def _completed(draft: Case, body: CaseBody, *, right: str | None) -> Case:
    told = draft.expected_output
    refused = told.refused if body.refused is None else body.refused
    facts = drafted(draft, right).facts if body.facts is None else body.facts
    documents = tuple(draft.metadata.documents if body.documents is None else body.documents)
    page = next(iter(documents), None) or draft.metadata.page
    if refused and body.facts:
        msg = "an answer that has to be refused has no facts; remove one of both"
        raise InvalidInputError(msg)
    return Case(
        name=body.name or draft.name,
        inputs=draft.inputs.model_copy(update={"question": body.question or draft.inputs.question}),
        expected_output=Expected(
            facts=() if refused else tuple(facts),
            refused=refused,
            reference=told.reference if body.reference is None else body.reference or None,
        ),
        metadata=Metadata(
            documents=documents, tags=draft.metadata.tags, page=page, origin=draft.metadata.origin
        ),
    )


def drafted(case: Case, right: str | None) -> CaseDraft:
    """A draft for the wire, with facts proposed from what was right."""
    expected = case.expected_output
    return CaseDraft(
        name=case.name,
        question=case.inputs.question,
        collection=case.inputs.collection,
        facts=[] if expected.refused else facts_of(right or expected.reference or ""),
        refused=expected.refused,
        reference=expected.reference,
        documents=list(case.metadata.documents),
        tags=list(case.metadata.tags),
    )


def reviewed_shape(each: Reviewed) -> ReviewedShape:
    """A reviewed vote for the wire."""
    return ReviewedShape(
        trace_id=each.trace_id,
        voter=each.voter,
        vote="up" if each.is_up else "down",
        reason=each.reason,
        correction=each.correction,
        at=each.at,
        state=each.state,
        reviewed_by=each.reviewed_by,
        reviewed_at=each.reviewed_at,
        note=each.note,
        right_answer=each.right_answer,
        question=each.question,
        answer=each.answer,
        refused=each.is_refused,
        suites=list(each.suites),
    )


def experiment_shape(each: Experiment) -> ExperimentShape:
    """An experiment for the wire."""
    return ExperimentShape(
        id=each.id,
        kind=each.kind,
        collection=each.collection,
        suite=each.suite,
        state=each.state,
        problem=each.problem,
        done=each.done,
        total=each.total,
        accepted=each.is_accepted,
        conditions=dict(each.conditions),
        proof=asdict(each.proof) if each.proof else None,
        created_at=each.created_at,
        finished_at=each.finished_at,
    )
