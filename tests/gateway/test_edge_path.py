from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from causeway.contracts.chat import ChatChunk, ChatRequest, StopReason
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.errors import BusyError, UpstreamError
from causeway.gateway.client_presence import while_present
from causeway.gateway.edge_path import EdgePath
from causeway.gateway.reply import Reply
from causeway.gateway.vendor_errors import openai_error
from causeway.settings import GatewaySettings
from causeway.testing.clock import FrozenClock
from tests.gateway.asgi import JSON, SIGNED, ask
from tests.gateway.v1_server import KEY, OneKey, RichGateway, edge_over

CHAT = "/v1/chat/completions"
HELLO = b'{"model": "words", "messages": [{"role": "user", "content": "Hi"}]}'


@pytest.fixture
def gateway() -> RichGateway:
    return RichGateway()


@pytest.fixture
def edge(gateway: RichGateway) -> EdgePath:
    return edge_over(gateway, max_body_bytes=1_000, body_timeout_s=0.05)


# --- who asks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"x-api-key": KEY},
        {"api-key": KEY},
    ],
)
async def test_a_key_is_read_where_each_vendors_clients_put_it(
    edge: EdgePath, headers: dict[str, str]
) -> None:
    assert (await ask(edge, "/v1/models", method="GET", headers=headers)).status == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": f"Basic {KEY}"}, {"authorization": "Bearer "}])
async def test_a_call_without_a_key_learns_how_to_send_one(edge: EdgePath, headers: dict[str, str]) -> None:
    answer = await ask(edge, CHAT, [HELLO], headers={**JSON, **headers})
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "causeway keys create" in answer.json["error"]["message"]


async def test_a_key_for_other_things_may_not_call_models(gateway: RichGateway) -> None:
    class Visitor(OneKey):
        async def identify(self, secret: str) -> Principal:
            return Principal("key_2", "visitor", frozenset({Scope.ASK}))

    edge = EdgePath(
        gateway=gateway, keys=Visitor(), clock=FrozenClock(), assistants={}, settings=GatewaySettings()
    )
    assert (await ask(edge, CHAT, [HELLO])).status == 403


# --- which endpoint ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "TRACE"])
async def test_a_wrong_method_learns_the_right_one(edge: EdgePath, method: str) -> None:
    answer = await ask(edge, CHAT, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")
    assert answer.json["error"]["code"] == "wrong_method"


async def test_options_are_told_and_no_other_site_is_let_in(edge: EdgePath) -> None:
    answer = await ask(
        edge, "/v1/models", method="OPTIONS", headers={**SIGNED, "origin": "https://example.com"}
    )
    assert (answer.status, answer.headers) == (204, {"allow": "GET, HEAD, OPTIONS"})


async def test_an_unknown_address_is_refused_in_the_callers_own_shape(edge: EdgePath) -> None:
    assert (await ask(edge, "/v1/nowhere")).json["error"]["code"] == "not_found"
    anthropics = await ask(edge, "/v1/messages/batches")
    assert (anthropics.status, anthropics.json["error"]["type"]) == (404, "not_found_error")
    versioned = await ask(edge, "/v1/complete", headers={**SIGNED, "anthropic-version": "2023-06-01"})
    assert versioned.json["type"] == "error"


async def test_a_slash_at_the_end_and_a_base_path_do_not_matter(edge: EdgePath) -> None:
    assert (await ask(edge, f"{CHAT}/", [HELLO])).status == 200
    assert (await ask(edge, "/v1/models/", method="HEAD")).status == 200


# --- the body ----------------------------------------------------------------------------------------


async def test_a_body_in_pieces_is_put_together(edge: EdgePath) -> None:
    assert (await ask(edge, CHAT, [HELLO[:10], b"", HELLO[10:]])).status == 200


async def test_a_large_body_is_refused_whether_or_not_it_says_so(
    edge: EdgePath, gateway: RichGateway
) -> None:
    said = await ask(edge, CHAT, [], headers={**SIGNED, "content-length": "1001"})
    silent = await ask(edge, CHAT, [b" " * 600, b" " * 600, b" " * 600])
    for answer in (said, silent):
        assert answer.status == 413
        assert "over 1000 bytes" in answer.json["error"]["message"]
    assert gateway.asked == []


async def test_brackets_and_commas_in_a_text_are_no_values(gateway: RichGateway) -> None:
    text = '{[,\\\\\\"' * 400_000
    body = HELLO.replace(b"Hi", text.encode())
    assert (await ask(edge_over(gateway), CHAT, [body])).status == 200
    assert len(gateway.asked[-1][0].messages[0].text) == 5 * 400_000


async def test_a_body_that_never_ends_is_given_up(edge: EdgePath) -> None:
    answer = await ask(edge, CHAT, [])
    assert answer.status == 408
    assert answer.headers["connection"] == "close"
    assert "0.05 s" in answer.json["error"]["message"]


async def test_a_client_that_leaves_before_its_body_is_whole_is_answered_nothing(edge: EdgePath) -> None:
    assert (await ask(edge, CHAT, [HELLO[:10]], is_gone=True)).status == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-encoding": "gzip"},
        {"content-encoding": "br"},
    ],
)
async def test_what_is_not_plain_json_is_refused(edge: EdgePath, headers: dict[str, str]) -> None:
    answer = await ask(edge, CHAT, [HELLO], headers={**SIGNED, **headers})
    assert (answer.status, answer.json["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": ""},
        {"content-type": "Application/JSON; charset=UTF-8"},
        {"content-encoding": "identity"},
    ],
)
async def test_plain_json_is_read_however_it_is_announced(edge: EdgePath, headers: dict[str, str]) -> None:
    assert (await ask(edge, CHAT, [HELLO], headers={**SIGNED, **headers})).status == 200


# --- the call ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "may_cache"),
    [
        ({}, True),
        ({"cache-control": "max-age=0"}, True),
        ({"cache-control": "No-Store"}, False),
        ({"cache-control": "max-age=0, no-cache"}, False),
        ({"x-causeway-cache": "no-store"}, False),
    ],
)
async def test_a_caller_may_forbid_the_cache(
    edge: EdgePath, gateway: RichGateway, headers: dict[str, str], may_cache: bool
) -> None:
    await ask(edge, CHAT, [HELLO], headers={**SIGNED, **headers})
    assert gateway.asked[-1][1].may_cache is may_cache


async def test_a_caller_may_forbid_the_cache_in_the_body(edge: EdgePath, gateway: RichGateway) -> None:
    await ask(edge, CHAT, [HELLO[:-1] + b', "cache": {"no-store": true}}'])
    assert not gateway.asked[-1][1].may_cache


async def test_the_callers_own_trace_and_deadline_reach_the_call(
    edge: EdgePath, gateway: RichGateway
) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {**SIGNED, "traceparent": traceparent, "x-causeway-timeout": "2.5"}
    await ask(edge, CHAT, [HELLO], headers=headers)
    call = gateway.asked[-1][1]
    assert (call.traceparent, call.deadline_s, call.purpose) == (traceparent, 2.5, "api")


@pytest.mark.parametrize("said", ["soon", "-1", "0", "nan", "inf"])
async def test_a_deadline_that_is_no_time_is_refused(edge: EdgePath, said: str) -> None:
    answer = await ask(edge, CHAT, [HELLO], headers={**SIGNED, "x-causeway-timeout": said})
    assert answer.status == 400


async def test_an_error_tells_its_trace() -> None:
    class Traced(RichGateway):
        async def embed(self, request: Any, call: Call) -> Any:
            error = BusyError("try again")
            error.trace_id = "abc"
            raise error

    body = b'{"model": "e", "input": "x"}'
    answer = await ask(edge_over(Traced()), "/v1/embeddings", [body])
    assert answer.headers["x-request-id"] == "abc"


async def test_a_product_answers_under_its_name_to_those_who_may_ask(gateway: RichGateway) -> None:
    class Brain:
        async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
            yield ChatChunk(text=request.model, stop_reason=StopReason.END)

    class Colleague(OneKey):
        async def identify(self, secret: str) -> Principal:
            return Principal("key_2", "ann", frozenset({Scope.ASK, Scope.MODELS}))

    def edge_for(keys: OneKey) -> EdgePath:
        return EdgePath(
            gateway=gateway,
            keys=keys,
            clock=FrozenClock(),
            assistants={"brain": Brain()},
            settings=GatewaySettings(),
        )

    body = HELLO.replace(b"words", b"brain:leave")
    answer = await ask(edge_for(Colleague()), CHAT, [body])
    assert answer.json["choices"][0]["message"]["content"] == "brain:leave"
    assert (await ask(edge_for(OneKey()), CHAT, [body])).status == 403
    listed = await ask(edge_for(Colleague()), "/v1/models", method="GET")
    assert next(each["id"] for each in listed.json["data"]) == "brain"


async def test_a_header_cannot_carry_a_second_one() -> None:
    class Chatty(RichGateway):
        async def draw(self, request: Any, call: Call) -> Any:
            images = await RichGateway.draw(self, request, call)
            return replace(images, headers={"x-causeway-model": "a\r\nx-injected: 1\u20ac"})

    answer = await ask(edge_over(Chatty()), "/v1/images/generations", [b'{"model": "p", "prompt": "x"}'])
    assert answer.headers["x-causeway-model"] == "a??x-injected: 1?"
    assert "x-injected" not in answer.headers


# --- presence ----------------------------------------------------------------------------------------


async def _stays() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_work_is_cancelled_when_the_client_leaves() -> None:
    left = asyncio.Event()
    ended: list[str] = []

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def work() -> None:
        left.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def beat() -> None:
        raise AssertionError

    await while_present(work(), receive, beat=beat, beat_every_s=60)
    assert ended == ["cancelled"]


async def test_an_error_of_the_work_comes_out_as_it_is() -> None:
    async def work() -> None:
        msg = "try again"
        raise UpstreamError(msg)

    with pytest.raises(UpstreamError):
        await while_present(work(), _stays, beat=_nothing, beat_every_s=60)


async def _nothing() -> None:
    return


async def test_a_silent_stream_beats_until_it_speaks_and_keeps_its_shape() -> None:
    sent: list[MutableMapping[str, Any]] = []
    has_beaten = asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if message.get("body") == b": beat\n\n":
            has_beaten.set()

    reply = Reply(send, openai_error)

    async def work() -> None:
        reply.will_stream(openai_error, heartbeat=b": beat\n\n")
        await has_beaten.wait()
        await reply.events(b"data: 1\n\n", {"x-late": "1"}, None)
        msg = "cut"
        raise UpstreamError(msg)

    with pytest.raises(UpstreamError) as failed:
        await while_present(work(), _stays, beat=reply.beat, beat_every_s=0.01)
    await reply.fail(failed.value)
    assert [message["type"] for message in sent].count("http.response.start") == 1
    bodies = [message["body"] for message in sent if message["type"] == "http.response.body"]
    assert bodies[0] == b": beat\n\n"
    assert bodies[-3:] == [b"data: 1\n\n", openai_error(failed.value), b""]


async def test_a_plain_reply_and_a_lively_stream_do_not_beat() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    plain, lively = Reply(send, openai_error), Reply(send, openai_error)
    await plain.beat()
    assert sent == []
    lively.will_stream(openai_error, heartbeat=b": beat\n\n")
    await lively.events(b"data: 1\n\n", {}, None)
    await lively.beat()
    assert [message.get("body") for message in sent] == [None, b"data: 1\n\n"]
    await lively.beat()
    assert sent[-1]["body"] == b": beat\n\n"
    await lively.end()
    await lively.beat()
    assert sent[-1]["body"] == b""
