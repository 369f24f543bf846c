"""Counts and histograms for Prometheus, with the GenAI conventions' names in its spelling, read off finished spans.

What is counted of a call is added up by its labels, all of them at once; a scrape sorts that into what Prometheus reads. Each process counts its own
calls since it started, as Prometheus expects; a scrape of one behind a balancer is of one. The text is version 0.0.4:
https://prometheus.io/docs/instrumenting/exposition_formats/. Names and buckets:
https://github.com/open-telemetry/semantic-conventions-genai (``docs/gen-ai/gen-ai-metrics.md``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, Final, Protocol

from causeway.observability import genai_names as names
from causeway.observability.call_facts import CallFacts
from causeway.observability.spans import Span

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = tuple(float(4**power) for power in range(14))
_MOST_SERIES: Final = 2_000
_OTHER: Final = "other"
Labels = tuple[str, ...]


class Counter:
    """A sum that only grows, by its labels; beyond a bound of series the rest is counted as ``other``."""

    kind = "counter"

    def __init__(self, name: str, about: str, labels: Labels) -> None:
        self.name, self.about, self.labels = name, about, labels
        self._sums: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Add ``amount``, which is not below zero."""
        sums = self._sums
        if labels not in sums and len(sums) >= _MOST_SERIES:
            labels = (_OTHER,) * len(labels)
        sums[labels] = sums.get(labels, 0.0) + amount

    def lines(self) -> Iterable[str]:
        """The samples."""
        for labels, value in self._sums.items():
            yield f"{self.name}{_braced(self.labels, labels)} {_number(value)}"


class Tally:
    """How often values of which size came.

    Attributes:
        counts: One for each bucket, and one for what is above all of them.
    """

    __slots__ = ("buckets", "counts", "total")

    def __init__(self, buckets: Sequence[float]) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.buckets, value)] += 1
        self.total += value


class Histogram:
    """Tallies by labels, as Prometheus reads them."""

    kind = "histogram"

    def __init__(self, name: str, about: str, labels: Labels) -> None:
        self.name, self.about, self.labels = name, about, labels
        self._tallies: dict[Labels, Tally] = {}

    def add(self, labels: Labels, tally: Tally) -> None:
        """Add what was counted under other labels, some of which are not told here."""
        if not any(tally.counts):
            return
        known = self._tallies.setdefault(labels, Tally(tally.buckets))
        known.counts = [ours + more for ours, more in zip(known.counts, tally.counts, strict=True)]
        known.total += tally.total

    def lines(self) -> Iterable[str]:
        """The samples: each bucket holds those below it too."""
        for labels, tally in self._tallies.items():
            count = 0
            for edge, more in zip((*tally.buckets, None), tally.counts, strict=True):
                count += more
                written = "+Inf" if edge is None else _number(edge)
                yield f"{self.name}_bucket{_braced((*self.labels, 'le'), (*labels, written))} {count}"
            yield f"{self.name}_sum{_braced(self.labels, labels)} {_number(tally.total)}"
            yield f"{self.name}_count{_braced(self.labels, labels)} {count}"


class _Alike:
    """Calls with the same labels."""

    __slots__ = ("attempts", "cost_micros", "count", "first", "input_tokens", "output_tokens", "seconds")

    def __init__(self) -> None:
        self.count = self.cost_micros = self.attempts = 0
        self.seconds, self.first = Tally(_SECONDS), Tally(_SECONDS)
        self.input_tokens, self.output_tokens = Tally(_TOKENS), Tally(_TOKENS)

    def add(self, seconds: float, input_tokens: int, output_tokens: int, cost_micros: int) -> None:
        """Count one."""
        self.count += 1
        self.seconds.add(seconds)
        if input_tokens > 0:
            self.input_tokens.add(input_tokens)
        if output_tokens > 0:
            self.output_tokens.add(output_tokens)
        self.cost_micros += cost_micros


class CountedCall(Protocol):
    """What is counted of a call: the ledger's row has all of it."""

    operation: str
    provider: str
    model: str
    outcome: str
    purpose: str
    tier: str
    cache: str | None
    latency_ms: int
    ttft_ms: int | None
    input_tokens: int
    output_tokens: int
    cost_micros: int
    attempts: int


_NO_FAILURES: Final = frozenset({"ok", "cancelled"})

_CALL: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_response_model")


class Meters:
    """A `causeway.observability.spans.SpanSink` that counts."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: dict[Labels, _Alike] = {}
        self._answers = Counter(
            "causeway_answers_total", "Questions answered or refused", ("product", "refused")
        )
        self._failed = Counter("causeway_failures_total", "Steps that failed", ("span", "error_type"))

    def store(self, batch: Sequence[Span]) -> None:
        """Count ``batch``."""
        with self._lock:
            for span in batch:
                self._count(span)

    def count(self, span: Span) -> None:
        """Count one, at once."""
        with self._lock:
            self._count(span)

    def count_calls(self, calls: Iterable[CountedCall]) -> None:
        """Count calls of which there are no spans."""
        with self._lock:
            for call in calls:
                provider, cache = call.provider, call.cache
                failed_as = "" if call.outcome in _NO_FAILURES else call.outcome
                model = call.model if provider else ""
                if failed_as:
                    self._failed.add((call.operation, failed_as))
                alike = self._alike(
                    (call.operation, provider, model, failed_as, call.purpose, call.tier, cache or "")
                )
                alike.add(call.latency_ms / 1000, call.input_tokens, call.output_tokens, call.cost_micros)
                if call.ttft_ms is not None:
                    alike.first.add(call.ttft_ms / 1000)
                if provider and cache is None:
                    alike.attempts += call.attempts

    def close(self) -> None:
        """Nothing to let go of."""

    def text(self, gauges: Mapping[str, tuple[str, str, float]] = {}) -> str:
        """What Prometheus reads.

        Args:
            gauges: What is measured at this moment, by name: ``gauge`` or ``counter``, what it is, its value.
        """
        with self._lock:
            meters = [*self._of_calls(), self._answers, self._failed]
            lines = [line for meter in meters for line in _told(meter)]
        for name, (kind, about, value) in gauges.items():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}", f"{name} {_number(value)}"]
        return "\n".join(lines) + "\n"

    def _count(self, span: Span) -> None:
        facts = span.facts
        failed_as = "" if span.failure is None else str(span.noted.get(names.ERROR_TYPE) or "failed")
        if facts is not None:
            if failed_as:
                self._failed.add((facts.operation, failed_as))
            self._count_call(span, facts, failed_as)
            return
        get = span.noted.get
        if failed_as:
            self._failed.add((str(get(names.OPERATION) or span.name), failed_as))
        if (refused := get(names.REFUSED)) is not None:
            self._answers.add((str(get(names.PURPOSE) or ""), "true" if refused else "false"))

    def _count_call(self, span: Span, facts: CallFacts, failed_as: str) -> None:
        provider = facts.provider or ""
        # a model that was never reached is as the caller wrote it, and callers can write endless names
        model = facts.response_model if provider else ""
        labels = (facts.operation, provider, model, failed_as, facts.purpose, facts.tier, facts.cache or "")
        alike = self._alike(labels)
        alike.add(span.duration_s, facts.input_tokens, facts.output_tokens, facts.cost_micros)
        if facts.first_chunk_s is not None:
            alike.first.add(facts.first_chunk_s)
        if provider and facts.cache is None:
            alike.attempts += facts.attempts

    def _alike(self, labels: Labels) -> _Alike:
        """What was counted of calls with the same labels; beyond a bound of series, of all others together."""
        alike = self._calls.get(labels)
        if alike is None:
            if len(self._calls) >= _MOST_SERIES:
                labels = (labels[0], _OTHER, _OTHER, _OTHER, _OTHER, _OTHER, "")
            alike = self._calls.setdefault(labels, _Alike())
        return alike

    def _of_calls(self) -> Sequence[Counter | Histogram]:
        """What was counted of calls, under the labels that each meter has."""
        duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "How long calls of models took",
            (*_CALL, "error_type"),
        )
        first = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "How long until the first piece of a streamed reply",
            _CALL,
        )
        tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens that a call read or wrote",
            (*_CALL, "gen_ai_token_type"),
        )
        requests = Counter(
            "causeway_requests_total",
            "Calls of models, by what they were for",
            ("product", "tier", "outcome"),
        )
        cost = Counter(
            "causeway_cost_dollars_total", "What calls of models cost", ("product", "gen_ai_response_model")
        )
        cached = Counter("causeway_cache_hits_total", "Calls that a stored reply answered", ("cache",))
        attempts = Counter(
            "causeway_provider_attempts_total", "Calls of providers, retries and fallbacks included", ()
        )
        for (operation, provider, model, failed_as, purpose, tier, cache), alike in self._calls.items():
            call = (operation, provider, model)
            duration.add((*call, failed_as), alike.seconds)
            first.add(call, alike.first)
            tokens.add((*call, "input"), alike.input_tokens)
            tokens.add((*call, "output"), alike.output_tokens)
            requests.add((purpose, tier, failed_as or "ok"), alike.count)
            if alike.cost_micros:
                cost.add((purpose, model), alike.cost_micros / 1_000_000)
            if cache:
                cached.add((cache,), alike.count)
            if alike.attempts:
                attempts.add((), alike.attempts)
        return (duration, first, tokens, requests, cost, cached, attempts)


def _told(meter: Counter | Histogram) -> Iterable[str]:
    yield f"# HELP {meter.name} {meter.about}"
    yield f"# TYPE {meter.name} {meter.kind}"
    yield from meter.lines()


def _braced(label_names: Labels, values: Labels) -> str:
    if not label_names:
        return ""
    pairs = ",".join(
        f'{name}="{_escaped(value)}"' for name, value in zip(label_names, values, strict=True) if value
    )
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
