"""``/api/traces``: what happened, step by step, and which of it somebody looks for."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from causeway.contracts.identity import Principal, Scope
from causeway.contracts.money import to_dollars
from causeway.errors import InvalidInputError
from causeway.observability import genai_names as names
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import Rating, Trace, TraceSummary
from causeway.web.sign_in import Parts, Tracer

router = APIRouter(prefix="/api/traces", tags=["Traces"])

TraceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_AGO: Final = re.compile(r"(\d{1,4})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def _blank(value: object) -> object:
    """A form sends fields that nobody filled in."""
    return None if value == "" else value


Count = Annotated[Annotated[int, Field(ge=0, le=10**15)] | None, BeforeValidator(_blank)]
Words = Annotated[str, Field(max_length=500)]
Moment = Annotated[str, Field(max_length=40)]


class TraceFilters(BaseModel):
    """Which traces; each filter narrows, and what is left out or empty leaves it open."""

    model_config = ConfigDict(extra="ignore")

    text: Words = Field(
        default="",
        description='Words of names, questions and answers, `"in a row"`, `-without`; or a trace\'s id',
    )
    owner: Words = Field(
        default="", description="A person's or key's id, or a user of the program that sent it"
    )
    team: Words = ""
    tier: Words = ""
    model: Words = Field(default="", description="That answered last")
    prompt: Words = Field(default="", description="`name@version`, or a name for all its versions")
    status: Words = Field(default="", description="`ok`, `error`, or an error's code")
    product: Words = Field(default="", description="What its calls were for, such as ask, analyst or v1")
    service: Words = Field(default="", description="`causeway`, or the program that sent it")
    cache: Literal["", "any", "exact", "semantic"] = ""
    min_attempts: Count = Field(default=None, description="2 finds what was tried again or elsewhere")
    conversation: Words = ""
    cluster: Words = Field(default="", description="The id of a group of like questions")
    vote: Literal["", "up", "down", "any", "none"] = ""
    score: Literal["", "passed", "failed"] = Field(default="", description="In an evaluation")
    refused: Literal["", "true", "false"] = ""
    min_cost: Annotated[Annotated[float, Field(ge=0, le=10**9)] | None, BeforeValidator(_blank)] = Field(
        default=None, description="In dollars"
    )
    min_ms: Count = None
    max_ms: Count = None
    min_tokens: Count = None
    since: Moment = Field(
        default="", description="A time (ISO 8601, UTC where it says none), or how long ago: 15m, 24h, 7d"
    )
    until: Moment = ""
    order: Literal["newest", "slowest", "dearest"] = "newest"
    after: Annotated[str, Field(pattern="^([0-9a-f]{32})?$")] = Field(
        default="", description="The last trace of the page before"
    )

    def query(self, asker: Principal, now: datetime, *, limit: int) -> TraceQuery:
        """What the store is asked, of what ``asker`` may see."""
        return TraceQuery(
            text=self.text,
            whose=whose(asker),
            owner=self.owner,
            team=self.team,
            tier=self.tier,
            model=self.model,
            prompt=self.prompt,
            status=self.status,
            product=self.product,
            service=self.service,
            cache=self.cache,
            min_attempts=self.min_attempts,
            conversation=self.conversation,
            cluster=self.cluster,
            vote=self.vote,
            score=self.score,
            refused=None if self.refused == "" else self.refused == "true",
            min_cost_micros=None if self.min_cost is None else round(self.min_cost * 1_000_000),
            min_ms=self.min_ms,
            max_ms=self.max_ms,
            min_tokens=self.min_tokens,
            since=_moment(self.since, now),
            until=_moment(self.until, now),
            order=self.order,
            after=self.after,
            limit=limit,
        )

    def chosen(self) -> dict[str, str]:
        """The filters that are set, as a page's address has them."""
        return {
            name: str(value)
            for name, value in self.model_dump().items()
            if value not in ("", None) and name != "after" and (name, value) != ("order", "newest")
        }


class ListedTraces(TraceFilters):
    """The same, so many at a time."""

    limit: int = Field(default=50, ge=1, le=200)


def _moment(said: str, now: datetime) -> datetime | None:
    """Raises `InvalidInputError` for what is no time."""
    if not said:
        return None
    if match := _AGO.fullmatch(said):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        # a '+' of an offset that was not escaped arrives as a space
        at = datetime.fromisoformat(said.replace(" ", "+") if said.count(" ") == 1 and "T" in said else said)
    except ValueError as exc:
        raise InvalidInputError(f"'{said}' is no time; write it like 2026-05-01T12:00Z, 24h or 7d") from exc
    return at if at.tzinfo else at.replace(tzinfo=UTC)


class TraceLine(BaseModel):
    """A trace in a list; tokens and cost are sums over its model calls."""

    trace_id: str
    name: str
    question: str | None
    started_at: datetime
    duration_ms: int
    status: str
    error_type: str | None
    model: str | None
    prompt: str | None
    product: str | None
    service: str
    owner: str | None
    end_user: str | None
    team: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: float
    ttft_ms: int | None
    cache: str | None
    refused: bool | None
    spans: int
    is_half: bool = Field(
        description="Its root has not come: only calls of another program went through here"
    )
    votes_up: int
    votes_down: int


class TraceList(BaseModel):
    """Traces in the order that was asked for; ``after`` brings the next page, and is null on the last."""

    traces: list[TraceLine]
    after: str | None


class SpanShape(BaseModel):
    """One step."""

    span_id: str
    parent_id: str | None
    name: str
    kind: str
    started_at: datetime
    duration_ms: int
    status: str
    status_message: str | None
    attributes: dict[str, Any]
    events: list[dict[str, Any]]


class RatingShape(BaseModel):
    """What a person (`by` is vote) or a suite's check said of the answer."""

    by: str
    name: str
    value: float | None
    passed: bool | None
    reason: str | None
    run_id: str | None


class TraceShape(BaseModel):
    """A whole trace, its steps by start time."""

    trace_id: str
    spans: list[SpanShape]
    ratings: list[RatingShape]


@router.get("", name="api_traces")
async def traces(
    parts: Parts,
    asker: Tracer,
    filters: Annotated[ListedTraces, Query()],
) -> TraceList:
    """Traces that match: of everybody for an administrator, else the caller's own."""
    found = await parts.traces.find(filters.query(asker, parts.clock.now(), limit=filters.limit))
    return TraceList(
        traces=[_line(each) for each in found],
        after=found[-1].trace_id if len(found) == filters.limit else None,
    )


@router.get("/{trace_id}", name="api_trace")
async def trace(trace_id: TraceId, parts: Parts, asker: Tracer) -> TraceShape:
    """One whole trace; who is no administrator gets no texts with it but their own question."""
    found = shown_to(asker, await parts.traces.trace(trace_id, owner=whose(asker)))
    ratings = rated_for(asker, await parts.traces.ratings(trace_id))
    return TraceShape(
        trace_id=found.trace_id,
        spans=[
            SpanShape(
                span_id=span.span_id,
                parent_id=span.parent_id,
                name=span.name,
                kind=span.kind,
                started_at=span.started_at,
                duration_ms=span.duration_ms,
                status=span.status,
                status_message=span.status_message,
                attributes=dict(span.attributes),
                events=[dict(event) for event in span.events],
            )
            for span in found.spans
        ],
        ratings=[
            RatingShape(
                by=each.by,
                name=each.name,
                value=each.value,
                passed=each.passed,
                reason=each.reason,
                run_id=each.run_id,
            )
            for each in ratings
        ],
    )


def whose(asker: Principal) -> str | None:
    """Whose traces a caller may see; None is everybody's."""
    return None if asker.may(Scope.ADMIN) else asker.owner


def rated_for(asker: Principal, ratings: list[Rating]) -> list[Rating]:
    """Evaluations are administrators' matter; so are the words of who voted."""
    if asker.may(Scope.ADMIN):
        return ratings
    return [replace(each, reason=None) for each in ratings if each.by == "vote"]


def shown_to(asker: Principal, trace: Trace) -> Trace:
    """``trace`` without the words of documents for who is no administrator.

    A document may have been closed to them since, and their trace would be its copy. What a program of theirs sent in is
    their own.
    """
    if asker.may(Scope.ADMIN):
        return trace
    spans = tuple(
        span
        if names.SERVICE in span.attributes
        else replace(
            span,
            attributes={name: value for name, value in span.attributes.items() if name in _WITHOUT_TEXTS},
            events=(),
        )
        for span in trace.spans
    )
    return replace(trace, spans=spans)


def _line(found: TraceSummary) -> TraceLine:
    return TraceLine(
        trace_id=found.trace_id,
        name=found.name,
        question=found.question,
        started_at=found.started_at,
        duration_ms=found.duration_ms,
        status=found.status,
        error_type=found.error_type,
        model=found.model,
        prompt=found.prompt,
        product=found.product,
        service=found.service,
        owner=found.owner,
        end_user=found.end_user,
        team=found.team,
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        cost_usd=to_dollars(found.cost_micros),
        ttft_ms=found.ttft_ms,
        cache=found.cache,
        refused=found.refused,
        spans=found.span_count,
        is_half=found.is_half,
        votes_up=found.votes_up,
        votes_down=found.votes_down,
    )


_WITHOUT_TEXTS: Final = frozenset(
    {
        names.OPERATION,
        names.PROVIDER,
        names.REQUEST_MODEL,
        names.REQUEST_STREAM,
        names.RESPONSE_MODEL,
        names.FINISH_REASONS,
        names.TIME_TO_FIRST_CHUNK,
        names.INPUT_TOKENS,
        names.OUTPUT_TOKENS,
        names.CACHED_INPUT_TOKENS,
        names.REASONING_TOKENS,
        names.ERROR_TYPE,
        names.COST_MICROS,
        names.PURPOSE,
        names.QUESTION,
        names.REFUSED,
        names.TEXTS,
        names.CACHE,
        names.CLOCK,
        names.TRUNCATED,
    }
)
