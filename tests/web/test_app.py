from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from causeway.contracts.model_gateway import Call
from causeway.errors import ModelUnavailableError
from causeway.knowledge import AnswerEvent, AskRequest, DocumentPage, Retrieved
from causeway.observability.spans import Spans
from causeway.web.base_path import under
from causeway.web.parts import AsgiScope, Receive, Send, WebParts
from tests.web.scripted import EXAMPLES, Scripted, ScriptedLibrary, scripted
from tests.web.test_sign_in import sign_in, token_of


class BrokenLibrary(ScriptedLibrary):
    """Fails in a way nobody foresaw."""

    async def documents(self, **_options: object) -> DocumentPage:
        msg = "secret inner detail"
        raise RuntimeError(msg)


class TracedAnswerer:
    """Makes a span and fails in it."""

    trace_id = ""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    async def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AnswerEvent, None]:
        with self._spans.start("ask") as outer, self._spans.start("chat", parent=outer.traceparent):
            TracedAnswerer.trace_id = outer.trace_id
            if not request.question:
                yield Retrieved(hits=())
            raise ModelUnavailableError(f"the model for {request.question!r} is starting")


def test_v1_reaches_the_edge_without_the_pages(client: TestClient) -> None:
    assert client.post("/v1/chat/completions").text == "edge /v1/chat/completions"
    assert client.get("/v1/models").text == "edge /v1/models"


@pytest.mark.parametrize("sent", ["/ai/documents", "/documents", "/ai/ai/documents"])
async def test_a_base_path_is_put_right_whatever_the_proxy_does(sent: str) -> None:
    seen: list[tuple[str, str]] = []

    async def app(scope: AsgiScope, _receive: Receive, _send: Send) -> None:
        seen.append((scope["root_path"], scope["path"]))

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    await under("/ai/", app)({"type": "http", "path": sent, "root_path": "/ai"}, nothing, nothing)  # type: ignore[arg-type]  # never called
    assert seen == [("/ai", "/ai/documents")]


def test_every_link_of_every_page_stays_under_the_base_path(
    tmp_path: Path, connect: Callable[[WebParts], TestClient]
) -> None:
    client = connect(scripted(tmp_path, root_path="/ai").parts)
    assert sign_in(client, next_path="/ai/documents") == "/ai/documents"
    assert sign_in(client, next_path="/elsewhere") == "/ai/"
    trace = client.post(
        "/ai/api/ask", json={"question": EXAMPLES[0]}, headers={"x-csrf-token": token_of(client)}
    ).json()["trace_id"]
    document = client.get("/ai/api/documents").json()["documents"][0]["document_id"]
    for path in (
        "/",
        "/documents",
        f"/documents/{document}",
        "/traces",
        f"/traces/{trace}",
        "/api/docs",
        "/nowhere",
    ):
        page = client.get(f"/ai{path}").text
        links = re.findall(r'(?:href|src|action|hx-get|data-[a-z]+-url)="([^"#][^"]*)"', page)
        assert links, path
        assert [link for link in links if not link.startswith("/ai/")] == []
    assert client.get("/ai/v1/models").text == "edge /ai/v1/models"
    assert client.get("/ai/api/openapi.json").json()["servers"] == [{"url": "/ai"}]


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/sign-in", "/api/documents", "/nowhere", "/static/x/islands/ask.js", "/health/live"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_programs_get_problems_and_people_get_pages(client: TestClient) -> None:
    refused = client.get("/api/documents")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert set(refused.json()) == {"type", "title", "status", "code", "detail", "trace_id"}
    assert re.fullmatch("[0-9a-f]{32}", refused.json()["trace_id"])
    assert client.get("/api/nothing").json()["code"] == "not_found"
    assert client.put("/api/ask").status_code == 405
    missing = client.get("/nowhere")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_an_unexpected_error_is_logged_and_kept_inside(
    tmp_path: Path,
    site: Scripted,
    connect: Callable[[WebParts], TestClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = BrokenLibrary(tmp_path, site.parts.clock)
    client = connect(dataclasses.replace(site.parts, library=broken))
    with caplog.at_level(logging.ERROR, "causeway.web"):
        answer = client.get("/api/documents", headers={"authorization": "Bearer cw-admin"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "secret" not in answer.text
    numbers = [vars(record)["trace_id"] for record in caplog.records if record.exc_info]
    assert numbers == [answer.json()["trace_id"]]


def test_a_problem_and_its_line_in_the_log_have_the_same_number(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "causeway.web"):
        first, second = (client.get("/api/documents").json()["trace_id"] for _ in range(2))
    assert first != second
    lines = [vars(record) for record in caplog.records if record.message == "request refused"]
    assert [(line["trace_id"], line["code"], line["path"]) for line in lines] == [
        (number, "not_signed_in", "/api/documents") for number in (first, second)
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_a_problem_of_a_call_that_made_a_trace_names_that_trace(
    site: Scripted, connect: Callable[[WebParts], TestClient], stream: bool
) -> None:
    spans = Spans()
    client = connect(dataclasses.replace(site.parts, answerer=TracedAnswerer(spans)))
    headers = {"authorization": "Bearer cw-admin"}
    body = {"question": "Why?", "stream": stream}
    problem = client.post("/api/ask", json=body, headers=headers).json()
    spans.close()
    assert (problem["code"], problem["trace_id"]) == ("model_unavailable", TracedAnswerer.trace_id)


def test_a_stale_page_is_sent_to_sign_in_by_its_fragment(client: TestClient) -> None:
    answer = client.get("/documents", headers={"hx-request": "true"})
    assert answer.status_code == 204
    assert answer.headers["hx-redirect"] == "/sign-in"


def test_ready_says_what_is_missing(client: TestClient, site: Scripted) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").status_code == 200
    site.not_ready["models"] = "the model 'chat' is starting"
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"]["models"] == "the model 'chat' is starting"


def test_static_files_are_kept_for_good_under_their_version_alone(client: TestClient) -> None:
    page = client.get("/sign-in").text
    current = re.search(r'href="(/static/[0-9a-f]{12}/styles/tokens.css)"', page)
    assert current
    assert "immutable" in client.get(current[1]).headers["cache-control"]
    assert client.get("/static/old/styles/tokens.css").headers["cache-control"] == "no-cache"
    assert client.get("/static/x/../../app.py").status_code == 404
    assert client.get("/static/x/%2e%2e/%2e%2e/app.py").status_code == 404


def test_the_description_gives_problems_the_type_they_are_sent_with(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()
    for operation in (each for methods in described["paths"].values() for each in methods.values()):
        assert list(operation["responses"]["4XX"]["content"]) == ["application/problem+json"]
    sent = client.get("/api/conversations/none").headers["content-type"]
    assert sent == "application/problem+json"


def test_the_description_names_every_call_and_the_page_shows_it(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()
    calls = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert calls == {
        ("POST", "/api/search"),
        ("POST", "/api/ask"),
        ("DELETE", "/api/ask/{answer_id}"),
        ("POST", "/api/feedback"),
        ("GET", "/api/feedback"),
        ("DELETE", "/api/feedback/{trace_id}"),
        ("GET", "/api/review"),
        ("GET", "/api/review/{trace_id}"),
        ("POST", "/api/review/{trace_id}"),
        ("POST", "/api/review/{trace_id}/case"),
        ("DELETE", "/api/review/{trace_id}/case"),
        ("GET", "/api/experiments"),
        ("POST", "/api/experiments"),
        ("GET", "/api/experiments/{experiment_id}"),
        ("PUT", "/api/improvements/{collection}/{kind}"),
        ("GET", "/api/palette"),
        ("GET", "/api/conversations"),
        ("GET", "/api/conversations/{conversation_id}"),
        ("PATCH", "/api/conversations/{conversation_id}"),
        ("DELETE", "/api/conversations/{conversation_id}"),
        ("GET", "/api/conversations/{conversation_id}/markdown"),
        ("GET", "/api/collection-moves"),
        ("POST", "/api/collection-moves"),
        ("DELETE", "/api/sources/{name}"),
        ("GET", "/api/prompts"),
        ("POST", "/api/prompts"),
        ("POST", "/api/prompts/check"),
        ("GET", "/api/prompts/{prompt}"),
        ("GET", "/api/prompts/{prompt}/versions/{which}"),
        ("GET", "/api/prompts/{prompt}/events"),
        ("GET", "/api/prompts/{prompt}/patch"),
        ("PUT", "/api/prompts/{prompt}/labels/{label}"),
        ("DELETE", "/api/prompts/{prompt}/labels/{label}"),
        ("POST", "/api/prompts/{prompt}/rollback"),
        ("POST", "/api/prompts/{prompt}/follow"),
        ("POST", "/api/prompts/{prompt}/render"),
        ("GET", "/api/prompts/{prompt}/inputs"),
        ("POST", "/api/prompts/{prompt}/try"),
        ("GET", "/api/analyst/databases"),
        ("POST", "/api/analyst/ask"),
        ("POST", "/api/analyst/run"),
        ("POST", "/api/analyst/chart"),
        ("POST", "/api/analyst/vote"),
        ("GET", "/api/analyst/saved"),
        ("POST", "/api/analyst/saved"),
        ("DELETE", "/api/analyst/saved/{saved_id}"),
        ("POST", "/api/documents"),
        ("GET", "/api/documents"),
        ("GET", "/api/documents/{document_id}"),
        ("DELETE", "/api/documents/{document_id}"),
        ("GET", "/api/documents/{document_id}/pages/{number}"),
        ("GET", "/api/documents/{document_id}/file"),
        ("GET", "/api/documents/{document_id}/chunks"),
        ("GET", "/api/documents/{document_id}/pages/{number}/words"),
        ("GET", "/api/documents/{document_id}/revisions"),
        ("DELETE", "/api/documents/{document_id}/revisions"),
        ("POST", "/api/documents/{document_id}/{action}"),
        ("GET", "/api/collections"),
        ("POST", "/api/collections"),
        ("GET", "/api/collections/{collection_id}"),
        ("PATCH", "/api/collections/{collection_id}"),
        ("DELETE", "/api/collections/{collection_id}"),
        ("POST", "/api/collections/{collection_id}/{action}"),
        ("GET", "/api/sources"),
        ("POST", "/api/sources/{name}/{action}"),
        ("POST", "/api/sources/{name}/sync"),
        ("GET", "/api/traces"),
        ("GET", "/api/traces/{trace_id}"),
        ("POST", "/otlp/v1/traces"),
        ("GET", "/metrics"),
        ("GET", "/api/stats"),
        ("GET", "/api/stats.csv"),
        ("GET", "/api/alerts"),
        ("POST", "/api/alerts"),
        ("GET", "/api/alerts/firings"),
        ("GET", "/api/alerts/{alert_id}"),
        ("PUT", "/api/alerts/{alert_id}"),
        ("DELETE", "/api/alerts/{alert_id}"),
        ("POST", "/api/alerts/{alert_id}/test"),
        ("GET", "/api/admin/keys"),
        ("POST", "/api/admin/keys"),
        ("GET", "/api/admin/keys/{key_id}"),
        ("PATCH", "/api/admin/keys/{key_id}"),
        ("DELETE", "/api/admin/keys/{key_id}"),
        ("POST", "/api/admin/keys/{key_id}/rotate"),
        ("GET", "/api/admin/teams"),
        ("POST", "/api/admin/teams"),
        ("PATCH", "/api/admin/teams/{team_id}"),
        ("GET", "/api/admin/tiers"),
        ("PUT", "/api/admin/tiers/{name}"),
        ("DELETE", "/api/admin/tiers/{name}"),
        ("GET", "/api/admin/providers"),
        ("PUT", "/api/admin/providers/{name}"),
        ("DELETE", "/api/admin/providers/{name}"),
        ("POST", "/api/admin/providers/{name}/test"),
        ("GET", "/api/admin/routes"),
        ("PUT", "/api/admin/routes/{name}"),
        ("DELETE", "/api/admin/routes/{name}"),
        ("GET", "/api/admin/settings"),
        ("PATCH", "/api/admin/settings/{section}"),
        ("DELETE", "/api/admin/settings/{section}"),
        ("POST", "/api/admin/reload"),
        ("GET", "/api/admin/budgets"),
        ("GET", "/api/admin/usage"),
        ("GET", "/api/admin/usage.csv"),
        ("GET", "/api/admin/audit"),
        ("GET", "/api/admin/users"),
        ("POST", "/api/admin/users"),
        ("GET", "/api/admin/users/{user_id}"),
        ("PATCH", "/api/admin/users/{user_id}"),
        ("DELETE", "/api/admin/users/{user_id}"),
        ("POST", "/api/admin/users/{user_id}/invite"),
        ("GET", "/api/admin/groups"),
        ("POST", "/api/admin/groups"),
        ("DELETE", "/api/admin/groups/{group_id}"),
        ("GET", "/api/admin/access"),
        ("PUT", "/api/admin/access/collections/{name}"),
        ("PUT", "/api/admin/access/collections/{name}/folders"),
        ("GET", "/api/admin/access/documents/{document_id}"),
        ("PUT", "/api/admin/access/documents/{document_id}"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
    }
    page = client.get("/api/docs").text
    assert all(path in page for _, path in calls)


def test_without_a_gateway_there_is_nothing_to_administer(api: TestClient) -> None:
    assert api.get("/api/admin/keys").json()["detail"] == "this Causeway has no gateway to administer"


def test_the_theme_follows_its_cookie(client: TestClient) -> None:
    assert "data-theme" not in client.get("/sign-in").text
    client.cookies.set("causeway_theme", "dark")
    assert '<html lang="en" data-theme="dark">' in client.get("/sign-in").text
    client.cookies.set("causeway_theme", 'x" onload="alert(1)')
    assert "onload" not in client.get("/sign-in").text
