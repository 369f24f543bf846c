from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from causeway.knowledge import Chunk
from tests.web.scripted import EXAMPLES, Scripted
from tests.web.test_documents import named


def chunks_of(api: TestClient, document: str, **asked: int) -> dict[str, Any]:
    answer: dict[str, Any] = api.get(f"/api/documents/{document}/chunks", params=asked).json()
    return answer


def test_every_passage_of_a_pdf_has_its_page_and_the_places_it_stands_in(api: TestClient) -> None:
    found = chunks_of(api, named(api, "Travel policy 2026"))
    assert (found["revision"], found["pages"], found["is_current"]) == (1, 3, True)
    assert {chunk["page"] for chunk in found["chunks"]} == {1, 2, 3}
    for chunk in found["chunks"]:
        assert chunk["bbox"], chunk
        for box in chunk["bbox"]:
            assert 0 <= box["x0"] < box["x1"] <= 1
            assert 0 <= box["y0"] < box["y1"] <= 1


def test_hits_and_citations_say_where_they_stand_and_of_which_revision_they_are(api: TestClient) -> None:
    hits = api.post("/api/search", json={"query": "hotel per night with breakfast"}).json()["hits"]
    pdf = next(hit for hit in hits if hit["media_type"] == "application/pdf")
    assert (pdf["revision"], pdf["bbox"][0]["page"]) == (1, pdf["page"])
    assert all(hit["bbox"] == [] for hit in hits if hit["media_type"] == "text/markdown")
    (cited, *_) = api.post("/api/ask", json={"question": EXAMPLES[1]}).json()["citations"]
    assert (cited["revision"], cited["bbox"][0]["page"]) == (1, 2)


def test_a_quote_is_found_on_its_page_inside_the_passage(api: TestClient) -> None:
    (cited, *_) = api.post("/api/ask", json={"question": EXAMPLES[1]}).json()["citations"]
    address = f"/api/documents/{cited['document_id']}/pages/{cited['page']}/words"
    asked = {"quote": "| Hotel, per night, with breakfast | £115 |", "ordinal": cited["ordinal"]}
    found = api.get(address, params=asked).json()
    assert found["words"] == []
    (passage,) = cited["bbox"]
    assert found["bbox"]
    for box in found["bbox"]:
        assert passage["y0"] - 0.02 < box["y0"] < box["y1"] < passage["y1"] + 0.02
        assert box["y1"] - box["y0"] < 0.03
    assert api.get(address, params={"quote": "Dogs travel free of charge"}).json()["bbox"] == []
    words = api.get(address).json()["words"]
    assert [word["text"] for word in words[:3]] == ["4.", "Hotels", "and"]
    assert api.get(address.replace("pages/2", "pages/4")).status_code == 404


def test_a_document_without_pages_has_passages_without_places(api: TestClient) -> None:
    document = named(api, "Leave")
    found = chunks_of(api, document)
    assert found["pages"] is None
    assert all(chunk["page"] is None and chunk["bbox"] == [] for chunk in found["chunks"])
    assert api.get(f"/api/documents/{document}/pages/1").status_code == 404
    assert api.get(f"/api/documents/{document}/pages/1/words").json()["words"] == []


def test_a_revision_that_was_cited_opens_as_it_was_until_it_is_purged(
    api: TestClient, site: Scripted
) -> None:
    document = named(api, "Travel policy 2026")
    before = chunks_of(api, document)
    site.library.supersede(document, [Chunk(ordinal=0, heading="New", text="New.", page=1, tokens=2)])
    assert [chunk["text"] for chunk in chunks_of(api, document)["chunks"]] == ["New."]
    cited = chunks_of(api, document, revision=1)
    assert (cited["chunks"], cited["is_current"]) == (before["chunks"], False)
    (kept,) = api.get(f"/api/documents/{document}/revisions").json()["revisions"]
    assert (kept["revision"], kept["title"]) == (1, "Travel policy 2026")
    assert kept["retired_at"]
    for part in ("pages/1", "file", "pages/2/words?quote=Hotels and meals"):
        with_revision = {"revision": 1} if "?" not in part else {}
        assert api.get(f"/api/documents/{document}/{part}", params=with_revision).status_code == 200
    assert api.delete(f"/api/documents/{document}/revisions").json() == {"purged": 1}
    gone = api.get(f"/api/documents/{document}/chunks", params={"revision": 1})
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("purge", [False, True])
def test_a_deleted_document_opens_where_it_was_cited_unless_it_was_purged(
    api: TestClient, site: Scripted, purge: bool
) -> None:
    document = named(api, "Travel policy 2026")
    site.library.supersede(document, [Chunk(ordinal=0, heading="New", text="New.", page=1, tokens=2)])
    address = f"/api/documents/{document}"
    assert api.delete(address, params={"purge": purge}).status_code == 204
    assert api.get(address).status_code == 404
    wanted = 404 if purge else 200
    assert api.get(f"{address}/chunks", params={"revision": 1}).status_code == wanted
    assert api.get(f"{address}/chunks").status_code == 404
