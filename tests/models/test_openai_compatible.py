from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from pydantic import SecretStr

from causeway.contracts.chat import (
    ChatRequest,
    ImagePart,
    Message,
    StopReason,
    TextPart,
    Tool,
    ToolCall,
    Usage,
)
from causeway.contracts.vectors import EmbedRequest
from causeway.errors import (
    CausewayError,
    ContextLengthError,
    DeadlineError,
    InvalidInputError,
    ModelUnavailableError,
    OperatorError,
    UnknownModelError,
    UpstreamError,
    UpstreamRateLimitError,
)
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.provider import collect
from causeway.settings import ProviderSettings
from tests.models.chat_provider_contract import check_chat_provider
from tests.models.conftest import Serve

HELLO = ChatRequest(model="m", messages=(Message("user", "Hello"),))
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[..., Awaitable[OpenAICompatible]]


def event(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"model": "m-1", "choices": [choice], **more}).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = (
    event({"role": "assistant", "content": None}),
    event({"content": "Hi"}),
    event({}, "stop"),
    USAGE,
    DONE,
)


@dataclass
class Upstream:
    """A server that sends prepared bytes, and remembers what it was sent."""

    pieces: tuple[bytes, ...] = WHOLE
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    is_endless: bool = False
    breaks: bool = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for piece in self.pieces:
                await response.write(piece)
            if self.is_endless:
                await asyncio.Event().wait()
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise
        if self.breaks and request.transport:
            request.transport.close()
        return response


@pytest.fixture
async def ask(serve: Serve) -> AsyncIterator[Ask]:
    """``await ask(answer)`` is a client of a server whose chat and embedding endpoints are ``answer``."""
    clients = []

    async def start(answer: Answer, *, timeout_s: float = 5.0) -> OpenAICompatible:
        application = web.Application()
        application.router.add_post("/v1/{tail:chat/completions|embeddings}", answer)
        settings = ProviderSettings(
            base_url=await serve(application) + "/v1/", api_key=SecretStr("sk-1"), timeout_s=timeout_s
        )
        clients.append(OpenAICompatible("acme", settings, is_local=True))
        return clients[-1]

    yield start
    for client in clients:
        await client.close()


def refusing(status: int, body: object, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    return answer


async def counting(request: web.Request) -> web.StreamResponse:
    """A model that counts, as the contract needs one."""
    body = await request.json()
    limit = body.get("max_tokens", 20)
    words = [f"{number} " for number in range(1, 21)][:limit]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in words:
        await response.write(event({"content": word}))
    await response.write(event({}, "length" if limit < 20 else "stop"))
    usage = {"prompt_tokens": 9, "completion_tokens": len(words)}
    await response.write(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n" + DONE)
    return response


async def test_the_client_keeps_the_contract(ask: Ask) -> None:
    await check_chat_provider(await ask(counting), "m")


async def test_a_reply_is_collected_with_its_usage(ask: Ask) -> None:
    upstream = Upstream()
    reply = await collect((await ask(upstream.answer)).stream(HELLO))
    assert (reply.text, reply.model, reply.stop_reason) == ("Hi", "m-1", StopReason.END)
    assert reply.usage == Usage(7, 2, 3)
    assert upstream.keys == ["Bearer sk-1"]


async def test_the_likeliest_tokens_come_with_the_text_where_the_server_tells_them(ask: Ask) -> None:
    likely = [{"token": "Hi", "logprob": -0.1}, {"token": "Oh", "logprob": -2.5}]
    choice = {
        "index": 0,
        "delta": {"content": "Hi"},
        "logprobs": {"content": [{"token": "Hi", "logprob": -0.1, "top_logprobs": likely}]},
    }
    told = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    client = await ask(Upstream((told, event({"content": "!"}), *WHOLE[2:])).answer)
    chunks = [chunk async for chunk in client.stream(HELLO)]
    assert [chunk.likely for chunk in chunks] == [{"Hi": -0.1, "Oh": -2.5}, {}, {}]


async def test_everything_of_a_request_is_sent(ask: Ask) -> None:
    upstream = Upstream()
    client = await ask(upstream.answer)
    request = ChatRequest(
        model="m",
        messages=(
            Message("system", "Be brief."),
            Message(
                "user", (TextPart("What is this?"), ImagePart("data:image/png;base64,AA==", "low")), "ann"
            ),
            Message("assistant", tool_calls=(ToolCall("c1", "look", '{"at":1}'),)),
            Message("tool", "a tent", tool_call_id="c1"),
        ),
        max_tokens=5,
        temperature=0.0,
        top_p=0.9,
        stop=("END",),
        seed=7,
        tools=(Tool("look", "Looks", {"type": "object"}, strict=True), Tool("rest")),
        tool_choice={"type": "function", "function": {"name": "look"}},
        json_schema={"type": "object"},
        options={"top_k": 40, "stream": False, "model": "other"},
    )
    await collect(client.stream(request))
    assert upstream.bodies == [
        {
            "top_k": 40,
            "model": "m",
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "name": "ann",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {
                            "type": "image_url",
                            "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "look", "arguments": '{"at":1}'},
                        }
                    ],
                },
                {"role": "tool", "content": "a tent", "tool_call_id": "c1"},
            ],
            "max_tokens": 5,
            "temperature": 0.0,
            "top_p": 0.9,
            "stop": ["END"],
            "seed": 7,
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "look",
                        "parameters": {"type": "object"},
                        "description": "Looks",
                        "strict": True,
                    },
                },
                {"type": "function", "function": {"name": "rest"}},
            ],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": {"type": "object"}, "strict": True},
            },
        }
    ]


async def test_pieces_of_tool_calls_are_joined_by_their_index(ask: Ask) -> None:
    def call(index: int, arguments: str, **named: str) -> bytes:
        more = {"id": named["id"]} if "id" in named else {}
        function = {"arguments": arguments} | ({"name": named["name"]} if "name" in named else {})
        return event({"tool_calls": [{"index": index, "function": function, **more}]})

    pieces = (
        call(0, "", id="c1", name="look"),
        call(1, '{"b"', id="c2", name="rest"),
        call(0, '{"a":'),
        call(0, "1}"),
        call(1, ":2}"),
        event({}, "tool_calls"),
        DONE,
    )
    reply = await collect((await ask(Upstream(pieces).answer)).stream(HELLO))
    assert reply.tool_calls == (ToolCall("c1", "look", '{"a":1}'), ToolCall("c2", "rest", '{"b":2}'))
    assert reply.stop_reason is StopReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (401, {"error": {"message": "bad key"}}, OperatorError, "providers.acme.api_key"),
        (403, "", OperatorError, "providers.acme.api_key"),
        (404, {"error": {"message": "no such model"}}, UnknownModelError, "no model 'm'"),
        (429, {"error": {"message": "slow down"}}, UpstreamRateLimitError, "wait 9 s"),
        (400, {"error": {"message": "bad tool", "code": "x"}}, InvalidInputError, "bad tool"),
        (400, {"error": {"message": "?", "code": "context_length_exceeded"}}, ContextLengthError, "too long"),
        (400, {"error": {"message": "This model's maximum context length is 8"}}, ContextLengthError, "is 8"),
        (
            400,
            {
                "error": {
                    "message": "?",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 9,
                    "n_ctx": 4,
                }
            },
            ContextLengthError,
            "9 tokens where 4 fit",
        ),
        (500, "<html>oops</html>", UpstreamError, "oops"),
        (500, {"error": "plain words"}, UpstreamError, "plain words"),
        (503, {"error": {"message": "Loading model"}}, ModelUnavailableError, "Loading model"),
        (504, "", DeadlineError, "in time"),
    ],
)
async def test_a_refusal_is_one_of_causeways_errors(
    ask: Ask, status: int, body: object, expected: type[CausewayError], words: str
) -> None:
    client = await ask(refusing(status, body, **{"Retry-After": "9"}))
    with pytest.raises(expected) as caught:
        await collect(client.stream(HELLO))
    assert type(caught.value) is expected
    assert words in str(caught.value)


async def test_a_stream_that_is_cut_off_is_an_error_after_what_came(ask: Ask) -> None:
    client = await ask(Upstream(WHOLE[:2], breaks=True).answer)
    stream = client.stream(HELLO)
    assert (await anext(stream)).text == "Hi"
    with pytest.raises(UpstreamError, match="broke"):
        await anext(stream)


async def test_a_stream_that_ends_without_saying_so_is_an_error(ask: Ask) -> None:
    client = await ask(Upstream(WHOLE[:2]).answer)
    with pytest.raises(UpstreamError, match="in the middle"):
        await collect(client.stream(HELLO))


async def test_a_finished_reply_needs_no_end_mark(ask: Ask) -> None:
    client = await ask(Upstream(WHOLE[:3]).answer)
    assert (await collect(client.stream(HELLO))).text == "Hi"


async def test_a_failure_in_the_middle_of_a_stream_is_raised(ask: Ask) -> None:
    pieces = (WHOLE[1], b'data: {"error":{"message":"out of memory","code":500}}\n\n')
    client = await ask(Upstream(pieces).answer)
    with pytest.raises(UpstreamError, match="out of memory"):
        await collect(client.stream(HELLO))


@pytest.mark.parametrize("text", ["{", '{"choices": 7}'])
async def test_an_event_that_is_no_chat_is_an_upstream_error(ask: Ask, text: str) -> None:
    client = await ask(Upstream((f"data: {text}\n\n".encode(),)).answer)
    with pytest.raises(UpstreamError, match="cannot be read"):
        await collect(client.stream(HELLO))


async def test_a_page_in_place_of_a_stream_names_the_setting(ask: Ask) -> None:
    client = await ask(refusing(200, "<html>", **{"Content-Type": "text/html"}))
    with pytest.raises(UpstreamError, match=r"text/html .* providers\.acme\.base_url"):
        await collect(client.stream(HELLO))


async def test_silence_is_a_deadline_error(ask: Ask) -> None:
    client = await ask(Upstream(WHOLE[:1], is_endless=True).answer, timeout_s=0.2)
    with pytest.raises(DeadlineError, match=r"providers\.acme\.timeout_s"):
        await collect(client.stream(HELLO))


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    client = OpenAICompatible("acme", ProviderSettings(base_url="http://127.0.0.1:1/v1"), is_local=True)
    with pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1:1"):
        await collect(client.stream(HELLO))
    await client.close()


async def test_closing_early_hangs_up_at_once(ask: Ask) -> None:
    upstream = Upstream(WHOLE[:2], is_endless=True)
    client = await ask(upstream.answer)
    async with aclosing(client.stream(HELLO)) as stream:
        await anext(stream)
    async with asyncio.timeout(5):
        await upstream.hung_up.wait()


async def test_calls_one_after_the_other_share_a_connection(ask: Ask) -> None:
    ports = set()
    upstream = Upstream()

    async def answer(request: web.Request) -> web.StreamResponse:
        ports.add(request.transport.get_extra_info("peername")[1] if request.transport else None)
        return await upstream.answer(request)

    client = await ask(answer)
    for _ in range(3):
        await collect(client.stream(HELLO))
    assert len(ports) == 1


async def test_vectors_come_in_order_and_at_unit_length(ask: Ask) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        texts = (await request.json())["input"]
        items = [{"index": at, "embedding": [float(len(text)), 2.0]} for at, text in enumerate(texts)]
        return web.json_response(
            {"data": items[::-1], "model": "e-1", "usage": {"prompt_tokens": len(texts)}}
        )

    client = await ask(answer)
    texts = tuple("x" * (at % 9) for at in range(300))
    embeddings = await client.embed(EmbedRequest(model="e", texts=texts))
    expected = np.array([[at % 9, 2.0] for at in range(300)], np.float32)
    assert np.allclose(embeddings.vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True))
    assert embeddings.vectors.dtype == np.float32
    assert (embeddings.model, embeddings.usage.input_tokens) == ("e-1", 300)


@pytest.mark.parametrize("body", ['{"data": [{"index": 5, "embedding": [1]}]}', '{"data": [{}]}', "nonsense"])
async def test_vectors_that_do_not_fit_the_texts_are_refused(ask: Ask, body: str) -> None:
    client = await ask(refusing(200, body))
    with pytest.raises(UpstreamError, match="vectors"):
        await client.embed(EmbedRequest(model="e", texts=("a",)))
