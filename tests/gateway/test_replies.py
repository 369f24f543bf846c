from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from causeway.contracts.chat import ChatChunk, ChatReply, StopReason, ToolCall, ToolCallDelta, Usage
from causeway.contracts.money import Micros
from causeway.contracts.vectors import Embeddings, Relevance
from causeway.errors import (
    BusyError,
    InvalidInputError,
    NotSignedInError,
    RateLimitedError,
    UpstreamRateLimitError,
)
from causeway.gateway.anthropic_reply import MessageEvents, whole_message
from causeway.gateway.openai_images_wire import read_images
from causeway.gateway.openai_reply import ChatEvents, chat_completion
from causeway.gateway.openai_vectors_wire import embedding_list, ranking, read_embeddings, read_rerank
from causeway.gateway.vendor_errors import anthropic_error, error_headers, openai_error


def _reply(**fields: Any) -> ChatReply:
    asked = {"text": "hello", "model": "m", "stop_reason": StopReason.END, "usage": Usage(3, 2, 1), **fields}
    return ChatReply(**asked)


def _events(frames: bytes) -> list[Any]:
    texts = [line[6:] for line in frames.decode().splitlines() if line.startswith("data: ")]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


def test_a_reply_has_openais_shape() -> None:
    reply = _reply(cost_micros=Micros(1_500_000), trace_id="t")
    answer = json.loads(chat_completion(reply, completion_id="chatcmpl-1", created=5, model="m"))
    assert answer == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            },
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "causeway": {"trace_id": "t", "cost_usd": 1.5},
    }


def test_streamed_tool_calls_name_the_tool_once() -> None:
    writer = ChatEvents(completion_id="c", created=1, model="m", wants_usage=False)
    writer.write(ChatChunk(text="x"))

    def delta(piece: ToolCallDelta) -> Any:
        return _events(writer.write(ChatChunk(tool_calls=(piece,))))[0]["choices"][0]["delta"]["tool_calls"][
            0
        ]

    assert delta(ToolCallDelta(0, "c1", "f")) == {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    assert delta(ToolCallDelta(0, arguments="{")) == {"index": 0, "function": {"arguments": "{"}}


def test_a_chunk_with_nothing_to_show_is_not_sent() -> None:
    writer = ChatEvents(completion_id="c", created=1, model="m", wants_usage=True)
    assert _events(writer.write(ChatChunk()))[0]["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "",
    }
    assert writer.write(ChatChunk(usage=Usage(3, 2))) == b""
    assert _events(writer.end())[0]["usage"]["total_tokens"] == 5


def test_citations_come_with_the_last_chunk_and_the_cost() -> None:
    writer = ChatEvents(completion_id="c", created=1, model="m", wants_usage=False)
    last = ChatChunk(
        stop_reason=StopReason.END, extensions={"citations": [1]}, trace_id="t", cost_micros=Micros(500_000)
    )
    writer.write(ChatChunk(text="x"))
    (event,) = _events(writer.write(last))
    assert event["choices"][0]["delta"] == {"citations": [1]}
    assert event["causeway"] == {"trace_id": "t", "cost_usd": 0.5}
    assert _events(writer.end()) == ["[DONE]"]


def test_a_tool_call_that_is_no_json_is_kept_and_not_dropped() -> None:
    calls = (ToolCall("c1", "f", '{"a": '), ToolCall("c2", "f", '{"a": 1}'))
    reply = _reply(text="", stop_reason=StopReason.TOOL_CALLS, tool_calls=calls)
    answer = json.loads(whole_message(reply, message_id="msg_1", model="m"))
    assert [block["input"] for block in answer["content"]] == [{"INVALID_JSON": '{"a": '}, {"a": 1}]


def test_an_anthropic_block_is_closed_before_the_next_begins() -> None:
    writer = MessageEvents(message_id="msg_1", model="m")
    chunks = [
        ChatChunk(text="x"),
        ChatChunk(tool_calls=(ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(1, "b", "g"))),
        ChatChunk(text="y"),
        ChatChunk(stop_reason=StopReason.LENGTH, usage=Usage(5, 6)),
    ]
    events = _events(b"".join(map(writer.write, chunks)) + writer.end())
    assert [(event["type"], event.get("index")) for event in events] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_stop", 2),
        ("content_block_start", 3),
        ("content_block_delta", 3),
        ("content_block_stop", 3),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"


def test_embeddings_in_base64_are_little_endian_floats() -> None:
    vectors = np.array([[1.0, -0.5]], dtype=np.float32)
    embeddings = Embeddings(vectors=vectors, model="e", usage=Usage(4))
    asked = read_embeddings(b'{"model": "e", "input": "x", "encoding_format": "base64"}')
    answer = json.loads(embedding_list(embeddings, asked))
    assert answer["data"][0]["embedding"] == "AACAPwAAAL8="
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


@pytest.mark.parametrize("given", ["[]", '[""]', "[[1, 2]]", "[1, 2]", '["x", 1]'])
def test_input_without_text_is_refused(given: str) -> None:
    with pytest.raises(InvalidInputError, match="'input'"):
        read_embeddings(f'{{"model": "e", "input": {given}}}'.encode())


def test_a_question_is_embedded_as_one() -> None:
    asked = read_embeddings(b'{"model": "e", "input": "x", "input_type": "search_query", "dimensions": 8}')
    assert (asked.request.kind, asked.request.dimensions) == ("query", 8)


def test_a_ranking_is_best_first_and_cut() -> None:
    call = read_rerank(
        b'{"model":"r","query":"q","documents":["a",{"text":"b"},"c"],"top_n":2,"return_documents":true}'
    )
    answer = json.loads(ranking(Relevance(scores=(0.1, 0.9, 0.5), model="r", usage=Usage()), call))
    assert [(item["index"], item["relevance_score"]) for item in answer["results"]] == [(1, 0.9), (2, 0.5)]
    assert answer["results"][0]["document"] == {"text": "b"}


def test_a_picture_needs_words_and_comes_whole() -> None:
    asked = read_images(b'{"model":"p","prompt":"a boat","n":2,"size":"512x512","quality":"high"}')
    assert (asked.count, asked.size, asked.options) == (2, "512x512", {"quality": "high"})
    for body in (
        b'{"model":"p","prompt":" "}',
        b'{"model":"p","prompt":"x","stream":true}',
        b'{"model":"p","prompt":"x","n":11}',
    ):
        with pytest.raises(InvalidInputError):
            read_images(body)


def test_errors_have_the_type_that_each_vendors_clients_look_for() -> None:
    def kinds(error: Any) -> tuple[str, str]:
        openai, anthropic = json.loads(openai_error(error)), json.loads(anthropic_error(error))
        return openai["error"]["type"], anthropic["error"]["type"]

    assert kinds(InvalidInputError("x")) == ("invalid_request_error", "invalid_request_error")
    assert kinds(NotSignedInError("x")) == ("authentication_error", "authentication_error")
    assert kinds(UpstreamRateLimitError("x")) == ("rate_limit_error", "rate_limit_error")
    assert kinds(BusyError("x")) == ("server_error", "overloaded_error")


@pytest.mark.parametrize(
    ("seconds", "whole", "thousandths"),
    [(1.2, "2", "1200"), (0.0, "0", "0"), (-3.0, "0", "0"), (60.0, "60", "60000")],
)
def test_the_wait_is_rounded_up(seconds: float, whole: str, thousandths: str) -> None:
    headers = error_headers(RateLimitedError("wait").after(seconds))
    assert headers == {"retry-after": whole, "retry-after-ms": thousandths}
