"""What an alert is: a metric of the dashboard over a window, a threshold, and whom it is told to. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from causeway.errors import InvalidInputError
from causeway.observability.stats_report import Totals

Unit = Literal["share", "ms", "usd", "count", "tokens"]
Event = Literal["fired", "resolved", "test"]
State = Literal["off", "firing", "waiting", "fine"]
"""How a rule stands; waiting is not checked yet."""

SHORTEST_WINDOW_S: Final = 60
LONGEST_WINDOW_S: Final = 7 * 86_400
LONGEST_COOLDOWN_S: Final = 30 * 86_400
MOST_RULES: Final = 200
FILTERS: Final = ("team", "owner", "product", "model", "prompt", "tier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that can be watched.

    Attributes:
        words: What people call it.
        value: Its value; None when nothing was measured.
        count: Of how many requests, answers or votes it is.
    """

    words: str
    unit: Unit
    value: Callable[[Totals], float | None]
    count: Callable[[Totals], int]


def _votes(totals: Totals) -> int:
    return totals.thumbs_up + totals.thumbs_down


METRICS: Final[Mapping[str, Metric]] = {
    "error_rate": Metric(
        words="error rate", unit="share", value=lambda t: t.error_rate, count=lambda t: t.requests
    ),
    "latency_p50_ms": Metric(
        words="median latency", unit="ms", value=lambda t: t.latency_ms.p50, count=lambda t: t.requests
    ),
    "latency_p95_ms": Metric(
        words="95th percentile of latency",
        unit="ms",
        value=lambda t: t.latency_ms.p95,
        count=lambda t: t.requests,
    ),
    "latency_p99_ms": Metric(
        words="99th percentile of latency",
        unit="ms",
        value=lambda t: t.latency_ms.p99,
        count=lambda t: t.requests,
    ),
    "ttft_p95_ms": Metric(
        words="95th percentile of time to first token",
        unit="ms",
        value=lambda t: t.ttft_ms.p95,
        count=lambda t: t.requests,
    ),
    "cost_usd": Metric(words="cost", unit="usd", value=lambda t: t.cost_usd, count=lambda t: t.requests),
    "requests": Metric(
        words="requests", unit="count", value=lambda t: t.requests, count=lambda t: t.requests
    ),
    "tokens_avg": Metric(
        words="tokens a request", unit="tokens", value=lambda t: t.tokens_avg, count=lambda t: t.requests
    ),
    "cache_rate": Metric(
        words="share of cache hits", unit="share", value=lambda t: t.cache_rate, count=lambda t: t.requests
    ),
    "fallback_rate": Metric(
        words="share of fallbacks", unit="share", value=lambda t: t.fallback_rate, count=lambda t: t.requests
    ),
    "refusal_rate": Metric(
        words="share of refusals", unit="share", value=lambda t: t.refusal_rate, count=lambda t: t.asked
    ),
    "thumbs_down_rate": Metric(
        words="share of thumbs down", unit="share", value=lambda t: t.thumbs_down_rate, count=_votes
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a rule says.

    Attributes:
        is_above: It fires above the threshold; else below it.
        threshold: In the metric's unit: shares from 0 to 1, milliseconds, dollars.
        min_count: Of fewer requests, answers or votes nothing is concluded.
        cooldown_s: Least time between two notices that it fires.
        filters: As the dashboard's: ``{"model": "large"}``.
        channels: Names of the settings' ``alerts.channels``.
    """

    name: str
    metric: str
    threshold: float
    channels: tuple[str, ...]
    is_above: bool = True
    window_s: int = 900
    min_count: int = 20
    cooldown_s: int = 3_600
    filters: Mapping[str, str] = field(default_factory=dict)
    is_enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be watched.

        Raises:
            InvalidInputError: It says what is wrong.
        """
        if not self.name.strip() or len(self.name) > 100 or "\0" in self.name:
            msg = "an alert needs a name of at most 100 characters"
            raise InvalidInputError(msg)
        if self.metric not in METRICS:
            raise InvalidInputError(f"'{self.metric}' is no metric; use one of {', '.join(METRICS)}")
        if not 0 <= self.threshold < 1e12:
            msg = "the threshold must be a number from 0 on"
            raise InvalidInputError(msg)
        if METRICS[self.metric].unit == "share" and self.threshold > 1:
            msg = "a share is a number from 0 to 1: write 5 % as 0.05"
            raise InvalidInputError(msg)
        if not SHORTEST_WINDOW_S <= self.window_s <= LONGEST_WINDOW_S:
            msg = "the window must be from 60 seconds to 7 days"
            raise InvalidInputError(msg)
        if not 0 <= self.cooldown_s <= LONGEST_COOLDOWN_S or not 0 <= self.min_count <= 1_000_000_000:
            msg = "the cool-down must be at most 30 days, and the least count none below 0"
            raise InvalidInputError(msg)
        unknown = sorted(set(self.filters) - set(FILTERS))
        if unknown:
            raise InvalidInputError(f"'{unknown[0]}' is no filter; use {', '.join(FILTERS)}")

    def is_broken(self, value: float | None, count: int) -> bool:
        """Whether the numbers are what the rule warns of."""
        if value is None or count < self.min_count:
            return False
        return value > self.threshold if self.is_above else value < self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule, and how it stood when it was last held against the numbers.

    Attributes:
        value: What the metric was then; None when nothing was measured.
        firing_since: When it began to fire; None while it does not.
    """

    id: str
    terms: Terms
    created_by: str
    created_at: datetime
    checked_at: datetime | None
    value: float | None
    count: int | None
    firing_since: datetime | None

    @property
    def state(self) -> State:
        """How it stands."""
        if not self.terms.is_enabled:
            return "off"
        if self.firing_since is not None:
            return "firing"
        return "waiting" if self.checked_at is None else "fine"

    def says(self) -> str:
        """What it watches, for people."""
        terms = self.terms
        metric = METRICS[terms.metric]
        side = "above" if terms.is_above else "below"
        only = "".join(f", {name} {value}" for name, value in terms.filters.items())
        threshold = spelled(terms.threshold, metric.unit)
        return f"{metric.words} {side} {threshold} over {spelled_time(terms.window_s)}{only}"

    def measured(self) -> str:
        """What it last was, for people."""
        if self.checked_at is None:
            return "not measured yet"
        value = "no value" if self.value is None else spelled(self.value, METRICS[self.terms.metric].unit)
        return f"{value} of {self.count or 0:,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How far a notice has come on one channel."""

    channel: str
    event: str
    state: str
    attempts: int
    problem: str | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One time that a rule fired.

    Attributes:
        is_told: False while it is within the cool-down of the one before.
    """

    id: str
    rule_id: str
    name: str
    metric: str
    value: float
    count: int
    threshold: float
    fired_at: datetime
    resolved_at: datetime | None
    is_told: bool
    deliveries: tuple[Delivery, ...]

    def measured(self) -> str:
        """What it was when it began, for people."""
        return f"{spelled(self.value, METRICS[self.metric].unit)} of {self.count:,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a channel is told.

    Attributes:
        id: The same when it is tried again, so that a receiver can tell.
        at: When it fired, or was resolved.
    """

    id: str
    event: Event
    rule_id: str
    name: str
    metric: str
    is_above: bool
    threshold: float
    window_s: int
    value: float
    count: int
    fired_at: datetime
    at: datetime

    def title(self) -> str:
        """One line for people."""
        told = {"fired": "firing", "resolved": "resolved", "test": "test"}[self.event]
        return f"[{told}] {self.name}"

    def sentence(self) -> str:
        """What happened, for people."""
        metric = METRICS[self.metric]
        side = "above" if self.is_above else "below"
        said = (
            f"{metric.words} over the last {spelled_time(self.window_s)}: {spelled(self.value, metric.unit)}"
            f" of {self.count:,}; the alert is for {side} {spelled(self.threshold, metric.unit)}"
        )
        match self.event:
            case "fired":
                return f"{said}."
            case "resolved":
                return f"It has passed. When it began, {said}."
            case "test":
                return "This is a test: nothing is wrong. The channel works."


def spelled(value: float, unit: Unit) -> str:
    """A value as people read it."""
    match unit:
        case "share":
            return f"{value:.1%}"
        case "ms":
            return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"
        case "usd":
            return f"${value:,.2f}" if value >= 0.01 or value == 0 else f"${value:.6f}"
        case "count" | "tokens":
            return f"{value:,.0f}"


def spelled_time(seconds: int) -> str:
    """A time as people say it."""
    for length, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds % length == 0 and seconds >= length:
            number = seconds // length
            return f"{number} {word if number > 1 else word[:-1]}"
    return f"{seconds} seconds"
