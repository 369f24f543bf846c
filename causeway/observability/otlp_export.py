"""Sends spans on to a collector, OTLP over HTTP in protobuf, beside storing them here.

The collector's trouble is its own: spans wait in a bounded queue of this sink and are sent from its own thread, so a slow or
dead collector holds up neither the own store nor a call. A request is tried again, ever later, when the collector says so or
cannot be reached (https://opentelemetry.io/docs/specs/otlp/#failures-1), and what does not fit the queue meanwhile is dropped,
counted and logged.
"""

from __future__ import annotations

import gzip
import http.client
import logging
import random
import ssl
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from causeway import __version__
from causeway.errors import SettingsError
from causeway.observability.otlp_messages import message, parsed
from causeway.observability.spans import Span
from causeway.observability.trace_policy import without_content
from causeway.settings import TelemetrySettings

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 16_384
_MOST_AT_ONCE: Final = 512
_SEND_EVERY_S: Final = 2.0
_TIMEOUT_S: Final = 10.0
_TRIES: Final = 6
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})
_KINDS: Final = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_FAILED: Final = 2


class OtlpExport:
    """A `causeway.observability.spans.SpanSink` that sends spans to ``telemetry.otlp_endpoint``.

    Attributes:
        sent: Spans that the collector took.
        lost: Spans that it refused, or that had no room while it was away.
    """

    def __init__(
        self,
        settings: TelemetrySettings,
        *,
        first_pause_s: float = _FIRST_PAUSE_S,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        place = urlsplit(settings.otlp_endpoint)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise SettingsError(
                f"telemetry.otlp_endpoint '{settings.otlp_endpoint}' is no http address; "
                "write it like http://collector:4318/v1/traces"
            )
        self._place = place
        self._path = (place.path or "/v1/traces") + (f"?{place.query}" if place.query else "")
        self._headers = {
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            "user-agent": f"causeway/{__version__}",
            **{name: value.get_secret_value() for name, value in settings.otlp_headers.items()},
        }
        self._with_content = settings.otlp_content and settings.capture_content
        self._first_pause_s = first_pause_s
        self._most_waiting = most_waiting
        self._waiting: deque[Span] = deque()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self.sent = 0
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="otlp-export", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Spans that are not sent yet."""
        return len(self._waiting)

    def store(self, batch: Sequence[Span]) -> None:
        """Queue ``batch``; returns at once."""
        room = self._most_waiting - len(self._waiting)
        self._waiting.extend(batch[:room])
        if len(batch) > room:
            self._lose(len(batch) - room, "the collector does not keep up")
        if len(self._waiting) >= _MOST_AT_ONCE:
            self._wake.set()

    def close(self) -> None:
        """Send what waits, each request tried once, and stop."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(_SEND_EVERY_S)
            self._wake.clear()
            self._send_waiting()
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
            try:
                is_taken = self._send(batch)
            except Exception:
                log.exception("spans could not be sent")
                self._lose(len(batch), "see the log")
                is_taken = False
            if not is_taken and self._stop.is_set():  # a collector that is away does not hold up our own end
                if self._waiting:
                    self._lose(len(self._waiting), "this process stops")
                self._waiting.clear()

    def _send(self, batch: Sequence[Span]) -> bool:
        body = gzip.compress(encoded(batch, with_content=self._with_content), compresslevel=1)
        pause_s = self._first_pause_s
        reason = ""
        for _ in range(_TRIES):
            wait_s, reason = self._tried(body, len(batch))
            if wait_s is None:
                return True
            if wait_s < 0 or self._stop.is_set():
                break
            jittered = random.uniform(0.5, 1.0) * pause_s  # noqa: S311 - spreads tries, guards nothing
            if self._stop.wait(max(wait_s, jittered)):
                continue
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._lose(len(batch), reason)
        return False

    def _tried(self, body: bytes, count: int) -> tuple[float | None, str]:
        """None once it is done; else how long to wait before the next try, below zero for none, and why."""
        try:
            status, reply, after_s = self._post(body)
        except (OSError, http.client.HTTPException) as exc:
            return 0.0, str(exc) or type(exc).__name__
        if status // 100 == 2:
            self._note_success(reply, count)
            return None, ""
        if status in _TRY_AGAIN:
            return after_s, f"the collector answers {status}"
        return -1.0, f"the collector answers {status}; check telemetry.otlp_endpoint and otlp_headers"

    def _post(self, body: bytes) -> tuple[int, bytes, float]:
        host, port = self._place.hostname or "", self._place.port
        connection: http.client.HTTPConnection
        if self._place.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            after = response.headers.get("retry-after", "")
            after_s = min(float(after), _LONGEST_PAUSE_S) if after.isdecimal() else 0.0
            return response.status, response.read(65_536), after_s
        finally:
            connection.close()

    def _note_success(self, reply: bytes, count: int) -> None:
        try:
            answer = parsed("ExportResponse", reply)
        except ValueError:  # some answer in JSON, or with nothing of sense; they took it all the same
            answer = message("ExportResponse")
        refused = min(answer.partial_success.rejected_spans, count)
        self.sent += count - refused
        if refused:
            self._lose(refused, answer.partial_success.error_message[:200])

    def _lose(self, count: int, reason: str) -> None:
        self.lost += count
        log.warning("spans not sent to the collector", extra={"count": count, "reason": reason})


def encoded(batch: Sequence[Span], *, with_content: bool) -> bytes:
    """``batch`` as an OTLP request in protobuf."""
    request = message("ExportRequest")
    of_resource = request.resource_spans.add()
    for name, value in (("service.name", "causeway"), ("service.version", __version__)):
        _put(of_resource.resource.attributes.add(), name, value)
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name, of_scope.scope.version = "causeway", __version__
    for span in batch:
        _fill(
            of_scope.spans.add(), span, span.attributes if with_content else without_content(span.attributes)
        )
    written: bytes = request.SerializeToString()
    return written


def _fill(sent: Any, span: Span, attributes: Mapping[str, Any]) -> None:
    sent.trace_id, sent.span_id = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)
    if span.parent_id is not None:
        sent.parent_span_id = bytes.fromhex(span.parent_id)
    sent.name, sent.kind = _text(span.name), _KINDS.get(span.kind, 1)
    sent.start_time_unix_nano = _nanoseconds(span.started_at)
    sent.end_time_unix_nano = sent.start_time_unix_nano + round(span.duration_s * 1e9)
    for name, value in attributes.items():
        _put(sent.attributes.add(), name, value)
    for name, at, noted in span.events:
        event = sent.events.add()
        event.name, event.time_unix_nano = _text(name), _nanoseconds(at)
        for key, value in noted.items():
            _put(event.attributes.add(), key, value)
    if span.failure is not None:
        sent.status.code, sent.status.message = _FAILED, _text(span.failure)


def _put(pair: Any, name: str, value: Any) -> None:
    pair.key = name
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        pair.value.int_value = value
    elif isinstance(value, float):
        pair.value.double_value = value
    else:
        pair.value.string_value = _text(str(value))


def _text(value: str) -> str:
    """Without lone surrogates, which no UTF-8 holds."""
    return value.encode("utf-8", "replace").decode()


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
