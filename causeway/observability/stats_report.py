"""What is asked of the dashboard's numbers, and what they are: no I/O.

A request is one call of a model (a line of the ledger) of the operation that is asked for, chat when nothing is said;
money is of every operation. Answers, refusals and thumbs are of traces.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from causeway.contracts.identity import Operation
from causeway.contracts.money import Micros, to_dollars
from causeway.errors import InvalidInputError

USUAL: Final = timedelta(days=7)
LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsQuery:
    """Which numbers: from ``since`` on and before ``until``, of what the filters leave.

    Attributes:
        team: Its id; empty is of calls that have none. None, here and below, is of all.
        owner: A person's id, or the id of a program's key.
        product: The purpose that the calls were made for, such as ``answer`` or ``api``.
        prompt: Name and version, such as ``answer@1``.
        operation: Which calls are requests.
    """

    since: datetime
    until: datetime
    team: str | None = None
    owner: str | None = None
    product: str | None = None
    model: str | None = None
    prompt: str | None = None
    tier: str | None = None
    operation: Operation = "chat"

    def __post_init__(self) -> None:
        """Refuse a period that is none.

        Raises:
            InvalidInputError: It ends before it begins, or is longer than `LONGEST`.
        """
        if not timedelta(0) < self.until - self.since <= LONGEST:
            raise InvalidInputError(f"'from' must be before 'to', at most {LONGEST.days} days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Of milliseconds, at most 2 % off; None where nothing was measured."""

    p50: int | None = None
    p95: int | None = None
    p99: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The numbers of a period.

    Attributes:
        errors: Requests that ended neither well nor because their caller left.
        error_rate: Their share of the requests; 0 of none, as every rate here.
        tokens_avg: Read and written by a request, on average; percentiles at most 2 % off.
        cost: Of every operation, and so is ``saved``, which stored replies would have cost.
        ttft_ms: Until the first piece of the reply.
        cache_hits: Requests that a stored reply answered.
        fallbacks: Requests that took more than one call of a provider: of the same again, or of the next.
        asked: Answers that were given or refused, by the knowledge base and the analyst.
    """

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tokens_p50: int | None = None
    tokens_p95: int | None = None
    cost: Micros = Micros(0)  # noqa: RUF009 - an int, immutable
    saved: Micros = Micros(0)  # noqa: RUF009
    latency_ms: Percentiles = Percentiles()
    ttft_ms: Percentiles = Percentiles()
    cache_hits: int = 0
    fallbacks: int = 0
    asked: int = 0
    refusals: int = 0
    thumbs_up: int = 0
    thumbs_down: int = 0

    @property
    def error_rate(self) -> float:
        """Errors a request."""
        return _share(self.errors, self.requests)

    @property
    def tokens_avg(self) -> float:
        """Tokens a request."""
        return _share(self.input_tokens + self.output_tokens, self.requests)

    @property
    def cost_usd(self) -> float:
        """The cost in dollars."""
        return to_dollars(self.cost)

    @property
    def saved_usd(self) -> float:
        """What the cache saved, in dollars."""
        return to_dollars(self.saved)

    @property
    def cache_rate(self) -> float:
        """Cache hits a request."""
        return _share(self.cache_hits, self.requests)

    @property
    def fallback_rate(self) -> float:
        """Fallbacks a request."""
        return _share(self.fallbacks, self.requests)

    @property
    def refusal_rate(self) -> float:
        """Refusals a question."""
        return _share(self.refusals, self.asked)

    @property
    def thumbs_down_rate(self) -> float:
        """Thumbs down a vote."""
        return _share(self.thumbs_down, self.thumbs_up + self.thumbs_down)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Totals):
    """The numbers of one step of the period, which begins at ``at``."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCount:
    """Requests that ended with one code, such as ``rate_limited``."""

    code: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """What one team, model or product cost, every operation counted.

    Attributes:
        key: The team's id, the model or the product: what a filter takes; empty for calls without one.
        name: What people call it.
    """

    key: str
    name: str
    cost: Micros
    requests: int

    @property
    def cost_usd(self) -> float:
        """The cost in dollars."""
        return to_dollars(self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Where the money went, the dearest first; what is left out beyond the first 50 is in none."""

    team: tuple[CostLine, ...] = ()
    model: tuple[CostLine, ...] = ()
    product: tuple[CostLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLine:
    """One trace of the lists of slow, dear and failed ones."""

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
    cost: Micros

    @property
    def cost_usd(self) -> float:
        """The cost in dollars."""
        return to_dollars(self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLine:
    """Questions that mean the same.

    Attributes:
        label: The words that set them apart from the others.
        example: The question in their middle.
        size: How many were asked in the period.
        trend: How many more that is than in the period before, as a share of it: 0.5 is half as many again; None
            when none was asked before.
    """

    cluster_id: str
    label: str
    example: str
    size: int
    trend: float | None
    thumbs_up: int
    thumbs_down: int
    cost: Micros

    @property
    def cost_usd(self) -> float:
        """The cost in dollars."""
        return to_dollars(self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreLine:
    """How an eval run ended.

    Attributes:
        passed: The share of its cases that passed, between ``low`` and ``high`` with 95 % confidence.
    """

    run_id: str
    suite: str
    subject: str
    label: str | None
    at: datetime
    passed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsReport:
    """Everything that the dashboard shows of a period.

    Attributes:
        bucket_s: How long a step of ``series`` is; steps begin at whole multiples of it since 1970, UTC.
        previous: The numbers of the period of the same length just before.
        series: Every step of the period, those without a request too.
        slow: The slowest traces; ``dear`` are the dearest, ``failed`` the newest that failed.
        questions: The questions that were asked most; empty for who sees only their own.
        scores: The newest eval runs that ended in the period, oldest first; empty for who sees only their own.
    """

    query: StatsQuery
    bucket_s: int
    totals: Totals
    previous: Totals
    series: tuple[Point, ...] = ()
    errors: tuple[ErrorCount, ...] = ()
    costs: Costs = Costs()
    slow: tuple[TraceLine, ...] = ()
    dear: tuple[TraceLine, ...] = ()
    failed: tuple[TraceLine, ...] = ()
    questions: tuple[QuestionLine, ...] = ()
    scores: tuple[ScoreLine, ...] = ()


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
