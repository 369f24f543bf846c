"""The raw ASGI path of ``/v1/*``: no framework between the socket and the gateway.

It reads the key and the body, answers in the vendor's own shapes, errors included, and stops the model when its
client goes away: a proxy that never looks at ``receive()`` again keeps upstream writing for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from causeway.contracts.chat import ChatChunk, ChatRequest, Usage
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call, ChatAssistant
from causeway.errors import (
    CausewayError,
    InvalidInputError,
    NotFoundError,
    NotSignedInError,
    TooLargeError,
    UnknownModelError,
)
from causeway.gateway import openai_wire as wire
from causeway.gateway.gateway import Gateway
from causeway.gateway.keys import Keys
from causeway.models.provider import collect

log = logging.getLogger(__name__)

AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES = 32_000_000
_JSON = (b"content-type", b"application/json")
_EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


class EdgePath:
    """The ASGI application of ``/v1/*``.

    ``assistants`` are products that answer a chat under a model's name; ``name:argument`` reaches ``name``.
    """

    def __init__(
        self, *, gateway: Gateway, keys: Keys, clock: Clock, assistants: Mapping[str, ChatAssistant]
    ) -> None:
        self._gateway = gateway
        self._keys = keys
        self._clock = clock
        self._assistants = assistants

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        reply = _Reply(send)
        try:
            await self._answer(scope, receive, reply)
        except CausewayError as exc:
            await reply.fail(exc)
        except Exception:
            log.exception("call failed", extra={"path": scope["path"]})
            await reply.fail(CausewayError("Causeway failed on this call; its log tells why"))

    async def _answer(self, scope: AsgiScope, receive: Receive, reply: _Reply) -> None:
        method, path = scope["method"], scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
        principal = await self._identify(scope)
        principal.require(Scope.MODELS)
        call = Call(principal=principal, purpose="api")
        if method == "GET" and path.startswith("/v1/models"):
            await self._models(path.removeprefix("/v1/models").removeprefix("/"), reply)
            return
        answer = {
            "/v1/chat/completions": self._chat,
            "/v1/embeddings": self._embeddings,
            "/v1/rerank": self._rerank,
        }.get(path)
        if answer is None or method != "POST":
            raise NotFoundError(f"there is no {method} {path}; see docs/reference/http.md")
        body = await _read_body(receive)
        await _until_gone(answer(body, call, reply), receive)

    async def _identify(self, scope: AsgiScope) -> Principal:
        headers = dict(scope["headers"])
        kind, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not secret:
            msg = "no key; send 'Authorization: Bearer cw-...', made by 'causeway keys create'"
            raise NotSignedInError(msg)
        return await self._keys.identify(secret.strip())

    async def _models(self, name: str, reply: _Reply) -> None:
        known = [*self._assistants, *self._gateway.model_names]
        if not name:
            await reply.json(wire.model_list(known))
        elif name in known:
            await reply.json(wire.one_model(name))
        else:
            raise UnknownModelError(f"no model is called '{name}'; GET /v1/models lists them")

    async def _chat(self, body: bytes, call: Call, reply: _Reply) -> None:
        asked = wire.read_chat(body)
        stamp = _Stamp(f"chatcmpl-{uuid4().hex}", int(self._clock.now().timestamp()), asked.request.model)
        stream = self._open(asked.request, call)
        if not asked.is_stream:
            whole = await collect(stream)
            await reply.json(
                wire.chat_completion(whole, completion_id=stamp.id, created=stamp.created, model=stamp.model)
            )
            return
        async with aclosing(stream):
            await _send_stream(stream, stamp, reply, wants_usage=asked.wants_usage)

    def _open(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        assistant = self._assistants.get(request.model.partition(":")[0])
        if assistant is None:
            return self._gateway.stream(request, call)
        call.principal.require(Scope.ASK)
        return assistant.stream(request, call)

    async def _embeddings(self, body: bytes, call: Call, reply: _Reply) -> None:
        asked = wire.read_embeddings(body)
        embeddings = await self._gateway.embed(asked.request, call)
        await reply.json(wire.embedding_list(embeddings, as_base64=asked.as_base64))

    async def _rerank(self, body: bytes, call: Call, reply: _Reply) -> None:
        asked = wire.read_rerank(body)
        await reply.json(wire.ranking(await self._gateway.rerank(asked.request, call), asked))


class _Stamp:
    """What every chunk of one completion repeats."""

    __slots__ = ("created", "id", "model")

    def __init__(self, completion_id: str, created: int, model: str) -> None:
        self.id = completion_id
        self.created = created
        self.model = model


class _Reply:
    """The response being sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False

    async def json(self, body: bytes, status: int = 200) -> None:
        self._started = True
        headers = [_JSON, (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def event(self, payload: bytes) -> None:
        if not self._started:
            self._started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": list(_EVENTS)})
        await self._send(
            {"type": "http.response.body", "body": b"data: " + payload + b"\n\n", "more_body": True}
        )

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, error: CausewayError) -> None:
        """Send ``error``: as the response, or as the last event of a stream that has begun, without ``[DONE]``."""
        if not self._started:
            await self.json(wire.error_body(error), error.http_status)
            return
        await self.event(wire.error_body(error))
        await self.end()


async def _send_stream(
    stream: AsyncGenerator[ChatChunk, None], stamp: _Stamp, reply: _Reply, *, wants_usage: bool
) -> None:
    is_first, usage = True, Usage()
    async for chunk in stream:
        usage = chunk.usage or usage
        if is_first or chunk.text or chunk.tool_calls or chunk.stop_reason or chunk.extensions:
            payload = wire.chat_chunk(
                chunk, completion_id=stamp.id, created=stamp.created, model=stamp.model, is_first=is_first
            )
            await reply.event(payload)
            is_first = False
    if wants_usage:
        await reply.event(
            wire.usage_chunk(usage, completion_id=stamp.id, created=stamp.created, model=stamp.model)
        )
    await reply.event(b"[DONE]")
    await reply.end()


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            msg = "the client went away before its request was complete"
            raise InvalidInputError(msg)
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise TooLargeError(f"the body is over {MAX_BODY_BYTES} bytes; send less in one call")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


class _ClientGoneError(Exception):
    """The client closed its connection."""


async def _until_gone(work: Awaitable[None], receive: Receive) -> None:
    """Do ``work``, but stop it when the client goes away."""
    failures: list[CausewayError] = []

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise _ClientGoneError

    try:
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch())
            try:
                await work
            except CausewayError as exc:  # kept out of the group, which would wrap it
                failures.append(exc)
            watcher.cancel()
    except* _ClientGoneError:
        log.debug("client went away")
    for failure in failures:
        raise failure
