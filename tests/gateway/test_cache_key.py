from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from causeway.contracts.chat import (
    ChatReply,
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
from causeway.contracts.identity import Principal, Scope
from causeway.gateway.cache_key import cache_key, is_worth_keeping, obstacle, question_of

ANNA = Principal("key_anna", "Anna", frozenset({Scope.MODELS}), team="red", tier="pro")
REQUEST = ChatRequest(
    model="chat", messages=(Message("system", "Be brief."), Message("user", "What is the capital of Peru?"))
)
REPLY = ChatReply(text="Lima.", model="words", stop_reason=StopReason.END, usage=Usage(9, 2))


def _last(content: Any) -> ChatRequest:
    return msgspec.structs.replace(REQUEST, messages=(*REQUEST.messages[:-1], Message("user", content)))


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(REQUEST, model="fast"),
        msgspec.structs.replace(REQUEST, max_tokens=10),
        msgspec.structs.replace(REQUEST, temperature=0.0),
        msgspec.structs.replace(REQUEST, top_p=0.5),
        msgspec.structs.replace(REQUEST, stop=("\n",)),
        msgspec.structs.replace(REQUEST, seed=1),
        msgspec.structs.replace(REQUEST, json_schema={"type": "object"}),
        msgspec.structs.replace(REQUEST, options={"frequency_penalty": 1}),
        msgspec.structs.replace(REQUEST, options={"user": "bob"}),
        msgspec.structs.replace(REQUEST, messages=(Message("system", "Be long."), REQUEST.messages[1])),
        msgspec.structs.replace(REQUEST, messages=(Message("user", "Hello"), *REQUEST.messages)),
        msgspec.structs.replace(
            REQUEST, messages=(REQUEST.messages[0], Message("user", REQUEST.messages[1].text, name="bob"))
        ),
    ],
)
def test_whatever_a_reply_depends_on_is_in_both_keys(other: ChatRequest) -> None:
    one, another = cache_key(REQUEST, ANNA), cache_key(other, ANNA)
    assert one.exact != another.exact
    assert one.partition != another.partition


@pytest.mark.parametrize(
    "other",
    [
        replace(ANNA, team="blue"),
        replace(ANNA, team=None),
        replace(ANNA, tier="free"),
    ],
)
def test_tenants_and_tiers_never_meet(other: Principal) -> None:
    assert cache_key(REQUEST, ANNA).exact != cache_key(REQUEST, other).exact
    assert cache_key(REQUEST, ANNA).partition != cache_key(REQUEST, other).partition


def test_a_team_called_like_a_key_is_another_tenant() -> None:
    team, key = replace(ANNA, id="key_1", team="x"), replace(ANNA, id="x", team=None)
    assert cache_key(REQUEST, team).exact != cache_key(REQUEST, key).exact


def test_members_of_a_team_share_and_keys_without_one_do_not() -> None:
    assert cache_key(REQUEST, ANNA) == cache_key(REQUEST, replace(ANNA, id="key_bert", name="Bert"))
    alone = replace(ANNA, team=None)
    assert cache_key(REQUEST, alone) != cache_key(REQUEST, replace(alone, id="key_bert"))


def test_hidden_values_that_differ_keep_equal_masked_requests_apart() -> None:
    request = _last("Is [CARD_1] a valid card?")
    one, other = cache_key(request, ANNA, salt=b"4111"), cache_key(request, ANNA, salt=b"5500")
    assert one.exact != other.exact
    assert one.partition != other.partition


def test_vectors_of_different_models_are_never_in_one_partition() -> None:
    one, other = (cache_key(REQUEST, ANNA, embedding_model=name) for name in ("small", "large"))
    assert one.exact == other.exact
    assert one.partition != other.partition


@pytest.mark.parametrize(
    ("text", "same"),
    [("  What is it?\n", True), ("What is it?", True), ("What  is it?", False), ("what is it?", False)],
)
def test_only_white_space_around_a_text_is_ignored(text: str, same: bool) -> None:
    keys = cache_key(_last(text), ANNA).exact, cache_key(_last("What is it?"), ANNA).exact
    assert (keys[0] == keys[1]) is same


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert cache_key(_last("caf\u00e9"), ANNA) == cache_key(_last("cafe\u0301"), ANNA)


def test_parameters_that_no_reply_depends_on_are_not_in_the_key() -> None:
    other = msgspec.structs.replace(
        REQUEST, options={"metadata": {"a": "b"}, "stream_options": {"include_usage": True}, "store": True}
    )
    assert cache_key(REQUEST, ANNA) == cache_key(other, ANNA)


def test_the_order_of_parameters_does_not_matter() -> None:
    one = msgspec.structs.replace(REQUEST, options={"a": 1, "b": 2})
    assert cache_key(one, ANNA) == cache_key(msgspec.structs.replace(REQUEST, options={"b": 2, "a": 1}), ANNA)


def test_two_parts_are_not_the_text_that_they_spell() -> None:
    parts = (TextPart("ab"), TextPart("c"))
    assert cache_key(_last(parts), ANNA).exact != cache_key(_last("abc"), ANNA).exact


def test_only_the_question_differs_within_a_partition() -> None:
    one, other = cache_key(REQUEST, ANNA), cache_key(_last("And of Chile?"), ANNA)
    assert one.partition == other.partition
    assert one.exact != other.exact


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (REQUEST, None),
        (msgspec.structs.replace(REQUEST, tools=(Tool("clock"),)), "has tools"),
        (msgspec.structs.replace(REQUEST, options={"web_search_options": {}}), "has tools"),
        (msgspec.structs.replace(REQUEST, temperature=0.7), "asks for randomness"),
        (msgspec.structs.replace(REQUEST, temperature=0.7, seed=1), None),
        (msgspec.structs.replace(REQUEST, temperature=0.0), None),
        (msgspec.structs.replace(REQUEST, top_p=0.9), None),
        (msgspec.structs.replace(REQUEST, options={"n": 2}), "asks for several replies"),
        (msgspec.structs.replace(REQUEST, options={"n": 1}), None),
        (msgspec.structs.replace(REQUEST, options={"logprobs": True}), "asks for log-probabilities"),
        (_last((TextPart("What is this?"), ImagePart("https://a.example/b.png"))), "has a remote picture"),
        (_last((TextPart("What is this?"), ImagePart("data:image/png;base64,AA=="))), None),
        (_last((RawPart({"type": "input_audio"}),)), "has unread parts"),
        (msgspec.structs.replace(REQUEST, messages=()), "has no messages"),
    ],
)
def test_which_requests_may_be_cached(request_: ChatRequest, reason: str | None) -> None:
    assert obstacle(request_) == reason


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (REPLY, True),
        (msgspec.structs.replace(REPLY, stop_reason=StopReason.LENGTH), False),
        (msgspec.structs.replace(REPLY, stop_reason=StopReason.CONTENT_FILTER), False),
        (msgspec.structs.replace(REPLY, tool_calls=(ToolCall("1", "clock", "{}"),)), False),
        (msgspec.structs.replace(REPLY, text=""), False),
        (msgspec.structs.replace(REPLY, logprobs={"content": []}), False),
        (msgspec.structs.replace(REPLY, extensions={"citations": []}), False),
    ],
)
def test_only_whole_replies_that_stand_alone_are_kept(reply: ChatReply, kept: bool) -> None:
    assert is_worth_keeping(reply) is kept


@pytest.mark.parametrize(
    ("messages", "question"),
    [
        ((Message("user", "Why?"),), "Why?"),
        ((Message("user", (TextPart("Why "), TextPart("so?"))),), "Why so?"),
        ((Message("user", (TextPart("Why?"), ImagePart("data:image/png;base64,AA=="))),), None),
        ((Message("user", "Why?"), Message("assistant", "Because")), None),
        ((), None),
    ],
)
def test_a_question_is_the_text_that_the_user_wrote_last(
    messages: tuple[Message, ...], question: str | None
) -> None:
    assert question_of(ChatRequest(model="chat", messages=messages)) == question
