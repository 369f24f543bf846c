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
from causeway.observability.spans import Span
from causeway.observability.trace_summaries import CALLS

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
        get = span.attributes.get
        if span.failure is not None:
            name = str(get(names.OPERATION) or span.name)
            self._failed.add((name, str(get(names.ERROR_TYPE) or "failed")))
        if (refused := get(names.REFUSED)) is not None:
            self._answers.add((str(get(names.PURPOSE) or ""), "true" if refused else "false"))
        operation = get(names.OPERATION)
        if operation not in CALLS:
            return
        provider = str(get(names.PROVIDER) or "")
        # a model that was never reached is as the caller wrote it, and callers can write endless names
        model = str(get(names.RESPONSE_MODEL) or "") if provider else ""
        call = (str(operation), provider, model)
        product = str(get(names.PURPOSE) or "")
        outcome = str(get(names.ERROR_TYPE) or "failed") if span.failure is not None else ""
        self._duration.observe((*call, outcome), span.duration_s)
        self._requests.add((product, str(get(names.TIER) or ""), outcome or "ok"))
        if isinstance(first_s := get(names.TIME_TO_FIRST_CHUNK), int | float):
            self._first.observe(call, first_s)
        for kind, name in (("input", names.INPUT_TOKENS), ("output", names.OUTPUT_TOKENS)):
            if isinstance(tokens := get(name), int) and tokens > 0:
                self._tokens.observe((*call, kind), tokens)
        if isinstance(micros := get(names.COST_MICROS), int) and micros > 0:
            self._cost.add((product, model), micros / 1_000_000)
        if (cache := get(names.CACHE)) is not None:
            self._cache.add((str(cache),))
        elif provider:
            attempts = get(names.ATTEMPTS, 1)
            self._attempts.add((), attempts if isinstance(attempts, int) else 1)


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
