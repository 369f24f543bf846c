"""``/api/admin/budgets``, ``usage`` and ``audit``: what may be spent, what was, and who changed what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from causeway.contracts.money import to_dollars
from causeway.errors import InvalidInputError
from causeway.gateway.budget_standing import Standing
from causeway.gateway.usage import By, Period, Total
from causeway.web.admin_access import Desk, Storable, usd
from causeway.web.csv_tables import csv_answer
from causeway.web.parts import AdminParts
from causeway.web.sign_in import Parts

router = APIRouter(prefix="/api/admin", tags=["Administration: usage"])

_LONGEST = timedelta(days=366)
_USUAL = timedelta(days=30)
_MOST_GROUPS = 1000


class BudgetShape(BaseModel):
    """A budget in its present period."""

    of: Literal["key", "team", "tier"]
    owner_id: str = Field(description="The key's or team's id, or the tier's name")
    name: str
    period: Literal["day", "month"]
    limit_usd: float
    spent_usd: float
    reserved_usd: float | None = Field(description="For calls under way; null when it cannot be known now")
    resets_at: datetime
    from_tier: bool = Field(description="The tier's settings set it")


class BudgetList(BaseModel):
    """Budgets: tiers', teams', keys'."""

    budgets: list[BudgetShape]


class UsageLine(BaseModel):
    """What the calls of one group used."""

    group: str | None = Field(description="An id, a model, a day; null for calls that have none")
    name: str = Field(description="What people call the group")
    calls: int
    errors: int
    cache_hits: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_usd: float
    saved_usd: float
    latency_p50_ms: int
    latency_p95_ms: int


class UsageReport(BaseModel):
    """Sums per group, the dearest first, days in their order."""

    since: datetime
    until: datetime
    lines: list[UsageLine]


class AuditLine(BaseModel):
    """A change."""

    id: int
    at: datetime
    by: str = Field(description="The id of the key that did it, or `command_line`")
    by_name: str
    action: str
    subject: str
    before: Any
    after: Any


class AuditPage(BaseModel):
    """Changes, newest first; `before_id` of the next page is the last line's id."""

    lines: list[AuditLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which usage is asked for."""

    by: By
    period: Period
    only: Mapping[By, str]


def asked(  # noqa: PLR0913 - one for each parameter of the query
    parts: Parts,
    by: By = "day",
    since: Annotated[AwareDatetime | None, Query(description="30 days before `until` when not given")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Now when not given")] = None,
    key: Storable | None = None,
    team: Storable | None = None,
    tier: Storable | None = None,
    model: Storable | None = None,
    provider: Storable | None = None,
) -> Asked:
    """What the query says.

    Raises:
        InvalidInputError: The time is none, or too long.
    """
    end = until or parts.clock.now() + timedelta(seconds=1)
    try:
        begin = since or end - _USUAL
        is_good = timedelta(0) < end - begin <= _LONGEST
    except OverflowError:
        begin, is_good = end, False
    if not is_good:
        raise InvalidInputError(f"'since' must be before 'until', at most {_LONGEST.days} days")
    wanted: dict[By, str | None] = {
        "key": key,
        "team": team,
        "tier": tier,
        "model": model,
        "provider": provider,
    }
    only: dict[By, str] = {name: value for name, value in wanted.items() if value}
    return Asked(by=by, period=Period(since=begin, until=end), only=only)


UsageQuery = Annotated[Asked, Depends(asked)]


@router.get("/budgets", name="api_budgets")
async def budgets(desk: Desk) -> BudgetList:
    """How every budget stands now."""
    return BudgetList(budgets=[_budget_shape(standing) for standing in await standings(desk)])


@router.get("/usage", name="api_usage")
async def usage(desk: Desk, query: UsageQuery) -> UsageReport:
    """What was used, and what it cost."""
    return await usage_report(desk, query)


@router.get(
    "/usage.csv",
    name="api_usage_csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "A table for spreadsheets"}},
)
async def usage_csv(desk: Desk, query: UsageQuery) -> Response:
    """The same as a table; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    report = await usage_report(desk, query)
    columns = list(UsageLine.model_fields)
    rows = (line.model_dump(include=set(columns)).values() for line in report.lines)
    return csv_answer(f"usage-by-{query.by}-{query.period.since:%Y-%m-%d}.csv", columns, rows)


@router.get("/audit", name="api_audit")
async def audit(
    desk: Desk,
    subject: Annotated[Storable | None, Query(max_length=200)] = None,
    before_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> AuditPage:
    """Who changed which key, team or setting, from what to what."""
    return await audit_page(desk, subject=subject, before_id=before_id, limit=limit)


# --- shared with the pages ---------------------------------------------------------------------------


async def standings(desk: AdminParts) -> list[Standing]:
    """How every budget stands."""
    keys = [key for key in await desk.keys.list() if key.revoked_at is None]
    return await desk.budgets.all(keys, await desk.teams.list(), desk.live.current.tiers)


async def usage_report(desk: AdminParts, query: Asked) -> UsageReport:
    """Sums, with the names of keys and teams."""
    totals = await desk.usage.totals(query.by, query.period, only=query.only, limit=_MOST_GROUPS)
    names: Mapping[str, str] = {}
    if query.by == "key":
        names = await principal_names(desk)
    elif query.by == "team":
        names = {team.id: team.name for team in await desk.teams.list()}
    lines = [_usage_line(total, names) for total in totals]
    return UsageReport(since=query.period.since, until=query.period.until, lines=lines)


async def audit_page(
    desk: AdminParts, *, subject: str | None, before_id: int | None, limit: int
) -> AuditPage:
    """Changes, with the names of who made them."""
    lines = await desk.audit.list(subject=subject or None, before_id=before_id, limit=limit)
    names = await principal_names(desk)
    return AuditPage(
        lines=[
            AuditLine(
                id=line.id,
                at=line.at,
                by=line.principal_id,
                by_name=names.get(line.principal_id, line.principal_id),
                action=line.action,
                subject=line.subject,
                before=line.before,
                after=line.after,
            )
            for line in lines
        ]
    )


async def principal_names(desk: AdminParts) -> dict[str, str]:
    """What people call whoever calls and changes things."""
    own = {"system": "Causeway", "command_line": "command line"}
    return own | {key.id: key.name for key in await desk.keys.list()}


def _budget_shape(standing: Standing) -> BudgetShape:
    return BudgetShape(
        of=standing.payer,
        owner_id=standing.owner,
        name=standing.name,
        period=standing.period,
        limit_usd=to_dollars(standing.limit),
        spent_usd=to_dollars(standing.spent),
        reserved_usd=usd(standing.reserved),
        resets_at=standing.resets_at,
        from_tier=standing.from_tier,
    )


def _usage_line(total: Total, names: Mapping[str, str]) -> UsageLine:
    return UsageLine(
        group=total.group,
        name=names.get(total.group, total.group) if total.group is not None else "none",
        calls=total.calls,
        errors=total.errors,
        cache_hits=total.cache_hits,
        input_tokens=total.input_tokens,
        cached_input_tokens=total.cached_input_tokens,
        output_tokens=total.output_tokens,
        cost_usd=to_dollars(total.cost),
        saved_usd=to_dollars(total.saved),
        latency_p50_ms=total.latency_p50_ms,
        latency_p95_ms=total.latency_p95_ms,
    )


def total_line(lines: Iterable[UsageLine]) -> dict[str, float]:
    """The sums of a report."""
    found = list(lines)
    counted = ("calls", "errors", "cache_hits", "input_tokens", "output_tokens", "cost_usd", "saved_usd")
    return {name: sum(getattr(line, name) for line in found) for name in counted}
