"""Plain calls of an OpenAI-compatible server: whole replies, lists, keys, refusals, and whatever can go wrong."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from pydantic import SecretStr

from causeway.contracts.chat import ChatRequest, Message, RawPart, StopReason, TextPart, ToolCall, Usage
from causeway.contracts.images import Image, ImageRequest
from causeway.contracts.vectors import EmbedRequest, RerankRequest
from causeway.errors import (
    CausewayError,
    ContextLengthError,
    DeadlineError,
    ModelUnavailableError,
    OperatorError,
    UpstreamError,
    UpstreamRateLimitError,
)
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.provider import Model, collect
from causeway.settings import ProviderSettings
from causeway.testing.clock import FrozenClock
from tests.models.conftest import Serve
from tests.models.provider_server import Prepared, ProviderServer

HELLO = ChatRequest(model="m", messages=(Message("user", "Hello"),))
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}
Ask = Callable[..., Awaitable[tuple[OpenAICompatible, ProviderServer]]]


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
async def ask(serve: Serve, clock: FrozenClock) -> AsyncIterator[Ask]:
    """``await ask(answer, ...)`` is a client, and the server that gives it these answers."""
    clients = []

    async def start(*prepared: Prepared, **settings: Any) -> tuple[OpenAICompatible, ProviderServer]:
        server = ProviderServer(list(prepared))
        keys = [SecretStr(key) for key in settings.pop("keys", ("sk-1",))]
        clients.append(
            OpenAICompatible(
                "acme",
                ProviderSettings(
                    base_url=await serve(server.application) + "/v1",
                    api_key=keys[0],
                    api_keys=keys[1:],
                    **settings,
                ),
                clock=clock,
                is_local=True,
            )
        )
        return clients[-1], server

    yield start
    for client in clients:
        await client.close()


def said(message: dict[str, Any], finish_reason: str | None = "stop", **more: Any) -> Prepared:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return Prepared(
        body={"model": "m-1", "choices": [choice | more.pop("choice", {})], "usage": USAGE, **more}
    )


async def test_a_whole_reply_comes_by_a_call_that_is_no_stream(ask: Ask) -> None:
    client, server = await ask(said({"content": "Hi"}))
    reply = await client.complete(
        msgspec.structs.replace(HELLO, options={"stream": True, "stream_options": {}, "top_k": 4})
    )
    assert (reply.text, reply.model, reply.stop_reason, reply.usage) == (
        "Hi",
        "m-1",
        StopReason.END,
        Usage(7, 2),
    )
    assert server.asked == [
        {"top_k": 4, "model": "m", "messages": [{"role": "user", "content": "Hello"}]},
    ]
    assert server.headers[0]["Authorization"] == "Bearer sk-1"
    assert server.paths == ["/v1/chat/completions"]


async def test_everything_of_a_reply_comes_through(ask: Ask) -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
    unwritten = {"function": {"name": "rest", "arguments": {"for": 2}}}
    client, _ = await ask(
        said(
            {
                "content": None,
                "reasoning_content": "Hmm.",
                "tool_calls": [call, unwritten],
                "refusal": "No.",
                "annotations": [{"type": "url_citation"}],
            },
            "tool_calls",
            choice={"logprobs": logprobs},
            usage=usage,
        )
    )
    reply = await client.complete(HELLO)
    assert (reply.text, reply.reasoning, reply.logprobs) == ("", "Hmm.", logprobs)
    assert reply.tool_calls == (ToolCall("c1", "look", '{"at":1}'), ToolCall("call_1", "rest", '{"for":2}'))
    assert reply.stop_reason is StopReason.TOOL_CALLS
    assert reply.usage == Usage(100, 50, 64, 40, cache_write_tokens=8)
    assert reply.extensions == {"refusal": "No.", "annotations": [{"type": "url_citation"}]}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": "a", "reasoning": "b"}, ("a", "b")),
        ({"content": "a", "reasoning": {"effort": "high"}}, ("a", "")),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "b"}]},
                    {"type": "text", "text": "a"},
                ]
            },
            ("a", "b"),
        ),
    ],
)
async def test_reasoning_is_read_in_each_servers_way(
    ask: Ask, message: dict[str, Any], expected: tuple[str, str]
) -> None:
    client, _ = await ask(said(message))
    reply = await client.complete(HELLO)
    assert (reply.text, reply.reasoning) == expected


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}])
async def test_what_a_server_does_not_count_is_estimated(ask: Ask, usage: object) -> None:
    client, _ = await ask(said({"content": "four" * 10}, usage=usage))
    reply = await client.complete(HELLO)
    assert reply.usage.is_estimate
    assert (reply.usage.output_tokens, reply.usage.input_tokens > 0) == (10, True)


async def test_a_part_of_another_vendor_is_left_out_and_every_other_passed_on(ask: Ask) -> None:
    client, server = await ask(said({"content": "Hi"}))
    audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    thought = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    parts = (TextPart("Hear:"), RawPart(audio), RawPart(thought))
    await client.complete(msgspec.structs.replace(HELLO, messages=(Message("user", parts),)))
    assert server.asked[0]["messages"][0]["content"] == [{"type": "text", "text": "Hear:"}, audio]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'"\xff"',
        b"[" * 100_000,
        b"<html>",
        b'{"choices": []}',
        b'{"choices": [{"index": 3, "message": {"content": "x"}}]}',
        b'{"choices": 7}',
    ],
)
async def test_garbage_in_place_of_a_reply_is_an_upstream_error(ask: Ask, body: bytes) -> None:
    client, _ = await ask(Prepared(body=body))
    with pytest.raises(UpstreamError, match="acme"):
        await client.complete(HELLO)


async def test_a_failure_with_a_good_status_is_a_failure(ask: Ask) -> None:
    client, _ = await ask(Prepared(body={"error": {"message": "no more", "code": 429}}))
    with pytest.raises(UpstreamRateLimitError, match="no more"):
        await client.complete(HELLO)


async def test_a_reply_without_end_is_cut_off_with_little_in_memory(ask: Ask) -> None:
    client, _ = await ask(Prepared(body=b" " * (9 << 20)))
    with pytest.raises(UpstreamError, match="more than 8388608 bytes"):
        await client.list_models()


async def test_a_redirect_is_not_followed_with_the_key(ask: Ask) -> None:
    client, server = await ask(Prepared(status=307, headers={"Location": "/v2"}, body={}))
    with pytest.raises(OperatorError, match=r"providers\.acme\.base_url"):
        await client.complete(HELLO)
    assert len(server.asked) == 1


async def test_silence_is_a_deadline_error(ask: Ask) -> None:
    client, _ = await ask(Prepared(hangs=True), timeout_s=0.2)
    with pytest.raises(DeadlineError, match=r"silent for 0\.2 s"):
        await client.complete(HELLO)


async def test_a_reply_that_is_cut_off_is_an_error(ask: Ask) -> None:
    client, _ = await ask(
        Prepared(pieces=(b'{"choices": [',), headers={"Content-Type": "application/json"}, breaks=True)
    )
    with pytest.raises(UpstreamError, match="broke"):
        await client.complete(HELLO)


async def test_a_caller_that_leaves_hangs_up_at_once(ask: Ask) -> None:
    client, server = await ask(Prepared(hangs=True))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        call = group.create_task(client.complete(HELLO))
        await server.reached.wait()
        call.cancel()
        await server.hung_up.wait()


async def test_a_server_that_does_not_stream_is_read_all_the_same(ask: Ask) -> None:
    call = {"id": "c1", "function": {"name": "look", "arguments": "{}"}}
    client, _ = await ask(said({"content": "Hi", "tool_calls": [call]}))
    reply = await collect(client.stream(HELLO))
    assert (reply.text, reply.tool_calls, reply.usage) == ("Hi", (ToolCall("c1", "look", "{}"),), Usage(7, 2))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "9"}, 9.0),
        ({"Retry-After": "9", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "Fri, 02 Jan 2026 03:05:05 GMT"}, 60.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m3.5s"}, 63.5),
        ({}, None),
    ],
)
async def test_a_limit_says_how_long_to_wait(
    ask: Ask, headers: dict[str, str], seconds: float | None
) -> None:
    client, _ = await ask(Prepared(status=429, body={"error": {"message": "slow down"}}, headers=headers))
    with pytest.raises(UpstreamRateLimitError) as caught:
        await client.complete(HELLO)
    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (429, {"message": "pay", "code": "insufficient_quota"}, OperatorError),
        (402, {"message": "pay"}, OperatorError),
        (529, {"message": "overloaded"}, ModelUnavailableError),
        (400, {"message": "prompt is too long: 9 tokens > 8 maximum"}, ContextLengthError),
        (400, {"message": None, "code": "context_length_exceeded"}, ContextLengthError),
    ],
)
async def test_refusals_are_told_apart(
    ask: Ask, status: int, error: dict[str, Any], expected: type[CausewayError]
) -> None:
    client, _ = await ask(Prepared(status=status, body={"error": error}))
    with pytest.raises(CausewayError) as caught:
        await client.complete(HELLO)
    assert type(caught.value) is expected


# --- keys --------------------------------------------------------------------------------------------


def keys_of(server: ProviderServer) -> list[str]:
    return [headers["Authorization"].removeprefix("Bearer ") for headers in server.headers]


async def test_keys_are_used_in_turn(ask: Ask) -> None:
    client, server = await ask(said({"content": "Hi"}), keys=("a", "b", "c"))
    for _ in range(4):
        await client.complete(HELLO)
    assert keys_of(server) == ["a", "b", "c", "a"]


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_refused_key_makes_way_in_the_same_call_and_rests(
    ask: Ask, clock: FrozenClock, status: int
) -> None:
    refusal = Prepared(status=status, body={"error": "no"}, headers={"Retry-After": "300"})
    client, server = await ask(refusal, said({"content": "Hi"}), keys=("bad", "good"))
    for _ in range(3):
        assert (await client.complete(HELLO)).text == "Hi"
    assert keys_of(server) == ["bad", "good", "good", "good"]
    clock.advance(301)
    await client.complete(HELLO)
    assert keys_of(server)[-1] == "bad"


async def test_when_every_key_is_refused_the_last_refusal_is_told(ask: Ask) -> None:
    client, server = await ask(Prepared(status=401, body={"error": "no"}), keys=("a", "b"))
    for _ in range(2):
        with pytest.raises(OperatorError, match=r"providers\.acme\.api_key"):
            await client.complete(HELLO)
    assert keys_of(server) == ["a", "b", "a"]


async def test_a_wait_of_nothing_does_not_try_keys_for_ever(ask: Ask) -> None:
    client, server = await ask(
        Prepared(status=429, body={"error": "no"}, headers={"Retry-After": "0"}), keys=("a", "b")
    )
    with pytest.raises(UpstreamRateLimitError):
        await client.complete(HELLO)
    assert keys_of(server) == ["a", "b"]


async def test_headers_of_the_settings_are_sent(ask: Ask) -> None:
    client, server = await ask(said({"content": "Hi"}), headers={"OpenAI-Organization": "org-1"})
    await client.complete(HELLO)
    assert server.headers[0]["OpenAI-Organization"] == "org-1"


# --- lists -------------------------------------------------------------------------------------------


async def test_vectors_are_read_from_base64_and_can_be_shortened(ask: Ask) -> None:
    written = base64.b64encode(np.array([3.0, 4.0], "<f4").tobytes()).decode()
    client, server = await ask(Prepared(body={"data": [{"index": 0, "embedding": written}], "model": "e-1"}))
    embeddings = await client.embed(EmbedRequest(model="e", texts=("a",), dimensions=2))
    assert embeddings.vectors.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    assert server.asked == [{"model": "e", "input": ["a"], "encoding_format": "base64", "dimensions": 2}]


@pytest.mark.parametrize("embedding", ["!!", "AAA="])
async def test_vectors_that_are_no_base64_are_refused(ask: Ask, embedding: str) -> None:
    client, _ = await ask(Prepared(body={"data": [{"index": 0, "embedding": embedding}]}))
    with pytest.raises(UpstreamError, match="vectors"):
        await client.embed(EmbedRequest(model="e", texts=("a",)))


async def test_scores_come_in_the_order_of_the_texts(ask: Ask) -> None:
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    client, server = await ask(Prepared(body={"results": results, "usage": {"total_tokens": 5}}))
    relevance = await client.rerank(RerankRequest(model="r", query="q", texts=("a", "b")))
    assert (relevance.scores, relevance.usage.input_tokens) == ((0.1, 0.9), 5)
    assert server.asked == [{"model": "r", "query": "q", "documents": ["a", "b"], "top_n": 2}]
    assert server.paths == ["/v1/rerank"]


async def test_scores_that_are_logits_become_probabilities(ask: Ask) -> None:
    results = [{"index": 0, "relevance_score": 0.0}, {"index": 1, "relevance_score": -20.0}]
    client, _ = await ask(Prepared(body={"results": results}))
    relevance = await client.rerank(RerankRequest(model="r", query="q", texts=("a", "b")))
    assert relevance.scores == pytest.approx((0.5, 0.0), abs=1e-6)


async def test_missing_scores_are_an_error(ask: Ask) -> None:
    client, _ = await ask(Prepared(body={"results": [{"index": 0, "relevance_score": 0.5}]}))
    with pytest.raises(UpstreamError, match="1 scores for 2 texts"):
        await client.rerank(RerankRequest(model="r", query="q", texts=("a", "b")))


async def test_pictures_are_drawn(ask: Ask) -> None:
    usage = {"input_tokens": 4, "output_tokens": 272}
    client, server = await ask(Prepared(body={"data": [{"b64_json": "AA=="}], "usage": usage}))
    request = ImageRequest(model="i", prompt="a cat", size="1024x1024", options={"quality": "low"})
    images = await client.draw(request)
    assert (images.images, images.usage) == ((Image(base64="AA=="),), Usage(4, 272))
    assert server.asked == [
        {"quality": "low", "model": "i", "prompt": "a cat", "n": 1, "size": "1024x1024"},
    ]


async def test_no_picture_is_an_error(ask: Ask) -> None:
    client, _ = await ask(Prepared(body={"data": [{}]}))
    with pytest.raises(UpstreamError, match="no pictures"):
        await client.draw(ImageRequest(model="i", prompt="a cat"))


async def test_models_are_listed_and_remembered_for_a_while(ask: Ask, clock: FrozenClock) -> None:
    listing = Prepared(body={"object": "list", "data": [{"id": "m-1", "max_model_len": 8192}, {"id": "m-2"}]})
    client, server = await ask(listing, listing, Prepared(status=500, body="oops"))
    assert client.listed == frozenset()
    for _ in range(2):
        models = await client.list_models()
        assert models == (Model(name="m-1", context_tokens=8192), Model(name="m-2"))
    clock.advance(301)
    await client.list_models()
    assert server.paths == ["/v1/models"] * 2
    clock.advance(301)
    with pytest.raises(UpstreamError):
        await client.list_models()
    assert client.listed == {"m-1", "m-2"}


async def test_a_large_body_is_sent_whole(ask: Ask) -> None:
    client, server = await ask(said({"content": "Hi"}))
    text = "word " * 500_000
    await client.complete(msgspec.structs.replace(HELLO, messages=(Message("user", text),)))
    assert server.asked[0]["messages"][0]["content"] == text
