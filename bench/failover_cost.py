"""What a call costs in the OpenAI-compatible client and in failover, beside a bare aiohttp call of the same body.

    python bench/failover_cost.py

A server in a child process answers 1 KB requests with 600 characters, or with 64 streamed tokens. CPU of this process
alone, best of three. The numbers in docs/adr/0012-failover.md are from here.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from multiprocessing.connection import Connection
from random import Random
from typing import cast

import aiohttp
import httptools
import msgspec
import uvloop
from pydantic import SecretStr

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, Message, StopReason, Usage
from causeway.contracts.clock import SystemClock
from causeway.gateway.breaker import Breakers
from causeway.gateway.failover import Failover
from causeway.gateway.routing import Plan, Route
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.provider import ChatProvider
from causeway.settings import GatewaySettings, ProviderSettings

TOKENS = 64
USAGE = {"prompt_tokens": 250, "completion_tokens": 150}
WHOLE = msgspec.json.encode(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "mock",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "mock " * 120}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
    }
)


def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    encoded = msgspec.json.encode({"model": "mock", "choices": [choice], "usage": None})
    return b"data: " + encoded + b"\n\n"


def framed(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


STREAM = [
    *(framed(event({"content": "tok "})) for _ in range(TOKENS)),
    framed(
        event({}, "stop") + b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":64}}\n\n'
    ),
    framed(b"data: [DONE]\n\n") + b"0\r\n\r\n",
]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(WHOLE)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Answers every request as fast as it can."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is one, but no subclass
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def data_received(self, content: bytes) -> None:
        self._parser.feed_data(content)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if b'"stream":true' in self._body:
            self._transport.write(STREAM_HEAD)
            for piece in STREAM:
                self._transport.write(piece)
        else:
            self._transport.write(HEAD + WHOLE)
        self._body = b""


async def serve(ready: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class Idle:
    """A provider that does nothing."""

    name = "idle"

    async def complete(self, request: ChatRequest) -> ChatReply:
        return ChatReply(text="", model=request.model, stop_reason=StopReason.END, usage=Usage())

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        chunk = ChatChunk(text="x", model=request.model)
        for _ in range(1000):
            yield chunk

    async def close(self) -> None:
        """Nothing to let go of."""


async def cpu_us(call: Callable[[], Awaitable[object]], *, calls: int, at_once: int) -> float:
    """CPU microseconds of one call, best of three rounds."""

    async def several() -> None:
        for _ in range(calls // at_once):
            await call()

    rounds = []
    for _ in range(3):
        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(several())
        rounds.append((time.process_time() - began) / calls * 1e6)
    return min(rounds)


def plan_of(provider: ChatProvider) -> Plan[ChatProvider]:
    route: Route[ChatProvider] = Route(model="mock", provider=provider)
    return Plan(asked="mock", routes=(route,))


async def measure(port: int) -> None:
    clock = SystemClock()
    failover = Failover(
        GatewaySettings(),
        breakers=Breakers(failures=5, rest_s=20, clock=clock),
        clock=clock,
        random=Random(1),
    )
    messages = (
        Message("system", "You are a helpful assistant. " * 4),
        Message("user", "Tell me more. " * 64),
    )
    request = ChatRequest(model="mock", messages=messages)
    body = {"model": "mock", "messages": [{"role": m.role, "content": m.content} for m in messages]}
    plain, streamed = msgspec.json.encode(body), msgspec.json.encode({**body, "stream": True})
    idle = Idle()
    idle_plan = plan_of(idle)
    settings = ProviderSettings(base_url=f"http://127.0.0.1:{port}/v1", api_key=SecretStr("sk-1"))
    client = OpenAICompatible("mock", settings)
    plan = plan_of(client)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-1"}
    url = f"{settings.base_url}/chat/completions"

    async def through(plan: Plan[ChatProvider]) -> None:
        await failover.complete(plan, request, deadline_s=60)

    async def drained(stream: AsyncGenerator[object, None]) -> None:
        async for _ in stream:
            pass

    async with aiohttp.ClientSession() as session:

        async def bare(content: bytes) -> None:
            async with session.post(url, data=content, headers=headers) as answer:
                async for _ in answer.content.iter_any():
                    pass

        alone = await cpu_us(lambda: idle.complete(request), calls=20_000, at_once=1)
        passed = await cpu_us(lambda: through(idle_plan), calls=20_000, at_once=1)
        print(f"failover, a plain call      {passed - alone:6.1f} us")
        alone = await cpu_us(lambda: drained(idle.stream(request)), calls=20, at_once=1)
        passed = await cpu_us(
            lambda: drained(failover.stream(idle_plan, request, deadline_s=60)), calls=20, at_once=1
        )
        print(f"failover, a streamed chunk  {(passed - alone) / 1000:6.1f} us")
        for at_once in (1, 16, 64):
            for name, call in (
                ("bare aiohttp", lambda: bare(plain)),
                ("client", lambda: client.complete(request)),
                ("client and failover", lambda: through(plan)),
            ):
                used = await cpu_us(call, calls=1920, at_once=at_once)
                print(f"{at_once:2} at once, {name:20} {used:6.0f} us a call")
        for name, call in (
            ("bare aiohttp", lambda: bare(streamed)),
            ("client", lambda: drained(client.stream(request))),
            (
                "client and failover",
                lambda: drained(failover.stream(plan, request, deadline_s=60)),
            ),
        ):
            used = await cpu_us(call, calls=320, at_once=16)
            print(f"16 streams, {name:20} {used / TOKENS:6.1f} us a token")
    await client.close()


def main() -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=lambda: uvloop.run(serve(theirs)), daemon=True)
    server.start()
    try:
        uvloop.run(measure(ours.recv()))
    finally:
        server.kill()


if __name__ == "__main__":
    main()
