"""A provider on the loopback that answers as a test prepared, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Prepared:
    """One answer; ``pieces`` make it a stream, which then hangs or breaks instead of ending."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: tuple[bytes, ...] | None = None
    hangs: bool = False
    breaks: bool = False


@dataclass
class ProviderServer:
    """Answers with ``prepared`` in order, and with the last one ever after."""

    prepared: list[Prepared]
    asked: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def application(self) -> web.Application:
        """To be served."""
        application = web.Application(client_max_size=64 << 20)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The address of the server while the block lasts."""
        runner = web.AppRunner(self.application, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(json.loads(body) if body else None)
        self.paths.append(request.path_qs)
        self.headers.append(dict(request.headers))
        self.ports.append(request.transport.get_extra_info("peername")[1] if request.transport else 0)
        answer = self.prepared[min(len(self.asked), len(self.prepared)) - 1]
        self.reached.set()
        try:
            return (
                await self._streamed(request, answer) if answer.pieces is not None else await _whole(answer)
            )
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise

    async def _streamed(self, request: web.Request, answer: Prepared) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream", **answer.headers}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        for piece in answer.pieces or ():
            await response.write(piece)
        if answer.hangs:
            await asyncio.Event().wait()
        if answer.breaks and request.transport:
            request.transport.close()
        return response


async def _whole(answer: Prepared) -> web.Response:
    if answer.hangs:
        await asyncio.Event().wait()
    content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    headers = {"Content-Type": "application/json", **answer.headers}
    return web.Response(status=answer.status, body=content, headers=headers)
