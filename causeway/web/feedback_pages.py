"""One's own vote on an answer, for browsers without scripts."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from causeway.observability.feedback import LONGEST_CORRECTION, LONGEST_REASON, REASONS
from causeway.web.feedback_api import TraceId
from causeway.web.rendering import link, page
from causeway.web.sign_in import Asker, Parts

router = APIRouter(include_in_schema=False)


@router.get("/feedback/{trace_id}", name="feedback")
async def show(trace_id: TraceId, request: Request, parts: Parts, asker: Asker) -> Response:
    """The vote, to be changed or taken back."""
    given = next(iter(await parts.feedback.given(asker.owner, [trace_id])), None)
    return page(request, "feedback.html", {"trace_id": trace_id, "given": given, "reasons": REASONS})


@router.post("/feedback/{trace_id}", name="feedback_give")
async def give(
    trace_id: TraceId,
    request: Request,
    parts: Parts,
    asker: Asker,
    vote: Annotated[Literal["up", "down", "none"], Form()],
    reason: Annotated[str, Form(max_length=LONGEST_REASON)] = "",
    correction: Annotated[str, Form(max_length=LONGEST_CORRECTION)] = "",
) -> Response:
    """Give a vote, change it, or take it back."""
    if vote == "none":
        await parts.feedback.withdraw(trace_id, asker.owner)
    else:
        is_up = vote == "up"
        await parts.feedback.vote(
            trace_id,
            asker.owner,
            is_up=is_up,
            reason=None if is_up else reason.strip() or None,
            correction=None if is_up else correction.strip() or None,
            owner=asker.owner if asker.sees_as is not None else None,
        )
    return RedirectResponse(link(request, "feedback", trace_id=trace_id), status_code=303)
