"""Anthropic's own client is the test of Anthropic's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic
from anthropic.types import Message as AnthropicMessage
from anthropic.types import MessageParam, ToolParam
from pydantic import BaseModel

from causeway.contracts.chat import ImagePart, Message, RawPart, TextPart, Tool, ToolCall
from tests.gateway.v1_server import (
    KEY,
    PATIENCE_S,
    REDACTED,
    SIGNED,
    TRACE_ID,
    RichGateway,
    beating,
    edge_over,
    serving,
)

QUESTION: list[MessageParam] = [{"role": "user", "content": "Hi"}]
WEATHER: ToolParam = {
    "name": "weather",
    "description": "The weather now",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class Town(BaseModel):
    """What a parsed reply becomes."""

    city: str
    people: int


@dataclass(frozen=True)
class Door:
    client: Anthropic
    gateway: RichGateway
    address: str


@pytest.fixture(scope="module")
def address_and_gateway() -> Iterator[tuple[str, RichGateway]]:
    gateway = RichGateway()
    with serving(edge_over(gateway)) as address:
        yield address, gateway


@pytest.fixture
def door(address_and_gateway: tuple[str, RichGateway]) -> Iterator[Door]:
    address, gateway = address_and_gateway
    gateway.is_writing.clear()
    gateway.is_stopped.clear()
    with Anthropic(base_url=address, api_key=KEY, max_retries=0, timeout=PATIENCE_S) as client:
        yield Door(client, gateway, address)


def test_a_plain_message_has_text_usage_and_its_request_id(door: Door) -> None:
    message = door.client.messages.create(model="words", max_tokens=50, messages=QUESTION)
    assert [block.text for block in message.content if block.type == "text"] == ["Hello there."]
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens == 12
    assert message.usage.cache_read_input_tokens == 8
    assert message.usage.output_tokens == 7
    assert message._request_id == TRACE_ID


def test_a_streamed_message_is_put_together_by_the_client(door: Door) -> None:
    with door.client.messages.stream(model="thinker", max_tokens=50, messages=QUESTION) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert [kind for kind in kinds if kind.startswith(("message", "content_block"))] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].to_dict()["thinking"] == "Let me see."
    assert final.stop_reason == "end_turn"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (12, 7)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_tools_are_used_whole_and_streamed(door: Door, is_streamed: bool) -> None:
    message: AnthropicMessage
    if is_streamed:
        with door.client.messages.stream(
            model="tools", max_tokens=50, messages=QUESTION, tools=[WEATHER]
        ) as stream:
            message = stream.get_final_message()
    else:
        message = door.client.messages.create(
            model="tools", max_tokens=50, messages=QUESTION, tools=[WEATHER]
        )
    assert message.stop_reason == "tool_use"
    used = [block for block in message.content if block.type == "tool_use"]
    assert [(block.id, block.name, block.input) for block in used] == [
        ("call_1", "weather", {"city": "Paris"}),
        ("call_2", "clock", {}),
    ]


def test_a_whole_tool_conversation_reaches_the_gateway_as_it_was(door: Door) -> None:
    door.client.messages.create(
        model="words",
        max_tokens=50,
        system=[
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
        ],
        messages=[
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Well?"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [{"type": "text", "text": "Rain"}],
                    },
                ],
            },
        ],
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        metadata={"user_id": "ann"},
        thinking={"type": "enabled", "budget_tokens": 8_000},
        extra_body={"temperature": 0.5, "top_k": 40},
    )
    request = door.gateway.asked[-1][0]
    assert request.messages == (
        Message("system", "Be brief.\n\nBe kind."),
        Message("user", "Weather?"),
        Message(
            "assistant",
            (RawPart({"type": "thinking", "thinking": "Hm", "signature": "s"}), TextPart("I look.")),
            tool_calls=(ToolCall("c1", "weather", '{"city":"Paris"}'),),
        ),
        Message("tool", "Rain", tool_call_id="c1"),
        Message("user", "Well?"),
    )
    assert request.tools == (Tool("weather", "The weather now", WEATHER["input_schema"]),)
    assert request.tool_choice == "required"
    assert (request.stop, request.temperature, request.max_tokens) == (("END",), 0.5, 50)
    assert request.options == {
        "parallel_tool_calls": False,
        "user": "ann",
        "reasoning_effort": "medium",
        "top_k": 40,
        "anthropic": {
            "thinking": {"type": "enabled", "budget_tokens": 8_000},
            "cache_control": {"type": "ephemeral"},
        },
    }


@pytest.mark.parametrize("is_streamed", [False, True])
def test_thinking_comes_signed_and_can_be_given_back(door: Door, is_streamed: bool) -> None:
    message: AnthropicMessage
    if is_streamed:
        with door.client.messages.stream(model="signed", max_tokens=50, messages=QUESTION) as stream:
            message = stream.get_final_message()
    else:
        message = door.client.messages.create(model="signed", max_tokens=50, messages=QUESTION)
    assert [block.to_dict(exclude_none=True) for block in message.content] == [
        SIGNED,
        REDACTED,
        {"type": "text", "text": "Four."},
    ]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    again: Any = {"role": "assistant", "content": [block.to_dict() for block in message.content]}
    door.client.messages.create(model="words", max_tokens=50, messages=[*QUESTION, again])
    assert door.gateway.asked[-1][0].messages[1].content == (
        RawPart(SIGNED),
        RawPart(REDACTED),
        TextPart("Four."),
    )


def test_pictures_and_documents_pass_through(door: Door) -> None:
    content: Any = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
        },
        {"type": "text", "text": "See"},
    ]
    door.client.messages.create(
        model="words",
        max_tokens=50,
        messages=[{"role": "user", "content": content}],
    )
    assert door.gateway.asked[-1][0].messages[0].content == (
        ImagePart("data:image/png;base64,AA=="),
        ImagePart("https://example.com/a.png"),
        RawPart(
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}}
        ),
        TextPart("See"),
    )


def test_a_parsed_message_becomes_the_callers_own_type(door: Door) -> None:
    message = door.client.messages.parse(model="json", max_tokens=50, messages=QUESTION, output_format=Town)
    assert message.parsed_output == Town(city="Paris", people=2_102_650)
    schema = door.gateway.asked[-1][0].json_schema
    assert schema
    assert schema["required"] == ["city", "people"]


def test_a_reply_cut_by_its_limit_says_so(door: Door) -> None:
    assert (
        door.client.messages.create(model="long", max_tokens=2, messages=QUESTION).stop_reason == "max_tokens"
    )


def test_tokens_are_estimated_and_the_answer_says_so(door: Door) -> None:
    raw = door.client.messages.with_raw_response.count_tokens(
        model="words", system="x" * 40, messages=QUESTION, tools=[WEATHER]
    )
    assert 20 < raw.parse().input_tokens < 60
    assert raw.headers["x-causeway-estimate"] == "true"


def test_models_are_listed_in_anthropics_shape(door: Door) -> None:
    models = door.client.models.list()
    assert [model.id for model in models] == ["words", "openai/gpt-5", "tools"]
    assert models.data[0].type == "model"
    assert door.client.models.retrieve("words").display_name == "words"
    with pytest.raises(anthropic.NotFoundError):
        door.client.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("blocked", anthropic.BadRequestError, "invalid_request_error"),
        ("forbidden", anthropic.PermissionDeniedError, "permission_error"),
        ("nobody", anthropic.NotFoundError, "not_found_error"),
        ("limited", anthropic.RateLimitError, "rate_limit_error"),
        ("spent", anthropic.RateLimitError, "rate_limit_error"),
        ("busy", anthropic.InternalServerError, "overloaded_error"),
        ("late", anthropic.InternalServerError, "timeout_error"),
        ("upstream", anthropic.InternalServerError, "api_error"),
        ("crash", anthropic.InternalServerError, "api_error"),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_errors_become_the_clients_own_exceptions(
    door: Door, model: str, kind: type[anthropic.APIStatusError], said: str, is_streamed: bool
) -> None:
    with pytest.raises(kind) as failed:
        door.client.messages.create(model=model, max_tokens=5, messages=QUESTION, stream=is_streamed)
    assert isinstance(failed.value.body, dict)
    assert failed.value.body["error"]["type"] == said


def test_a_key_comes_either_way(door: Door) -> None:
    with Anthropic(base_url=door.address, auth_token=KEY, max_retries=0) as client:
        assert client.models.list().data
    with pytest.raises(anthropic.AuthenticationError):
        door.client.with_options(api_key="cw-wrong").models.list()


@pytest.mark.parametrize(("model", "tries"), [("spent", 1), ("upstream", 2)])
def test_only_what_may_succeed_later_is_tried_again(door: Door, model: str, tries: int) -> None:
    before = len(door.gateway.asked)
    with pytest.raises(anthropic.APIStatusError):
        door.client.with_options(max_retries=1).messages.create(model=model, max_tokens=5, messages=QUESTION)
    assert len(door.gateway.asked) - before == tries


@pytest.mark.parametrize("model", ["cut", "snapped"])
def test_a_stream_cut_in_the_middle_never_ends_clean(door: Door, model: str) -> None:
    kinds: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as failed:
        kinds.extend(
            event.type
            for event in door.client.messages.create(
                model=model, max_tokens=5, messages=QUESTION, stream=True
            )
        )
    assert isinstance(failed.value.body, dict)
    assert failed.value.body["error"]["type"] == "api_error"
    body = {"model": model, "max_tokens": 5, "messages": QUESTION, "stream": True}
    raw = httpx2.post(f"{door.address}/v1/messages", json=body, headers={"x-api-key": KEY}).text
    assert "message_stop" not in raw


def test_heartbeats_of_a_silent_stream_are_read_over() -> None:
    gateway = RichGateway()
    with (
        serving(beating(gateway)) as address,
        Anthropic(base_url=address, api_key=KEY) as client,
        client.messages.stream(model="silent", max_tokens=5, messages=QUESTION) as stream,
    ):
        assert stream.get_final_text() == "Hello there."
    assert gateway.is_beaten
    assert gateway.is_beaten.is_set()


def test_a_client_that_leaves_a_stream_stops_the_model(door: Door) -> None:
    with door.client.messages.stream(model="slow", max_tokens=5, messages=QUESTION) as stream:
        assert next(iter(stream.text_stream)) == "Half an ans"
        assert not door.gateway.is_stopped.is_set()
    assert door.gateway.is_stopped.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "runs at Anthropic"),
        ({"extra_body": {"mcp_servers": [{"url": "x"}]}}, "mcp_servers"),
        ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "search_result"),
    ],
)
def test_what_messages_cannot_do_is_refused_with_its_remedy(
    door: Door, more: dict[str, Any], said: str
) -> None:
    asked: Any = {"model": "words", "max_tokens": 5, "messages": QUESTION, **more}
    with pytest.raises(anthropic.BadRequestError) as refused:
        door.client.messages.create(**asked)
    assert said in refused.value.message
