"""One request at an endpoint of ``/v1``, and the sending of a streamed chat in any vendor's events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

import msgspec

from causeway.contracts.chat import ChatChunk
from causeway.contracts.model_gateway import Call
from causeway.errors import CausewayError, UpstreamError
from causeway.gateway.reply import Reply
from causeway.storage.background import alongside


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose caller is known and whose body is read.

    Attributes:
        name: What stands in the address after the endpoint's own, such as a model's name; mostly empty.
        body: The whole body; empty for a GET.
    """

    name: str
    body: bytes
    call: Call
    reply: Reply


Answer = Callable[[Exchange], Awaitable[None]]


class EventWriter(Protocol):
    """Writes a reply as one vendor's server-sent events; bytes may hold several events or none.

    Attributes:
        heartbeat: What its clients read over.
    """

    heartbeat: bytes

    def write(self, chunk: ChatChunk) -> bytes:
        """The events of the next piece; work does not grow with what has been written."""
        ...

    def end(self) -> bytes:
        """The events that close a whole reply."""
        ...

    def fail(self, error: CausewayError) -> bytes:
        """The events that end a reply which failed: never those of `end`."""
        ...


async def send_stream(stream: AsyncGenerator[ChatChunk, None], writer: EventWriter, reply: Reply) -> None:
    """Send ``stream``, which is closed; what is raised before the first event is left to be a status.

    Raises:
        UpstreamError: The stream ended without a stop reason: the reply may be cut off.
    """
    reply.will_stream(writer.fail, heartbeat=writer.heartbeat)
    if reply.beat_every_s is None:
        await _send(stream, writer, reply)
    else:
        async with alongside(reply.keep_beating(reply.beat_every_s)):
            await _send(stream, writer, reply)


async def _send(stream: AsyncGenerator[ChatChunk, None], writer: EventWriter, reply: Reply) -> None:
    is_finished = False
    async with aclosing(stream):
        async for chunk in stream:
            is_finished = is_finished or chunk.stop_reason is not None
            frames = writer.write(chunk)
            if frames:
                await reply.events(frames, chunk.headers, chunk.trace_id)
    if not is_finished:
        msg = "the reply ended before it was finished; try again"
        raise UpstreamError(msg)
    await reply.events(writer.end(), {}, None)
    await reply.end()
