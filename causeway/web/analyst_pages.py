"""The analyst for people: a question box, the answer with its SQL, chart and table, what they keep, and a board of it."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import logging
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from causeway.analyst import charts, draw_chart
from causeway.analyst.analyst import Analyst, Answer, Question
from causeway.analyst.result import Result, Value
from causeway.analyst.verified_pairs import Saved
from causeway.contracts.identity import Principal, Scope
from causeway.errors import CausewayError, InvalidInputError, NotFoundError, QueryFailedError, RefusedSqlError
from causeway.guard.plain_output import disarmed_cell
from causeway.web.analyst_api import MAX_SQL_CHARS, AnalystDoor
from causeway.web.ask_api import MAX_QUESTION_CHARS, call_of
from causeway.web.event_stream import until_gone
from causeway.web.rendering import is_fragment, link, page
from causeway.web.sign_in import Asker, Parts

router = APIRouter(include_in_schema=False)
log = logging.getLogger(__name__)

_MOST_ROWS = 200
_KINDS = {
    "number": "Number", "line": "Line", "multi_line": "Lines", "small_multiples": "Small multiples", "bar": "Bars",
    "grouped_bar": "Grouped bars", "donut": "Donut", "heat_map": "Heat map", "scatter": "Scatter", "histogram": "Histogram",
    "table": "Table",
}  # fmt: skip

Text = Annotated[str, Form()]


@router.get("/analyst", name="analyst")
async def show(
    request: Request, analyst: AnalystDoor, asker: Asker, q: str = "", database: str = ""
) -> Response:
    """The box, what may be asked about, and what this person keeps; ``q`` fills the box in without asking."""
    values = await _around(analyst, asker, database)
    return page(request, "analyst.html", {**values, "question": q[:MAX_QUESTION_CHARS], "answers": []})


@router.post("/analyst/ask", name="analyst_ask")
async def ask(
    request: Request,
    analyst: AnalystDoor,
    asker: Asker,
    question: Text = "",
    database: Text = "",
    conversation_id: Text = "",
) -> Response:
    """The answer: a piece of the page for htmx, a whole one for browsers without scripts."""
    asked = question.strip()
    if not asked or len(asked) > MAX_QUESTION_CHARS:
        raise InvalidInputError(
            f"a question has 1 to {MAX_QUESTION_CHARS} characters, and this has {len(asked)}"
        )
    wanted = Question(text=asked, database=database or None, conversation_id=conversation_id or None)
    try:
        answer = await until_gone(lambda: analyst.ask(wanted, call_of(asker, "analyst")), request.receive)
    except CausewayError as exc:
        answer = Answer(question=asked, database=database, state="failed", message=exc.message)
    if answer is None:
        return Response(status_code=499)
    return await _answered(request, analyst, asker, answer)


@router.post("/analyst/run", name="analyst_run")
async def run(
    request: Request,
    analyst: AnalystDoor,
    asker: Asker,
    sql: Text = "",
    question: Text = "",
    database: Text = "",
    chart_kind: Annotated[str, Form(alias="chart")] = "",
) -> Response:
    """Changed SQL, or another kind of chart: checked and run anew."""
    call = call_of(asker, "analyst")
    try:
        answer = await analyst.run(sql[:MAX_SQL_CHARS], database or None, call, chart_kind=chart_kind)
    except (RefusedSqlError, QueryFailedError) as exc:
        answer = Answer(question=question, database=database, state="failed", message=exc.message, sql=sql)
    return await _answered(request, analyst, asker, answer, question=question[:MAX_QUESTION_CHARS])


@router.post("/analyst/csv", name="analyst_csv")
async def download(analyst: AnalystDoor, asker: Asker, sql: Text = "", database: Text = "") -> Response:
    """The result as a spreadsheet that runs nothing."""
    answer = await analyst.run(sql[:MAX_SQL_CHARS], database or None, call_of(asker, "analyst"))
    if answer.result is None:
        msg = "the query has no result"
        raise InvalidInputError(msg)
    headers = {"content-disposition": 'attachment; filename="result.csv"'}
    return Response(as_csv(answer.result), media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/analyst/picture", name="analyst_picture")
async def picture(
    analyst: AnalystDoor,
    asker: Asker,
    sql: Text = "",
    database: Text = "",
    chart_kind: Annotated[str, Form(alias="chart")] = "",
) -> Response:
    """The chart as PNG, on white."""
    answer = await analyst.run(
        sql[:MAX_SQL_CHARS], database or None, call_of(asker, "analyst"), chart_kind=chart_kind
    )
    if answer.chart is None or answer.chart.spec is None:
        msg = "this result is not drawn as a chart"
        raise InvalidInputError(msg)
    spec = {**answer.chart.spec, "config": {**answer.chart.spec["config"], "background": "white"}}
    headers = {"content-disposition": 'attachment; filename="chart.png"'}
    return Response(await asyncio.to_thread(draw_chart.png, spec), media_type="image/png", headers=headers)


@router.post("/analyst/vote", name="analyst_vote")
async def vote(
    request: Request,
    analyst: AnalystDoor,
    parts: Parts,
    asker: Asker,
    trace_id: Text = "",
    vote: Text = "",
    sql: Text = "",
) -> Response:
    """Was this right? A right one becomes a verified pair, if the voter may add to what is known."""
    is_up = vote == "up"
    own = asker.owner if asker.sees_as is not None else None
    await parts.feedback.vote(trace_id, asker.owner, is_up=is_up, owner=own)
    said = "Noted. Change the query below to what would have been right, and run it."
    if is_up:
        is_verified = await analyst.approve(trace_id, call_of(asker, "analyst"), sql=sql[:MAX_SQL_CHARS])
        said = (
            "Kept as a verified query: later questions learn from it." if is_verified else "Noted, thank you."
        )
    return page(request, "analyst_note.html", {"said": said, "voted": trace_id})


def _kept_as(chart: Text = "", pinned: Text = "") -> tuple[str, bool]:
    """The kind of chart, and whether it goes on the board."""
    return chart, pinned == "yes"


@router.post("/analyst/save", name="analyst_save")
async def save(
    request: Request,
    analyst: AnalystDoor,
    asker: Asker,
    question: Text = "",
    sql: Text = "",
    database: Text = "",
    kind: Annotated[tuple[str, bool], Depends(_kept_as)] = ("", False),
) -> Response:
    """Keep a question; pinned ones are drawn on the board."""
    title = (question.strip() or "Query")[:MAX_QUESTION_CHARS]
    saved = Saved(
        id=f"saved_{uuid4().hex}",
        database=database,
        question=title,
        sql=sql[:MAX_SQL_CHARS],
        chart=kind[0],
        is_pinned=kind[1],
    )
    await analyst.notebook.save(asker.owner, saved)
    if not is_fragment(request):
        return RedirectResponse(link(request, "analyst"), status_code=303)
    said = "Pinned to your board." if saved.is_pinned else "Saved."
    return page(request, "analyst_note.html", {"said": said})


@router.post("/analyst/saved/{saved_id}/delete", name="analyst_forget")
async def forget(saved_id: str, request: Request, analyst: AnalystDoor, asker: Asker) -> Response:
    """Keep it no longer."""
    await analyst.notebook.forget(asker.owner, saved_id)
    return RedirectResponse(link(request, "analyst"), status_code=303)


@router.get("/analyst/saved/{saved_id}", name="analyst_saved")
async def saved(saved_id: str, request: Request, analyst: AnalystDoor, asker: Asker) -> Response:
    """A saved question, run now: a card of the board for htmx, else the page with it."""
    found = next((each for each in await analyst.notebook.saved(asker.owner) if each.id == saved_id), None)
    if found is None:
        raise NotFoundError(f"you keep no question '{saved_id}'")
    try:
        call = call_of(asker, "analyst")
        answer = await analyst.run(found.sql, found.database, call, chart_kind=found.chart)
    except (RefusedSqlError, QueryFailedError, NotFoundError) as exc:
        answer = Answer(
            question=found.question,
            database=found.database,
            state="failed",
            message=exc.message,
            sql=found.sql,
        )
    if is_fragment(request):
        view = await _view(answer, asker, question=found.question)
        return page(request, "analyst_card.html", {"one": view, "saved": found})
    return await _answered(request, analyst, asker, answer, question=found.question)


def as_csv(result: Result) -> bytes:
    """RFC 4180 with a byte order mark, so that spreadsheets read UTF-8; no cell can be a formula."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([disarmed_cell(column.name) for column in result.columns])
    for row in result.rows:
        writer.writerow([disarmed_cell(value) if isinstance(value, str) else value for value in row])
    return b"\xef\xbb\xbf" + written.getvalue().encode()


# --- what templates are given ------------------------------------------------------------------------


async def _answered(
    request: Request, analyst: Analyst, asker: Principal, answer: Answer, *, question: str = ""
) -> Response:
    view = await _view(answer, asker, question=question or answer.question)
    if is_fragment(request):
        return page(request, "analyst_answer.html", {"one": view})
    around = await _around(analyst, asker, answer.database)
    return page(request, "analyst.html", {**around, "question": "", "answers": [view]})


async def _around(analyst: Analyst, asker: Principal, database: str) -> dict[str, object]:
    """What stands around answers: databases, their tables, saved questions."""
    names = analyst.databases.names()
    chosen = database if database in names else (names[0] if names else "")
    asked, problem = None, ""
    if chosen:
        try:
            asked = await analyst.databases.asked(chosen, asker)
        except CausewayError as exc:
            problem = exc.message
    kept = await analyst.notebook.saved(asker.owner)
    return {
        "databases": names,
        "database": chosen,
        "asked": asked,
        "problem": problem,
        "pinned": [each for each in kept if each.is_pinned],
        "saved": [each for each in kept if not each.is_pinned],
        "examples": asked.layer.examples if asked else [],
        "max_chars": MAX_QUESTION_CHARS,
    }


async def _view(answer: Answer, asker: Principal, *, question: str) -> dict[str, Any]:
    """An answer for its template."""
    result = answer.result
    return {
        "answer": answer,
        "question": question,
        "key": uuid4().hex[:12],
        "pictures": await _pictures(answer),
        "is_undrawn": bool(answer.chart and answer.chart.spec and not draw_chart.can_draw()),
        "kinds": _KINDS,
        "rows": [[_written(value) for value in row] for row in result.rows[:_MOST_ROWS]] if result else [],
        "more": max(0, len(result.rows) - _MOST_ROWS) if result else 0,
        "number": _single(result) if answer.chart and answer.chart.kind == "number" and result else "",
        "may_trace": asker.may(Scope.ADMIN),
    }


async def _pictures(answer: Answer) -> dict[str, str]:
    """The chart for the light and the dark theme, as addresses of images; none where nothing is drawn."""
    if (
        answer.result is None
        or answer.chart is None
        or answer.chart.spec is None
        or not draw_chart.can_draw()
    ):
        return {}
    found = {}
    for theme in ("light", "dark"):
        drawn = charts.chart(answer.result, wanted=answer.chart.kind, theme=theme)
        if drawn.spec is None:
            return {}
        try:
            svg = await asyncio.to_thread(draw_chart.svg, drawn.spec)
        except InvalidInputError as exc:
            log.warning("a chart could not be drawn", extra={"reason": exc.message})
            return {}
        found[theme] = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return found


def _single(result: Result) -> str:
    return next(
        (
            _written(row_value)[0]
            for row in result.rows
            for row_value in row
            if isinstance(row_value, int | float)
        ),
        "",
    )


def _written(value: Value) -> tuple[str, str]:
    """A cell: as it is shown, and what it is sorted by."""
    if value is None:
        return "", ""
    if isinstance(value, bool):
        return ("yes" if value else "no"), str(int(value))
    if isinstance(value, int):
        return f"{value:,}", str(value)
    if isinstance(value, float):
        shown = f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"
        return shown, repr(value)
    return value.removesuffix(" 00:00:00+00:00").removesuffix("T00:00:00"), value
