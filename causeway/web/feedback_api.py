"""``/api/feedback``: what people think of answers; given, changed, read again and taken back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from causeway.errors import NotFoundError
from causeway.observability.feedback import LONGEST_CORRECTION, LONGEST_REASON, REASONS, Vote
from causeway.web.sign_in import Asker, Parts

router = APIRouter(prefix="/api/feedback", tags=["Feedback"])

TraceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_MOST_ASKED = 200
_Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class FeedbackBody(BaseModel):
    """What somebody thinks of an answer."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    trace_id: _Id = Field(description="The answer's `trace_id`")
    vote: Literal["up", "down"]
    reason: str | None = Field(
        default=None,
        max_length=LONGEST_REASON,
        description=f"What was wrong: {', '.join(f'`{reason}`' for reason in REASONS)}, or words of your own",
    )
    correction: str | None = Field(
        default=None, max_length=LONGEST_CORRECTION, description="What would have been right"
    )


class VoteShape(BaseModel):
    """A vote of the caller's."""

    trace_id: str
    vote: Literal["up", "down"]
    reason: str | None
    correction: str | None
    at: datetime


class VoteList(BaseModel):
    """The caller's votes, newest first."""

    votes: list[VoteShape]


@router.post("", name="api_feedback", status_code=204)
async def give(body: FeedbackBody, parts: Parts, asker: Asker) -> None:
    """A thumb up or down on an answer; a second one replaces the first, and what it did not say is said no more."""
    await parts.feedback.vote(
        body.trace_id,
        asker.owner,
        is_up=body.vote == "up",
        reason=body.reason,
        correction=body.correction,
        owner=asker.owner if asker.sees_as is not None else None,
    )


@router.get("", name="api_feedback_given")
async def given(
    parts: Parts,
    asker: Asker,
    trace_id: Annotated[
        list[_Id], Query(max_length=_MOST_ASKED, description="Answers; several may be named")
    ],
) -> VoteList:
    """The caller's own votes on answers."""
    return VoteList(votes=[_shape(vote) for vote in await parts.feedback.given(asker.owner, trace_id)])


@router.delete("/{trace_id}", name="api_feedback_withdraw", status_code=204)
async def withdraw(trace_id: TraceId, parts: Parts, asker: Asker) -> None:
    """Take the caller's vote on an answer back, with everything that was learnt from it."""
    if not await parts.feedback.withdraw(trace_id, asker.owner):
        raise NotFoundError(f"there is no vote of yours on the answer of trace '{trace_id}'")


def _shape(vote: Vote) -> VoteShape:
    return VoteShape(
        trace_id=vote.trace_id,
        vote="up" if vote.is_up else "down",
        reason=vote.reason,
        correction=vote.correction,
        at=vote.at,
    )
