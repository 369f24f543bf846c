"""One HTTP request as our server holds it: uvicorn's ASGI cycle, which the gateway's door may answer without ASGI's messages.

Made for every request, so it is made cheaply: what is the same of every request at first stands in the class, the event
that ASGI's ``receive`` waits for is made when somebody waits, and the server's set of tasks is left without a callback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from causeway.gateway.direct_reply import DirectReply


class DirectCycle(RequestResponseCycle, DirectReply):
    """A request, from its head on; `begin` lets the application answer it."""

    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0

    def __init__(self, protocol: HttpToolsProtocol, scope: Any, *, keep_alive: bool) -> None:
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.access_log = protocol.access_log
        self.default_headers = protocol.server_state.default_headers
        self.on_response: Callable[..., None] = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()
        self._tasks = protocol.tasks
        self._task: asyncio.Task[None]

    @cached_property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]  # uvicorn makes one for every request
        """Set when there is something to receive."""
        event = asyncio.Event()
        if self.body or not self.more_body:
            event.set()
        return event

    def begin(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Let ``app`` answer, in a task of its own that the server waits for when it stops."""
        self._task = loop.create_task(self.run_asgi(app), name="request")
        self._tasks.add(self._task)

    async def run_asgi(self, app: Any) -> None:
        """Answer by ``app``, or by a 500 when that fails before it has answered anything."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException:
            self.logger.exception("the application failed")
        try:
            if not self.response_started and not self.disconnected:
                await self.send_500_response()
            elif not self.response_complete and not self.disconnected:
                self.transport.close()
        finally:
            self._tasks.discard(self._task)

    # --- DirectReply -----------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether the client has not read what it was sent."""
        return self.flow.write_paused and not self.disconnected

    async def drained(self) -> None:
        """Wait until it has, or has left."""
        await self.flow.drain()

    @property
    def stopped(self) -> bool:
        """Whether its client's leaving alone cancelled the task."""
        return self._has_left and self._task.cancelling() == 1

    def leave(self) -> None:
        """The client went away."""
        if self.response_complete:
            return
        self.disconnected = True
        self.message_event.set()
        if self.stops_on_leave:
            self._has_left = True
            self._task.cancel()

    def take_body(self) -> bytes | None:
        """The request's body, when all of it has come."""
        if self.more_body or self.disconnected or self.response_started:
            return None
        body = bytes(self.body)
        self.body.clear()
        if self.flow.read_paused:
            self.flow.resume_reading()  # to hear when the client leaves
        return body

    def reply(self, status: int, head: bytes, body: bytes) -> None:
        """Send a whole answer, in one write: two would be two packets and two calls of the system."""
        if self.disconnected:
            return
        if b"\nconnection: close\r\n" in head:
            self.keep_alive = False
        elif not self.keep_alive:
            head += b"connection: close\r\n"
        lines = STATUS_LINE[status]
        for header in self.default_headers:
            lines += b"%b: %b\r\n" % header
        self.transport.write(b"".join((lines, head, b"\r\n", body)))
        self.response_started = self.response_complete = True
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
