"""Server-sent events over one response: heartbeats while nothing happens, and the work ends with its reader.

The format is https://html.spec.whatwg.org/multipage/server-sent-events.html; pages read it with one ``fetch``,
which may be a POST and can be aborted, unlike an EventSource.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Message
from starlette.types import Receive as StarletteReceive
from starlette.types import Scope as StarletteScope
from starlette.types import Send as StarletteSend

from causeway.errors import CausewayError
from causeway.web.problems import UNEXPECTED, problem_of, problem_response
from causeway.web.response_headers import REQUEST_ID

log = logging.getLogger(__name__)
T = TypeVar("T")

HEARTBEAT_S = 15.0
"""Under the shortest idle limit that proxies commonly have (30 s)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: a name and what JSON makes of ``payload``."""

    name: str
    payload: Mapping[str, Any]

    def encode(self) -> bytes:
        """The event on the wire."""
        text = json.dumps(self.payload, ensure_ascii=False, separators=(",", ":"), default=str)
        return f"event: {self.name}\ndata: {text}\n\n".encode()


class EventStream(Response):
    """A response made of events.

    The status waits for the first event or heartbeat, so work that fails at once answers with the error's own
    status; work that fails later ends the stream with an ``error`` event that holds the same problem. The generator
    runs in one task from its first step to its last, as timeouts inside it need, and is closed when the reader goes.

    Args:
        events: What is sent.
        heartbeat_s: The longest silence.
        outlives_s: How long the work may go on for its own sake once the reader is gone.
        stop: Set it and the work ends with its reader, whatever ``outlives_s``.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[Event, None],
        *,
        heartbeat_s: float = HEARTBEAT_S,
        outlives_s: float = 0.0,
        stop: asyncio.Event | None = None,
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._heartbeat_s = heartbeat_s
        self._outlives_s = outlives_s
        self._stop = stop or asyncio.Event()

    async def __call__(self, scope: StarletteScope, receive: StarletteReceive, send: StarletteSend) -> None:
        """Send the events."""
        wire = _Wire(self, send)

        async def pump() -> None:
            try:
                async with aclosing(self._events) as events:
                    async for event in events:
                        await wire.write(event.encode())
            except CausewayError as exc:
                await wire.fail(exc, scope, receive)
            except Exception:
                about = {"path": scope["path"], "trace_id": scope.get(REQUEST_ID)}
                log.exception("stream failed", extra=about)
                await wire.fail(UNEXPECTED, scope, receive)
            await wire.end()

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._heartbeat_s)
                await wire.write(b": still here\n\n")

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                heart = group.create_task(beat())
                await pump()
                heart.cancel()

        await until_gone(work, receive, patience_s=self._outlives_s, stop=self._stop)


class _Wire:
    """What has been sent; two tasks write to it."""

    def __init__(self, response: Response, send: StarletteSend) -> None:
        self._response = response
        self._send = send
        self._lock = asyncio.Lock()
        self._is_started = False
        self._is_ended = False

    async def write(self, chunk: bytes) -> None:
        async with self._lock:
            if self._is_ended:
                return
            if not self._is_started:
                self._is_started = True
                await self._send(
                    {
                        "type": "http.response.start",
                        "status": self._response.status_code,
                        "headers": self._response.raw_headers,
                    }
                )
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def fail(self, error: CausewayError, scope: StarletteScope, receive: StarletteReceive) -> None:
        if self._is_started:
            await self.write(Event("error", problem_of(error, scope).model_dump()).encode())
            return
        async with self._lock:
            self._is_started = self._is_ended = True
            await problem_response(error, scope)(scope, receive, self._send)

    async def end(self) -> None:
        await self.write(b"")
        async with self._lock:
            if not self._is_ended:
                self._is_ended = True
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class _ReaderGoneError(Exception):
    """The client closed its connection."""


async def until_gone(
    work: Callable[[], Awaitable[T]],
    receive: Callable[[], Awaitable[Message]],
    *,
    patience_s: float = 0.0,
    stop: asyncio.Event | None = None,
) -> T | None:
    """What ``work`` gives; None when the client went away first, and ``work`` was cancelled.

    That is ``patience_s`` after the client went, or as soon as ``stop`` is set.
    """
    given: list[T] = []
    failed: list[CausewayError] = []

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if patience_s and stop is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await stop.wait()
        raise _ReaderGoneError

    try:
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch())
            try:
                given.append(await work())
            except CausewayError as exc:  # kept out of the group, which would wrap it
                failed.append(exc)
            watcher.cancel()
    except* _ReaderGoneError:
        log.debug("reader went away")
    if failed:
        raise failed[0]
    return given[0] if given else None
