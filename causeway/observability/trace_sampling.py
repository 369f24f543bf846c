"""Which traces are kept where not all are: by their id, so that all spans of a trace share its fate, and failures always.

A trace whose id is not drawn waits here until its root has ended: if any of its spans fails, all of them are stored.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from causeway.observability.spans import Span, SpanSink
from causeway.observability.trace_policy import DEFAULT_PROJECT, TracePolicy, share

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 300.0
_MOST_WAITING = 20_000
_MOST_REMEMBERED = 50_000


class _Waiting:
    __slots__ = ("has_failed", "has_root", "project", "since", "spans")

    def __init__(self, since: float) -> None:
        self.spans: list[Span] = []
        self.project: str | None = None
        self.has_failed = False
        self.has_root = False
        self.since = since


class SampledSpans:
    """A `causeway.observability.spans.SpanSink` before another, which gets the traces that are kept.

    Attributes:
        left_out: How many spans were not kept.
    """

    def __init__(self, kept: SpanSink, policy: TracePolicy, *, now: Callable[[], float]) -> None:
        self._kept = kept
        self._policy = policy
        self._now = now
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._count = 0
        self._decided: OrderedDict[str, bool] = OrderedDict()
        self.left_out = 0

    def store(self, batch: Sequence[Span]) -> None:
        """Pass on what is drawn or has failed, hold what may still fail, forget the rest."""
        passed: list[Span] = []
        touched: dict[str, _Waiting] = {}
        for span in batch:
            trace_id = span.trace_id
            if share(trace_id) < self._policy.lowest_sample or span.failure is not None:
                if span.failure is not None and trace_id in self._waiting:
                    self._waiting[trace_id].has_failed = True
                    touched[trace_id] = self._waiting[trace_id]
                elif span.failure is not None:
                    self._decide(trace_id, is_kept=True)
                passed.append(span)
            elif trace_id in self._decided:
                if self._decided[trace_id]:
                    passed.append(span)
                else:
                    self.left_out += 1
            else:
                touched[trace_id] = self._hold(span)
        for trace_id, waiting in touched.items():
            passed += self._settled(trace_id, waiting)
        passed += self._overdue()
        if passed:
            self._kept.store(passed)

    def close(self) -> None:
        """Decide what is still open, as if its root had ended."""
        passed: list[Span] = []
        while self._waiting:
            trace_id, waiting = next(iter(self._waiting.items()))
            waiting.has_root = True
            passed += self._settled(trace_id, waiting)
        if passed:
            self._kept.store(passed)
        self._kept.close()

    def _hold(self, span: Span) -> _Waiting:
        waiting = self._waiting.setdefault(span.trace_id, _Waiting(self._now()))
        waiting.spans.append(span)
        self._count += 1
        waiting.project = span.team or waiting.project
        waiting.has_root = waiting.has_root or span.parent_id is None
        return waiting

    def _settled(self, trace_id: str, waiting: _Waiting) -> list[Span]:
        """Its spans if it is kept; none while that is open, or when it is not."""
        if trace_id not in self._waiting:
            return []
        project = waiting.project or (DEFAULT_PROJECT if waiting.has_root else None)
        is_drawn = project is not None and share(trace_id) < self._policy.sample(project)
        if not (is_drawn or waiting.has_failed or waiting.has_root):
            return []
        del self._waiting[trace_id]
        self._count -= len(waiting.spans)
        is_kept = is_drawn or waiting.has_failed
        self._decide(trace_id, is_kept=is_kept)
        if is_kept:
            return waiting.spans
        self.left_out += len(waiting.spans)
        return []

    def _decide(self, trace_id: str, *, is_kept: bool) -> None:
        self._decided[trace_id] = is_kept
        while len(self._decided) > _MOST_REMEMBERED:
            self._decided.popitem(last=False)

    def _overdue(self) -> list[Span]:
        """What has waited too long, or is too much to hold: decided now, the oldest first."""
        passed: list[Span] = []
        while self._waiting:
            trace_id, waiting = next(iter(self._waiting.items()))
            if self._count <= _MOST_WAITING and self._now() - waiting.since < _LONGEST_WAIT_S:
                break
            waiting.has_root = True
            passed += self._settled(trace_id, waiting)
        return passed
