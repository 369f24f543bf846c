"""The dashboard's numbers as people see them: tiles beside the period before, and charts over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from causeway.observability.stats_report import Point, ScoreLine, StatsReport, Totals
from causeway.web.dashboard_view import View
from causeway.web.svg_charts import Chart, Kind, Series, Tone, Unit, label

_UNCHANGED: Final = 0.005
_MOST_LINES: Final = 6
_TONES: Final[Sequence[Tone]] = ("1", "2", "3", "4", "5", "6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One number.

    Attributes:
        change: Beside the period before, such as ``12 % more``; empty without one.
        tone: Whether that is good; empty when it is neither.
        url: The traces it is of.
    """

    label: str
    value: str
    url: str
    about: str = ""
    change: str = ""
    tone: Literal["good", "bad", ""] = ""


def tiles(report: StatsReport, view: View) -> list[Tile]:
    """What is seen first."""
    now, before = report.totals, report.previous
    is_known = before.requests > 0
    votes = now.thumbs_up + now.thumbs_down
    slow = now.latency_ms.p95

    def change(
        of: Callable[[Totals], float | None], better: Literal["up", "down", ""], *, is_share: bool = False
    ) -> dict[str, str]:
        return changed(of(now), of(before), better, is_share=is_share) if is_known else {}

    return [
        _tile("Requests", f"{now.requests:,}", view.traces(), **change(lambda t: t.requests, "")),
        _tile(
            "Failed",
            label(now.error_rate, "share"),
            view.traces(status="error"),
            f"{now.errors:,} request{'' if now.errors == 1 else 's'}",
            **change(lambda t: t.error_rate, "down", is_share=True),
        ),
        _tile(
            "Cost",
            label(now.cost_usd, "usd"),
            view.traces(min_cost="0.000001", order="dearest"),
            f"{label(now.saved_usd, 'usd')} saved by the cache",
            **change(lambda t: t.cost_usd, "down"),
        ),
        _tile(
            "Latency, p95",
            _ms(slow),
            view.traces(min_ms=slow, order="slowest"),
            f"p50 {_ms(now.latency_ms.p50)}, p99 {_ms(now.latency_ms.p99)}",
            **change(lambda t: t.latency_ms.p95, "down"),
        ),
        _tile(
            "First token, p95",
            _ms(now.ttft_ms.p95),
            view.traces(order="slowest"),
            f"p50 {_ms(now.ttft_ms.p50)}, p99 {_ms(now.ttft_ms.p99)}",
            **change(lambda t: t.ttft_ms.p95, "down"),
        ),
        _tile(
            "Tokens a request",
            f"{now.tokens_avg:,.0f}",
            view.traces(min_tokens=now.tokens_p95),
            f"p50 {_tokens(now.tokens_p50)}, p95 {_tokens(now.tokens_p95)}",
            **change(lambda t: t.tokens_avg, ""),
        ),
        _tile(
            "From the cache",
            label(now.cache_rate, "share"),
            view.traces(cache="any"),
            f"{now.cache_hits:,} request{'' if now.cache_hits == 1 else 's'}",
            **change(lambda t: t.cache_rate, "up", is_share=True),
        ),
        _tile(
            "Fallbacks",
            label(now.fallback_rate, "share"),
            view.traces(min_attempts=2),
            f"{now.fallbacks:,} request{'' if now.fallbacks == 1 else 's'}",
            **change(lambda t: t.fallback_rate, "down", is_share=True),
        ),
        _tile(
            "Refused",
            label(now.refusal_rate, "share"),
            view.traces(refused="true"),
            f"{now.refusals:,} of {now.asked:,} question{'' if now.asked == 1 else 's'}",
            **change(lambda t: t.refusal_rate, "down", is_share=True),
        ),
        _tile(
            "Thumbs up",
            label(now.thumbs_up / votes, "share") if votes else "none",
            view.traces(vote="any"),
            f"{now.thumbs_up:,} up, {now.thumbs_down:,} down",
            **change(
                lambda t: 1 - t.thumbs_down_rate if t.thumbs_up + t.thumbs_down else None, "up", is_share=True
            ),
        ),
    ]


def changed(
    now: float | None, before: float | None, better: Literal["up", "down", ""], *, is_share: bool = False
) -> dict[str, str]:
    """How a number stands beside the one before: shares in points, others in percent; nothing where one is unknown.

    >>> changed(150, 100, "")
    {'change': '50 % more', 'tone': ''}
    >>> changed(0.02, 0.05, "down", is_share=True)
    {'change': '3 points less', 'tone': 'good'}
    """
    if now is None or before is None or (not is_share and not before):
        return {}
    by = now - before if is_share else now / before - 1
    if abs(by) < _UNCHANGED / (10 if is_share else 1):
        return {"change": "the same", "tone": ""}
    is_up = by > 0
    size = f"{abs(100 * by):.2g}" if abs(by) < 1 else f"{abs(100 * by):,.0f}"
    unit = ("point" if size == "1" else "points") if is_share else "%"
    tone = "" if not better else "good" if is_up == (better == "up") else "bad"
    return {"change": f"{size} {unit} {'more' if is_up else 'less'}", "tone": tone}


def first_charts(report: StatsReport, view: View) -> list[Chart]:
    """The three that are seen without scrolling."""
    of = _Drawn(report, view)
    return [
        of.chart(
            "requests",
            "Requests",
            "count",
            "bars",
            ("Answered", lambda p: p.requests - p.errors, "1"),
            ("Failed", lambda p: p.errors, "bad"),
        ),
        of.chart(
            "latency",
            "Latency",
            "ms",
            "lines",
            ("p50", lambda p: p.latency_ms.p50, "1"),
            ("p95", lambda p: p.latency_ms.p95, "2"),
            ("p99", lambda p: p.latency_ms.p99, "3"),
        ),
        of.chart("cost", "Cost", "usd", "bars", ("Cost", lambda p: p.cost_usd, "1")),
    ]


def further_charts(report: StatsReport, view: View) -> list[Chart]:
    """The others."""
    of = _Drawn(report, view)
    return [
        of.chart(
            "tokens",
            "Tokens",
            "tokens",
            "bars",
            ("Read", lambda p: p.input_tokens, "1"),
            ("Written", lambda p: p.output_tokens, "2"),
        ),
        of.chart(
            "ttft",
            "Time to the first token",
            "ms",
            "lines",
            ("p50", lambda p: p.ttft_ms.p50, "1"),
            ("p95", lambda p: p.ttft_ms.p95, "2"),
            ("p99", lambda p: p.ttft_ms.p99, "3"),
        ),
        of.chart(
            "rates",
            "Cache, fallbacks and refusals",
            "share",
            "lines",
            ("From the cache", lambda p: p.cache_rate if p.requests else None, "1"),
            ("Fallbacks", lambda p: p.fallback_rate if p.requests else None, "2"),
            ("Refused", lambda p: p.refusal_rate if p.asked else None, "4"),
        ),
        of.chart(
            "thumbs",
            "Thumbs",
            "count",
            "bars",
            ("Up", lambda p: p.thumbs_up, "1"),
            ("Down", lambda p: p.thumbs_down, "bad"),
        ),
    ]


def score_chart(scores: Iterable[ScoreLine], view: View, run_url: Callable[[str], str]) -> Chart | None:
    """How suites went, a line for each suite and subject with the most runs; None when none ended."""
    lines: dict[str, list[ScoreLine]] = {}
    for score in scores:
        lines.setdefault(f"{score.suite}, {score.subject}", []).append(score)
    chosen = sorted(lines.items(), key=lambda line: -len(line[1]))[:_MOST_LINES]
    moments = sorted({score.at for _, line in chosen for score in line})
    if not moments:
        return None
    values = {name: {score.at: score.passed for score in line} for name, line in chosen}
    runs = {score.at: score.run_id for _, line in chosen for score in line}
    return Chart(
        key="scores",
        title="Eval scores",
        unit="share",
        kind="points",
        at=moments,
        since=view.since,
        until=view.until,
        series=[
            Series(name=name, values=[found.get(at) for at in moments], tone=tone)
            for (name, found), tone in zip(values.items(), _TONES, strict=False)
        ],
        links=[run_url(runs[at]) for at in moments],
        zoom=view.zoom,
    )


class _Drawn:
    """Charts over a report's steps, each step a link to its traces."""

    def __init__(self, report: StatsReport, view: View) -> None:
        self._series = report.series
        self._step = timedelta(seconds=report.bucket_s)
        self._view = view
        self._links = [view.traces_between(point.at, point.at + self._step) for point in report.series]

    def chart(
        self,
        key: str,
        title: str,
        unit: Unit,
        kind: Kind,
        *series: tuple[str, Callable[[Point], float | None], Tone],
    ) -> Chart:
        at = [point.at for point in self._series]
        return Chart(
            key=key,
            title=title,
            unit=unit,
            kind=kind,
            at=at,
            since=at[0] if at else self._view.since,
            until=at[-1] + self._step if at else self._view.until,
            step_s=int(self._step.total_seconds()),
            series=[
                Series(name=name, values=[of(point) for point in self._series], tone=tone)
                for name, of, tone in series
            ],
            links=self._links,
            zoom=self._view.zoom,
        )


def _tile(name: str, value: str, url: str, about: str = "", **change: str) -> Tile:
    tone = change.get("tone", "")
    return Tile(
        label=name,
        value=value,
        url=url,
        about=about,
        change=change.get("change", ""),
        tone="good" if tone == "good" else "bad" if tone == "bad" else "",
    )


def _ms(value: int | None) -> str:
    return "unknown" if value is None else label(value, "ms")


def _tokens(value: int | None) -> str:
    return "unknown" if value is None else label(value, "tokens")
