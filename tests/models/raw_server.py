"""A server on the loopback that says over each connection exactly the bytes that a test wrote, whatever HTTP thinks of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Talk:
    """One connection, on the server's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """The next request, head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head + await self.reader.readexactly(length)

    async def say(self, *pieces: bytes) -> None:
        """Send bytes."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()


@dataclass
class RawServer:
    """Runs ``plan`` for each connection, and closes it."""

    plan: Callable[[Talk], Awaitable[None]]
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has closed its connection while its talk was going on."""

    @asynccontextmanager
    async def served(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """The port, while the block lasts."""
        talks: set[asyncio.Task[None]] = set()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talks.add(task)
            self.connections += 1
            try:
                await self.plan(Talk(reader, writer))
            except (ConnectionError, asyncio.IncompleteReadError):
                self.left.set()
            except asyncio.CancelledError:
                pass
            finally:
                writer.transport.abort()
                talks.discard(task)

        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in list(talks):
                task.cancel()
            while talks:
                await asyncio.wait(list(talks))
            await server.wait_closed()
