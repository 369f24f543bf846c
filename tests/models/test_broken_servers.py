"""Servers that do not keep to HTTP: every way of breaking it is an error that says whose fault it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from causeway.contracts.chat import ChatRequest, Message
from causeway.errors import DeadlineError, UpstreamError
from causeway.models.anthropic import Anthropic
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.provider import ChatProvider, collect
from causeway.settings import ProviderSettings

HELLO = ChatRequest(model="m", messages=(Message("user", "Hello"),))
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def sending(answer: bytes, *, hangs: bool = False) -> AsyncIterator[str]:
    """The address of a server that sends these bytes to whoever asks, and hangs up or does not."""
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if hangs:
                await done.wait()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done.set()


def openai(address: str) -> OpenAICompatible:
    return OpenAICompatible("acme", ProviderSettings(base_url=f"{address}/v1", timeout_s=0.3), is_local=True)


def anthropic(address: str) -> Anthropic:
    return Anthropic("acme", ProviderSettings(kind="anthropic", base_url=address, timeout_s=0.3))


@pytest.mark.parametrize("client", [openai, anthropic])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff\xfe nonsense",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * (1 << 20) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: x\r\n" % number for number in range(100_000)) + b"\r\n",
        JSON + b"Content-Length: 100\r\n\r\n{",
        JSON + b"Content-Length: -1\r\n\r\n{}",
        JSON + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        JSON + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        EVENTS + b"ZZ\r\n",
        EVENTS + b"5\r\ndata:",
    ],
)
async def test_broken_http_is_an_upstream_error(client: Callable[[str], ChatProvider], answer: bytes) -> None:
    async with sending(answer) as address:
        provider = client(address)
        with pytest.raises(UpstreamError, match="acme"):
            await provider.complete(HELLO)
        with pytest.raises(UpstreamError, match="acme"):
            await collect(provider.stream(HELLO))
        await provider.close()


@pytest.mark.parametrize("client", [openai, anthropic])
@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nX-A: b\r\n", JSON + b"Content-Length: 9\r\n\r\n{"]
)
async def test_a_server_that_stops_anywhere_is_a_deadline_error(
    client: Callable[[str], ChatProvider], answer: bytes
) -> None:
    async with sending(answer, hangs=True) as address:
        provider = client(address)
        with pytest.raises(DeadlineError, match=r"providers\.acme\.timeout_s"):
            await provider.complete(HELLO)
        await provider.close()
