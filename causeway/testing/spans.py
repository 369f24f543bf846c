"""Spans kept in memory, for tests that look at what was recorded."""

from __future__ import annotations

from collections.abc import Sequence

from causeway.observability.spans import Span


class CollectedSpans:
    """A `causeway.observability.spans.SpanSink` that keeps every finished span, in the order they ended."""

    def __init__(self) -> None:
        self.finished: list[Span] = []

    def store(self, batch: Sequence[Span]) -> None:
        """Keep ``batch``."""
        self.finished.extend(batch)

    def close(self) -> None:
        """Nothing to let go of."""
