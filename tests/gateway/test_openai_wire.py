from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.chat import ImagePart, Message, RawPart, TextPart, ToolCall
from causeway.errors import InvalidInputError
from causeway.gateway.anthropic_wire import read_messages
from causeway.gateway.openai_wire import ChatCall, read_chat
from causeway.gateway.responses_wire import read_response


def _read(body: bytes) -> ChatCall:
    return read_chat(body, max_messages=3)


def _body(**fields: Any) -> bytes:
    return json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def test_a_chat_body_keeps_what_it_reads_and_hands_on_the_rest() -> None:
    call = _read(_body(temperature=0.5, stop="END", logit_bias={"5": 1}, stream=True))
    assert call.request.temperature == 0.5
    assert call.request.stop == ("END",)
    assert call.request.options == {"logit_bias": {"5": 1}}
    assert call.is_stream


_OPTIONAL = {
    "max_tokens": st.integers(0, 3) | st.floats(0, 3),
    "max_completion_tokens": st.none() | st.integers(1, 9),
    "temperature": st.integers(0, 2) | st.floats(0, 2) | st.just("warm"),
    "stop": st.none() | st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=2),
    "seed": st.integers(-(2**63), 2**63),
    "stream": st.booleans() | st.just(1),
    "stream_options": st.none() | st.just({"include_usage": True, "more": 1}),
}
_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "user", "assistant", "robot"]),
            "content": st.text(max_size=5),
        },
        optional={"name": st.text(max_size=3), "refusal": st.none(), "more": st.integers()},
    ),
    max_size=4,
)


@given(st.fixed_dictionaries({"model": st.text(max_size=5), "messages": _MESSAGES}, optional=_OPTIONAL))
def test_a_body_reads_the_same_whether_or_not_it_is_plain(fields: dict[str, Any]) -> None:
    def read(**more: Any) -> Any:
        try:
            call = _read(_body(**fields, **more))
        except InvalidInputError as exc:
            return exc.message
        return msgspec.structs.replace(call, request=msgspec.structs.replace(call.request, options={}))

    assert read() == read(top_k=3)


def test_the_newer_name_of_the_token_limit_wins() -> None:
    assert _read(_body(max_tokens=5, max_completion_tokens=7)).request.max_tokens == 7


def test_parts_of_a_message_keep_their_order() -> None:
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
    ]
    call = _read(_body(messages=[{"role": "user", "content": parts}]))
    assert call.request.messages[0].content == (TextPart("see"), ImagePart("data:x", "low"))


def test_a_developer_message_is_a_system_message() -> None:
    assert _read(_body(messages=[{"role": "developer", "content": "x"}])).request.messages[0].role == "system"


def test_tools_and_their_calls_are_read() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    turn = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
    }
    request = _read(_body(tools=[tool], messages=[turn])).request
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
        (_body(messages=[{"role": "user", "content": "x"}] * 4), "'messages' has 4 entries; send at most 3"),
        (_body(messages=[{"role": "user", "content": None}]), "no 'content'"),
        (_body(messages=[{"role": "tool", "content": "x"}]), "no 'tool_call_id'"),
        (_body(messages=[{"role": "user", "content": [{"type": "smell"}]}]), "'smell'"),
        (_body(messages=[{"role": "user", "content": [{"type": "image_url"}]}]), "no 'image_url'"),
        (_body(messages=[{"role": "user", "content": [{"type": ["text"]}]}]), "message part"),
        (_body(max_tokens=0), "max_tokens"),
        (_body(max_tokens=10**20), "max_tokens"),
        (_body(modalities=["text", "audio"]), "modalities"),
        (_body(response_format={"type": "json_schema"}), "no 'json_schema'"),
        (_body(tools=[{"type": "custom", "custom": {"name": "x"}}]), "tools[0]"),
    ],
)
def test_a_wrong_chat_body_is_refused_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        _read(body)
    assert said in refused.value.message


def test_the_asked_format_is_kept_word_for_word_beside_its_schema() -> None:
    asked = {
        "type": "json_schema",
        "json_schema": {
            "name": "town",
            "description": "A town",
            "strict": False,
            "schema": {"type": "object"},
        },
    }
    request = _read(_body(response_format=asked)).request
    assert request.json_schema == {"type": "object"}
    assert request.options == {"response_format": asked}
    assert _read(_body(response_format={"type": "json_object"})).request.options == {
        "response_format": {"type": "json_object"}
    }
    assert _read(_body(response_format={"type": "text"})).request.options == {}


def test_a_call_without_store_is_not_cached_and_says_so_to_nobody_else() -> None:
    call = _read(_body(cache={"no-store": True}))
    assert not call.may_cache
    assert call.request.options == {}
    assert _read(_body()).may_cache


@pytest.mark.parametrize("name", ["n_predict", "best_of", "models", "api_base"])
def test_what_would_lead_a_provider_past_a_limit_is_not_passed_on(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"'{name}' is not passed on"):
        _read(_body(**{name: "x"}))


@pytest.mark.parametrize("name", ["n", "max_completion_tokens", "response_format"])
def test_a_chats_own_bounds_do_not_slip_through_another_door(name: str) -> None:
    asked = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], name: 9}
    with pytest.raises(InvalidInputError, match=f"'{name}' is a parameter of chat completions"):
        read_messages(json.dumps(asked).encode(), max_messages=3)
    with pytest.raises(InvalidInputError, match=f"'{name}' is a parameter of chat completions"):
        read_response(json.dumps({"model": "m", "input": "x", name: 9}).encode(), max_messages=3)


def test_functions_from_before_tools_are_tools() -> None:
    call = _read(
        _body(
            functions=[{"name": "f"}],
            function_call="auto",
            messages=[
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "4"},
            ],
        )
    )
    assert call.is_legacy
    assert call.request.tool_choice == "auto"
    assert [tool.name for tool in call.request.tools] == ["f"]
    assert call.request.messages == (
        Message("assistant", "", tool_calls=(ToolCall("call_f", "f", "{}"),)),
        Message("tool", "4", name="f", tool_call_id="call_f"),
    )


def test_a_refusal_stands_after_what_was_said() -> None:
    turn = {"role": "assistant", "content": "Well.", "refusal": "No."}
    assert _read(_body(messages=[turn])).request.messages[0].content == (
        TextPart("Well."),
        RawPart({"type": "refusal", "refusal": "No."}),
    )
