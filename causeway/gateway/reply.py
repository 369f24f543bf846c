"""The response of one request: a JSON document or a stream of server-sent events, and how either fails.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any

from causeway.errors import CausewayError
from causeway.gateway.direct_reply import DirectReply
from causeway.gateway.vendor_errors import ErrorShape, error_headers

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

_JSON: Header = (b"content-type", b"application/json")
_EVENTS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
_UNSENDABLE = re.compile(r"[^\x20-\x7e]")


class Reply:
    """What is sent back, once.

    Args:
        send: ASGI's.
        error_shape: The vendor's JSON of an error.
        request_id_header: What the vendor's clients read the request's id from.
        direct: The request as our own server holds it.

    Attributes:
        beat_every_s: How often a stream beats by `keep_beating`; None when somebody else calls `beat`.
    """

    beat_every_s: float | None = None
    _error_event: ErrorShape | None = None
    _heartbeat = b""
    _has_started = False
    _sent_since_beat = False
    _turn: asyncio.Lock

    def __init__(
        self,
        send: Send,
        error_shape: ErrorShape,
        *,
        request_id_header: bytes | None = None,
        direct: DirectReply | None = None,
    ) -> None:
        self.direct = direct
        self._send = send
        self._error_shape = error_shape
        self._request_id_header = request_id_header

    async def json(
        self,
        body: bytes,
        headers: Mapping[str, str] = {},
        *,
        status: int = 200,
        request_id: str | None = None,
    ) -> None:
        """Send a whole document."""
        self._has_started = True
        if self.direct is not None:
            if self.direct.is_full:
                await self.direct.drained()
            self.direct.reply(status, self._head(len(body), headers, request_id), body)
            return
        lines = [_JSON, (b"content-length", b"%d" % len(body)), *self._lines(headers, request_id)]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})
        await self._send({"type": "http.response.body", "body": body})

    async def nothing(self, status: int, headers: Mapping[str, str]) -> None:
        """Send headers alone."""
        self._has_started = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": self._lines(headers, None)}
        )
        await self._send({"type": "http.response.body", "body": b""})

    def will_stream(self, error_event: ErrorShape, *, heartbeat: bytes) -> None:
        """Say that events follow, how one tells of a failure and how one passes the time; `events` begins."""
        self._error_event = error_event
        self._heartbeat = heartbeat
        self._turn = asyncio.Lock()

    async def events(self, frames: bytes, headers: Mapping[str, str], request_id: str | None) -> None:
        """Send events; ``headers`` count with the first ones."""
        async with self._turn:  # a heartbeat may be on its way
            self._sent_since_beat = True
            if not self._has_started:
                await self._start_events(headers, request_id)
            await self._send({"type": "http.response.body", "body": frames, "more_body": True})

    async def end(self) -> None:
        """End the stream."""
        async with self._turn:
            self._error_event = None
            await self._send({"type": "http.response.body", "body": b""})

    async def beat(self) -> None:
        """Keep a stream alive that was silent since the last beat; proxies close what is silent for long.

        A stream that has not begun begins, so that a failure from here on is an event and not a status.
        """
        if self._error_event is None or self._turn.locked():
            return
        if self._sent_since_beat:
            self._sent_since_beat = False
            return
        async with self._turn:
            if not self._has_started:
                await self._start_events({}, None)
            await self._send({"type": "http.response.body", "body": self._heartbeat, "more_body": True})

    async def keep_beating(self, every_s: float) -> None:
        """Beat every so often, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.beat()

    async def fail(self, error: CausewayError, headers: Mapping[str, str] = {}) -> None:
        """Send ``error``: as the response, or as the last event of a stream that has begun."""
        if not self._has_started:
            await self.json(
                self._error_shape(error),
                {**error_headers(error), **headers},
                status=error.http_status,
                request_id=error.trace_id,
            )
        elif self._error_event is not None:
            frames = self._error_event(error)
            await self.events(frames, {}, None)
            await self.end()

    async def _start_events(self, headers: Mapping[str, str], request_id: str | None) -> None:
        self._has_started = True
        lines = [*_EVENTS, *self._lines(headers, request_id)]
        await self._send({"type": "http.response.start", "status": 200, "headers": lines})

    def _head(self, size_bytes: int, headers: Mapping[str, str], request_id: str | None) -> bytes:
        """The same lines as `_lines` and `json` make, as bytes."""
        said = "".join(headers.values())
        if not (said.isascii() and said.isprintable()):
            headers = {name: _UNSENDABLE.sub("?", value) for name, value in headers.items()}
        lines = [f"content-type: application/json\r\ncontent-length: {size_bytes}"]
        lines += map(": ".join, headers.items())
        if request_id is not None:
            lines.append(f"x-request-id: {request_id}")
            if self._request_id_header is not None:
                lines.append(f"{self._request_id_header.decode()}: {request_id}")
        lines.append("")
        return "\r\n".join(lines).encode("latin-1")

    def _lines(self, headers: Mapping[str, str], request_id: str | None) -> list[Header]:
        lines = [(_header_name(name), _header_value(value)) for name, value in headers.items()]
        if request_id is not None:
            value = request_id.encode("latin-1")
            lines.append((b"x-request-id", value))
            if self._request_id_header is not None:
                lines.append((self._request_id_header, value))
        return lines


@lru_cache(maxsize=256)
def _header_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


def _header_value(value: str) -> bytes:
    if value.isascii() and value.isprintable():
        return value.encode()
    return _UNSENDABLE.sub("?", value).encode()
