"""What the dashboard looks at: a stretch of time and filters, read from its address; and links that keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import Request
from pydantic import BaseModel, Field

from causeway.errors import InvalidInputError
from causeway.observability.stats_report import LONGEST, StatsQuery
from causeway.web.admin_access import Storable
from causeway.web.rendering import link

RANGES: Final[Mapping[str, tuple[str, timedelta]]] = {
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}
USUAL: Final = "7d"
FILTERS: Final[Mapping[str, str]] = {
    "team": "Team",
    "owner": "User",
    "product": "Product",
    "model": "Model",
    "prompt": "Prompt",
    "tier": "Tier",
}
"""The filters by their names in an address, and what people call them."""


Filter = Annotated[Storable, Field(max_length=200)]


class Asked(BaseModel):
    """What the address of the dashboard says."""

    span: str = Field(default="", alias="range", max_length=8)
    since: datetime | None = Field(default=None, alias="from")
    until: datetime | None = Field(default=None, alias="to")
    team: Filter = ""
    owner: Filter = ""
    product: Filter = ""
    model: Filter = ""
    prompt: Filter = ""
    tier: Filter = ""
    sort: str = Field(default="", max_length=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at the dashboard.

    Attributes:
        span: A key of `RANGES`; empty when the time was given.
        filters: Those that are on, by name.
    """

    request: Request
    span: str
    since: datetime
    until: datetime
    filters: Mapping[str, str]

    @classmethod
    def read(cls, request: Request, asked: Asked, now: datetime) -> View:
        """From an address; times without a zone are UTC.

        Raises:
            InvalidInputError: The time ends before it begins, or is too long.
        """
        filters = {name: getattr(asked, name) for name in FILTERS if getattr(asked, name)}
        is_given = asked.since is not None or asked.until is not None
        span = "" if is_given else asked.span if asked.span in RANGES else USUAL
        try:
            end = _in_utc(asked.until) if asked.until else now + timedelta(seconds=1)
            begin = _in_utc(asked.since) if asked.since else end - RANGES[span or USUAL][1]
        except OverflowError as exc:
            msg = "'from' and 'to' must be times that can be told in UTC"
            raise InvalidInputError(msg) from exc
        if not timedelta(0) < end - begin <= LONGEST:
            raise InvalidInputError(f"'from' must be before 'to', at most {LONGEST.days} days")
        return cls(request=request, span=span, since=begin, until=end, filters=filters)

    @property
    def query(self) -> StatsQuery:
        """The same for the numbers."""
        on = self.filters.get
        return StatsQuery(
            since=self.since,
            until=self.until,
            team=on("team"),
            owner=on("owner"),
            product=on("product"),
            model=on("model"),
            prompt=on("prompt"),
            tier=on("tier"),
        )

    @property
    def times(self) -> dict[str, str]:
        """The time as this page's address has it."""
        if self.span:
            return {} if self.span == USUAL else {"range": self.span}
        return {"from": _written(self.since), "to": _written(self.until)}

    def url(self, **changes: object) -> str:
        """This page with other filters; None takes one away."""
        return link(self.request, "dashboard", {**self.times, **self.filters, **changes})

    def ranged(self, span: str) -> str:
        """This page over another stretch of time."""
        return link(self.request, "dashboard", {"range": "" if span == USUAL else span, **self.filters})

    @property
    def zoom(self) -> str:
        """This page without a time."""
        return link(self.request, "dashboard", self.filters)

    def csv(self, table: str) -> str:
        """The numbers of one table for a spreadsheet."""
        times = {"from": _written(self.since), "to": _written(self.until)}
        return link(self.request, "api_stats_csv", {"table": table, **times, **self.filters})

    def traces(self, **more: object) -> str:
        """The traces behind a number: of the same time and filters unless ``more`` says otherwise."""
        times = {"since": _written(self.since), "until": _written(self.until)}
        return link(self.request, "traces", {**times, **self.filters, **more})

    def traces_between(self, since: datetime, until: datetime) -> str:
        """The traces of a part of the time."""
        begin, end = max(since, self.since), min(until, self.until)
        return self.traces(since=_written(begin), until=_written(end))


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
