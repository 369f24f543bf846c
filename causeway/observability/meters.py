"""Counts and histograms for Prometheus, with the GenAI conventions' names in its spelling, read off finished spans.

Nothing is counted on a call's path: the spans' own thread does it, and a scrape writes it down. Each process counts its own
calls since it started, as Prometheus expects; a scrape of one behind a balancer is of one. The text is version 0.0.4:
https://prometheus.io/docs/instrumenting/exposition_formats/. Names and buckets:
https://github.com/open-telemetry/semantic-conventions-genai (``docs/gen-ai/gen-ai-metrics.md``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, Final

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


class Histogram:
    """How often values of which size came, by labels."""

    kind = "histogram"

    def __init__(self, name: str, about: str, labels: Labels, buckets: Sequence[float]) -> None:
        self.name, self.about, self.labels = name, about, labels
        self._buckets = buckets
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value."""
        counts = self._counts.get(labels)
        if counts is None:
            if len(self._counts) >= _MOST_SERIES:
                labels = (_OTHER,) * len(labels)
            counts = self._counts.setdefault(labels, [0] * (len(self._buckets) + 1))
        counts[bisect_left(self._buckets, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def lines(self) -> Iterable[str]:
        """The samples: each bucket holds those below it too."""
        for labels, counts in self._counts.items():
            total = 0
            for edge, count in zip((*self._buckets, None), counts, strict=True):
                total += count
                written = "+Inf" if edge is None else _number(edge)
                yield f"{self.name}_bucket{_braced((*self.labels, 'le'), (*labels, written))} {total}"
            yield f"{self.name}_sum{_braced(self.labels, labels)} {_number(self._sums[labels])}"
            yield f"{self.name}_count{_braced(self.labels, labels)} {total}"


_CALL: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_response_model")


class Meters:
    """A `causeway.observability.spans.SpanSink` that counts."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "How long calls of models took",
            (*_CALL, "error_type"),
            _SECONDS,
        )
        self._first = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "How long until the first piece of a streamed reply",
            _CALL,
            _SECONDS,
        )
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens that a call read or wrote",
            (*_CALL, "gen_ai_token_type"),
            _TOKENS,
        )
        self._requests = Counter(
            "causeway_requests_total",
            "Calls of models, by what they were for",
            ("product", "tier", "outcome"),
        )
        self._cost = Counter(
            "causeway_cost_dollars_total", "What calls of models cost", ("product", "gen_ai_response_model")
        )
        self._cache = Counter("causeway_cache_hits_total", "Calls that a stored reply answered", ("cache",))
        self._attempts = Counter(
            "causeway_provider_attempts_total", "Calls of providers, retries and fallbacks included", ()
        )
        self._answers = Counter(
            "causeway_answers_total", "Questions answered or refused", ("product", "refused")
        )
        self._failed = Counter("causeway_failures_total", "Steps that failed", ("span", "error_type"))

    def store(self, batch: Sequence[Span]) -> None:
        """Count ``batch``."""
        with self._lock:
            for span in batch:
                self._count(span)

    def close(self) -> None:
        """Nothing to let go of."""

    def text(self, gauges: Mapping[str, tuple[str, str, float]] = {}) -> str:
        """What Prometheus reads.

        Args:
            gauges: What is measured at this moment, by name: ``gauge`` or ``counter``, what it is, its value.
        """
        meters = (
            self._duration,
            self._first,
            self._tokens,
            self._requests,
            self._cost,
            self._cache,
            self._attempts,
            self._answers,
            self._failed,
        )
        lines: list[str] = []
        with self._lock:
            for meter in meters:
                lines += [
                    f"# HELP {meter.name} {meter.about}",
                    f"# TYPE {meter.name} {meter.kind}",
                    *meter.lines(),
                ]
        for name, (kind, about, value) in gauges.items():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}", f"{name} {_number(value)}"]
        return "\n".join(lines) + "\n"

    def _count(self, span: Span) -> None:
        facts = span.facts
        failed_as = None if span.failure is None else str(span.noted.get(names.ERROR_TYPE) or "failed")
        if facts is not None:
            if failed_as is not None:
                self._failed.add((facts.operation, failed_as))
            self._count_call(span, facts, failed_as)
            return
        get = span.noted.get
        if failed_as is not None:
            self._failed.add((str(get(names.OPERATION) or span.name), failed_as))
        if (refused := get(names.REFUSED)) is not None:
            self._answers.add((str(get(names.PURPOSE) or ""), "true" if refused else "false"))

    def _count_call(self, span: Span, facts: CallFacts, failed_as: str | None) -> None:
        provider = facts.provider or ""
        # a model that was never reached is as the caller wrote it, and callers can write endless names
        model = facts.response_model if provider else ""
        call = (facts.operation, provider, model)
        self._duration.observe((*call, failed_as or ""), span.duration_s)
        self._requests.add((facts.purpose, facts.tier, failed_as or "ok"))
        if facts.first_chunk_s is not None:
            self._first.observe(call, facts.first_chunk_s)
        if facts.input_tokens > 0:
            self._tokens.observe((*call, "input"), facts.input_tokens)
        if facts.output_tokens > 0:
            self._tokens.observe((*call, "output"), facts.output_tokens)
        if facts.cost_micros > 0:
            self._cost.add((facts.purpose, model), facts.cost_micros / 1_000_000)
        if facts.cache is not None:
            self._cache.add((facts.cache,))
        elif provider:
            self._attempts.add((), facts.attempts)


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
