"""What is learnt from feedback, for administrators: every improvement with its proof, experiments, and the switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from starlette.responses import RedirectResponse, Response

from causeway.errors import CausewayError
from causeway.evals.experiments import kind_of
from causeway.evals.no_harm import LEAST, LEAST_TOUCHED, MOST_HARM, Difference
from causeway.knowledge import KINDS, Kind, Standing
from causeway.web.rendering import is_fragment, link, page
from causeway.web.review_api import Review
from causeway.web.sign_in import Admin

router = APIRouter(include_in_schema=False)

ExperimentId = Annotated[str, Path(pattern="^exp_[0-9a-f]{32}$")]
_MOST_QUESTIONS = 40


@dataclass(frozen=True, slots=True)
class Bar:
    """A difference drawn on a line from ``-span`` to ``span`` points, in hundredths of the line's width."""

    difference: Difference
    span: float

    def at(self, points: float) -> float:
        """Where so many points are."""
        return max(0.0, min(100.0, 50 + 50 * points / self.span))


@router.get("/review/learning", name="learning")
async def show(request: Request, review: Review, _admin: Admin) -> Response:
    """Every improvement, and the newest experiments; these alone when htmx asks."""
    return await _page(request, review)


@router.post("/review/learning", name="learning_start")
async def start(
    request: Request,
    review: Review,
    admin: Admin,
    kind: Annotated[str, Form(max_length=40)],
    collection: Annotated[str, Form(max_length=200)],
    suite: Annotated[str, Form(max_length=80)],
) -> Response:
    """Run an experiment."""
    try:
        begun = await review.experiments.start(kind_of(kind), collection, suite, by=admin.owner)
    except CausewayError as exc:
        return await _page(request, review, problem=exc.message)
    return RedirectResponse(link(request, "experiment", experiment_id=begun.id), status_code=303)


@router.post("/review/learning/switch", name="learning_switch")
async def switch(
    request: Request,
    review: Review,
    admin: Admin,
    kind: Annotated[str, Form(max_length=40)],
    collection: Annotated[str, Form(max_length=200)],
    on: Annotated[bool, Form()],
) -> Response:
    """Switch an improvement on or off."""
    try:
        await review.experiments.switch(kind_of(kind), collection, on=on, by=admin.owner)
    except CausewayError as exc:
        return await _page(request, review, problem=exc.message)
    return RedirectResponse(link(request, "learning"), status_code=303)


@router.get("/review/experiments/{experiment_id}", name="experiment")
async def experiment(
    experiment_id: ExperimentId, request: Request, review: Review, _admin: Admin
) -> Response:
    """One experiment: its arms, differences with intervals, the verdict, and the questions that changed."""
    found = await review.experiments.one(experiment_id)
    differences = [
        each
        for group in (found.proof.groups.values() if found.proof else ())
        for each in (group.on, group.placebo, group.on_against_placebo)
    ]
    span = max([5.0, *(abs(end) for each in differences for end in (each.low, each.high))])
    values = {
        "experiment": found,
        "kinds": KINDS,
        "bar": lambda difference: Bar(difference, span),
        "scores": (await review.experiments.scores(experiment_id))[:_MOST_QUESTIONS] if found.proof else [],
        "rule": {"least": LEAST, "least_touched": LEAST_TOUCHED, "most_harm": MOST_HARM},
        "standing": await _standing(review, found.collection_id, found.kind),
    }
    return page(request, "experiment_progress.html" if is_fragment(request) else "experiment.html", values)


async def _standing(review: Review, collection_id: str, kind: Kind) -> Standing | None:
    for each in await review.experiments.standings():
        if (each.collection_id, each.kind) == (collection_id, kind):
            return each
    return None


async def _page(request: Request, review: Review, *, problem: str | None = None) -> Response:
    standings = await review.experiments.standings()
    found = await review.experiments.all()
    values = {
        "standings": standings,
        "collections": sorted({each.collection for each in standings}),
        "confirmed": await review.experiments.confirmed(),
        "experiments": found,
        "is_busy": any(each.state in ("queued", "running") for each in found),
        "suites": await review.experiments.suites(),
        "kinds": KINDS,
        "rule": {"least": LEAST, "least_touched": LEAST_TOUCHED, "most_harm": MOST_HARM},
        "problem": problem,
    }
    template = "learning_experiments.html" if is_fragment(request) else "learning.html"
    return page(request, template, values, status_code=422 if problem else 200)
