"""The dashboard: what was asked of models, how it went and what it cost, each number a way to its traces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from causeway.errors import NotFoundError
from causeway.observability.stats_report import CostLine, QuestionLine, StatsReport
from causeway.web.dashboard_numbers import first_charts, further_charts, score_chart, tiles
from causeway.web.dashboard_view import FILTERS, RANGES, Asked, View
from causeway.web.parts import StatsDoor, WebParts
from causeway.web.rendering import has_route, link, page
from causeway.web.sign_in import Admin, Parts
from causeway.web.svg_charts import label
from causeway.web.tables import Listing, Order

router = APIRouter(include_in_schema=False)

_LISTED: Final = 6
_QUESTIONS: Final = 20
_QUESTION_KEYS: Final = {
    "label": lambda line: line.label.casefold(),
    "size": lambda line: line.size,
    "trend": lambda line: line.trend,
    "down": lambda line: line.thumbs_down,
    "cost": lambda line: line.cost,
}
_CSV: Final = {
    "series": "Over time",
    "costs": "Costs",
    "questions": "Questions",
    "errors": "Errors",
    "scores": "Eval scores",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A line of a list with bars.

    Attributes:
        share: Of the greatest in the list, in percent.
        only: The dashboard of this line alone; empty where it cannot be filtered by.
        url: Its traces.
    """

    name: str
    value: str
    about: str
    share: float
    url: str
    only: str = ""


def _door(parts: Parts) -> StatsDoor:
    if parts.stats is None:
        msg = "there is no dashboard here: nothing is counted"
        raise NotFoundError(msg)
    return parts.stats


@router.get("/dashboard", name="dashboard")
async def show(
    request: Request,
    parts: Parts,
    _admin: Admin,
    stats: Annotated[StatsDoor, Depends(_door)],
    asked: Annotated[Asked, Query()],
) -> Response:
    """The page."""
    view = View.read(request, asked, parts.clock.now())
    report = await stats.read(view.query)
    teams, owners = await _names(parts)
    order = Order.read(asked.sort, _QUESTION_KEYS, "-size")
    values = {
        "view": view,
        "report": report,
        "ranges": [(view.ranged(key), words, view.span == key) for key, (words, _) in RANGES.items()],
        "choices": _choices(report, teams, owners, view.filters),
        "names": teams | owners,
        "filters": FILTERS,
        "csv": _CSV if has_route(request, "api_stats_csv") else {},
        "is_unused": not (report.totals.requests or report.previous.requests or view.filters),
        "tiles": tiles(report, view),
        "first_charts": first_charts(report, view),
        "further_charts": further_charts(report, view),
        "scores": score_chart(report.scores, view, lambda run_id: link(request, "eval_run", run_id=run_id)),
        "errors": _errors(report, view),
        "costs": _costs(report, view),
        "questions": _questions(report, order),
        "listing": Listing(
            request=request,
            route="dashboard",
            values={**view.times, **view.filters, "sort": asked.sort},
            order=order,
            first=("size", "trend", "down", "cost"),
            part="questions",
        ),
        "lists": (
            ("Slowest", view.traces(order="slowest"), report.slow[:_LISTED]),
            ("Dearest", view.traces(order="dearest"), report.dear[:_LISTED]),
            ("Failed last", view.traces(status="error"), report.failed[:_LISTED]),
        ),
    }
    return page(request, "dashboard.html", values)


async def _names(parts: WebParts) -> tuple[dict[str, str], dict[str, str]]:
    """What people call teams, and the people and programs that call models, by id."""
    if parts.admin is None:
        return {}, {}
    teams = {team.id: team.name for team in await parts.admin.teams.list()}
    people = {user.id: user.name for user in await parts.admin.users.list()}
    return teams, people | {key.id: key.name for key in await parts.admin.keys.list() if key.user is None}


def _choices(
    report: StatsReport, teams: Mapping[str, str], owners: Mapping[str, str], chosen: Mapping[str, str]
) -> dict[str, list[tuple[str, str]]]:
    """What each filter can be set to, where that is known; others are written by hand."""
    known = {
        "team": {**_lines(report.costs.team), **teams},
        "owner": dict(owners),
        "product": _lines(report.costs.product),
        "model": _lines(report.costs.model),
    }
    for name, options in known.items():
        if name in chosen:
            options.setdefault(chosen[name], chosen[name])
    return {
        name: [("", "All"), *sorted(options.items(), key=lambda option: option[1].casefold())]
        for name, options in known.items()
        if options
    }


def _lines(lines: Iterable[CostLine]) -> dict[str, str]:
    return {line.key: line.name for line in lines if line.key}


def _errors(report: StatsReport, view: View) -> list[Share]:
    most = max((error.count for error in report.errors), default=0)
    return [
        Share(
            name=error.code.replace("_", " "),
            value=f"{error.count:,}",
            about="",
            share=round(100 * error.count / most, 2),
            url=view.traces(status=error.code),
        )
        for error in report.errors
    ]


def _costs(report: StatsReport, view: View) -> list[tuple[str, list[Share]]]:
    found = (("team", report.costs.team), ("model", report.costs.model), ("product", report.costs.product))
    return [(f"Cost by {name}", _cost_shares(name, lines[:_LISTED], view)) for name, lines in found]


def _cost_shares(name: str, lines: Sequence[CostLine], view: View) -> list[Share]:
    most = max((line.cost for line in lines), default=0)
    return [
        Share(
            name=line.name or "none",
            value=label(line.cost_usd, "usd"),
            about=f"{line.requests:,} request{'' if line.requests == 1 else 's'}",
            share=round(100 * line.cost / most, 2) if most else 0,
            url=view.traces(**{name: line.key}),
            only=view.url(**{name: line.key}) if line.key else "",
        )
        for line in lines
    ]


def _questions(report: StatsReport, order: Order) -> list[QuestionLine]:
    return order.sort(report.questions, _QUESTION_KEYS)[:_QUESTIONS]
