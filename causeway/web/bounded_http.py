"""HTTP/1.1 by uvicorn and httptools, with the bounds that they lack.

httptools keeps a request's head however long it grows, and uvicorn waits for the end of one for ever, so a few thousand
connections that send a header a minute would hold the door, and one that never stops would fill the memory. Here a head
has a size (RFC 6585, 431) and a time to be whole, trailers and chunk extensions have the same size, and a client that
goes on with a body which was answered long ago is cut off (nginx calls that ``lingering_time``). A body's own bounds
belong to whoever reads it. Hand the class to ``uvicorn.Config(http=BoundedHttp)``.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from causeway.web.direct_cycle import DirectCycle

MAX_HEAD_BYTES = 65_536
"""nginx takes 32 KiB, Apache 8 KiB a line; what comes in one read of the socket (256 KiB) is not cut apart."""
HEAD_TIMEOUT_S = 15.0
LINGER_S = 30.0
_EVENT = "message_event"
"""What a cycle has, of its attributes, once somebody waits for more of the request."""


def _refusal(status: bytes, words: bytes) -> bytes:
    return (
        b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
        % (status, len(words), words)
    )


_TOO_LARGE = _refusal(
    b"431 Request Header Fields Too Large", b"The headers are over %d bytes; send fewer." % MAX_HEAD_BYTES
)
_TOO_SLOW = _refusal(b"408 Request Timeout", b"The headers were not whole after %d s." % HEAD_TIMEOUT_S)


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol, bounded. A head that comes in one piece, as nearly all do, sets no timer of its own."""

    head_timeout_s = HEAD_TIMEOUT_S
    linger_s = LINGER_S

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unseen_bytes = 0
        self._is_in_head = True
        self._is_whole = True
        self._unanswered = 0
        self._at_work: DirectCycle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first head."""
        super().connection_made(transport)
        self._set_timer(self.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._end_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        super().connection_lost(exc)
        self.pipeline.clear()
        if self._at_work is not None:
            self._at_work.leave()

    def data_received(self, data: bytes) -> None:
        """Read on, unless what came since the last thing understood is too much."""
        self._unseen_bytes += len(data)
        self._idle_since = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        if self._unseen_bytes and not self.transport.is_closing():
            if self._unseen_bytes > MAX_HEAD_BYTES:
                self._close(_TOO_LARGE)
            elif self._is_in_head and self._timer is None:
                self._set_timer(self.head_timeout_s)

    # --- httptools -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A head begins; what remains of this read may be a part of it."""
        self._is_in_head, self._is_whole = True, False
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """A head is whole: its request begins, or waits for the one before it."""
        self._is_in_head = False
        self._unseen_bytes = 0
        self._unanswered += 1
        if self._timer is not None:
            self._end_timer()
        scope = self._scope()
        keep_alive = scope["http_version"] != "1.0" and self.parser.should_keep_alive()
        cycle = self.cycle = DirectCycle(self, scope, keep_alive=keep_alive)
        if self._unanswered == 1:
            self._at_work = cycle
            cycle.begin(self.app, self.loop)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._unseen_bytes = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        if _EVENT in vars(cycle):
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._unseen_bytes = 0
        self._is_whole = True
        if self._timer is not None:
            self._end_timer()
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            if _EVENT in vars(cycle):
                cycle.message_event.set()

    def _scope(self) -> dict[str, Any]:
        """The request as ASGI describes it."""
        url, root = self.url, self.root_path
        if url[:1] == b"/" and b"?" not in url and b"#" not in url:
            raw_path, query = url, b""
        else:
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path, parsed.query or b""
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": self.parser.get_http_version(),
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": root,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "method": self.parser.get_method().decode("ascii"),
            "path": root + (unquote(path) if "%" in path else path),
            "raw_path": root.encode("ascii") + raw_path,
            "query_string": query,
        }

    # --- endings ---------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """The next request's turn has come, says uvicorn."""
        if isinstance(cycle, DirectCycle):
            self._at_work = cycle
            cycle.begin(app, self.loop)

    def on_response_complete(self) -> None:
        """A request is answered, though its body may still be coming."""
        self._unanswered -= 1
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            if self.pipeline:  # requests that wait are enough: more would only fill the memory
                self.flow.pause_reading()
        else:
            self._wait_for_the_next()
        if not self._is_whole and not self._is_in_head:
            self._set_timer(self.linger_s)

    def _wait_for_the_next(self) -> None:
        """End a request as uvicorn does, but for its timer: one a connection is set, not one a request."""
        self.server_state.total_requests += 1
        if self.flow.read_paused:
            self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_if_idle)

    def _look_if_idle(self) -> None:
        self._idle_timer = None
        if self._idle_since is None:
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._idle_timer = self.loop.call_later(left_s, self._look_if_idle)
        else:
            self.timeout_keep_alive_handler()

    def _set_timer(self, after_s: float) -> None:
        self._end_timer()
        self._timer = self.loop.call_later(after_s, self._run_out)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run_out(self) -> None:
        self._timer = None
        if self._unanswered:  # the next request's head is late: first things first
            self._set_timer(self.head_timeout_s)
        else:
            self._close(_TOO_SLOW if self._is_in_head and self._unseen_bytes else b"")

    def _close(self, words: bytes) -> None:
        if words and not self._unanswered:
            self.transport.write(words)
        self.transport.close()
