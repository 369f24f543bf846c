"""``/v1`` on a loopback port, over a gateway whose replies are named by the model that is asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn

from causeway.contracts.chat import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    StopReason,
    ToolCallDelta,
    Usage,
)
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.images import Image, ImageRequest, Images
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest
from causeway.errors import (
    BudgetSpentError,
    BusyError,
    CausewayError,
    ContentBlockedError,
    DeadlineError,
    MissingModelFileError,
    ModelNotAllowedError,
    NotSignedInError,
    RateLimitedError,
    UnknownModelError,
    UpstreamError,
)
from causeway.gateway.client_presence import HEARTBEAT_S
from causeway.gateway.edge_path import AsgiScope, EdgePath
from causeway.gateway.reply import Send
from causeway.gateway.request_body import Receive
from causeway.models.provider import collect
from causeway.settings import GatewaySettings
from causeway.testing.clock import FrozenClock
from causeway.web.bounded_http import BoundedHttp

AsgiApp = Callable[[AsgiScope, Receive, Send], Awaitable[None]]

KEY = "cw-conformance"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PATIENCE_S = 20.0
USAGE = Usage(input_tokens=20, output_tokens=7, cached_input_tokens=8, reasoning_tokens=2)
HEADERS = {"x-ratelimit-remaining-requests": "41", "x-causeway-cache": "miss"}
SIGNED = {"type": "thinking", "thinking": "Hm", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "secret"}
TOKEN = {"token": "Hello", "logprob": -0.25, "bytes": [72], "top_logprobs": []}

ERRORS: dict[str, Callable[[], CausewayError]] = {
    "blocked": lambda: ContentBlockedError("the message holds a secret; take it out"),
    "forbidden": lambda: ModelNotAllowedError("this key may not use 'forbidden'; ask for it"),
    "limited": lambda: RateLimitedError("20 calls a minute are used up; wait").after(1.2),
    "spent": lambda: BudgetSpentError("the budget of today is spent; it resets at midnight").after(3600),
    "busy": lambda: BusyError("the queue is full; try again"),
    "late": lambda: DeadlineError("no answer within 600 s; try again"),
    "upstream": lambda: UpstreamError("the provider failed; try again"),
    "unfetched": lambda: MissingModelFileError("the model is not here; run 'causeway models pull'"),
}
_SAID: dict[str, tuple[ChatChunk, ...]] = {
    "words": (ChatChunk(text="Hello"), ChatChunk(text=" there"), ChatChunk(text=".")),
    "json": (ChatChunk(text='{"city": "Par'), ChatChunk(text='is", "people": 2102650}')),
    "thinker": (ChatChunk(reasoning="Let me "), ChatChunk(reasoning="see."), ChatChunk(text="Four.")),
    "signed": (
        ChatChunk(reasoning="Hm"),
        ChatChunk(extensions={"thinking_blocks": [SIGNED]}),
        ChatChunk(extensions={"thinking_blocks": [SIGNED, REDACTED]}),
        ChatChunk(text="Four."),
    ),
    "odds": (ChatChunk(text="Hello", logprobs={"content": [TOKEN]}),),
    "long": (ChatChunk(text="Once upon"),),
    "cited": (ChatChunk(text="25 days [1]."),),
    "tools": (
        ChatChunk(text="I look."),
        ChatChunk(tool_calls=(ToolCallDelta(0, "call_1", "weather", '{"city":'),)),
        ChatChunk(tool_calls=(ToolCallDelta(0, arguments=' "Paris"}'),)),
        ChatChunk(tool_calls=(ToolCallDelta(1, "call_2", "clock"),)),
    ),
}
_SAID["chat"] = _SAID["words"]
_STOPS = {"tools": StopReason.TOOL_CALLS, "long": StopReason.LENGTH}
_EXTENSIONS: dict[str, dict[str, object]] = {
    "cited": {"citations": [{"n": 1, "title": "Leave"}]},
    "signed": {"thinking_blocks": [SIGNED, REDACTED], "stop_sequence": "END"},
}


@dataclass(slots=True)
class RichGateway:
    """Answers as the model's name says: ``words``, ``tools``, ``thinker``; ``cut`` fails in the middle.

    Attributes:
        asked: Every request and call, in order.
        is_writing: Set while the model ``slow`` has begun and waits.
        is_stopped: Set when it was stopped.
        is_beaten: What the model ``silent`` waits for before it says anything.
    """

    asked: list[tuple[ChatRequest, Call]] = field(default_factory=list)
    is_writing: threading.Event = field(default_factory=threading.Event)
    is_stopped: threading.Event = field(default_factory=threading.Event)
    is_beaten: asyncio.Event | None = None

    @property
    def model_names(self) -> list[str]:
        return ["words", "openai/gpt-5", "tools"]

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        return await collect(self.stream(request, call))

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        self.asked.append((request, call))
        model = request.model
        if model in ERRORS:
            raise ERRORS[model]()
        if model == "crash":
            msg = f"crashed on {request.messages[0].text}"
            raise RuntimeError(msg)
        if model == "silent":
            self.is_beaten = asyncio.Event()
            await self.is_beaten.wait()
            model = "words"
        if model in ("slow", "cut", "snapped"):
            async with aclosing(self._unfinished(model)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        if model not in _SAID:
            raise UnknownModelError(f"no model is called '{model}'; GET /v1/models lists them")
        for index, chunk in enumerate(_SAID[model]):
            yield _seen(chunk, HEADERS if index == 0 else {}, model)
        yield ChatChunk(
            stop_reason=_STOPS.get(model, StopReason.END),
            usage=USAGE,
            model=model,
            cost_micros=Micros(1_500_000),
            trace_id=TRACE_ID,
            extensions=_EXTENSIONS.get(model, {}),
        )

    async def _unfinished(self, model: str) -> AsyncGenerator[ChatChunk, None]:
        try:
            yield ChatChunk(text="Half an ans", model=model, trace_id=TRACE_ID)
            if model == "cut":
                msg = "the provider closed the connection; try again"
                raise UpstreamError(msg)
            if model == "slow":
                self.is_writing.set()
                await asyncio.get_running_loop().create_future()
        finally:
            self.is_stopped.set()

    async def embed(self, request: EmbedRequest, call: Call) -> Embeddings:
        width = request.dimensions or 4
        if request.model == "fixed":
            width = 4
        vectors = np.zeros((len(request.texts), width), dtype=np.float32)
        vectors[:, 0] = 1.0
        return Embeddings(vectors=vectors, model=request.model, usage=Usage(6), headers=HEADERS)

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:
        scores = tuple(1 / (1 + len(text)) for text in request.texts)
        return Relevance(scores=scores, model=request.model, usage=Usage(9), headers=HEADERS)

    async def draw(self, request: ImageRequest, call: Call) -> Images:
        image = Image(base64="aGk=", revised_prompt=f"{request.prompt}, in oil")
        return Images(
            images=(image,) * request.count, model=request.model, usage=Usage(5, 10), headers=HEADERS
        )


def _seen(chunk: ChatChunk, headers: dict[str, str], model: str) -> ChatChunk:
    return ChatChunk(
        text=chunk.text,
        reasoning=chunk.reasoning,
        logprobs=chunk.logprobs,
        tool_calls=chunk.tool_calls,
        extensions=chunk.extensions,
        headers=headers,
        model=model,
        trace_id=TRACE_ID,
    )


class OneKey:
    """Knows `KEY` alone, and remembers nothing."""

    def remembered(self, secret: str) -> Principal | None:
        return None

    async def identify(self, secret: str) -> Principal:
        if secret != KEY:
            msg = "unknown key; use one made by 'causeway keys create'"
            raise NotSignedInError(msg)
        return Principal("key_1", "conformance", frozenset({Scope.MODELS}))


def beating(gateway: RichGateway) -> AsgiApp:
    """The door in front of ``gateway``, whose model ``silent`` speaks once the client was shown a heartbeat."""
    edge = EdgePath(
        gateway=gateway,
        keys=OneKey(),
        clock=FrozenClock(),
        assistants={},
        settings=GatewaySettings(),
        heartbeat_s=0.01,
    )

    async def app(scope: AsgiScope, receive: Receive, send: Send) -> None:
        async def seen(message: MutableMapping[str, Any]) -> None:
            await send(message)
            body = message.get("body", b"")
            if body.startswith((b":", b"event: ping")) and gateway.is_beaten:
                gateway.is_beaten.set()

        await edge(scope, receive, seen)

    return app


def edge_over(gateway: RichGateway, *, heartbeat_s: float = HEARTBEAT_S, **settings: object) -> EdgePath:
    """The door in front of ``gateway``."""
    return EdgePath(
        heartbeat_s=heartbeat_s,
        gateway=gateway,
        keys=OneKey(),
        clock=FrozenClock(),
        assistants={},
        settings=GatewaySettings.model_validate(settings),
    )


@contextmanager
def serving(edge: AsgiApp) -> Iterator[str]:
    """Serve over a loopback port of the system's choice; the address, without ``/v1``."""
    config = uvicorn.Config(
        edge,
        port=0,
        http=BoundedHttp,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        pause.wait(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(PATIENCE_S)
