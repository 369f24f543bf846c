from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable

import httpx2
import pytest
from starlette.testclient import TestClient

from causeway.web.parts import WebParts
from causeway.web.rendering import cited_markdown, duration, file_size
from tests.web.conftest import Served
from tests.web.scripted import ADMIN_KEY, BROKEN, ENDLESS, EXAMPLES, HOSTILE, UNANSWERABLE, UNSURE, Scripted
from tests.web.test_sign_in import sign_in, token_of


def events_of(text: str) -> list[tuple[str, dict[str, object]]]:
    """Server-sent events, comments left out."""
    found = re.findall(r"^event: (\w+)\ndata: (.*)\n\n", text, re.MULTILINE)
    return [(name, json.loads(payload)) for name, payload in found]


def test_an_answer_comes_with_its_evidence(api: TestClient) -> None:
    answer = api.post("/api/ask", json={"question": EXAMPLES[0]}).json()
    assert "45 days" in answer["answer"]
    assert answer["refused"] is False
    assert [cited["n"] for cited in answer["citations"]] == [1, 2]
    assert answer["citations"][0]["title"] == "Returning an online order"
    assert answer["usage"]["input_tokens"] == 913
    assert answer["cost_usd"] == 0
    assert re.fullmatch("[0-9a-f]{32}", answer["trace_id"])


def test_an_answer_tells_whether_it_is_sure_and_what_was_left_out(api: TestClient) -> None:
    answer = api.post("/api/ask", json={"question": EXAMPLES[0]}).json()
    assert (answer["is_sure"], answer["left_out"]) == (True, 0)
    events = events_of(api.post("/api/ask", json={"question": UNSURE, "stream": True}).text)
    assert (events[-1][1]["is_sure"], events[-1][1]["left_out"]) == (False, 2)


def test_a_question_is_asked_among_fewer_documents_and_told_what_there_is_to_narrow_by(
    api: TestClient,
) -> None:
    body = {"question": EXAMPLES[1], "stream": True, "facets": ["type", "folder"]}
    retrieved = events_of(api.post("/api/ask", json=body).text)[0][1]
    assert retrieved["facets"] == {
        "type": [{"value": "application/pdf", "count": 2}, {"value": "text/markdown", "count": 1}],
        "folder": [{"value": "policies", "count": 2}, {"value": "handbook", "count": 1}],
    }
    narrowed = events_of(api.post("/api/ask", json={**body, "filters": {"folder": "handbook"}}).text)[0][1]
    hits = narrowed["hits"]
    assert isinstance(hits, list)
    assert {hit["path"].split("/")[0] for hit in hits} == {"handbook"}


def test_a_stream_shows_passages_first_and_ends_with_the_whole_answer(api: TestClient) -> None:
    answer = api.post("/api/ask", json={"question": EXAMPLES[0], "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    events = events_of(answer.text)
    names = [name for name, _ in events]
    assert names[0] == "retrieved"
    assert names[-1] == "done"
    assert names.count("citation") == 2
    text = "".join(str(payload["text"]) for name, payload in events if name == "text")
    assert text == events[-1][1]["answer"]


def test_a_question_that_the_documents_do_not_answer_is_refused(api: TestClient) -> None:
    answer = api.post("/api/ask", json={"question": UNANSWERABLE}).json()
    assert answer["refused"] is True
    assert answer["answer"].startswith("The documents don't say.")
    assert answer["citations"] == []


def test_a_failure_after_the_passages_ends_the_stream_with_a_problem(api: TestClient) -> None:
    events = events_of(api.post("/api/ask", json={"question": BROKEN, "stream": True}).text)
    assert [name for name, _ in events] == ["retrieved", "error"]
    assert events[-1][1]["code"] == "model_unavailable"
    whole = api.post("/api/ask", json={"question": BROKEN})
    assert whole.status_code == 503
    assert whole.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("stream", [True, False])
def test_a_reader_who_leaves_stops_the_model(served: Served, stream: bool) -> None:
    with httpx2.Client(base_url=served.address, headers={"authorization": f"Bearer {ADMIN_KEY}"}) as client:
        body = {"question": ENDLESS, "stream": stream}
        if stream:
            with client.stream("POST", "/api/ask", json=body) as answer:
                next(answer.iter_lines())
        else:
            with pytest.raises(httpx2.ReadTimeout):
                client.post("/api/ask", json=body, timeout=0.3)
    deadline = time.monotonic() + 5
    while not served.site.answerer.closed:
        assert time.monotonic() < deadline, "the model writes on for nobody"
        threading.Event().wait(0.02)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"question": "  "}, "question"),
        ({"question": "x" * 4001}, "question"),
        ({}, "question"),
        ({"question": "why?", "colection": "hr"}, "colection"),
        ({"question": 7}, "question"),
    ],
)
def test_a_wrong_body_is_explained(api: TestClient, body: dict[str, object], said: str) -> None:
    answer = api.post("/api/ask", json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"
    assert said in answer.json()["detail"]


def test_search_gives_passages_with_their_scores(api: TestClient) -> None:
    found = api.post("/api/search", json={"query": "orange cloud on the till", "top_k": 3}).json()
    assert len(found["hits"]) == 3
    assert found["hits"][0]["title"] == "Runbook: point-of-sale outage"
    assert set(found["hits"][0]["scores"]) == {"bm25", "vector", "fused", "rerank"}


def test_a_vote_is_kept_under_its_trace(api: TestClient, site: Scripted) -> None:
    trace_id = api.post("/api/ask", json={"question": EXAMPLES[3]}).json()["trace_id"]
    vote = {"trace_id": trace_id, "vote": "down", "correction": "It is 120 km/h"}
    assert api.post("/api/feedback", json=vote).status_code == 204
    assert site.feedback.votes == [(trace_id, False, "It is 120 km/h")]
    assert api.post("/api/feedback", json={**vote, "vote": "sideways"}).status_code == 422


def test_a_vote_is_read_again_changed_and_taken_back(api: TestClient) -> None:
    trace_id = api.post("/api/ask", json={"question": EXAMPLES[3]}).json()["trace_id"]
    asked = {"trace_id": [trace_id, "0" * 32]}
    assert api.get("/api/feedback", params=asked).json() == {"votes": []}
    api.post("/api/feedback", json={"trace_id": trace_id, "vote": "down", "reason": "incomplete"})
    (kept,) = api.get("/api/feedback", params=asked).json()["votes"]
    assert (kept["trace_id"], kept["vote"], kept["reason"]) == (trace_id, "down", "incomplete")
    api.post("/api/feedback", json={"trace_id": trace_id, "vote": "up"})
    (changed,) = api.get("/api/feedback", params=asked).json()["votes"]
    assert (changed["vote"], changed["reason"]) == ("up", None)
    assert api.delete(f"/api/feedback/{trace_id}").status_code == 204
    assert api.delete(f"/api/feedback/{trace_id}").status_code == 404
    assert api.get("/api/feedback", params=asked).json() == {"votes": []}


def test_without_scripts_a_vote_is_a_form(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    token = {"csrf_token": token_of(client)}
    page = client.post("/ask", data={"question": EXAMPLES[3], **token}).text
    found = re.search(r'action="(/feedback/[0-9a-f]{32})"', page)
    assert found
    address = found[1]
    assert "No vote of yours" in client.get(address).text
    form = {**token, "vote": "down", "reason": "wrong_source", "correction": "See the 2026 policy"}
    assert client.post(address, data=form).status_code == 303
    shown = client.get(address).text
    assert "You found the answer bad" in shown
    assert "See the 2026 policy" in shown
    assert 'value="wrong_source" checked' in shown
    assert client.post(address, data={"vote": "up"}).status_code == 403, "without the session's token"
    assert client.post(address, data={**token, "vote": "none"}).status_code == 303
    assert "No vote of yours" in client.get(address).text


def test_without_scripts_the_form_gives_the_whole_answer(client: TestClient) -> None:
    sign_in(client)
    page = client.post("/ask", data={"question": EXAMPLES[0], "csrf_token": token_of(client)}).text
    assert "<strong>45 days</strong>" in page
    assert re.search(
        r'<a class="cite" href="/documents/doc_[0-9a-f]{32}\?revision=1&amp;quote=[^"#]+#chunk-1">1</a>', page
    )


def test_without_scripts_a_hostile_answer_stays_text(client: TestClient) -> None:
    sign_in(client)
    page = client.post("/ask", data={"question": HOSTILE, "csrf_token": token_of(client)}).text
    answer = page[page.index('<div class="answer prose">') :]
    assert "<script>window" not in answer
    assert "<img" not in answer
    assert 'href="https://evil.example' not in answer


def test_examples_show_only_where_their_collection_is_ready(
    site: Scripted, connect: Callable[[WebParts], TestClient], client: TestClient
) -> None:
    sign_in(client)
    assert EXAMPLES[0] in client.get("/").text
    for document in client.get("/api/documents?limit=100").json()["documents"]:
        client.delete(f"/api/documents/{document['document_id']}", headers={"x-csrf-token": token_of(client)})
    empty = client.get("/").text
    assert EXAMPLES[0] not in empty
    assert "Give Causeway something to read" in empty


def test_only_known_citation_marks_become_links() -> None:
    html = cited_markdown("Yes [1], no [2], `[1]` and <b>x</b>", {1: "/documents/a?b=1&c=2#chunk-0"})
    assert html.count('<a class="cite" href="/documents/a?b=1&amp;c=2#chunk-0">1</a>') >= 1
    assert "[2]" in html
    assert "<b>" not in html


def test_values_read_well() -> None:
    assert [file_size(size) for size in (0, 999, 1400, 250_000, 3_200_000)] == [
        "0 B",
        "999 B",
        "1.4 kB",
        "250 kB",
        "3.2 MB",
    ]
    assert [duration(ms) for ms in (12, 3412, 125_000)] == ["12 ms", "3.4 s", "2 min 5 s"]
