"""Whatever bytes arrive: a vendor-shaped refusal, never a failure of Causeway's own, and nothing of them in a log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causeway.gateway.edge_path import EdgePath
from tests.gateway.asgi import JSON, SIGNED, Answer, ask
from tests.gateway.hostile_bodies import HOSTILE, SECRET
from tests.gateway.v1_server import KEY, RichGateway, edge_over

OPENAIS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank", "/v1/images/generations")
COUNTING = "/v1/messages/count_tokens"
ANTHROPICS = ("/v1/messages", COUNTING)
VALID: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "words",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "max_tokens": 5,
        "temperature": 0.5,
        "stream_options": {"include_usage": True},
        "function_call": None,
    },
    "/v1/responses": {
        "model": "words",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "4"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
        "reasoning": {"effort": "low"},
        "include": [],
    },
    "/v1/embeddings": {"model": "e", "input": ["x"], "dimensions": 4, "encoding_format": "base64"},
    "/v1/rerank": {"model": "r", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1},
    "/v1/images/generations": {"model": "p", "prompt": "x", "n": 1, "size": "8x8"},
    "/v1/messages": {
        "model": "words",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "4"}]},
        ],
        "tools": [{"name": "f", "input_schema": {}}],
        "tool_choice": {"type": "tool", "name": "f"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "low"},
    },
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def edge() -> EdgePath:
    return edge_over(RichGateway())


def _is_refusal(path: str, answer: Answer) -> bool:
    """Whether ``answer`` is a 4xx in the shape of the vendor of ``path``."""
    told = answer.json
    if path in ANTHROPICS:
        is_shaped = told["type"] == "error" and set(told["error"]) == {"type", "message", "code"}
    else:
        is_shaped = set(told) == {"error"} and set(told["error"]) == {"message", "type", "param", "code"}
    return (
        400 <= answer.status < 500
        and is_shaped
        and answer.headers["content-type"] == "application/json"
        and int(answer.headers["content-length"]) == len(answer.body) < 2_000
    )


@pytest.mark.parametrize("path", [*OPENAIS, *ANTHROPICS])
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_body_is_refused_and_not_logged(
    edge: EdgePath, caplog: pytest.LogCaptureFixture, path: str, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await ask(edge, path, [HOSTILE[name]])
    is_counted = path == COUNTING and answer.status == 200  # it reads a part of the body and asks no model
    assert is_counted or _is_refusal(path, answer), answer
    assert b"x-injected" not in str(answer.headers).encode()
    logged = caplog.text + str([vars(record) for record in caplog.records])
    assert SECRET not in logged
    assert KEY not in logged


@given(path=st.sampled_from([*OPENAIS, *ANTHROPICS]), body=st.binary(max_size=200))
def test_any_bytes_are_refused(edge: EdgePath, path: str, body: bytes) -> None:
    assert _is_refusal(path, asyncio.run(ask(edge, path, [body])))


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(drawn=st.data())
def test_a_valid_body_with_one_wrong_value_is_answered_or_refused(
    edge: EdgePath, drawn: st.DataObject
) -> None:
    path = drawn.draw(st.sampled_from(sorted(VALID)))
    body = msgspec.json.decode(msgspec.json.encode(VALID[path]))
    node: Any = body
    while True:
        at = drawn.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not node[at] or not isinstance(node[at], dict | list) or drawn.draw(st.booleans()):
            break
        node = node[at]
    node[at] = drawn.draw(json_values)
    try:
        sent = msgspec.json.encode(body)
    except (OverflowError, UnicodeEncodeError):
        return
    answer = asyncio.run(ask(edge, path, [sent]))
    assert answer.is_whole
    assert answer.status == 200 or _is_refusal(path, answer), (sent, answer)


async def test_the_bodies_that_are_varied_are_valid(edge: EdgePath) -> None:
    for path, body in VALID.items():
        answer = await ask(edge, path, [msgspec.json.encode(body)])
        assert answer.status == 200, (path, answer)


@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "authorization",
                "x-api-key",
                "api-key",
                "content-type",
                "content-encoding",
                "content-length",
                "cache-control",
                "traceparent",
                "x-causeway-timeout",
                "anthropic-version",
            ]
        ),
        st.text(st.characters(max_codepoint=255), max_size=30),
    )
)
def test_any_headers_are_answered_or_refused(edge: EdgePath, headers: dict[str, str]) -> None:
    body = msgspec.json.encode(VALID["/v1/embeddings"])
    answer = asyncio.run(ask(edge, "/v1/embeddings", [body], headers={**SIGNED, **headers}))
    assert answer.status == 200 or _is_refusal("/v1/embeddings", answer)


async def test_a_crash_logs_where_it_was_and_nothing_that_was_said(
    edge: EdgePath, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = msgspec.json.encode({"model": "crash", "messages": [{"role": "user", "content": SECRET}]})
    answer = await ask(edge, "/v1/chat/completions", [body])
    assert answer.status == 500
    assert answer.json["error"]["message"] == "Causeway failed on this call; its log tells why"
    (record,) = [each for each in caplog.records if each.name.startswith("causeway")]
    fault = str(vars(record)["fault"])
    assert "RuntimeError at " in fault
    assert "v1_server.py" in fault
    assert SECRET not in str(vars(record))


async def test_a_key_that_is_wrong_is_not_logged(edge: EdgePath, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await ask(edge, "/v1/messages", [b"{}"], headers={**JSON, "x-api-key": SECRET})
    assert answer.status == 401
    assert SECRET not in caplog.text + answer.body.decode()
