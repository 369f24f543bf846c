"""What was used and what it cost: sums of the ledger for pages, and its single lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, and_, cast, func, or_, select, true

from causeway.contracts.money import Micros
from causeway.gateway.entries import Row
from causeway.gateway.ledger import Ledger
from causeway.storage.database import Database
from causeway.storage.schema import ledger

By = Literal["key", "team", "tier", "model", "provider", "purpose", "operation", "outcome", "day"]
"""What calls are summed by; ``day`` is a UTC day such as ``2026-11-27``."""

_BY: dict[By, ColumnElement[Any]] = {
    "key": ledger.c.principal_id,
    "team": ledger.c.team,
    "tier": ledger.c.tier,
    "model": ledger.c.model,
    "provider": ledger.c.provider,
    "purpose": ledger.c.purpose,
    "operation": ledger.c.operation,
    "outcome": ledger.c.outcome,
    "day": func.to_char(ledger.c.at, "YYYY-MM-DD"),  # the session's time zone is UTC
}


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return cast(func.sum(column), BigInteger)  # PostgreSQL adds up to numeric


def _percentile(share: float) -> ColumnElement[int]:
    return cast(func.percentile_cont(share).within_group(ledger.c.latency_ms), Integer)


_CALLS = func.count()
_COST = _sum(ledger.c.cost_micros)
_SUMS = (
    _CALLS.label("calls"),
    _CALLS.filter(ledger.c.outcome.not_in(("ok", "cancelled"))).label("errors"),
    _CALLS.filter(ledger.c.cache.is_not(None)).label("cache_hits"),
    _sum(ledger.c.input_tokens).label("input_tokens"),
    _sum(ledger.c.cached_input_tokens).label("cached_input_tokens"),
    _sum(ledger.c.output_tokens).label("output_tokens"),
    _COST.label("cost"),
    _sum(ledger.c.saved_micros).label("saved"),
    _percentile(0.5).label("latency_p50_ms"),
    _percentile(0.95).label("latency_p95_ms"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From ``since`` on and before ``until``."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """The calls of one group.

    Attributes:
        group: A key's or team's id, a model's name, a day, ...; None for calls that have none.
        errors: Calls that ended neither well nor because their caller left.
        cache_hits: Calls that a stored reply answered, at a cost of zero; ``saved`` is what they would have cost.
        latency_p50_ms: Of all its calls, and so is ``latency_p95_ms``.
    """

    group: str | None
    calls: int
    errors: int
    cache_hits: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost: Micros
    saved: Micros
    latency_p50_ms: int
    latency_p95_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A line's place in the ledger: the next page begins behind it."""

    at: datetime
    id: str


class UsageReader:
    """Reads the ledger; what this process has not flushed is flushed first, so that the newest call counts."""

    def __init__(self, database: Database, ledger_: Ledger) -> None:
        self._database = database
        self._ledger = ledger_

    async def totals(
        self, by: By, period: Period, *, only: Mapping[By, str] | None = None, limit: int = 100
    ) -> list[Total]:
        """Sums per group, the dearest first, days in their order.

        Args:
            by: What makes a group.
            period: Which calls count, by when they began.
            only: Which calls count, by their groups: ``{"team": "team_1", "model": "chat"}``.
            limit: Most groups; the cheapest, or the last days, are left out.
        """
        group = _BY[by].label("group")
        query = select(group, *_SUMS).where(_within(period), _matching(only)).group_by(group).limit(limit)
        ordered = query.order_by(group) if by == "day" else query.order_by(_COST.desc(), _CALLS.desc(), group)
        return [Total(**row) for row in await self._read(ordered)]

    async def lines(
        self,
        period: Period,
        *,
        only: Mapping[By, str] | None = None,
        behind: Position | None = None,
        limit: int = 50,
    ) -> list[Row]:
        """Single calls, newest first; ``behind`` the last line of a page is the next one."""
        query = select(*ledger.c).where(_within(period), _matching(only))
        if behind is not None:
            same_moment = and_(ledger.c.at == behind.at, ledger.c.id < behind.id)
            query = query.where(or_(ledger.c.at < behind.at, same_moment))
        ordered = query.order_by(ledger.c.at.desc(), ledger.c.id.desc()).limit(limit)
        return [Row(**row) for row in await self._read(ordered)]

    async def _read(self, query: Select[Any]) -> list[dict[str, Any]]:
        await self._ledger.flush()
        async with self._database.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]


def _within(period: Period) -> ColumnElement[bool]:
    return and_(ledger.c.at >= period.since, ledger.c.at < period.until)


def _matching(only: Mapping[By, str] | None) -> ColumnElement[bool]:
    return and_(true(), *(_BY[by] == wanted for by, wanted in (only or {}).items()))
