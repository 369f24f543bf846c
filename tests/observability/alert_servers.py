"""Where alerts go in tests: a channel that collects, a web server and a mail server on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from causeway.errors import UpstreamError
from causeway.observability.alert_rules import Notice


@dataclass(slots=True)
class Collected:
    """A channel that keeps what it is told, and fails as often as it is asked to."""

    told: list[Notice] = field(default_factory=list)
    failures: int = 0

    async def tell(self, notice: Notice) -> None:
        if self.failures:
            self.failures -= 1
            msg = "the channel is down"
            raise UpstreamError(msg)
        self.told.append(notice)


@dataclass(slots=True)
class Received:
    """What a server was sent; ``status`` is what it answers next."""

    url: str = ""
    port: int = 0
    status: int = 200
    requests: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)


@asynccontextmanager
async def web_server() -> AsyncIterator[Received]:
    """Takes posts over HTTP."""
    received = Received()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        received.requests.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(f"HTTP/1.1 {received.status} X\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    received.port = server.sockets[0].getsockname()[1]
    received.url = f"http://127.0.0.1:{received.port}/hook"
    async with server:
        yield received


@asynccontextmanager
async def mail_server() -> AsyncIterator[Received]:
    """Takes mails over SMTP."""
    received = Received()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := (await reader.readline()).decode().strip():
            command = line.split()[0].upper()
            if command == "DATA":
                writer.write(b"354 go on\r\n")
                received.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            if command == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            is_refused = received.status != 200 and command == "RCPT"
            writer.write(b"451 later\r\n" if is_refused else b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    received.port = server.sockets[0].getsockname()[1]
    async with server:
        yield received
