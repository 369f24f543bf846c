from __future__ import annotations

from starlette.testclient import TestClient

from tests.web.scripted import READER_KEY


def test_a_move_is_asked_for_and_listed_with_how_far_it_is(api: TestClient) -> None:
    asked = api.post("/api/collection-moves", json={"collection": "fernhill", "target": "pinecone"})
    assert (asked.status_code, asked.json()["state"], asked.json()["copied"]) == (202, "copying", 40)
    listed = {each["collection"]: each for each in api.get("/api/collection-moves").json()["moves"]}
    assert listed["fernhill"] == asked.json()
    assert listed["handbook"]["state"] == "done"


def test_what_cannot_be_moved_is_refused(api: TestClient) -> None:
    unknown = api.post("/api/collection-moves", json={"collection": "nothing", "target": "postgres"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    elsewhere = api.post("/api/collection-moves", json={"collection": "fernhill", "target": "elsewhere"})
    assert elsewhere.status_code in (400, 422)


def test_moves_are_for_administrators(client: TestClient) -> None:
    client.headers["authorization"] = f"Bearer {READER_KEY}"
    wish = {"collection": "fernhill", "target": "pinecone"}
    assert client.post("/api/collection-moves", json=wish).status_code == 403
    assert client.get("/api/collection-moves").status_code == 403
