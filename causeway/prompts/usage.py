"""How the versions of prompts do: calls, money, time, thumbs and refusals, and what they were filled with lately."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Integer, cast, func, select

from causeway.contracts.money import Micros
from causeway.observability import genai_names as names
from causeway.storage.database import Database
from causeway.storage.schema import ledger, spans, votes
from causeway.storage.telemetry_schema import trace_summaries

PLAYGROUND: Final = "playground"
"""The purpose of calls by which somebody tries a prompt."""
_EVALS: Final = "evals"
"""The principal, and the purpose, of calls that evals make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One version over a period; what evals and the playground asked is left out.

    Attributes:
        errors: Calls that ended neither well nor because their caller left.
        ups: Thumbs on traces in which it was used, and so are ``downs``.
        asked: Answers that could have been refused.
        refused: Answers that were.
    """

    reference: str
    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Micros = Micros(0)  # noqa: RUF009 - an int
    latency_p50_ms: int = 0
    latency_p95_ms: int = 0
    last_at: datetime | None = None
    ups: int = 0
    downs: int = 0
    asked: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What a prompt was filled with in a trace."""

    trace_id: str
    at: datetime
    values: Mapping[str, Any]


class PromptUsage:
    """Reads how versions do.

    Args:
        database: Where ledger, votes and spans are.
        flush: Writes what this process has not written yet, so that the newest call counts.
    """

    def __init__(self, database: Database, flush: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._flush = flush

    async def since(self, moment: datetime, *, name: str | None = None) -> dict[str, Usage]:
        """The versions that were used since ``moment``, of one prompt or of all, by ``name@version``."""
        await self._flush()
        chosen = (ledger.c.at >= moment) & ledger.c.prompt.is_not(None)
        chosen &= ledger.c.purpose.not_in((PLAYGROUND, _EVALS)) & (ledger.c.principal_id != _EVALS)
        if name is not None:
            chosen &= func.split_part(ledger.c.prompt, "@", 1) == name
        found: dict[str, dict[str, Any]] = {}
        async with self._database.connect() as connection:
            for query in (_calls(chosen), _thumbs(chosen), _refusals(chosen)):
                for row in (await connection.execute(query)).mappings():
                    found.setdefault(row["reference"], {}).update(row)
        return {reference: Usage(**columns) for reference, columns in found.items()}

    async def captured(self, name: str, since: datetime, *, limit: int = 20) -> list[Captured]:
        """What a prompt was filled with in the newest traces since a moment, newest first; only where content is kept."""
        values = spans.c.attributes[names.PROMPT_VALUES][name]
        query = (
            select(spans.c.trace_id, spans.c.started_at, values.label("values"))
            .where(spans.c.parent_id.is_(None), spans.c.started_at >= since, values.is_not(None))
            .order_by(spans.c.started_at.desc())
            .limit(limit)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Captured(trace_id=row.trace_id, at=row.started_at, values=row[2])
            for row in rows
            if isinstance(row[2], dict)
        ]


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return cast(func.sum(column), BigInteger)  # PostgreSQL adds up to numeric


def _percentile(share: float) -> ColumnElement[int]:
    return cast(func.percentile_cont(share).within_group(ledger.c.latency_ms), Integer)


def _calls(chosen: ColumnElement[bool]) -> Any:
    calls = func.count()
    return (
        select(
            ledger.c.prompt.label("reference"),
            calls.label("calls"),
            calls.filter(ledger.c.outcome.not_in(("ok", "cancelled"))).label("errors"),
            _sum(ledger.c.input_tokens).label("input_tokens"),
            _sum(ledger.c.output_tokens).label("output_tokens"),
            _sum(ledger.c.cost_micros).label("cost"),
            _percentile(0.5).label("latency_p50_ms"),
            _percentile(0.95).label("latency_p95_ms"),
            func.max(ledger.c.at).label("last_at"),
        )
        .where(chosen)
        .group_by(ledger.c.prompt)
    )


def _traces(chosen: ColumnElement[bool]) -> Any:
    columns = (ledger.c.prompt.label("reference"), ledger.c.trace_id)
    return select(*columns).where(chosen, ledger.c.trace_id.is_not(None)).distinct().subquery()


def _thumbs(chosen: ColumnElement[bool]) -> Any:
    traces = _traces(chosen)
    count = func.count()
    return (
        select(
            traces.c.reference,
            count.filter(votes.c.is_up).label("ups"),
            count.filter(~votes.c.is_up).label("downs"),
        )
        .join(votes, votes.c.trace_id == traces.c.trace_id)
        .group_by(traces.c.reference)
    )


def _refusals(chosen: ColumnElement[bool]) -> Any:
    traces = _traces(chosen)
    count = func.count()
    return (
        select(
            traces.c.reference,
            count.label("asked"),
            count.filter(trace_summaries.c.refused).label("refused"),
        )
        .join(trace_summaries, trace_summaries.c.trace_id == traces.c.trace_id)
        .where(trace_summaries.c.refused.is_not(None))
        .group_by(traces.c.reference)
    )
