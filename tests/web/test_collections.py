"""Collections through the API and the pages, over a real database and queue."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from causeway.contracts.identity import Principal, Scope, viewer_names
from causeway.gateway.audit import Audit
from causeway.storage.database import Database
from causeway.web.app import build_app
from tests.web.scripted import ADMIN_KEY, READER_KEY
from tests.web.shelf_site import ShelfSite, shelf_site

LETTER = "# Letter\n\nWrite to anna.quint@example.org about the tent.\n"


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[ShelfSite]:
    async with shelf_site(database, tmp_path) as made:
        yield made


@pytest.fixture
async def api(site: ShelfSite) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=build_app(site.parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://causeway.test") as client:
        client.headers["authorization"] = f"Bearer {ADMIN_KEY}"
        yield client


async def made(api: httpx2.AsyncClient, name: str = "people", **options: Any) -> dict[str, Any]:
    answer = await api.post("/api/collections", json={"name": name, **options})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_collection_is_made_listed_changed_and_deleted(api: httpx2.AsyncClient) -> None:
    new = await made(api, pii={"action": "mask", "kinds": ["email"]})
    assert new["options"]["pii"] == {"action": "mask", "kinds": ["email"]}
    assert new["options"]["chunking"]["strategy"] == "structure"
    place = f"/api/collections/{new['collection_id']}"
    changed = await api.patch(place, json={"chunking": {"strategy": "sentence", "overlap_tokens": 20}})
    assert changed.json()["options"]["chunking"]["overlap_tokens"] == 20
    assert changed.json()["options"]["pii"]["action"] == "mask"
    back = await api.patch(place, json={"chunking": {"overlap_tokens": None}})
    assert back.json()["options"]["chunking"]["overlap_tokens"] == 0
    listed = (await api.get("/api/collections")).json()["collections"]
    assert [each["name"] for each in listed] == ["people"]
    assert (await api.delete(place)).status_code == 204
    assert (await api.get(place)).status_code == 404
    assert (await api.delete(place)).status_code == 404


async def test_who_changed_what_of_a_collection_is_in_the_audit_log(
    site: ShelfSite, api: httpx2.AsyncClient, database: Database
) -> None:
    place = f"/api/collections/{(await made(api))['collection_id']}"
    await api.patch(place, json={"pii": {"action": "mask"}})
    await api.patch(place, json={"pii": {"action": "mask"}})  # nothing changed, nothing to tell
    await api.post("/api/collection-moves", json={"collection": "people", "target": "pinecone"})
    await api.post("/api/collection-moves", json={"collection": "people", "target": "pinecone"})
    await site.worksite.add(LETTER, collection="people")
    await api.delete(place)
    lines = [
        line for line in reversed(await Audit(database).list()) if line.subject == place.rpartition("/")[2]
    ]
    assert [line.action.removeprefix("collection.") for line in lines] == [
        "create",
        "options",
        "move",
        "delete",
    ]
    assert {line.principal_id for line in lines} == {"key_admin"}
    assert lines[0].after["name"] == "people"
    assert (lines[1].before["pii"]["action"], lines[1].after["pii"]["action"]) == ("keep", "mask")
    assert (lines[2].before, lines[2].after) == ({"vectors_in": "postgres"}, {"vectors_in": "pinecone"})
    assert (lines[3].before["documents"], lines[3].after) == (1, None)


async def test_a_move_is_asked_for_on_the_page_and_turned_round(api: httpx2.AsyncClient) -> None:
    place = f"/collections/{(await made(api))['collection_id']}"
    assert "In PostgreSQL." in (await api.get(place)).text
    assert (await api.post(f"{place}/move", data={"target": "pinecone"})).status_code == 303
    moving = (await api.get(f"{place}/move", headers={"hx-request": "true"})).text
    assert "copied to Pinecone" in moving
    assert "Turn round, back to PostgreSQL" in moving
    assert "<html" not in moving
    await api.post(f"{place}/move", data={"target": "postgres"})
    assert "copied to PostgreSQL" in (await api.get(place)).text
    assert (await api.post(f"{place}/move", data={"target": "the moon"})).status_code == 400
    api.headers["authorization"] = f"Bearer {READER_KEY}"
    assert (await api.post(f"{place}/move", data={"target": "postgres"})).status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": " "}, 400),
        ({"name": "x", "chunking": {"strategy": "magic"}}, 400),
        ({"name": "x", "pii": {"kinds": ["shoe size"]}}, 400),
        ({"name": "x", "chunking": {"speed": 1}}, 422),
    ],
)
async def test_what_cannot_be_used_is_refused(
    api: httpx2.AsyncClient, body: dict[str, Any], status: int
) -> None:
    answer = await api.post("/api/collections", json=body)
    assert answer.status_code == status
    assert (await api.get("/api/collections")).json()["collections"] == []


async def test_a_name_that_is_taken_is_refused(api: httpx2.AsyncClient) -> None:
    await made(api)
    again = await api.post("/api/collections", json={"name": "people"})
    assert again.status_code == 400
    assert "already" in again.json()["detail"]


async def test_control_reaches_collection_and_document(site: ShelfSite, api: httpx2.AsyncClient) -> None:
    added = await site.worksite.add(LETTER)
    (found,) = (await api.get("/api/collections")).json()["collections"]
    place = f"/api/collections/{found['collection_id']}"
    paused = await api.post(f"{place}/pause")
    assert (paused.status_code, paused.json()["documents"]) == (202, 1)
    assert paused.json()["collection"]["is_paused"]
    assert paused.json()["collection"]["progress"]["counts"]["paused"] == 1
    document = f"/api/documents/{added.document_id}"
    assert (await api.get(document)).json()["state"] == "paused"
    await api.post(f"{place}/resume")
    await site.worksite.control.requeue("")
    assert (await api.post(f"{document}/pause")).json()["state"] == "paused"
    assert (await api.post(f"{document}/resume")).json()["state"] == "queued"
    assert (await api.post(f"{document}/cancel")).json()["state"] == "cancelled"
    assert (await api.post(f"{document}/reindex")).json()["state"] == "queued"
    assert (await api.post(f"{document}/explode")).status_code == 422


async def test_looking_is_for_askers_control_for_ingesters_options_for_administrators(
    site: ShelfSite, api: httpx2.AsyncClient
) -> None:
    new = await made(api)
    place = f"/api/collections/{new['collection_id']}"
    api.headers["authorization"] = f"Bearer {READER_KEY}"
    assert (await api.get(place)).status_code == 200
    assert (await api.post(f"{place}/pause")).status_code == 403
    assert (await api.patch(place, json={"pii": {"action": "mask"}})).status_code == 403
    assert (await api.delete(place)).status_code == 403
    assert (await api.get("/collections")).status_code == 403


async def test_the_file_of_a_masked_document_is_only_for_those_who_may_manage(
    site: ShelfSite, api: httpx2.AsyncClient
) -> None:
    await site.worksite.options({"pii": {"action": "mask"}})
    document = await site.worksite.ingest(await site.worksite.add(LETTER))
    reads = [
        f"/api/documents/{document.id}/file",
        f"/api/documents/{document.id}/pages/1",
        f"/api/documents/{document.id}/pages/1/words",
        f"/documents/{document.id}/pages/1",
    ]
    assert "anna.quint" in (await api.get(reads[0])).text
    shown = await api.get(f"/api/documents/{document.id}")
    assert shown.json()["notice"] == "masked: 1 email"
    api.headers["authorization"] = f"Bearer {READER_KEY}"
    for path in reads:
        answer = await api.get(path)
        assert answer.status_code == 403, path
        assert "anna.quint" not in answer.text
    for path in (f"/api/documents/{document.id}", f"/api/documents/{document.id}/chunks"):
        assert "anna.quint" not in (await api.get(path)).text
    assert "[EMAIL]" in (await api.get(f"/api/documents/{document.id}/chunks")).text
    # deleting it keeps, for who cited it, what was indexed, and the file for those who may manage
    await site.worksite.library.delete(document.id)
    assert (await api.get(f"{reads[0]}?revision=1")).status_code == 403


async def test_the_file_of_any_other_document_is_for_all_who_ask(
    site: ShelfSite, api: httpx2.AsyncClient
) -> None:
    document = await site.worksite.ingest(await site.worksite.add(LETTER))
    api.headers["authorization"] = f"Bearer {READER_KEY}"
    assert "anna.quint" in (await api.get(f"/api/documents/{document.id}/file")).text


async def signed_in(api: httpx2.AsyncClient) -> str:
    """Sign in with a browser's form; the session's token against cross-site posts."""
    del api.headers["authorization"]
    sent = await api.post("/sign-in", data={"key": ADMIN_KEY}, headers={"origin": "http://causeway.test"})
    assert sent.status_code == 303, sent.text
    page = (await api.get("/collections")).text
    found = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert found is not None
    return found[1]


async def test_the_page_makes_changes_and_deletes_a_collection(api: httpx2.AsyncClient) -> None:
    token = await signed_in(api)
    sent = await api.post("/collections", data={"csrf_token": token, "name": "people"})
    assert sent.status_code == 303
    place = sent.headers["location"]
    options = {"strategy": "fixed", "max_tokens": "128", "overlap_tokens": "16", "action": "refuse"}
    saved = await api.post(place, data={"csrf_token": token, **options, "kinds": ["email", "card"]})
    assert saved.status_code == 303, saved.text
    shown = (await api.get(place)).text
    assert re.search(r'value="fixed" checked', shown)
    assert re.search(r'value="refuse" checked', shown)
    assert shown.count('type="checkbox" name="kinds"') == 8
    assert len(re.findall(r'name="kinds" value="\w+" checked', shown)) == 2
    wrong = await api.post(place, data={"csrf_token": token, "strategy": "fixed", "max_tokens": "lots"})
    assert wrong.status_code == 400
    assert "whole number" in wrong.text
    kept = await api.post(f"{place}/delete", data={"csrf_token": token, "confirm": "person"})
    assert kept.status_code == 400
    gone = await api.post(f"{place}/delete", data={"csrf_token": token, "confirm": "people"})
    assert gone.status_code == 303
    assert "No collections yet" in (await api.get("/collections")).text


async def test_the_pages_control_what_is_read_and_tell_how_far_it_is(
    site: ShelfSite, api: httpx2.AsyncClient
) -> None:
    token = await signed_in(api)
    added = await site.worksite.add(LETTER)
    listed = (await api.get("/collections")).text
    assert "time left not known yet" in listed
    assert "hx-get" in listed
    documents = (await api.get("/documents")).text
    assert "1 document and 58 B to go" in documents
    await api.post(f"/documents/{added.document_id}/pause", data={"csrf_token": token})
    assert "Resume" in (await api.get("/documents")).text
    collection_id = await site.worksite.collections.ensure()
    await api.post(f"/collections/{collection_id}/pause", data={"csrf_token": token})
    assert "Paused" in (await api.get("/collections")).text
    unsigned = await api.post(f"/collections/{collection_id}/resume")
    assert unsigned.status_code == 403


# --- uploads that are sent again --------------------------------------------------------------------------


async def sent(
    api: httpx2.AsyncClient, content: str, *, key: str = "", name: str = "plan.md"
) -> httpx2.Response:
    headers = {"idempotency-key": key} if key else {}
    return await api.post("/api/documents", files={"file": (name, content.encode())}, headers=headers)


async def test_an_upload_sent_again_under_its_key_is_the_same_document_and_changes_nothing(
    site: ShelfSite, api: httpx2.AsyncClient
) -> None:
    first = (await sent(api, "# Plan one", key="k1")).json()
    newer = (await sent(api, "# Plan two", key="k2")).json()
    assert (newer["document_id"], newer["change"]) == (first["document_id"], "changed")
    again = (await sent(api, "# Plan one", key="k1")).json()  # its answer got lost; the file is newer by now
    assert (again["document_id"], again["change"]) == (first["document_id"], "unchanged")
    document = await site.worksite.library.document(first["document_id"])
    assert document.revision == 2
    assert site.worksite.library.originals.path(document.blob).read_text() == "# Plan two"
    assert (await site.worksite.library.documents()).total == 1


async def test_without_a_key_the_same_file_is_one_document(site: ShelfSite, api: httpx2.AsyncClient) -> None:
    first, again = [(await sent(api, "# Plan")).json() for _ in range(2)]
    assert (again["document_id"], again["change"]) == (first["document_id"], "unchanged")


async def test_a_key_that_was_another_uploads_is_refused(site: ShelfSite, api: httpx2.AsyncClient) -> None:
    await sent(api, "# Plan", key="k1")
    for content, name in (("# Other", "plan.md"), ("# Plan", "other.md")):
        answer = await sent(api, content, key="k1", name=name)
        assert answer.status_code == 400
        assert "key of its own" in answer.json()["detail"]
    assert (await site.worksite.library.documents()).total == 1


async def test_a_key_is_forgotten_with_its_document(site: ShelfSite, api: httpx2.AsyncClient) -> None:
    first = (await sent(api, "# Plan", key="k1")).json()
    await api.delete(f"/api/documents/{first['document_id']}?purge=true")
    again = (await sent(api, "# Plan", key="k1")).json()
    assert again["change"] == "new"


# --- who does not see every document ------------------------------------------------------------------------


class OneReader:
    """Every key is a person's who may ingest and sees what is open to everyone."""

    async def identify(self, secret: str) -> Principal:
        return Principal(
            id="key_1",
            name="Ada",
            scopes=frozenset({Scope.ASK, Scope.INGEST}),
            user="ada",
            sees_as=viewer_names("ada", ()),
        )


async def test_who_may_not_see_a_collection_learns_nothing_of_it_and_controls_nothing(
    site: ShelfSite, database: Database
) -> None:
    await site.worksite.options({"pii": {"action": "mask"}}, collection="secret")
    hidden = await site.worksite.ingest(await site.worksite.add(LETTER, collection="secret"))
    shown = await site.worksite.ingest(await site.worksite.add(LETTER, "open.md", collection="open"))
    async with database.begin() as connection:
        await connection.execute(text("UPDATE collections SET readers = '{user:eve}' WHERE name = 'secret'"))
        secret = await connection.scalar(text("SELECT id FROM collections WHERE name = 'secret'"))
    transport = httpx2.ASGITransport(app=build_app(replace(site.parts, keys=OneReader())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://causeway.test") as api:
        api.headers["authorization"] = "Bearer cw-any"
        (only,) = (await api.get("/api/collections")).json()["collections"]
        assert (only["name"], only["progress"]) == ("open", None)
        assert (await api.get(f"/api/collections/{secret}")).status_code == 404
        for path in ("file", "pages/1", "pages/1/words"):
            assert (await api.get(f"/api/documents/{hidden.id}/{path}")).status_code == 404
        assert (await api.post(f"/api/documents/{hidden.id}/pause")).status_code == 404
        assert (await api.post(f"/api/documents/{shown.id}/reindex")).status_code == 202
        assert (await api.post(f"/api/collections/{secret}/pause")).status_code == 403
        assert (await api.get("/collections")).status_code == 403
        assert "to go" not in (await api.get("/documents")).text
