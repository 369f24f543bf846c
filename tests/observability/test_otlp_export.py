"""Spans on their way to a collector: a real HTTP server, which is slow, refuses, or is away."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from causeway.errors import SettingsError
from causeway.observability import genai_names as names
from causeway.observability.otlp_decode import SentSpan, decoded
from causeway.observability.otlp_export import OtlpExport
from causeway.observability.otlp_messages import message
from causeway.observability.spans import Span, Spans
from causeway.settings import TelemetrySettings


class Collector:
    """Answers with the given statuses in turn, then with 200, and keeps what it was sent."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.rejects = 0
        self.requests: list[tuple[dict[str, str], list[SentSpan]]] = []
        outer = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((headers, decoded(body, is_json=False).spans))
                status = outer.statuses.pop(0) if outer.statuses else 200
                answer = message("ExportResponse")
                if outer.rejects:
                    answer.partial_success.rejected_spans = outer.rejects
                written = answer.SerializeToString()
                self.send_response(status)
                self.send_header("content-length", str(len(written)))
                self.end_headers()
                self.wfile.write(written)

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Door)
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    opened = Collector()
    yield opened
    opened.close()


def exporting(address: str, *, most_waiting: int = 100, **settings: Any) -> OtlpExport:
    given = TelemetrySettings.model_validate({"otlp_endpoint": address, **settings})
    return OtlpExport(given, first_pause_s=0.001, most_waiting=most_waiting)


def asked() -> Span:
    span = Spans().start("ask", kind="server", parent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
    span.set({names.QUESTION: "why?", names.INPUT_TOKENS: 3, names.REFUSED: False, "half": "\ud83d"})
    span.event("noted", {"reason": "x"})
    span.fail(TimeoutError("slow"))
    span.duration_s = 0.25
    return span


def delivered(collector: Collector, export: OtlpExport, count: int = 1) -> list[SentSpan]:
    export.store([asked() for _ in range(count)])
    export.close()
    return collector.requests[-1][1]


def test_a_span_arrives_as_it_was_without_its_content(collector: Collector) -> None:
    export = exporting(collector.address, otlp_headers={"authorization": "Bearer secret"})
    (sent,) = delivered(collector, export)
    assert (sent.trace_id, sent.parent_id, sent.name, sent.kind) == ("ab" * 16, "cd" * 8, "ask", "server")
    assert (sent.failure, sent.duration_s) == ("slow", 0.25)
    assert sent.attributes == {
        names.INPUT_TOKENS: 3,
        names.REFUSED: False,
        "half": "?",
        names.ERROR_TYPE: "TimeoutError",
    }
    assert [(each.name, each.attributes) for each in sent.events] == [("noted", {"reason": "x"})]
    assert sent.resource["service.name"] == "causeway"
    assert collector.requests[0][0]["authorization"] == "Bearer secret"
    assert (export.sent, export.lost) == (1, 0)


def test_content_leaves_only_where_the_settings_say_so(collector: Collector) -> None:
    (sent,) = delivered(collector, exporting(collector.address, otlp_content=True))
    assert sent.attributes[names.QUESTION] == "why?"


def test_a_collector_that_is_busy_is_tried_again(collector: Collector) -> None:
    collector.statuses = [503, 429]
    export = exporting(collector.address)
    export.store([asked()])
    export._wake.set()
    while export.sent == 0 and export.lost == 0:
        threading.Event().wait(0.005)
    export.close()
    assert (export.sent, export.lost, len(collector.requests)) == (1, 0, 3)


def test_a_refusal_is_final_and_counted(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    collector.statuses = [401]
    export = exporting(collector.address)
    delivered(collector, export)
    assert (export.sent, export.lost, len(collector.requests)) == (0, 1, 1)
    assert "otlp_headers" in caplog.records[-1].__dict__["reason"]


def test_what_the_collector_rejects_in_part_is_counted(collector: Collector) -> None:
    collector.rejects = 1
    export = exporting(collector.address)
    delivered(collector, export, count=3)
    assert (export.sent, export.lost) == (2, 1)


def test_a_collector_that_is_away_holds_nobody_up_and_loses_what_has_no_room(collector: Collector) -> None:
    export = exporting("http://127.0.0.1:9/v1/traces", most_waiting=2)
    export.store([asked() for _ in range(5)])
    export.close()
    assert (export.sent, export.lost) == (0, 5)


@pytest.mark.parametrize("address", ["collector:4317", "grpc://collector", "http://"])
def test_an_address_that_is_none_says_how_to_write_it(address: str) -> None:
    with pytest.raises(SettingsError, match="http://collector:4318/v1/traces"):
        exporting(address)
