"""``/mcp`` and ``causeway mcp``, as the protocol's own client uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.knowledge import SearchRequest, SearchResult
from causeway.web.app import build_app
from causeway.web.mcp_tools import McpTools
from causeway.web.sign_in import COOKIE
from tests.web.scripted import ADMIN_KEY, READER_KEY, Scripted, scripted

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def site(tmp_path: Path) -> Scripted:
    return scripted(tmp_path, pause_s=0)


@pytest.fixture
def http(site: Scripted) -> Callable[..., httpx2.AsyncClient]:
    def opened(**headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=build_app(site.parts))
        return httpx2.AsyncClient(transport=transport, base_url="http://causeway.test", headers=headers)

    return opened


@pytest.fixture
def connect(http: Callable[..., httpx2.AsyncClient]) -> Connect:
    @asynccontextmanager
    async def connected(key: str = READER_KEY) -> AsyncIterator[Client]:
        async with http(authorization=f"Bearer {key}") as channel:
            transport = streamable_http_client("http://causeway.test/mcp", http_client=channel)
            async with Client(transport) as client:
                yield client

    return connected


def text_of(result: object) -> str:
    assert isinstance(result, types.CallToolResult)
    return "".join(part.text for part in result.content if isinstance(part, types.TextContent))


async def test_the_tools_are_listed_with_their_arguments(connect: Connect) -> None:
    async with connect() as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == ["search", "ask"]
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
    assert set(tools[0].input_schema["required"]) == {"query"}


async def test_a_search_brings_passages(connect: Connect) -> None:
    async with connect() as client:
        found = await client.call_tool("search", {"query": "return a tent", "top_k": 3})
    assert not found.is_error
    assert found.structured_content
    assert len(found.structured_content["hits"]) == 3
    assert text_of(found).startswith("[1] ")


async def test_a_question_brings_an_answer_with_its_sources(connect: Connect, site: Scripted) -> None:
    question = next(iter(site.parts.examples.values()))[0]
    async with connect() as client:
        answered = await client.call_tool("ask", {"question": question})
    assert answered.structured_content
    assert answered.structured_content["citations"]
    assert "[1]" in text_of(answered)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("search", {}, "query: Field required"),
        ("search", {"query": "x", "top_k": 1000}, "top_k"),
        ("search", {"query": "x", "sql": "DROP"}, "sql: Extra inputs"),
        ("ask", {"question": " "}, "question"),
        ("delete", {}, "there is no tool 'delete'"),
    ],
)
async def test_wrong_calls_are_told_in_the_result(
    connect: Connect, name: str, arguments: dict[str, object], told: str
) -> None:
    async with connect() as client:
        result = await client.call_tool(name, arguments)
    assert result.is_error
    assert told in text_of(result)


BODY = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer cw-wrong"}, 401),
        ({"authorization": "Basic YTpi"}, 401),
        ({"authorization": f"Bearer {ADMIN_KEY}", "origin": "https://evil.example"}, 403),
        ({"authorization": f"Bearer {ADMIN_KEY}", "origin": "http://causeway.test"}, 200),
        ({"authorization": f"Bearer {ADMIN_KEY}"}, 200),
    ],
)
async def test_a_key_is_what_counts(
    http: Callable[..., httpx2.AsyncClient], headers: dict[str, str], status: int
) -> None:
    async with http(**headers, **ACCEPT) as client:
        answer = await client.post("/mcp", json=BODY)
    assert answer.status_code == status
    assert status == 200 or answer.headers["content-type"] == "application/problem+json"


async def test_a_browsers_session_is_no_key(http: Callable[..., httpx2.AsyncClient]) -> None:
    async with http(**ACCEPT) as client:
        await client.post("/sign-in", data={"key": ADMIN_KEY})
        assert COOKIE in client.cookies
        assert (await client.post("/mcp", json=BODY)).status_code == 401


async def test_a_key_that_may_not_ask_gets_nothing(site: Scripted) -> None:
    models_only = Principal(id="key_m", name="models", scopes=frozenset({Scope.MODELS}))
    tools = McpTools(site.parts.search, site.parts.answerer)
    refused = await tools.call("search", {"query": "tents"}, models_only)
    assert refused.is_error
    assert "needs the scope 'ask'" in text_of(refused)


async def test_an_unexpected_errors_own_words_stay_in_the_log(
    site: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def search(self, request: SearchRequest, call: Call) -> SearchResult:
            raise RuntimeError(f"secret inner detail of {request.query} for {call.purpose}")

    caller = Principal(id="key_a", name="a", scopes=frozenset({Scope.ASK}))
    failed = await McpTools(Broken(), site.parts.answerer).call("search", {"query": "tents"}, caller)
    assert (failed.is_error, "secret" in text_of(failed)) == (True, False)
    assert "secret inner detail" in caplog.text


async def test_a_body_that_is_too_large_is_refused(http: Callable[..., httpx2.AsyncClient]) -> None:
    async with http(authorization=f"Bearer {ADMIN_KEY}", **ACCEPT) as client:
        answer = await client.post("/mcp", content=b'"' + b"x" * 1_000_001 + b'"')
    assert answer.status_code == 413


async def test_the_same_tools_over_any_other_transport(site: Scripted) -> None:
    caller = Principal(id="system", name="Causeway", scopes=frozenset({Scope.ADMIN}))
    server = McpTools(site.parts.search, site.parts.answerer).server(lambda _: caller)
    async with Client(server) as client:
        found = await client.call_tool("search", {"query": "return a tent"})
    assert not found.is_error
