"""The dashboard's numbers as a fortnight of a busy company's would be, the same for the same period."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from causeway.contracts.money import Micros
from causeway.observability.stats_report import (
    CostLine,
    Costs,
    ErrorCount,
    Percentiles,
    Point,
    QuestionLine,
    ScoreLine,
    StatsQuery,
    StatsReport,
    Totals,
    TraceLine,
)

QUESTIONS = (
    ("tent, return, online", "How long may I return a tent I ordered online?", 184, 0.42),
    ("hotel, limit, night", "What is the hotel limit per night outside the capital?", 131, 0.08),
    ("till, orange, cloud", "The till shows an orange cloud. What do I do?", 97, 1.6),
    ("leave, days, part-time", "How many days of leave do I have if I work part-time?", 74, -0.21),
    ("wind, tent, strongest", "Which of our tents stands the strongest wind?", 52, None),
    ("invoice, stockist, terms", "When must a stockist pay an invoice?", 38, 0.0),
    ("boots, resole, guarantee", "Does the guarantee of boots hold after they are resoled?", 21, -0.4),
)
_MODELS = (("gpt-6-sol", 0.62), ("gpt-6-luna", 0.21), ("claude-sonnet-5-5", 0.15), ("qwen2.5-1.5b", 0.02))
_PRODUCTS = (("answer", 0.71), ("api", 0.19), ("analyst", 0.07), ("judge", 0.03))
_TEAMS = (("team_shop", "Web shop", 0.55), ("team_search", "Search", 0.3), ("", "none", 0.15))


class ScriptedStats:
    """Has numbers, or none; remembers what it was asked."""

    def __init__(self, *, is_empty: bool = False) -> None:
        self.is_empty = is_empty
        self.asked: list[StatsQuery] = []

    async def read(self, query: StatsQuery, *, is_own: bool = False) -> StatsReport:
        self.asked.append(query)
        length = query.until - query.since
        step_s = 3600 if length <= timedelta(days=2) else 21_600 if length <= timedelta(days=14) else 86_400
        if self.is_empty:
            return StatsReport(query=query, bucket_s=step_s, totals=Totals(), previous=Totals())
        part = 0.3 ** sum(bool(each) for each in (query.team, query.owner, query.product, query.model))
        points = tuple(_point(at, step_s, part) for at in _steps(query, step_s))
        totals = _total(points)
        before = _total(tuple(_point(at - length, step_s, 0.88 * part) for at in _steps(query, step_s)))
        return StatsReport(
            query=query,
            bucket_s=step_s,
            totals=totals,
            previous=before,
            series=points,
            errors=_errors(totals.errors),
            costs=_costs(totals),
            slow=_traces(query, "slow"),
            dear=_traces(query, "dear"),
            failed=_traces(query, "failed"),
            questions=_questions(part),
            scores=_scores(query),
        )


def _steps(query: StatsQuery, step_s: int) -> list[datetime]:
    first = math.floor(query.since.timestamp() / step_s)
    last = math.ceil(query.until.timestamp() / step_s)
    return [datetime.fromtimestamp(number * step_s, UTC) for number in range(first, last)]


def _point(at: datetime, step_s: int, part: float) -> Point:
    dice = Random(int(at.timestamp()) + int(1000 * part))
    is_weekend = at.weekday() > 4
    daily = 0.55 + 0.45 * math.sin((at.hour - 8) / 24 * 2 * math.pi)
    requests = int(part * step_s / 36 * daily * (0.35 if is_weekend else 1.0) * dice.uniform(0.85, 1.15)) + 1
    is_bad_day = at.day % 9 == 0
    errors = int(requests * dice.uniform(0.002, 0.012) * (7 if is_bad_day else 1))
    slow = dice.uniform(0.92, 1.1) * (1.7 if is_bad_day else 1.0)
    asked = int(requests * 0.62)
    return Point(
        at=at,
        requests=requests,
        errors=errors,
        input_tokens=int(requests * dice.uniform(1250, 1480)),
        output_tokens=int(requests * dice.uniform(165, 215)),
        tokens_p50=1430,
        tokens_p95=3120,
        cost=Micros(int(requests * dice.uniform(5200, 6900))),
        saved=Micros(int(requests * 980)),
        latency_ms=Percentiles(p50=int(1240 * slow), p95=int(4100 * slow), p99=int(7900 * slow)),
        ttft_ms=Percentiles(p50=int(380 * slow), p95=int(910 * slow), p99=int(1650 * slow)),
        cache_hits=int(requests * dice.uniform(0.13, 0.19)),
        fallbacks=int(requests * (0.06 if is_bad_day else 0.012)),
        asked=asked,
        refusals=int(asked * dice.uniform(0.05, 0.09)),
        thumbs_up=int(asked * dice.uniform(0.06, 0.1)),
        thumbs_down=int(asked * dice.uniform(0.006, 0.016)),
    )


def _total(points: tuple[Point, ...]) -> Totals:
    def whole(of: Callable[[Point], int]) -> int:
        return sum(of(point) for point in points)

    def middle(of: Callable[[Point], int | None]) -> int | None:
        return int(sum(of(point) or 0 for point in points) / len(points)) if points else None

    return Totals(
        requests=whole(lambda p: p.requests),
        errors=whole(lambda p: p.errors),
        input_tokens=whole(lambda p: p.input_tokens),
        output_tokens=whole(lambda p: p.output_tokens),
        tokens_p50=1430,
        tokens_p95=3120,
        cost=Micros(whole(lambda p: p.cost)),
        saved=Micros(whole(lambda p: p.saved)),
        latency_ms=Percentiles(
            p50=middle(lambda p: p.latency_ms.p50),
            p95=middle(lambda p: p.latency_ms.p95),
            p99=middle(lambda p: p.latency_ms.p99),
        ),
        ttft_ms=Percentiles(
            p50=middle(lambda p: p.ttft_ms.p50),
            p95=middle(lambda p: p.ttft_ms.p95),
            p99=middle(lambda p: p.ttft_ms.p99),
        ),
        cache_hits=whole(lambda p: p.cache_hits),
        fallbacks=whole(lambda p: p.fallbacks),
        asked=whole(lambda p: p.asked),
        refusals=whole(lambda p: p.refusals),
        thumbs_up=whole(lambda p: p.thumbs_up),
        thumbs_down=whole(lambda p: p.thumbs_down),
    )


def _errors(errors: int) -> tuple[ErrorCount, ...]:
    shares = (
        ("rate_limited", 0.52),
        ("upstream_timeout", 0.27),
        ("context_too_long", 0.14),
        ("blocked", 0.07),
    )
    return tuple(
        ErrorCount(code=code, count=int(errors * share)) for code, share in shares if int(errors * share)
    )


def _costs(totals: Totals) -> Costs:
    def line(key: str, name: str, share: float) -> CostLine:
        cost, requests = Micros(int(totals.cost * share)), int(totals.requests * share)
        return CostLine(key=key, name=name, cost=cost, requests=requests)

    return Costs(
        team=tuple(line(*team) for team in _TEAMS),
        model=tuple(line(name, name, share) for name, share in _MODELS),
        product=tuple(line(name, name, share) for name, share in _PRODUCTS),
    )


def _traces(query: StatsQuery, kind: str) -> tuple[TraceLine, ...]:
    return tuple(
        TraceLine(
            trace_id=f"{number:x}{ord(kind[0]):x}".rjust(32, "a"),
            name="ask",
            question=question,
            started_at=query.until - timedelta(hours=3 * number + 1),
            duration_ms=41_300 - 4_700 * number,
            status="error" if kind == "failed" else "ok",
            error_type="upstream_timeout" if kind == "failed" else None,
            model=_MODELS[number % 3][0],
            product="answer",
            input_tokens=14_200 - 900 * number,
            output_tokens=820 - 60 * number,
            cost=Micros(92_000 - 9_700 * number),
        )
        for number, (_, question, _, _) in enumerate(QUESTIONS[:6])
    )


def _questions(part: float) -> tuple[QuestionLine, ...]:
    return tuple(
        QuestionLine(
            cluster_id=f"cl_{number}",
            label=label,
            example=example,
            size=max(1, int(size * part)),
            trend=trend,
            thumbs_up=int(size * part * 0.09),
            thumbs_down=number % 3,
            cost=Micros(int(size * part * 6100)),
        )
        for number, (label, example, size, trend) in enumerate(QUESTIONS)
    )


def _scores(query: StatsQuery) -> tuple[ScoreLine, ...]:
    length = query.until - query.since
    found = []
    for suite, subject, low in (("sample-company", "knowledge", 0.82), ("sample-company", "retrieval", 0.9)):
        for number in range(6):
            passed = low + 0.015 * number - (0.06 if number == 3 else 0)
            found.append(
                ScoreLine(
                    run_id=f"run_{number:x}{len(subject):x}ab",
                    suite=suite,
                    subject=subject,
                    label=None,
                    at=query.since + length * (number + 0.5 + len(subject) / 100) / 6,
                    passed=passed,
                    low=passed - 0.07,
                    high=min(1.0, passed + 0.06),
                )
            )
    return tuple(sorted(found, key=lambda score: score.at))
