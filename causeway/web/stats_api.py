"""``/api/stats``: the dashboard's numbers, and its tables for spreadsheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from causeway.contracts.identity import Operation, Scope
from causeway.errors import InvalidInputError, NotFoundError
from causeway.observability.stats_report import USUAL, StatsQuery, StatsReport
from causeway.web.admin_access import Storable
from causeway.web.csv_tables import csv_answer
from causeway.web.parts import StatsDoor
from causeway.web.sign_in import Parts, Tracer

router = APIRouter(prefix="/api/stats", tags=["Dashboard"])


class _Shape(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PercentilesShape(_Shape):
    """Milliseconds, at most 2 % off; null where nothing was measured."""

    p50: int | None
    p95: int | None
    p99: int | None


class TotalsShape(_Shape):
    """The numbers of a period; requests are calls of models of the operation asked for, money is of all operations."""

    requests: int
    errors: int
    error_rate: float = Field(description="A share of the requests, from 0 to 1, and so are all rates")
    input_tokens: int
    output_tokens: int
    tokens_avg: float = Field(description="Read and written by a request")
    tokens_p50: int | None
    tokens_p95: int | None
    cost_usd: float
    saved_usd: float = Field(description="What the replies from the cache would have cost")
    latency_ms: PercentilesShape
    ttft_ms: PercentilesShape = Field(description="Until the first piece of the reply")
    cache_hits: int
    cache_rate: float
    fallbacks: int = Field(description="Requests that took more than one call of a provider")
    fallback_rate: float
    asked: int = Field(description="Answers given or refused")
    refusals: int
    refusal_rate: float
    thumbs_up: int
    thumbs_down: int


class PointShape(TotalsShape):
    """The numbers of one step of the period."""

    at: datetime = Field(description="When it begins")


class ErrorShape(_Shape):
    """Requests that ended with one code."""

    code: str
    count: int


class CostShape(_Shape):
    """What one team, model or product cost."""

    key: str = Field(description="What the filter takes")
    name: str
    cost_usd: float
    requests: int


class CostsShape(_Shape):
    """Where the money went, the dearest first."""

    team: list[CostShape]
    model: list[CostShape]
    product: list[CostShape]


class StatsTraceShape(_Shape):
    """One trace."""

    trace_id: str
    name: str
    question: str | None
    started_at: datetime
    duration_ms: int
    status: str
    error_type: str | None
    model: str | None
    product: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: float


class QuestionShape(_Shape):
    """Questions that mean the same."""

    cluster_id: str
    label: str
    example: str
    size: int
    trend: float | None = Field(
        description="Growth over the period before: 0.5 is half as many again; null when none was asked then"
    )
    thumbs_up: int
    thumbs_down: int
    cost_usd: float


class ScoreShape(_Shape):
    """How an eval run ended: the share of cases that passed, and its interval."""

    run_id: str
    suite: str
    subject: str
    label: str | None
    at: datetime
    passed: float
    low: float
    high: float


class StatsShape(_Shape):
    """Everything that the dashboard shows of a period."""

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    bucket_s: int = Field(description="How long a step of the series is")
    totals: TotalsShape
    previous: TotalsShape = Field(description="Of the period of the same length just before")
    series: list[PointShape]
    errors: list[ErrorShape]
    costs: CostsShape
    slow: list[StatsTraceShape]
    dear: list[StatsTraceShape]
    failed: list[StatsTraceShape]
    questions: list[QuestionShape]
    scores: list[ScoreShape]


def asked(  # noqa: PLR0913 - one for each parameter of the query
    parts: Parts,
    since: Annotated[
        AwareDatetime | None, Query(alias="from", description="7 days before `to` when not given")
    ] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Now when not given")] = None,
    team: Annotated[Storable | None, Query(description="Its id; none when empty")] = None,
    owner: Annotated[Storable | None, Query(description="A person's id, or a program's key's")] = None,
    product: Annotated[Storable | None, Query(description="Such as ask, analyst or api")] = None,
    model: Storable | None = None,
    prompt: Annotated[Storable | None, Query(description="Name and version: answer@3")] = None,
    tier: Storable | None = None,
    operation: Operation = "chat",
) -> StatsQuery:
    """What the query says.

    Raises:
        InvalidInputError: The time is none, or too long.
    """
    end = until or parts.clock.now()
    try:
        begin = since or end - USUAL
    except OverflowError as exc:
        msg = "'to' is before any time that can be told"
        raise InvalidInputError(msg) from exc
    return StatsQuery(
        since=begin,
        until=end,
        team=team,
        owner=owner,
        product=product,
        model=model,
        prompt=prompt,
        tier=tier,
        operation=operation,
    )


Asked = Annotated[StatsQuery, Depends(asked)]


def _door(parts: Parts) -> StatsDoor:
    if parts.stats is None:
        msg = "this Causeway keeps no numbers"
        raise NotFoundError(msg)
    return parts.stats


async def report(query: Asked, asker: Tracer, door: Annotated[StatsDoor, Depends(_door)]) -> StatsReport:
    """The numbers: of everybody for an administrator, else the caller's own, whatever ``owner`` says."""
    if asker.may(Scope.ADMIN):
        return await door.read(query)
    return await door.read(replace(query, owner=asker.owner), is_own=True)


Report = Annotated[StatsReport, Depends(report)]


@router.get("", name="api_stats")
async def stats(found: Report) -> StatsShape:
    """The numbers of a period and of the one before it: of everybody for an administrator, else the caller's own."""
    return StatsShape.model_validate(
        {name: getattr(found, name) for name in StatsReport.__slots__ if name != "query"}
        | {"since": found.query.since, "until": found.query.until}
    )


Table = Literal["series", "costs", "questions", "errors", "scores"]


@router.get(
    ".csv",
    name="api_stats_csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "A table for spreadsheets"}},
)
async def stats_csv(found: Report, table: Table = "series") -> Response:
    """One table of the numbers; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    columns, rows = _TABLES[table](found)
    return csv_answer(f"{table}-{found.query.since:%Y-%m-%d}.csv", columns, rows)


_Rows = tuple[Sequence[str], Iterable[Sequence[object]]]


def _series(found: StatsReport) -> _Rows:
    plain = [name for name in TotalsShape.model_fields if not name.endswith("_ms")]
    columns = ["at", *plain, *(f"{of}_{each}_ms" for of in ("latency", "ttft") for each in _PERCENTILES)]
    rows = (
        [
            point.at.isoformat(),
            *(getattr(point, name) for name in plain),
            *(getattr(of, each) for of in (point.latency_ms, point.ttft_ms) for each in _PERCENTILES),
        ]
        for point in found.series
    )
    return columns, rows


def _costs(found: StatsReport) -> _Rows:
    groups = (("team", found.costs.team), ("model", found.costs.model), ("product", found.costs.product))
    rows = ([by, line.key, line.name, line.cost_usd, line.requests] for by, lines in groups for line in lines)
    return ("by", "key", "name", "cost_usd", "requests"), rows


def _questions(found: StatsReport) -> _Rows:
    columns = list(QuestionShape.model_fields)
    return columns, ([getattr(line, name) for name in columns] for line in found.questions)


def _errors(found: StatsReport) -> _Rows:
    return ("code", "count"), ([line.code, line.count] for line in found.errors)


def _scores(found: StatsReport) -> _Rows:
    columns = list(ScoreShape.model_fields)
    return columns, ([getattr(line, name) for name in columns] for line in found.scores)


_PERCENTILES = ("p50", "p95", "p99")
_TABLES = {
    "series": _series,
    "costs": _costs,
    "questions": _questions,
    "errors": _errors,
    "scores": _scores,
}
