"""What the door of ``/v1`` costs before any gateway works: CPU a plain call and a streamed chunk, and how soon a client's
leaving stops its model.

    python bench/edge_path.py [--calls 4000] > bench/results/edge_path.md

The gateway behind the door answers at its next turn of the event loop. No socket is between: uvicorn's own share is
measured with the whole gateway. The watch for a client that leaves is measured against watching every call from its
beginning, and against no watch, in turns in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any

import uvloop

from bench.machine import describe
from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, StopReason, Usage
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.gateway import edge_path
from causeway.gateway.client_presence import while_present
from causeway.gateway.edge_path import EdgePath
from causeway.settings import GatewaySettings

_CHUNKS = 500
_ROUNDS = 5
_HEADERS = [
    (name.encode(), value.encode())
    for name, value in {
        "host": "127.0.0.1:8080",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "connection": "keep-alive",
        "content-type": "application/json",
        "content-length": "1024",
        "user-agent": "OpenAI/Python",
        "authorization": f"Bearer cw-{'a' * 43}",
        **{f"x-stainless-{name}": "x" for name in ("lang", "os", "arch", "runtime", "async", "retry-count")},
    }.items()
]
_MESSAGES = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "%s"}]' % (
    "word " * 180
)
_PLAIN = f'{{"model": "chat", "temperature": 0.5, "messages": {_MESSAGES}}}'.encode()
_STREAMED = f'{{"model": "chat", "stream": true, "messages": {_MESSAGES}}}'.encode()


class _Instant:
    """Answers at the next turn of the loop."""

    model_names = ("chat",)

    def __init__(self) -> None:
        self.stopped_at = 0.0
        self.is_writing = asyncio.Event()

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:  # noqa: ARG002
        await asyncio.sleep(0)
        return ChatReply(text="word " * 60, model="m", stop_reason=StopReason.END, usage=Usage(200, 60))

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:  # noqa: ARG002
        if request.max_tokens == 1:
            async for chunk in self._endless():
                yield chunk
        for _ in range(_CHUNKS):
            yield ChatChunk(text="word ", model="m")
        yield ChatChunk(stop_reason=StopReason.END, usage=Usage(200, _CHUNKS), model="m")

    async def _endless(self) -> AsyncGenerator[ChatChunk, None]:
        try:
            yield ChatChunk(text="word", model="m")
            self.is_writing.set()
            await asyncio.Event().wait()
        finally:
            self.stopped_at = time.perf_counter()


class _AnyKey:
    def remembered(self, secret: str) -> Principal:  # noqa: ARG002
        return Principal("key", "bench", frozenset({Scope.MODELS}))

    async def identify(self, secret: str) -> Principal:
        return self.remembered(secret)


def _edge(gateway: Any) -> EdgePath:
    return EdgePath(
        gateway=gateway, keys=_AnyKey(), clock=SystemClock(), assistants={}, settings=GatewaySettings()
    )


async def _ask(edge: EdgePath, body: bytes, leaving: asyncio.Event) -> None:
    waiting = [body]

    async def receive() -> dict[str, Any]:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(_message: MutableMapping[str, Any]) -> None:
        return

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "root_path": ""}
    await edge({**scope, "headers": _HEADERS}, receive, send)


async def _cpu_us(body: bytes, calls: int) -> float:
    edge, leaving = _edge(_Instant()), asyncio.Event()
    started = time.process_time()
    for _ in range(calls):
        await _ask(edge, body, leaving)
    return (time.process_time() - started) / calls * 1e6


async def _stop_ms(stay_s: float) -> float:
    gateway, leaving = _Instant(), asyncio.Event()
    edge = _edge(gateway)
    body = _STREAMED.replace(b'"stream": true', b'"stream": true, "max_tokens": 1')
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask(edge, body, leaving))
        await gateway.is_writing.wait()
        await asyncio.sleep(stay_s)
        left_at = time.perf_counter()
        leaving.set()
    return (gateway.stopped_at - left_at) * 1000


async def _watched_from_the_start(work: Awaitable[None], receive: Any, **_: object) -> None:
    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(watch())
        await work
        watcher.cancel()


async def _unwatched(work: Awaitable[None], _receive: Any, **_: object) -> None:
    await work


def main() -> None:
    """Measure and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=4_000)
    calls = parser.parse_args().calls
    ways: dict[str, Callable[..., Awaitable[None]]] = {
        "after 100 ms (as built)": while_present,
        "from the call's beginning": _watched_from_the_start,
        "never": _unwatched,
    }
    plain: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            vars(edge_path)["while_present"] = way
            plain[name].append(uvloop.run(_cpu_us(_PLAIN, calls)))
    vars(edge_path)["while_present"] = while_present
    chunk_us = min(uvloop.run(_cpu_us(_STREAMED, calls // _CHUNKS + 5)) for _ in range(_ROUNDS)) / _CHUNKS
    at_once = [uvloop.run(_stop_ms(0)) for _ in range(_ROUNDS)]
    later = [uvloop.run(_stop_ms(0.2)) for _ in range(_ROUNDS)]
    print(f"# The door of /v1\n\n{describe()}\n\nMade by `bench/edge_path.py --calls {calls}`.\n")
    print(
        "| a client that leaves is watched for | CPU a plain call, us (least, median of 5 rounds) |\n|---|---|"
    )
    for name, times in plain.items():
        print(f"| {name} | {min(times):.1f}, {statistics.median(times):.1f} |")
    print("\n| what | |\n|---|---|")
    print(f"| CPU a streamed chunk, us | {chunk_us:.2f} |")
    print(f"| client leaves at once -> model stopped, ms (most of 5) | {max(at_once):.1f} |")
    print(f"| client leaves after 200 ms -> model stopped, ms (most of 5) | {max(later):.1f} |")


if __name__ == "__main__":
    main()
