"""OpenAI's own client is the test of OpenAI's shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from causeway.contracts.chat import ImagePart, Message, RawPart, TextPart, Tool, ToolCall
from tests.gateway.v1_server import KEY, PATIENCE_S, TRACE_ID, RichGateway, beating, edge_over, serving

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather now",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": True,
    },
}


class Town(BaseModel):
    """What a parsed reply becomes."""

    city: str
    people: int


@dataclass(frozen=True)
class Door:
    client: OpenAI
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
    with OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE_S) as client:
        yield Door(client, gateway, address)


# --- chat completions --------------------------------------------------------------------------------


def test_a_plain_reply_has_text_usage_and_its_request_id(door: Door) -> None:
    raw = door.client.chat.completions.with_raw_response.create(model="words", messages=QUESTION)
    reply = raw.parse()
    assert reply.choices[0].message.content == "Hello there."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (20, 7, 27)
    assert reply.usage.prompt_tokens_details
    assert reply.usage.prompt_tokens_details.cached_tokens == 8
    assert reply._request_id == TRACE_ID
    assert raw.headers["x-ratelimit-remaining-requests"] == "41"
    assert raw.headers["x-causeway-cache"] == "miss"


def test_a_stream_says_the_same_and_ends_with_its_usage(door: Door) -> None:
    with door.client.chat.completions.create(
        model="words",
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
        assert stream.response.headers["x-request-id"] == TRACE_ID
        assert stream.response.headers["x-causeway-cache"] == "miss"
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == "Hello there."
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.total_tokens == 27
    assert len({chunk.id for chunk in chunks}) == 1


def test_usage_is_not_streamed_to_callers_who_did_not_ask(door: Door) -> None:
    chunks = list(door.client.chat.completions.create(model="words", messages=QUESTION, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_tool_calls_arrive_whole_and_streamed(door: Door) -> None:
    reply = door.client.chat.completions.create(model="tools", messages=QUESTION, tools=[WEATHER])
    calls = reply.choices[0].message.tool_calls or []
    assert reply.choices[0].finish_reason == "tool_calls"
    assert [(c.id, c.function.name, c.function.arguments) for c in calls if c.type == "function"] == [
        ("call_1", "weather", '{"city": "Paris"}'),
        ("call_2", "clock", ""),
    ]
    with door.client.chat.completions.stream(model="tools", messages=QUESTION, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    streamed = final.choices[0].message.tool_calls or []
    assert [(c.id, c.function.arguments) for c in streamed] == [
        ("call_1", '{"city": "Paris"}'),
        ("call_2", ""),
    ]


def test_a_whole_tool_conversation_reaches_the_gateway_as_it_was(door: Door) -> None:
    door.client.chat.completions.create(
        model="words",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Weather?", "name": "ann"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "Rain"},
            {"role": "assistant", "refusal": "No.", "content": None},
        ],
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        parallel_tool_calls=False,
        reasoning_effort="low",
    )
    request = door.gateway.asked[-1][0]
    assert request.messages == (
        Message("system", "Be brief."),
        Message("user", "Weather?", name="ann"),
        Message("assistant", "", tool_calls=(ToolCall("c1", "weather", "{}"),)),
        Message("tool", "Rain", tool_call_id="c1"),
        Message("assistant", (RawPart({"type": "refusal", "refusal": "No."}),)),
    )
    assert request.tools == (
        Tool(
            "weather",
            "The weather now",
            {"type": "object", "properties": {"city": {"type": "string"}}},
            strict=True,
        ),
    )
    assert request.tool_choice == {"type": "function", "function": {"name": "weather"}}
    assert request.options == {"parallel_tool_calls": False, "reasoning_effort": "low"}


def test_functions_from_before_tools_still_work(door: Door) -> None:
    asked: Any = {"functions": [{"name": "weather", "parameters": {}}], "function_call": {"name": "weather"}}
    reply = door.client.chat.completions.create(model="tools", messages=QUESTION, **asked)
    assert reply.choices[0].finish_reason == "function_call"
    assert reply.choices[0].message.function_call.arguments == '{"city": "Paris"}'
    assert door.gateway.asked[-1][0].tool_choice == {"type": "function", "function": {"name": "weather"}}
    chunks = list(door.client.chat.completions.create(model="tools", messages=QUESTION, stream=True, **asked))
    pieces = [
        chunk.choices[0].delta.function_call for chunk in chunks if chunk.choices[0].delta.function_call
    ]
    assert pieces[0].name == "weather"
    assert "".join(piece.arguments for piece in pieces) == '{"city": "Paris"}'
    assert chunks[-1].choices[0].finish_reason == "function_call"


def test_a_parsed_reply_becomes_the_callers_own_type(door: Door) -> None:
    reply = door.client.chat.completions.parse(model="json", messages=QUESTION, response_format=Town)
    assert reply.choices[0].message.parsed == Town(city="Paris", people=2_102_650)
    request = door.gateway.asked[-1][0]
    assert request.json_schema
    assert request.json_schema["required"] == ["city", "people"]
    asked = request.options["response_format"]
    assert isinstance(asked, dict)
    assert asked["json_schema"]["name"] == "Town"
    assert asked["json_schema"]["strict"] is True


def test_pictures_sounds_and_files_pass_through(door: Door) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
    content: Any = [{"type": "text", "text": "See"}, picture, sound, file]
    door.client.chat.completions.create(model="words", messages=[{"role": "user", "content": content}])
    assert door.gateway.asked[-1][0].messages[0].content == (
        TextPart("See"),
        ImagePart("data:image/png;base64,AA==", "low"),
        RawPart(sound),
        RawPart(file),
    )


@pytest.mark.parametrize("is_streamed", [False, True])
def test_reasoning_and_logprobs_are_there(door: Door, is_streamed: bool) -> None:
    def first(model: str) -> tuple[str, Any]:
        if is_streamed:
            chunks = list(
                door.client.chat.completions.create(
                    model=model,
                    messages=QUESTION,
                    stream=True,
                    logprobs=True,
                )
            )
            thought = "".join(getattr(c.choices[0].delta, "reasoning_content", "") for c in chunks)
            return thought, next((c.choices[0].logprobs for c in chunks if c.choices[0].logprobs), None)
        reply = door.client.chat.completions.create(model=model, messages=QUESTION, logprobs=True)
        choice = reply.choices[0]
        return getattr(choice.message, "reasoning_content", ""), choice.logprobs

    assert first("thinker")[0] == "Let me see."
    odds = first("odds")[1]
    assert odds.content[0].logprob == -0.25
    assert door.gateway.asked[-1][0].options == {"logprobs": True}


# --- responses ---------------------------------------------------------------------------------------


def test_a_response_has_text_and_usage(door: Door) -> None:
    response = door.client.responses.create(
        model="words", input="Hi", instructions="Be brief.", max_output_tokens=50, metadata={"job": "7"}
    )
    assert response.output_text == "Hello there."
    assert response.status == "completed"
    assert response.metadata == {"job": "7"}
    assert response.usage
    assert (response.usage.input_tokens, response.usage.output_tokens) == (20, 7)
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert response._request_id == TRACE_ID
    request = door.gateway.asked[-1][0]
    assert request.messages == (Message("system", "Be brief."), Message("user", "Hi"))
    assert request.max_tokens == 50


def test_a_streamed_response_has_every_typed_event(door: Door) -> None:
    with door.client.responses.stream(model="thinker", input="2+2?") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "Four."
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert final.usage
    assert final.usage.total_tokens == 27


def test_a_response_calls_functions_and_reads_their_results(door: Door) -> None:
    tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    with door.client.responses.stream(model="tools", input="Weather?", tools=[tool]) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(c.call_id, c.name, c.arguments) for c in calls] == [
        ("call_1", "weather", '{"city": "Paris"}'),
        ("call_2", "clock", ""),
    ]
    assert kinds.count("response.function_call_arguments.done") == 2
    said: Any = [item.to_dict() for item in response.output]
    door.client.responses.create(
        model="words",
        input=[
            {"role": "user", "content": "Weather?"},
            *said,
            {"type": "function_call_output", "call_id": "call_1", "output": "Rain"},
        ],
    )
    assert door.gateway.asked[-1][0].messages == (
        Message("user", "Weather?"),
        Message(
            "assistant",
            "I look.",
            tool_calls=(ToolCall("call_1", "weather", '{"city": "Paris"}'), ToolCall("call_2", "clock", "")),
        ),
        Message("tool", "Rain", tool_call_id="call_1"),
    )


def test_a_parsed_response_becomes_the_callers_own_type(door: Door) -> None:
    response = door.client.responses.parse(model="json", input="Paris?", text_format=Town)
    assert response.output_parsed == Town(city="Paris", people=2_102_650)
    asked = door.gateway.asked[-1][0].options["response_format"]
    assert isinstance(asked, dict)
    assert asked["json_schema"]["name"] == "Town"


def test_a_response_cut_by_its_limit_is_incomplete(door: Door) -> None:
    response = door.client.responses.create(model="long", input="Tell me")
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"


def test_a_response_that_fails_in_the_middle_ends_as_failed(door: Door) -> None:
    events = list(door.client.responses.create(model="cut", input="Hi", stream=True))
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error
    assert "closed the connection" in last.response.error.message
    assert last.response.output_text == "Half an ans"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"previous_response_id": "resp_1"}, "send the earlier items in 'input'"),
        ({"background": True}, "use 'stream'"),
        ({"tools": [{"type": "web_search"}]}, "runs at OpenAI"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "item_reference"),
        ({"truncation": "auto"}, "truncation"),
    ],
)
def test_what_responses_cannot_do_is_refused_with_its_remedy(
    door: Door, more: dict[str, Any], said: str
) -> None:
    asked: Any = {"model": "words", "input": "Hi", **more}
    with pytest.raises(openai.BadRequestError) as refused:
        door.client.responses.create(**asked)
    assert said in refused.value.message


# --- the rest ----------------------------------------------------------------------------------------


def test_embeddings_come_as_the_client_asks(door: Door) -> None:
    made = door.client.embeddings.create(model="any", input=["a", "b"], dimensions=8)
    assert [len(each.embedding) for each in made.data] == [8, 8]
    assert made.usage.prompt_tokens == 6
    plain = door.client.embeddings.create(model="any", input="a", encoding_format="float")
    assert plain.data[0].embedding == [1.0, 0.0, 0.0, 0.0]


def test_embeddings_that_cannot_be_made_are_refused(door: Door) -> None:
    with pytest.raises(openai.BadRequestError, match="send the text itself"):
        door.client.embeddings.create(model="any", input=[[1, 2, 3]])
    with pytest.raises(openai.BadRequestError, match="gives 4"):
        door.client.embeddings.create(model="fixed", input="a", dimensions=8)


def test_pictures_are_drawn(door: Door) -> None:
    made = door.client.images.generate(model="painter", prompt="A boat", n=2, size="1024x1024")
    assert [image.b64_json for image in made.data or []] == ["aGk=", "aGk="]
    assert (made.data or [])[0].revised_prompt == "A boat, in oil"


def test_models_are_listed_and_found_by_names_with_slashes(door: Door) -> None:
    assert [model.id for model in door.client.models.list()] == ["words", "openai/gpt-5", "tools"]
    assert door.client.models.retrieve("openai/gpt-5").id == "openai/gpt-5"
    with pytest.raises(openai.NotFoundError):
        door.client.models.retrieve("nobody")


def test_rerank_answers_best_first(door: Door) -> None:
    asked = {"model": "r", "query": "q", "documents": ["long text", "ab"], "top_n": 1}
    answer = door.client.post("/rerank", body=asked, cast_to=httpx2.Response)
    assert answer.json()["results"] == [{"index": 1, "relevance_score": pytest.approx(1 / 3)}]


# --- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("blocked", openai.BadRequestError, "content_blocked"),
        ("forbidden", openai.PermissionDeniedError, "model_not_allowed"),
        ("nobody", openai.NotFoundError, "model_not_found"),
        ("limited", openai.RateLimitError, "rate_limited"),
        ("spent", openai.RateLimitError, "budget_spent"),
        ("busy", openai.InternalServerError, "busy"),
        ("late", openai.InternalServerError, "deadline_exceeded"),
        ("upstream", openai.InternalServerError, "upstream_error"),
        ("unfetched", openai.InternalServerError, "missing_model_file"),
        ("crash", openai.InternalServerError, "internal_error"),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_errors_become_the_clients_own_exceptions(
    door: Door, model: str, kind: type[openai.APIStatusError], code: str, is_streamed: bool
) -> None:
    with pytest.raises(kind) as failed:
        door.client.chat.completions.create(model=model, messages=QUESTION, stream=is_streamed)
    assert failed.value.code == code


def test_an_unknown_key_is_an_authentication_error(door: Door) -> None:
    with pytest.raises(openai.AuthenticationError):
        door.client.with_options(api_key="cw-wrong").models.list()


def test_a_limit_says_when_to_come_back(door: Door) -> None:
    with pytest.raises(openai.RateLimitError) as limited:
        door.client.chat.completions.create(model="limited", messages=QUESTION)
    assert limited.value.response.headers["retry-after"] == "2"
    assert limited.value.response.headers["retry-after-ms"] == "1200"


@pytest.mark.parametrize(("model", "tries"), [("spent", 1), ("unfetched", 1), ("crash", 1), ("upstream", 2)])
def test_only_what_may_succeed_later_is_tried_again(door: Door, model: str, tries: int) -> None:
    before = len(door.gateway.asked)
    client = door.client.with_options(max_retries=1)
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model=model, messages=QUESTION)
    assert len(door.gateway.asked) - before == tries


def test_a_stream_cut_in_the_middle_never_ends_clean(door: Door) -> None:
    said: list[str] = []
    with pytest.raises(openai.APIError) as failed:
        said.extend(
            chunk.choices[0].delta.content or ""
            for chunk in door.client.chat.completions.create(model="cut", messages=QUESTION, stream=True)
        )
    assert failed.value.code == "upstream_error"
    body = {"model": "snapped", "messages": QUESTION, "stream": True}
    raw = httpx2.post(
        f"{door.address}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}
    ).text
    assert "[DONE]" not in raw
    assert "ended before it was finished" in json.loads(raw.split("data: ")[-1])["error"]["message"]


@pytest.mark.parametrize("is_response", [False, True])
def test_heartbeats_of_a_silent_stream_are_read_over(is_response: bool) -> None:
    gateway = RichGateway()
    with serving(beating(gateway)) as address, OpenAI(base_url=f"{address}/v1", api_key=KEY) as client:
        if is_response:
            with client.responses.stream(model="silent", input="Hi") as stream:
                assert stream.get_final_response().output_text == "Hello there."
        else:
            chunks = client.chat.completions.create(model="silent", messages=QUESTION, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello there."
    assert gateway.is_beaten
    assert gateway.is_beaten.is_set()


# --- cancellation ------------------------------------------------------------------------------------


def test_a_client_that_leaves_a_stream_stops_the_model(door: Door) -> None:
    with door.client.chat.completions.create(model="slow", messages=QUESTION, stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.content == "Half an ans"
        assert not door.gateway.is_stopped.is_set()
    assert door.gateway.is_stopped.wait(PATIENCE_S)


def test_a_client_that_leaves_a_plain_call_stops_the_model(door: Door) -> None:
    body = json.dumps({"model": "slow", "messages": QUESTION})
    connection = HTTPConnection(urlsplit(door.address).netloc, timeout=PATIENCE_S)
    connection.request(
        "POST",
        "/v1/chat/completions",
        body,
        {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    assert door.gateway.is_writing.wait(PATIENCE_S)
    assert not door.gateway.is_stopped.is_set()
    connection.close()
    assert door.gateway.is_stopped.wait(PATIENCE_S)
