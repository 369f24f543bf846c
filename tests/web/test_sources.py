from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.web.scripted import READER_KEY, Scripted
from tests.web.test_sign_in import sign_in, token_of


def test_sources_are_listed_with_how_their_last_sync_went(api: TestClient) -> None:
    found = {each["name"]: each for each in api.get("/api/sources").json()["sources"]}
    assert {name: each["state"] for name, each in found.items()} == {
        "chat": "failed",
        "handbook": "ok",
        "site": "never",
        "wiki": "partial",
    }
    assert found["handbook"]["counts"]["unchanged"] == 1204
    assert found["wiki"]["failures"][0]["path"] == "Plans/Roadmap.md"
    assert "refuses its token" in found["chat"]["problem"]


def test_a_sync_is_asked_for(api: TestClient) -> None:
    asked = api.post("/api/sources/handbook/sync")
    assert (asked.status_code, asked.json()["state"]) == (202, "queued")
    missing = api.post("/api/sources/nothing/sync")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/api/sources", "/sources"])
def test_sources_are_for_those_who_may_ingest(client: TestClient, path: str) -> None:
    client.headers["authorization"] = f"Bearer {READER_KEY}"
    assert client.get(path).status_code == 403


def test_the_page_shows_each_source_and_runs_one_now(client: TestClient) -> None:
    sign_in(client)
    shown = client.get("/sources").text
    assert "Plans/Roadmap.md" in shown
    assert 'aria-current="page"' in shown
    assert "hx-get" not in shown, "nothing is under way"
    sent = client.post("/sources/handbook/sync", data={"csrf_token": token_of(client)})
    assert (sent.status_code, sent.headers["location"]) == (303, "/sources")
    waiting = client.get("/sources", headers={"hx-request": "true"}).text
    assert "hx-get" in waiting
    assert "<html" not in waiting
    assert waiting.count("disabled") == 1


def test_a_run_without_the_sessions_token_is_refused(client: TestClient) -> None:
    sign_in(client)
    assert client.post("/sources/handbook/sync").status_code == 403


def test_without_sources_the_page_says_how_to_add_one(client: TestClient, site: Scripted) -> None:
    site.sources.clear()
    sign_in(client)
    assert "[sources.handbook]" in client.get("/sources").text


# --- taken out of the settings -------------------------------------------------------------------------


def test_what_a_removed_source_left_is_listed_and_decided_on(api: TestClient, site: Scripted) -> None:
    (left,) = api.get("/api/sources").json()["left"]
    assert (left["name"], left["documents"]) == ("old-wiki", 214)
    undecided = api.delete("/api/sources/old-wiki")
    assert undecided.status_code in (400, 422), "it has to be said whether the documents go"
    gone = api.delete("/api/sources/old-wiki", params={"documents": "true"})
    assert (gone.status_code, gone.json()) == (200, left)
    assert site.sources.forgotten == [("old-wiki", True)]
    assert api.delete("/api/sources/old-wiki", params={"documents": "true"}).status_code == 404
    assert api.delete("/api/sources/handbook", params={"documents": "false"}).status_code == 400


@pytest.mark.parametrize(("said", "is_deleted"), [("keep", False), ("delete", True), (None, False)])
def test_the_page_asks_and_keeps_documents_unless_told_otherwise(
    client: TestClient, site: Scripted, said: str | None, is_deleted: bool
) -> None:
    sign_in(client)
    shown = client.get("/sources").text
    assert "Taken out of the settings" in shown
    assert "Delete 214 documents" in shown
    form = {"csrf_token": token_of(client), **({"documents": said} if said else {})}
    sent = client.post("/sources/old-wiki/remove", data=form)
    assert (sent.status_code, sent.headers["location"]) == (303, "/sources")
    assert site.sources.forgotten == [("old-wiki", is_deleted)]
    assert "Taken out of the settings" not in client.get("/sources").text


def test_removing_without_the_sessions_token_is_refused(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    assert client.post("/sources/old-wiki/remove", data={"documents": "delete"}).status_code == 403
    assert site.sources.forgotten == []
