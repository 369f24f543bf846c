from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from causeway.contracts.chat import (
    ChatChunk,
    ChatReply,
    ImagePart,
    StopReason,
    TextPart,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from causeway.contracts.money import Micros
from causeway.contracts.vectors import Embeddings, Relevance
from causeway.errors import InvalidInputError, NotSignedInError, UpstreamRateLimitError
from causeway.gateway import openai_wire as wire


def _body(**fields: Any) -> bytes:
    return json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def test_a_chat_body_keeps_what_it_reads_and_hands_on_the_rest() -> None:
    call = wire.read_chat(_body(temperature=0.5, stop="END", logit_bias={"5": 1}, stream=True))
    assert call.request.temperature == 0.5
    assert call.request.stop == ("END",)
    assert call.request.options == {"logit_bias": {"5": 1}}
    assert call.is_stream


def test_the_newer_name_of_the_token_limit_wins() -> None:
    assert wire.read_chat(_body(max_tokens=5, max_completion_tokens=7)).request.max_tokens == 7


def test_parts_of_a_message_keep_their_order() -> None:
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
    ]
    call = wire.read_chat(_body(messages=[{"role": "user", "content": parts}]))
    assert call.request.messages[0].content == (TextPart("see"), ImagePart("data:x", "low"))


def test_a_developer_message_is_a_system_message() -> None:
    assert (
        wire.read_chat(_body(messages=[{"role": "developer", "content": "x"}])).request.messages[0].role
        == "system"
    )


def test_tools_and_their_calls_are_read() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    turn = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
    }
    request = wire.read_chat(_body(tools=[tool], messages=[turn])).request
    assert request.tools[0].name == "weather"
    assert request.messages[0].tool_calls == (ToolCall("c1", "weather", "{}"),)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"model": "chat"}', "messages"),
        (_body(messages=[]), "'messages' is empty"),
        (_body(n=2), "'n' is 2"),
        (_body(messages=[{"role": "robot", "content": "x"}]), "messages[0].role"),
    ],
)
def test_a_wrong_chat_body_is_refused_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        wire.read_chat(body)
    assert said in refused.value.message


def test_a_reply_has_openais_shape() -> None:
    reply = ChatReply(
        text="hello",
        model="m",
        stop_reason=StopReason.END,
        usage=Usage(3, 2, 1),
        cost_micros=Micros(1_500_000),
        trace_id="t",
    )
    answer = json.loads(wire.chat_completion(reply, completion_id="chatcmpl-1", created=5, model="m"))
    assert answer == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"},
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1},
        },
        "causeway": {"trace_id": "t", "cost_usd": 1.5},
    }


def test_streamed_tool_calls_name_the_tool_once() -> None:
    def delta(chunk: ChatChunk) -> Any:
        raw = wire.chat_chunk(chunk, completion_id="c", created=1, model="m", is_first=False)
        return json.loads(raw)["choices"][0]["delta"]["tool_calls"][0]

    assert delta(ChatChunk(tool_calls=(ToolCallDelta(0, "c1", "f"),))) == {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    assert delta(ChatChunk(tool_calls=(ToolCallDelta(0, arguments="{"),))) == {
        "index": 0,
        "function": {"arguments": "{"},
    }


def test_embeddings_in_base64_are_little_endian_floats() -> None:
    vectors = np.array([[1.0, -0.5]], dtype=np.float32)
    embeddings = Embeddings(vectors=vectors, model="e", usage=Usage(4))
    answer = json.loads(wire.embedding_list(embeddings, as_base64=True))
    assert answer["data"][0]["embedding"] == "AACAPwAAAL8="
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def test_a_ranking_is_best_first_and_cut() -> None:
    call = wire.read_rerank(b'{"model":"r","query":"q","documents":["a",{"text":"b"},"c"],"top_n":2}')
    answer = json.loads(wire.ranking(Relevance(scores=(0.1, 0.9, 0.5), model="r", usage=Usage()), call))
    assert [(item["index"], item["relevance_score"]) for item in answer["results"]] == [(1, 0.9), (2, 0.5)]


def test_errors_have_the_type_that_openais_clients_look_for() -> None:
    def kind(error: Any) -> Any:
        return json.loads(wire.error_body(error))["error"]["type"]

    assert kind(InvalidInputError("x")) == "invalid_request_error"
    assert kind(NotSignedInError("x")) == "authentication_error"
    assert kind(UpstreamRateLimitError("x")) == "rate_limit_error"
