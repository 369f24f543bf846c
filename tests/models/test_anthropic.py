from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from aiohttp import web
from pydantic import SecretStr

from causeway.contracts.chat import (
    ChatRequest,
    ImagePart,
    Message,
    RawPart,
    StopReason,
    TextPart,
    Tool,
    ToolCall,
    Usage,
)
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
from causeway.models.anthropic import Anthropic
from causeway.models.provider import Model, collect
from causeway.settings import ProviderSettings
from tests.models.chat_provider_contract import check_chat_provider
from tests.models.conftest import Serve
from tests.models.provider_server import Prepared, ProviderServer

HELLO = ChatRequest(model="claude", messages=(Message("user", "Hello"),))
Ask = Callable[..., Awaitable[tuple[Anthropic, ProviderServer]]]


@pytest.fixture
async def ask(serve: Serve) -> AsyncIterator[Ask]:
    clients = []

    async def start(*prepared: Prepared, **settings: Any) -> tuple[Anthropic, ProviderServer]:
        server = ProviderServer(list(prepared))
        clients.append(
            Anthropic(
                "acme",
                ProviderSettings(
                    kind="anthropic",
                    base_url=await serve(server.application),
                    api_key=SecretStr("sk-1"),
                    **settings,
                ),
                most_output=lambda model: 512 if model == "claude" else None,
            )
        )
        return clients[-1], server

    yield start
    for client in clients:
        await client.close()


def said(*content: dict[str, Any], **more: Any) -> Prepared:
    return Prepared(
        body={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-1",
            "content": content,
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 2},
            **more,
        }
    )


def events(*sent: dict[str, Any]) -> tuple[bytes, ...]:
    return tuple(
        b"event: " + event["type"].encode() + b"\ndata: " + json.dumps(event).encode() + b"\n\n"
        for event in sent
    )


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-1",
        "content": [],
        "stop_reason": None,
        "usage": {
            "input_tokens": 7,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 3,
            "output_tokens": 1,
        },
    },
}
STOP = {"type": "message_stop"}


def opened(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def closed(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(stop_reason: str = "end_turn", stop_sequence: str | None = None, **usage: Any) -> dict[str, Any]:
    delta = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 2} | usage}


WHOLE = events(
    START,
    opened(0, type="text", text=""),
    {"type": "ping"},
    piece(0, type="text_delta", text="Hi"),
    closed(0),
    ended(),
    STOP,
)


async def counting(request: web.Request) -> web.StreamResponse:
    """A model that counts, as the contract needs one."""
    body = await request.json()
    words = [f"{number} " for number in range(1, 21)][: body["max_tokens"]]
    stop_reason = "max_tokens" if len(words) < 20 else "end_turn"
    if not body.get("stream"):
        content = [{"type": "text", "text": "".join(words)}]
        return web.json_response(said(*content, stop_reason=stop_reason).body)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for sent in events(
        START,
        opened(0, type="text", text=""),
        *(piece(0, type="text_delta", text=word) for word in words),
        closed(0),
        ended(stop_reason, output_tokens=len(words)),
        STOP,
    ):
        await response.write(sent)
    return response


async def test_the_client_keeps_the_contract(serve: Serve) -> None:
    application = web.Application()
    application.router.add_post("/v1/messages", counting)
    client = Anthropic("acme", ProviderSettings(kind="anthropic", base_url=await serve(application)))
    await check_chat_provider(client, "claude")
    await client.close()


# --- what is sent ------------------------------------------------------------------------------------


async def test_a_plain_call_is_a_message_with_a_limit(ask: Ask) -> None:
    client, server = await ask(said({"type": "text", "text": "Hi"}))
    reply = await client.complete(HELLO)
    assert (reply.text, reply.model, reply.stop_reason, reply.usage) == (
        "Hi",
        "claude-1",
        StopReason.END,
        Usage(7, 2),
    )
    assert server.paths == ["/v1/messages"]
    sent = server.headers[0]
    assert (sent["x-api-key"], sent["anthropic-version"], "Authorization" in sent) == (
        "sk-1",
        "2023-06-01",
        False,
    )
    assert server.asked == [
        {
            "model": "claude",
            "max_tokens": 512,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        }
    ]


async def test_a_model_whose_limit_is_not_known_gets_a_usual_one(ask: Ask) -> None:
    client, server = await ask(said({"type": "text", "text": "Hi"}))
    await client.complete(msgspec.structs.replace(HELLO, model="other"))
    assert server.asked[0]["max_tokens"] == 8192


async def test_everything_of_a_request_is_said_in_anthropics_words(ask: Ask) -> None:
    client, server = await ask(said({"type": "text", "text": "Hi"}))
    await client.complete(
        ChatRequest(
            model="claude",
            messages=(
                Message("system", "Be brief."),
                Message(
                    "user",
                    (
                        TextPart("What is this?"),
                        TextPart(""),
                        ImagePart("data:image/png;base64,AA=="),
                        ImagePart("https://example.com/a.png"),
                        RawPart(
                            {
                                "type": "file",
                                "file": {
                                    "filename": "a.pdf",
                                    "file_data": "data:application/pdf;base64,BB==",
                                },
                            }
                        ),
                    ),
                ),
                Message(
                    "assistant",
                    (RawPart({"type": "thinking", "thinking": "Hm", "signature": "s"}),),
                    tool_calls=(
                        ToolCall("c.1", "look", '{"at":1}'),
                        ToolCall("c2", "rest", ""),
                        ToolCall("c3", "rest", "{oops"),
                    ),
                ),
                Message("tool", "a tent", tool_call_id="c.1"),
                Message("tool", "", tool_call_id="c2"),
                Message(
                    "tool", (TextPart("see"), ImagePart("data:image/png;base64,AA==")), tool_call_id="c3"
                ),
                Message("user", "And now?"),
                Message("system", "In French."),
            ),
            max_tokens=5,
            temperature=1.5,
            top_p=0.9,
            stop=("END",),
            seed=7,
            tools=(Tool("look", "Looks", {"type": "object", "properties": {}}, strict=True), Tool("rest")),
            tool_choice="required",
            json_schema={"type": "object", "properties": {"a": {"type": "object"}}},
            options={
                "parallel_tool_calls": False,
                "user": "u-1",
                "top_k": 4,
                "thinking": {"type": "adaptive"},
                "logit_bias": {},
                "service_tier": "flex",
            },
        )
    )
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    assert server.asked == [
        {
            "top_k": 4,
            "thinking": {"type": "adaptive"},
            "model": "claude",
            "max_tokens": 5,
            "system": "Be brief.\n\nIn French.",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        picture,
                        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": "BB=="},
                            "title": "a.pdf",
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm", "signature": "s"},
                        {"type": "tool_use", "id": "c_1", "name": "look", "input": {"at": 1}},
                        {"type": "tool_use", "id": "c2", "name": "rest", "input": {}},
                        {"type": "tool_use", "id": "c3", "name": "rest", "input": {"INVALID_JSON": "{oops"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c_1", "content": "a tent"},
                        {"type": "tool_result", "tool_use_id": "c2"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "c3",
                            "content": [{"type": "text", "text": "see"}, picture],
                        },
                        {"type": "text", "text": "And now?"},
                    ],
                },
            ],
            "temperature": 1.0,
            "top_p": 0.9,
            "stop_sequences": ["END"],
            "tools": [
                {
                    "name": "look",
                    "description": "Looks",
                    "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
                    "strict": True,
                },
                {"name": "rest", "input_schema": {"type": "object", "properties": {}}},
            ],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            "output_config": {
                "format": {
                    "type": "json_schema",
                    "schema": {
                        "type": "object",
                        "properties": {"a": {"type": "object", "additionalProperties": False}},
                        "additionalProperties": False,
                    },
                },
            },
            "metadata": {"user_id": "u-1"},
        }
    ]


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
async def test_the_choice_of_a_tool_is_translated(ask: Ask, asked: Any, sent: object) -> None:
    client, server = await ask(said())
    await client.complete(msgspec.structs.replace(HELLO, tools=(Tool("look"),), tool_choice=asked))
    assert server.asked[0].get("tool_choice") == sent


@pytest.mark.parametrize(("asked", "sent"), [("minimal", "low"), ("high", "high"), ("xhigh", "xhigh")])
async def test_the_effort_of_reasoning_is_translated(ask: Ask, asked: str, sent: str) -> None:
    client, server = await ask(said())
    await client.complete(msgspec.structs.replace(HELLO, options={"reasoning_effort": asked}))
    assert server.asked[0]["output_config"] == {"effort": sent}


async def test_json_without_a_schema_is_asked_for_in_words(ask: Ask) -> None:
    client, server = await ask(said())
    await client.complete(
        msgspec.structs.replace(HELLO, options={"response_format": {"type": "json_object"}})
    )
    assert "JSON" in server.asked[0]["system"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ],
)
async def test_a_part_without_counterpart_is_refused(ask: Ask, part: dict[str, Any]) -> None:
    client, server = await ask(said())
    with pytest.raises(InvalidInputError):
        await client.complete(msgspec.structs.replace(HELLO, messages=(Message("user", (RawPart(part),)),)))
    assert server.asked == []


# --- what comes back ---------------------------------------------------------------------------------


async def test_everything_of_a_reply_comes_through(ask: Ask) -> None:
    client, _ = await ask(
        said(
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "xx"},
            {"type": "text", "text": "I "},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
            {"type": "text", "text": "look."},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}},
            stop_reason="tool_use",
            usage={
                "input_tokens": 7,
                "cache_creation_input_tokens": 5,
                "cache_read_input_tokens": 3,
                "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4},
            },
        )
    )
    reply = await client.complete(HELLO)
    assert (reply.text, reply.reasoning, reply.stop_reason) == ("I look.", "Hm.", StopReason.TOOL_CALLS)
    assert reply.tool_calls == (ToolCall("t1", "look", '{"at":1}'),)
    assert reply.usage == Usage(15, 9, 3, 4, cache_write_tokens=5)
    assert reply.extensions == {
        "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "xx"},
        ]
    }


@pytest.mark.parametrize(
    ("stop_reason", "expected"),
    [
        ("end_turn", StopReason.END),
        ("stop_sequence", StopReason.END),
        ("max_tokens", StopReason.LENGTH),
        ("model_context_window_exceeded", StopReason.LENGTH),
        ("refusal", StopReason.CONTENT_FILTER),
        ("something_new", StopReason.END),
    ],
)
async def test_reasons_to_stop_are_translated(ask: Ask, stop_reason: str, expected: StopReason) -> None:
    client, _ = await ask(said(stop_reason=stop_reason, stop_sequence="END"))
    reply = await client.complete(HELLO)
    assert (reply.stop_reason, reply.extensions["stop_sequence"]) == (expected, "END")


async def test_a_stream_brings_text_thinking_and_tool_calls(ask: Ask) -> None:
    sent = events(
        START,
        opened(0, type="thinking", thinking="", signature=""),
        piece(0, type="thinking_delta", thinking="H"),
        piece(0, type="thinking_delta", thinking="m"),
        piece(0, type="signature_delta", signature="s"),
        closed(0),
        opened(1, type="text", text=""),
        piece(1, type="text_delta", text="I "),
        piece(1, type="citations_delta", citation={}),
        piece(1, type="text_delta", text="look."),
        closed(1),
        opened(2, type="tool_use", id="t1", name="look", input={}),
        piece(2, type="input_json_delta", partial_json=""),
        piece(2, type="input_json_delta", partial_json='{"at"'),
        piece(2, type="input_json_delta", partial_json=":1}"),
        closed(2),
        opened(3, type="tool_use", id="t2", name="rest", input={}),
        piece(3, type="input_json_delta", partial_json=""),
        closed(3),
        {"type": "something_new"},
        ended("tool_use", output_tokens=9, output_tokens_details={"thinking_tokens": 4}),
        STOP,
    )
    client, server = await ask(Prepared(pieces=sent))
    reply = await collect(client.stream(HELLO))
    assert server.asked[0]["stream"] is True
    assert (reply.text, reply.reasoning, reply.model) == ("I look.", "Hm", "claude-1")
    assert reply.tool_calls == (ToolCall("t1", "look", '{"at":1}'), ToolCall("t2", "rest", "{}"))
    assert (reply.stop_reason, reply.usage) == (
        StopReason.TOOL_CALLS,
        Usage(15, 9, 3, 4, cache_write_tokens=5),
    )
    assert reply.extensions == {"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", ModelUnavailableError),
        ("rate_limit_error", UpstreamRateLimitError),
        ("api_error", UpstreamError),
        ("timeout_error", DeadlineError),
        ("invalid_request_error", InvalidInputError),
    ],
)
async def test_a_failure_in_the_middle_of_a_stream_is_raised(
    ask: Ask, kind: str, expected: type[CausewayError]
) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    client, _ = await ask(Prepared(pieces=WHOLE[:4] + events(error)))
    async with aclosing(client.stream(HELLO)) as stream:
        assert (await anext(stream)).text == "Hi"
        with pytest.raises(CausewayError, match="Overloaded") as caught:
            await anext(stream)
    assert type(caught.value) is expected


@pytest.mark.parametrize("pieces", [WHOLE[:4], WHOLE[:1], ()])
async def test_a_stream_that_ends_without_saying_so_is_an_error(ask: Ask, pieces: tuple[bytes, ...]) -> None:
    client, _ = await ask(Prepared(pieces=pieces))
    with pytest.raises(UpstreamError, match="in the middle"):
        await collect(client.stream(HELLO))


async def test_a_finished_reply_needs_no_end_mark(ask: Ask) -> None:
    client, _ = await ask(Prepared(pieces=WHOLE[:-1]))
    assert (await collect(client.stream(HELLO))).text == "Hi"


async def test_closing_early_hangs_up_at_once(ask: Ask) -> None:
    client, server = await ask(Prepared(pieces=WHOLE[:4], hangs=True))
    async with aclosing(client.stream(HELLO)) as stream:
        await anext(stream)
    async with asyncio.timeout(5):
        await server.hung_up.wait()


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_request_error", "tools: bad", InvalidInputError),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextLengthError),
        (400, "invalid_request_error", "Your credit balance is too low", OperatorError),
        (401, "authentication_error", "invalid x-api-key", OperatorError),
        (402, "billing_error", "pay", OperatorError),
        (404, "not_found_error", "model: claude", UnknownModelError),
        (429, "rate_limit_error", "slow down", UpstreamRateLimitError),
        (500, "api_error", "oops", UpstreamError),
        (504, "timeout_error", "late", DeadlineError),
        (529, "overloaded_error", "Overloaded", ModelUnavailableError),
    ],
)
async def test_a_refusal_is_one_of_causeways_errors(
    ask: Ask, status: int, kind: str, message: str, expected: type[CausewayError]
) -> None:
    body = {"type": "error", "error": {"type": kind, "message": message}}
    client, _ = await ask(Prepared(status=status, body=body, headers={"retry-after": "9"}))
    for call in (client.complete(HELLO), collect(client.stream(HELLO))):
        with pytest.raises(CausewayError) as caught:
            await call
        assert type(caught.value) is expected
        assert caught.value.retry_after_s == (9.0 if status in (429, 500, 529) else None)


@pytest.mark.parametrize(
    "body", [b"{", b'"\xff"', b"{}", b'{"type":"message","content":7}', b'{"type":"message"}']
)
async def test_garbage_in_place_of_a_reply_is_an_upstream_error(ask: Ask, body: bytes) -> None:
    client, _ = await ask(Prepared(body=body), Prepared(pieces=(b"data: " + body + b"\n\n",)))
    for call in (client.complete(HELLO), collect(client.stream(HELLO))):
        with pytest.raises(UpstreamError, match="acme"):
            await call


async def test_a_page_in_place_of_a_stream_names_the_setting(ask: Ask) -> None:
    client, _ = await ask(Prepared(body=b"<html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(UpstreamError, match=r"text/html .* providers\.acme\.base_url"):
        await collect(client.stream(HELLO))


async def test_models_are_listed(ask: Ask) -> None:
    client, server = await ask(
        Prepared(body={"data": [{"id": "claude-1", "max_input_tokens": 200_000}], "has_more": False})
    )
    assert await client.list_models() == (Model(name="claude-1", context_tokens=200_000),)
    assert server.paths == ["/v1/models?limit=1000"]
    assert client.listed == {"claude-1"}
