"""The style guide: every piece that pages are made of, drawn by the same templates and styles as the pages themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from causeway.web.dashboard_numbers import Tile
from causeway.web.rendering import link, page
from causeway.web.sign_in import Admin
from causeway.web.svg_charts import Chart, Series
from causeway.web.tables import Listing, Order

router = APIRouter(include_in_schema=False)

_PAGE: Final = 4
_START: Final = datetime(2026, 3, 2, tzinfo=UTC)
_REQUESTS: Final = (42, 38, 61, 90, 120, 118, 96, 70, 64, 82, 131, 140, 122, 88)
_FAILED: Final = (0, 1, 0, 2, 1, 0, 9, 14, 3, 0, 1, 0, 0, 1)
_COLOURS: Final = (
    ("page", "surface", "sunken", "hover", "line", "line-strong"),
    ("ink", "ink-2", "ink-3"),
    ("accent", "accent-hover", "accent-soft", "accent-line", "marker"),
    ("ok", "busy", "danger", "danger-soft", "danger-line"),
    ("tone-1", "tone-2", "tone-3", "tone-4", "tone-5", "tone-6"),
)
_SIZES: Final = ("2xl", "xl", "l", "m", "s", "xs")
_ICONS: Final = [
    "ask",
    "chart",
    "documents",
    "collections",
    "sources",
    "gauge",
    "traces",
    "review",
    "evals",
    "prompts",
    "admin",
    "reference",
    "search",
    "filter",
    "calendar",
    "upload",
    "download",
    "plus",
    "edit",
    "trash",
    "retry",
    "undo",
    "check",
    "close",
    "alert",
    "none",
    "quote",
    "clock",
    "key",
    "team",
    "coins",
    "server",
    "pulse",
    "sliders",
    "swatch",
    "sun",
    "moon",
    "sign-out",
    "external",
    "copy",
    "up",
    "down",
    "back",
    "chevron",
    "menu",
    "play",
    "pause",
    "stop",
    "arrow-up",
    "arrow-right",
    "enter",
]


@dataclass(frozen=True, slots=True)
class Tent:
    """A row of the table that is shown."""

    name: str
    sleeps: int
    weight_g: int
    state: str


_TENTS: Final = (
    Tent("Kestrel Ridge 2", 2, 2150, "ready"),
    Tent("Kestrel Ridge 3", 3, 2720, "processing"),
    Tent("Larkrise 1", 1, 1380, "ready"),
    Tent("Larkrise 2", 2, 1890, "queued"),
    Tent("Fellside Dome", 4, 5400, "failed"),
    Tent("Tarn Tarp", 2, 640, "ready"),
)
_KEYS: Final = {
    "name": lambda tent: tent.name.casefold(),
    "sleeps": lambda tent: tent.sleeps,
    "weight": lambda tent: tent.weight_g,
}


@router.get("/styleguide", name="styleguide")
async def show(
    request: Request,
    _admin: Admin,
    q: Annotated[str, Query(max_length=100)] = "",
    sort: Annotated[str, Query(max_length=20)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=100)] = 1,
) -> Response:
    """The page; its table is sorted, filtered and paged by the server, as every longer list is."""
    order = Order.read(sort, _KEYS, "name")
    found = order.sort([tent for tent in _TENTS if q.casefold() in tent.name.casefold()], _KEYS)
    listing = Listing(
        request=request,
        route="styleguide",
        values={"q": q, "sort": sort},
        order=order,
        first=("sleeps", "weight"),
        part="tents",
    )
    values = {
        "colours": _COLOURS,
        "sizes": _SIZES,
        "icons": _ICONS,
        "listing": listing,
        "tents": found[(number - 1) * _PAGE : number * _PAGE],
        "q": q,
        "sort": sort,
        "number": number,
        "pages": max(1, -(-len(found) // _PAGE)),
        "tiles": _tiles(request),
        "charts": _charts(request),
    }
    return page(request, "styleguide.html", values)


def _tiles(request: Request) -> list[Tile]:
    here = link(request, "styleguide")
    return [
        Tile(label="Requests", value="1,262", url=here, change="12 % more"),
        Tile(
            label="Failed", value="2.5 %", url=here, about="32 requests", change="1.1 points more", tone="bad"
        ),
        Tile(label="Cost", value="$8.31", url=here, about="$1.20 saved", change="4 % less", tone="good"),
    ]


def _charts(request: Request) -> list[Chart]:
    at = [_START + timedelta(days=number) for number in range(len(_REQUESTS))]
    until = at[-1] + timedelta(days=1)
    here = link(request, "styleguide")
    return [
        Chart(
            key="bars",
            title="Bars",
            unit="count",
            kind="bars",
            at=at,
            since=_START,
            until=until,
            step_s=86_400,
            series=[
                Series(name="Answered", values=_REQUESTS, tone="1"),
                Series(name="Failed", values=_FAILED, tone="bad"),
            ],
            zoom=here,
        ),
        Chart(
            key="lines",
            title="Lines, with a gap",
            unit="ms",
            kind="lines",
            at=at,
            since=_START,
            until=until,
            step_s=86_400,
            series=[
                Series(name="p50", values=[11.0 * value for value in _REQUESTS], tone="1"),
                Series(
                    name="p95",
                    values=[None if number == 5 else 31.0 * value for number, value in enumerate(_REQUESTS)],
                    tone="2",
                ),
            ],
        ),
        Chart(
            key="points",
            title="Points",
            unit="share",
            kind="points",
            at=at[::3],
            since=_START,
            until=until,
            series=[Series(name="sample-company", values=[0.82, 0.84, 0.79, 0.88, 0.9], tone="4")],
        ),
    ]
