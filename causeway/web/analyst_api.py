"""``/api/analyst``: questions to databases, SQL run by hand, charts, and what people keep."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from causeway.analyst import draw_chart
from causeway.analyst.analyst import Analyst, Question
from causeway.analyst.charts import chart
from causeway.analyst.verified_pairs import Saved
from causeway.errors import InvalidInputError, NotFoundError
from causeway.observability.feedback import LONGEST_REASON
from causeway.web.analyst_shapes import AnalystAnswerShape, AskedDatabaseShape, answer_shape, database_shape
from causeway.web.ask_api import MAX_QUESTION_CHARS, call_of
from causeway.web.event_stream import until_gone
from causeway.web.sign_in import Asker, Parts

router = APIRouter(prefix="/api/analyst", tags=["Analyst"])

MAX_SQL_CHARS = 20_000


def _analyst(parts: Parts) -> Analyst:
    if parts.analyst is None:
        msg = "this Causeway asks no databases"
        raise NotFoundError(msg)
    return parts.analyst


AnalystDoor = Annotated[Analyst, Depends(_analyst)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class AnalystAskBody(_Body):
    """A question to a database."""

    question: str = Field(
        min_length=1, max_length=MAX_QUESTION_CHARS, examples=["What was our revenue by month in 2025?"]
    )
    database: str | None = Field(default=None, max_length=40, description="Its name; null asks the first")
    conversation_id: str | None = Field(
        default=None, max_length=100, description="Of an earlier answer: the question may refer to it"
    )


class AnalystRunBody(_Body):
    """SQL that a person wrote or changed."""

    sql: str = Field(min_length=1, max_length=MAX_SQL_CHARS, examples=["SELECT count(*) FROM orders"])
    database: str | None = Field(default=None, max_length=40)
    chart: str = Field(
        default="", max_length=20, description="The kind of chart that is wanted; empty lets the shape decide"
    )


class AnalystChartBody(AnalystRunBody):
    """A query whose chart is drawn."""

    format: Literal["svg", "png"] = "svg"
    theme: Literal["light", "dark"] = "light"


class AnalystVoteBody(_Body):
    """Whether an answer was right."""

    trace_id: str = Field(pattern="^[0-9a-f]{32}$")
    vote: Literal["up", "down"]
    reason: str | None = Field(
        default=None, max_length=LONGEST_REASON, description="What was wrong, as at `POST /api/feedback`"
    )
    sql: str = Field(
        default="",
        max_length=MAX_SQL_CHARS,
        description="What would have been right, or the draft as corrected",
    )


class AnalystVoteAnswer(BaseModel):
    """What the vote did."""

    verified: bool = Field(
        description="The question and its SQL are a verified pair now: later drafts are shown it"
    )


class SavedBody(_Body):
    """A question to keep."""

    question: str = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    sql: str = Field(min_length=1, max_length=MAX_SQL_CHARS)
    database: str = Field(min_length=1, max_length=40)
    chart: str = Field(default="", max_length=20)
    pinned: bool = Field(default=False, description="Drawn on the board")


class SavedShape(SavedBody):
    """A question that is kept."""

    id: str


class SavedList(BaseModel):
    """The caller's saved questions, newest first."""

    saved: list[SavedShape]


@router.get("/databases", name="api_analyst_databases")
async def databases(analyst: AnalystDoor, asker: Asker) -> list[AskedDatabaseShape]:
    """What may be asked about: databases, tables, columns and the glossary, as the caller sees them."""
    return [database_shape(await analyst.databases.asked(name, asker)) for name in analyst.databases.names()]


@router.post("/ask", name="api_analyst_ask", response_model=AnalystAnswerShape)
async def ask(body: AnalystAskBody, request: Request, analyst: AnalystDoor, asker: Asker) -> object:
    """A question answered by SQL: the query, its rows, a chart, and what was computed in words."""
    question = Question(text=body.question, database=body.database, conversation_id=body.conversation_id)
    answer = await until_gone(lambda: analyst.ask(question, call_of(asker, "analyst")), request.receive)
    return answer_shape(answer) if answer else Response(status_code=499)


@router.post("/run", name="api_analyst_run")
async def run(body: AnalystRunBody, analyst: AnalystDoor, asker: Asker) -> AnalystAnswerShape:
    """SQL checked as a draft is, and run."""
    return answer_shape(
        await analyst.run(body.sql, body.database, call_of(asker, "analyst"), chart_kind=body.chart)
    )


@router.post(
    "/chart",
    name="api_analyst_chart",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}, "image/png": {}}, "description": "The picture"}},
)
async def draw(body: AnalystChartBody, analyst: AnalystDoor, asker: Asker) -> Response:
    """The chart of a query as a picture."""
    answer = await analyst.run(body.sql, body.database, call_of(asker, "analyst"), chart_kind=body.chart)
    if answer.result is None:
        msg = "the query has no result"
        raise InvalidInputError(msg)
    drawn = chart(answer.result, wanted=body.chart, theme=body.theme)
    if drawn.spec is None:
        raise InvalidInputError(
            f"this result is shown as a {drawn.kind}, not as a chart; group it by something"
        )
    if body.format == "png":
        return Response(await asyncio.to_thread(draw_chart.png, drawn.spec), media_type="image/png")
    return Response(await asyncio.to_thread(draw_chart.svg, drawn.spec), media_type="image/svg+xml")


@router.post("/vote", name="api_analyst_vote")
async def vote(body: AnalystVoteBody, analyst: AnalystDoor, parts: Parts, asker: Asker) -> AnalystVoteAnswer:
    """Whether an answer was right; with the scope `ingest`, a right one becomes a verified pair."""
    is_up = body.vote == "up"
    own = asker.owner if asker.sees_as is not None else None
    await parts.feedback.vote(
        body.trace_id,
        asker.owner,
        is_up=is_up,
        reason=body.reason,
        correction=body.sql or None,
        owner=own,
    )
    if not is_up and not body.sql:
        return AnalystVoteAnswer(verified=False)
    return AnalystVoteAnswer(
        verified=await analyst.approve(body.trace_id, call_of(asker, "analyst"), sql=body.sql)
    )


@router.get("/saved", name="api_analyst_saved")
async def saved(analyst: AnalystDoor, asker: Asker) -> SavedList:
    """What the caller keeps."""
    return SavedList(saved=[saved_shape(each) for each in await analyst.notebook.saved(asker.owner)])


@router.post("/saved", name="api_analyst_save", status_code=201)
async def save(body: SavedBody, analyst: AnalystDoor, asker: Asker) -> SavedShape:
    """Keep a question with its SQL; it is checked anew whenever it is run."""
    kept = Saved(
        id=f"saved_{uuid4().hex}",
        database=body.database,
        question=body.question,
        sql=body.sql,
        chart=body.chart,
        is_pinned=body.pinned,
    )
    await analyst.notebook.save(asker.owner, kept)
    return saved_shape(kept)


@router.delete("/saved/{saved_id}", name="api_analyst_forget", status_code=204)
async def forget(saved_id: str, analyst: AnalystDoor, asker: Asker) -> None:
    """Keep a question no longer."""
    await analyst.notebook.forget(asker.owner, saved_id)


def saved_shape(each: Saved) -> SavedShape:
    """A saved question for the wire."""
    return SavedShape(
        id=each.id,
        question=each.question,
        sql=each.sql,
        database=each.database,
        chart=each.chart,
        pinned=each.is_pinned,
    )
