"""Nobody gets at documents that are not for them, by any door: every route, ``/v1``, and what lies behind."""

from __future__ import annotations

import difflib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import pytest

from causeway.contracts.model_gateway import Call
from causeway.knowledge import SearchRequest
from causeway.testing.clock import FrozenClock
from causeway.web.app import routes
from tests.access.doors import ADMINISTRATION, ENDING, QUESTIONS, V1, WALLED, WITHOUT_DOCUMENTS, Probe, filled
from tests.access.worlds import BOARD, HIDDEN, MARKS, OPEN, PAST, World, seen_of, world

NewDatabase = Callable[[], AbstractContextManager[str]]
ECHOED = re.compile(r"nightfall|severance|zebraquartz", re.IGNORECASE)


@pytest.fixture
async def full(new_database: NewDatabase, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[World]:
    """The world that holds what is hidden."""
    with new_database() as url:
        async with world(url, tmp_path / "full", clock, holds_hidden=True) as opened:
            yield opened


@pytest.fixture
async def bare(
    full: World, new_database: NewDatabase, tmp_path: Path, clock: FrozenClock
) -> AsyncIterator[World]:
    """The same without it."""
    with new_database() as url:
        async with world(url, tmp_path / "bare", clock, holds_hidden=False, secrets=full.secrets) as opened:
            yield opened


async def knock(where: World, door: str, probe: Probe, client: httpx2.AsyncClient) -> tuple[object, ...]:
    """What the reader sees of the answer, and how many statements it took."""
    where.statements.clear()
    path, options = _with_secrets(probe.path, where.secrets), dict(probe.options)
    if "json" in options:
        options["json"] = {
            key: _with_secrets(value, where.secrets) if isinstance(value, str) else value
            for key, value in options["json"].items()
        }
    answer = await client.request(door.split()[0], path, **options)
    return (*seen_of(answer, f"{door} {path}"), len(where.statements))


def _with_secrets(text: str, secrets: Mapping[str, str]) -> str:
    for name, value in secrets.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def test_every_route_is_tried() -> None:
    there = {f"{method} {path}" for method, path in routes()}
    listed = {*WALLED, *ADMINISTRATION, *ENDING, *WITHOUT_DOCUMENTS}
    assert there - listed == set(), "say in tests/access/doors.py how these are tried"
    assert listed - there == set(), "these are no longer there"


@pytest.mark.timeout(300)
async def test_no_door_shows_that_there_is_anything_hidden(full: World, bare: World) -> None:
    """Text, counts, order, scores, errors and the work of the database: all as if it were not there."""
    different, shown = [], []
    for door, probes in WALLED.items():
        for probe in probes:
            for name in ("ann", "ann_program"):
                with_it = await knock(full, door, probe, getattr(full, name))
                without = await knock(bare, door, probe, getattr(bare, name))
                if with_it != without:
                    different.append((name, *_difference(with_it, without)))
                if _tells(str(with_it[3]), probe):
                    shown.append((name, *with_it))
    assert different == [], "\n".join(map(str, different))
    assert shown == [], "\n".join(str(each[:3]) for each in shown)


def _difference(left: tuple[object, ...], right: tuple[object, ...]) -> tuple[object, ...]:
    """What is asked, and the lines and numbers that differ."""
    lines = difflib.ndiff(str(left[3]).splitlines(), str(right[3]).splitlines())
    return (left[0], left[1:3], right[1:3], left[4], right[4], [line for line in lines if line[0] in "+-?"])


def _tells(body: str, probe: Probe) -> bool:
    """Whether an answer has a mark that its question did not bring."""
    brought = f"{probe.path} {probe.options}".casefold()
    return any(mark in body.casefold() and mark not in brought for mark in MARKS)


@pytest.mark.timeout(120)
async def test_administration_is_closed_whatever_is_named(full: World) -> None:
    let_in = []
    for door in ADMINISTRATION:
        method, path = door.split()
        for client in (full.ann, full.ann_program, full.ben):
            answer = await client.request(method, filled(path))
            if answer.status_code != 403:
                let_in.append((door, answer.status_code))
    assert let_in == []


async def test_v1_answers_as_if_it_were_not_there(full: World, bare: World) -> None:
    different = []
    for body in V1:
        with_it = seen_of(await full.ann_program.post("/v1/chat/completions", json=body), str(body))
        without = seen_of(await bare.ann_program.post("/v1/chat/completions", json=body), str(body))
        if with_it != without:
            different.append((with_it, without))
    assert different == [], "\n".join(map(str, different))
    models = await full.ann_program.get("/v1/models")
    assert BOARD not in models.text


async def test_the_tools_of_mcp_answer_as_if_it_were_not_there(full: World, bare: World) -> None:
    async def told(where: World, name: str, arguments: Mapping[str, object]) -> object:
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": name, "arguments": arguments},
        }
        accepted = {"accept": "application/json, text/event-stream"}
        answer = await where.ann_program.post("/mcp", json=body, headers=accepted)
        assert answer.status_code == 200
        return seen_of(answer, str(arguments))

    different = []
    for question in QUESTIONS:
        for name, said in (("search", "query"), ("ask", "question")):
            for place in (None, BOARD, "made up"):
                arguments = {said: question, "collection": place}
                with_it, without = await told(full, name, arguments), await told(bare, name, arguments)
                if with_it != without:
                    different.append((with_it, without))
    assert different == []


async def test_the_command_line_acts_for_a_person_with_what_they_see(full: World) -> None:
    """`causeway search --user` and `causeway mcp --user` call so; without it they are the operator's."""
    users = full.site.admin.users
    for name, sees in (("ann", False), ("ben", True)):
        caller = await users.principal(f"{name}@example.com", tier="pro")
        asked = SearchRequest(query="zebraquartz", top_k=50)
        found = await full.search.search(asked, Call(principal=caller, purpose="search"))
        assert ({hit.document_id for hit in found.hits} >= set(HIDDEN)) is sees
        assert any(hit.document_id in HIDDEN for hit in found.hits) is sees


async def test_what_is_hidden_is_there_for_whom_it_is_for(full: World) -> None:
    """The other tests can fail: each wall has somebody on its other side."""
    found = (await full.ben.post("/api/search", json={"query": "zebraquartz", "top_k": 50})).json()
    assert {hit["document_id"] for hit in found["hits"]} >= set(HIDDEN)
    for document_id in HIDDEN:
        assert (await full.ben.get(f"/api/documents/{document_id}")).status_code == 200
        assert ECHOED.search((await full.ben.get(f"/documents/{document_id}")).text)
        assert (await full.ben.delete(f"/api/documents/{document_id}")).status_code == 403
    names = (await full.ben.get("/")).text
    assert BOARD in names
    assert BOARD not in (await full.ann.get("/")).text
    own = f"/api/traces/{full.secrets['trace_id']}"
    assert "What is Nightfall?" in (await full.ben.get(own)).text
    vote = {"trace_id": full.secrets["trace_id"], "vote": "up"}
    assert (await full.ben.post("/api/feedback", json=vote)).status_code == 204


async def test_a_revision_of_before_is_walled_as_its_document_is(full: World) -> None:
    """Who saw a document at last may open what was cited of it when it is deleted; others may not."""
    for path in (f"/api/documents/{PAST}/chunks?revision=1", f"/documents/{PAST}?revision=1"):
        assert "zebraquartz before" in (await full.ben.get(path)).text
        assert (await full.ann.get(path)).status_code == 404
    assert len((await full.ben.get(f"/api/documents/{PAST}/revisions")).json()["revisions"]) == 1
    assert (await full.ann.get(f"/api/documents/{PAST}/revisions")).json()["revisions"] == []
    await full.site.admin.access.allow_collection(BOARD, [])
    assert (await full.ben.get(f"/documents/{PAST}?revision=1")).status_code == 404


async def test_a_trace_is_no_copy_of_documents(full: World) -> None:
    """Who asked sees the steps, not the passages: they may have been closed since."""
    path = f"/api/traces/{full.secrets['trace_id']}"
    assert "zebraquartz" not in (await full.ben.get(path)).text
    page = await full.ben.get(path.removeprefix("/api"))
    assert (page.status_code, "zebraquartz" in page.text) == (200, False)
    full.ben.headers["authorization"] = f"Bearer {full.site.admin_key}"
    assert "zebraquartz" in (await full.ben.get(path)).text


async def test_nobody_deletes_or_overwrites_what_they_do_not_see(full: World) -> None:
    for document_id in HIDDEN:
        assert (await full.ann.delete(f"/api/documents/{document_id}")).status_code == 404
        assert (await full.ann.post(f"/documents/{document_id}/delete")).status_code == 404
        assert (await full.ann.post(f"/documents/{document_id}/retry")).status_code == 404
    upload = {"file": ("plan-nightfall.md", b"mine")}
    added = await full.ann.post("/api/documents", files=upload, data={"collection": "handbook"})
    assert (added.status_code, added.json()["change"]) == (202, "new")
    for document_id in HIDDEN:
        document = (await full.ben.get(f"/api/documents/{document_id}")).json()
        assert (document["revision"], document["state"]) == (1, "ready")


async def test_the_same_person_s_next_upload_of_a_name_is_a_new_revision(full: World) -> None:
    first, same, changed = [
        (await full.ann.post("/api/documents", files={"file": ("mine.md", content)})).json()
        for content in (b"one", b"one", b"two")
    ]
    assert [each["change"] for each in (first, same, changed)] == ["new", "unchanged", "changed"]
    assert len({each["document_id"] for each in (first, same, changed)}) == 1


async def test_a_closed_document_is_gone_at_once_from_everything(full: World) -> None:
    assert OPEN in (await full.ann.post("/api/search", json={"query": QUESTIONS[2]})).text
    await full.site.admin.access.allow_document(OPEN, [f"user:{full.users['ben'].id}"])
    assert OPEN not in (await full.ann.post("/api/search", json={"query": QUESTIONS[2]})).text
    assert (await full.ann.get(f"/documents/{OPEN}")).status_code == 404
    await full.site.admin.access.allow_document(OPEN, None)
    assert (await full.ann.get(f"/documents/{OPEN}")).status_code == 200


async def test_who_leaves_a_group_sees_no_more_of_it(full: World) -> None:
    assert (await full.ben.get(f"/documents/{HIDDEN[0]}")).status_code == 200
    await full.site.admin.users.update("ben@example.com", groups=[])
    assert (await full.ben.get(f"/documents/{HIDDEN[0]}")).status_code == 404
