"""Spans: one timed step of what was done, in a trace per user action.

OpenTelemetry's data model (trace id, span id, parent, kind, attributes, events, status) in a recorder of our own: a span
of 20 attributes costs 6 microseconds where the SDK's costs 37 (``bench/spans.py``), and every model call makes one.
Parents are passed explicitly as W3C ``traceparent`` strings (https://www.w3.org/TR/trace-context/), since an answer is an
async generator and a context variable set in one does not survive its consumer's task switches. Use a span as a context
manager around the step; it ends, with the error if there was one, when the block does.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Literal, Protocol, Self

from causeway.contracts.clock import Clock, SystemClock
from causeway.errors import CausewayError
from causeway.observability.attribute_values import Attribute, attribute
from causeway.observability.call_facts import CallContent, CallFacts
from causeway.observability.genai_names import ERROR_TYPE, TEAM
from causeway.storage.random_hex import random_hex, time_ordered_hex

log = logging.getLogger(__name__)

Kind = Literal["internal", "client", "server"]
Flush = Callable[[], Awaitable[None]]
"""Brings the database up to date with the calls that have ended in this process: the ledger's."""
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_STORE_EVERY_S = 1.0
_MOST_WAITING = 65_536
MOST_AT_ONCE = 512
"""Spans of a batch. As much again is copied for the way to PostgreSQL, twice, so it is what the memory of a busy process grows by."""
_PLAIN = frozenset((str, bool, int, float))
_SPAN_ID_DIGITS = 16


class Span:
    """A step under way; ``with`` ends it.

    Attributes:
        duration_s: How long it took; zero until it has ended.
        failure: What went wrong, in words; None while nothing has.
        noted: The attributes that were set one by one: all of them, unless the step is a call with ``facts``.
        facts: What `describe` told of a call of a model, and ``content`` what was said in it.
    """

    __slots__ = (
        "_began",
        "_spans",
        "_whole",
        "content",
        "duration_s",
        "events",
        "facts",
        "failure",
        "kind",
        "name",
        "noted",
        "parent_id",
        "span_id",
        "started_at",
        "trace_id",
    )

    def __init__(self, spans: Spans, name: str, kind: Kind, parent: tuple[str, str] | None) -> None:
        self._spans: Spans | None = spans
        self.name = name
        self.kind: Kind = kind
        self.parent_id: str | None
        if parent is None:
            self.trace_id, self.parent_id = time_ordered_hex(), None
        else:
            self.trace_id, self.parent_id = parent
        self.span_id = random_hex()[:_SPAN_ID_DIGITS]
        self.started_at: datetime = spans.clock.now()
        self._began = spans.clock.monotonic()
        self.duration_s = 0.0
        self.noted: dict[str, Attribute] = {}
        self.events: list[tuple[str, datetime, dict[str, Attribute]]] = []
        self.failure: str | None = None
        self.facts: CallFacts | None = None
        self.content: CallContent | None = None
        self._whole: dict[str, Attribute] | None = None

    @property
    def traceparent(self) -> str:
        """What continues this step, as a header's value."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @property
    def attributes(self) -> dict[str, Attribute]:
        """Everything that is known of the step; of a call it is put together when it is first read."""
        facts = self.facts
        if facts is None:
            return self.noted
        if self._whole is None:
            if self.content is not None:
                facts.write_content(self.content)
            self._whole = {**facts.attributes(), **self.noted}
        return self._whole

    @property
    def team(self) -> str | None:
        """Whose it is: a team's id; None for nobody's."""
        if self.facts is not None:
            return self.facts.team
        team = self.noted.get(TEAM)
        return None if team is None else str(team)

    def describe(self, facts: CallFacts, content: CallContent | None) -> None:
        """Tell all of a call of a model at once, when it has ended; ``content`` None where nothing said may be kept."""
        self.facts, self.content = facts, content

    def set(self, attributes: Mapping[str, object]) -> None:
        """Add attributes; None is left out, and what is neither text, number nor truth is stored as JSON."""
        kept = self.noted
        for name, value in attributes.items():
            if value is not None:
                kept[name] = value if type(value) in _PLAIN else attribute(value)  # type: ignore[assignment]  # just checked

    def event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Note a moment within the step."""
        if self._spans is not None:
            noted = {key: attribute(value) for key, value in (attributes or {}).items()}
            self.events.append((name, self._spans.clock.now(), noted))

    def fail(self, error: BaseException) -> None:
        """Mark the step as failed; it still has to be ended.

        The error learns its trace: one of ours in ``trace_id``, any other in a note below its traceback.
        """
        if isinstance(error, CausewayError):
            code = error.code
            error.trace_id = error.trace_id or self.trace_id
        else:
            code = type(error).__name__
            note = f"trace {self.trace_id}"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
        self.noted[ERROR_TYPE] = code
        self.failure = str(error) or code

    def leave(self) -> None:
        """End the step and hand it to nobody: it is written down elsewhere."""
        self._spans = None

    def end(self) -> None:
        """End the step; ending it twice does nothing."""
        spans, self._spans = self._spans, None
        if spans is not None:
            self.duration_s = spans.clock.monotonic() - self._began
            spans.take(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, GeneratorExit):
            self.fail(error)
        self.end()


class SpanSink(Protocol):
    """Where finished spans go; called from one thread at a time, never from the event loop's."""

    def store(self, batch: Sequence[Span]) -> None:
        """Keep ``batch``; what it raises is logged and the batch is lost, for traces never hold up the work."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class CallSink(Protocol):
    """Takes calls of models the moment they end, on the way of what they measure."""

    @property
    def waiting(self) -> int:
        """Calls that it has taken and that are not stored yet: the sinks are handed batches, empty ones too, until there are none."""
        ...

    def take(self, span: Span) -> bool:
        """Keep a call within microseconds, from any thread; False leaves it to the sinks."""
        ...


class Spans:
    """Starts spans and hands finished ones to the sinks, every second or batch, in a thread of its own.

    Args:
        calls: What may take calls before they come to the sinks.
    """

    def __init__(
        self,
        *sinks: SpanSink,
        clock: Clock | None = None,
        most_waiting: int = _MOST_WAITING,
        calls: CallSink | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self._sinks = sinks
        self._calls = calls
        self._finished: deque[Span] = deque()
        self._most_waiting = most_waiting
        self._lost = 0
        self._told = 0
        self._failed = 0
        self._storing = threading.Lock()
        self._due = threading.Event()
        self._has_stopped = False
        self._thread: threading.Thread | None = None
        if sinks:
            self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
            self._thread.start()

    def start(
        self,
        name: str,
        *,
        kind: Kind = "internal",
        parent: str | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> Span:
        """Begin a step under ``parent``, a ``traceparent``; a malformed one, as None, begins a trace."""
        match = _TRACEPARENT.fullmatch(parent) if parent else None
        span = Span(self, name, kind, (match[1], match[2]) if match else None)
        if attributes:
            span.set(attributes)
        return span

    def take(self, span: Span) -> None:
        """A span has ended; beyond a bound the newest are dropped, and counted, while the sinks are too slow."""
        if not self._sinks:
            return
        if self._calls is not None and span.facts is not None and self._is_taken(span):
            if self._calls.waiting >= MOST_AT_ONCE:
                self._due.set()
            return
        if len(self._finished) >= self._most_waiting:
            self._lost += 1
            return
        self._finished.append(span)
        if len(self._finished) >= MOST_AT_ONCE:
            self._due.set()

    @property
    def is_kept(self) -> bool:
        """Whether anybody gets the spans; else only their ids are of use."""
        return bool(self._sinks)

    @property
    def waiting(self) -> int:
        """Spans that are not stored yet."""
        return len(self._finished) + (0 if self._calls is None else self._calls.waiting)

    @property
    def lost(self) -> int:
        """Spans that were dropped since the start, for the sinks were too slow or failed."""
        return self._lost + self._failed

    def flush(self) -> None:
        """Store what has ended; blocks, so call it in a thread."""
        with self._storing:
            while self.waiting:
                batch = self._next_batch()
                for sink in self._sinks:
                    self._hand(sink, batch)
            if self._lost > self._told:
                log.error(
                    "spans dropped: they end faster than they can be stored",
                    extra={"count": self._lost - self._told},
                )
                self._told = self._lost

    def close(self) -> None:
        """Store what has ended and stop; blocks, so call it in a thread."""
        self._has_stopped = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.flush()
        for sink in self._sinks:
            sink.close()

    def _is_taken(self, span: Span) -> bool:
        """What goes wrong here must not become a call's failure."""
        try:
            return self._calls is not None and self._calls.take(span)
        except Exception:
            log.exception("a call's span waits for the others")
            return False

    def _run(self) -> None:
        while not self._has_stopped:
            self._due.wait(_STORE_EVERY_S)
            self._due.clear()
            self.flush()

    def _hand(self, sink: SpanSink, batch: Sequence[Span]) -> None:
        try:
            sink.store(batch)
        except Exception:
            log.exception("spans lost", extra={"count": len(batch)})
            self._failed += len(batch)

    def _next_batch(self) -> list[Span]:
        finished = self._finished
        return [finished.popleft() for _ in range(min(len(finished), MOST_AT_ONCE))]


async def store_ended(recorder: Spans, flush: Flush | None) -> None:
    """Store what has just ended, so that it can be read at once: calls that have no span by ``flush``, the rest by ``recorder``."""
    if flush is not None:
        await flush()
    await asyncio.to_thread(recorder.flush)
