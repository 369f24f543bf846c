"""Review over HTTP: the queue, decisions and what follows from them, cases, suites and exports; over a database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from causeway.evals.suite_files import parse_suite
from causeway.gateway.audit import Audit
from causeway.web.app import build_app
from causeway.web.sign_in import COOKIE, csrf_token
from tests.web.review_site import ReviewSite, review_site
from tests.web.scripted import ADMIN_KEY, READER_KEY

COLLECTION = "col_default"


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[ReviewSite]:
    async with review_site(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def traces(site: ReviewSite) -> list[str]:
    """Of an answer that was liked, two that were not, and a refusal that was not."""
    return await site.furnish()


@pytest.fixture
async def api(site: ReviewSite) -> AsyncIterator[httpx.AsyncClient]:
    """A program with the administrator's key."""
    transport = httpx.ASGITransport(app=build_app(site.parts))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://causeway.test", headers={"authorization": f"Bearer {ADMIN_KEY}"}
    ) as client:
        yield client


@pytest.fixture
async def page(site: ReviewSite) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's browser."""
    transport = httpx.ASGITransport(app=build_app(site.parts))
    async with httpx.AsyncClient(transport=transport, base_url="http://causeway.test") as client:
        await client.post("/sign-in", data={"key": ADMIN_KEY, "next": ""})
        yield client


def _token(page: httpx.AsyncClient) -> dict[str, str]:
    return {"csrf_token": csrf_token(str(page.cookies[COOKIE]))}


async def test_the_queue_has_bad_answers_first_and_the_newest_of_them(
    api: httpx.AsyncClient, traces: list[str]
) -> None:
    liked, wrong, dear, none = traces
    found = (await api.get("/api/review")).json()
    assert [each["trace_id"] for each in found["votes"]] == [none, dear, wrong, liked]
    assert found["counts"] == {"new": 4, "confirmed": 0, "dismissed": 0}
    assert found["votes"][0]["refused"]
    assert found["votes"][2]["question"] == "How strong a wind does the Kestrel Ridge 2 stand?"


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ({"vote": "up"}, [0]),
        ({"reason": "wrong"}, [1]),
        ({"reason": "other"}, [2]),
        ({"text": "KESTREL"}, [1]),
        ({"text": "guyed"}, [1]),
        ({"text": "100%"}, []),
        ({"state": "confirmed"}, []),
        ({"limit": 1, "offset": 1}, [2]),
    ],
)
async def test_the_queue_is_filtered(
    api: httpx.AsyncClient, traces: list[str], query: dict[str, str], places: list[int]
) -> None:
    found = (await api.get("/api/review", params=query)).json()
    assert [each["trace_id"] for each in found["votes"]] == [traces[place] for place in places]


async def test_review_is_for_administrators(api: httpx.AsyncClient, traces: list[str]) -> None:
    api.headers["authorization"] = f"Bearer {READER_KEY}"
    for path in (
        "/api/review",
        f"/api/review/{traces[0]}",
        "/review",
        "/review/learning",
        "/api/experiments",
    ):
        assert (await api.get(path)).status_code == 403, path


async def test_a_confirmed_good_answer_is_learnt_and_unlearnt(
    api: httpx.AsyncClient, site: ReviewSite, traces: list[str]
) -> None:
    address = f"/api/review/{traces[0]}"
    (decided,) = (await api.post(address, json={"decision": "confirm", "note": "checked"})).json()
    assert (decided["state"], decided["note"], decided["reviewed_by"]) == (
        "confirmed",
        "checked",
        "key_admin",
    )
    (kept,) = await site.answers.of(COLLECTION)
    assert (kept.question, kept.chunk_ids) == ("How long may I send a web order back?", ("chk_returns_1_0",))
    assert kept.answer == "You have **45 days** from delivery. [1]"
    await api.post(address, json={"decision": "reopen"})
    assert await site.answers.of(COLLECTION) == []


async def test_what_a_vote_taught_is_gone_with_it(
    api: httpx.AsyncClient, site: ReviewSite, traces: list[str]
) -> None:
    await api.post(f"/api/review/{traces[0]}", json={"decision": "confirm"})
    await site.feedback.vote(traces[0], "key_reader", is_up=True)
    assert len(await site.answers.of(COLLECTION)) == 1, "the same vote again changes nothing"
    await site.feedback.vote(traces[0], "key_reader", is_up=False, reason="wrong")
    assert await site.answers.of(COLLECTION) == []
    (vote,) = (await api.get(f"/api/review/{traces[0]}")).json()["votes"]
    assert (vote["state"], vote["reviewed_by"]) == ("new", None), "another vote waits for review again"
    await site.feedback.vote(traces[0], "key_reader", is_up=True)
    await api.post(f"/api/review/{traces[0]}", json={"decision": "confirm"})
    assert await site.feedback.withdraw(traces[0], "key_reader")
    assert await site.answers.of(COLLECTION) == []
    assert (await api.get(f"/api/review/{traces[0]}")).json()["votes"] == []


async def test_bad_answers_and_refusals_teach_nothing(
    api: httpx.AsyncClient, site: ReviewSite, traces: list[str]
) -> None:
    for trace_id in traces[1:]:
        await api.post(f"/api/review/{trace_id}", json={"decision": "confirm"})
    assert await site.answers.of(COLLECTION) == []


async def test_an_answer_becomes_a_case_with_one_call(api: httpx.AsyncClient, traces: list[str]) -> None:
    item = (await api.get(f"/api/review/{traces[1]}")).json()
    assert item["case"]["facts"] == ["110 km"]
    made = await api.post(f"/api/review/{traces[1]}/case", json={"facts": ["110 km/h"], "suite": "tents"})
    assert (made.status_code, made.json()) == (
        201,
        {"suite": "tents", "name": item["case"]["name"], "cases": 1},
    )
    again = await api.post(f"/api/review/{traces[1]}/case", json={"suite": "tents"})
    assert again.json()["cases"] == 1, "it is replaced"
    lines = (await api.get("/review/suites/tents/file")).text
    (case,) = parse_suite(lines, origin="tents.jsonl").cases
    assert list(case.expected_output.facts) == ["110 km"]
    assert case.expected_output.reference == "It is 110 km/h, guyed out."
    assert case.metadata.origin == traces[1]
    assert list(case.metadata.documents) == [], "what a wrong answer cited is not gold"
    (vote,) = (await api.get(f"/api/review/{traces[1]}")).json()["votes"]
    assert vote["suites"] == ["tents"]
    gone = {"suite": "tents", "name": case.name}
    assert (await api.delete(f"/api/review/{traces[1]}/case", params=gone)).status_code == 204
    assert (await api.get("/review/suites/tents")).status_code == 404


async def test_a_liked_answer_s_case_has_what_it_cited_as_gold(
    api: httpx.AsyncClient, site: ReviewSite, traces: list[str]
) -> None:
    await api.post(f"/api/review/{traces[0]}/case", json={})
    (case,) = (await site.review.collected.suite("feedback")).cases
    assert list(case.expected_output.facts) == ["45 days"]
    assert list(case.metadata.documents) == ["policies/returns.md"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"suite": "sample-company"}, "comes with Causeway"),
        ({"suite": "a suite"}, "no name of a suite"),
        ({"refused": True, "facts": ["45 days"]}, "has no facts"),
    ],
)
async def test_a_case_that_cannot_be_is_refused_with_the_reason(
    api: httpx.AsyncClient, traces: list[str], body: dict[str, object], said: str
) -> None:
    answer = await api.post(f"/api/review/{traces[0]}/case", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


async def test_a_reviewer_s_words_go_before_the_voter_s(
    api: httpx.AsyncClient, site: ReviewSite, traces: list[str]
) -> None:
    right = {"decision": "confirm", "right_answer": "110 km/h with all guy lines."}
    await api.post(f"/api/review/{traces[1]}", json=right)
    newest = {vote.trace_id: vote for vote in await site.feedback.newest(limit=10)}
    assert newest[traces[1]].correction == "110 km/h with all guy lines."
    await api.post(f"/api/review/{traces[2]}", json={"decision": "dismiss"})
    assert traces[2] not in {vote.trace_id for vote in await site.feedback.newest(limit=10)}


async def test_confirmed_feedback_is_exported_as_chats_and_preferences(
    api: httpx.AsyncClient, traces: list[str]
) -> None:
    for trace_id in traces[:2]:
        await api.post(f"/api/review/{trace_id}", json={"decision": "confirm"})
    chats = [
        json.loads(line)
        for line in (await api.get("/review/export", params={"format": "chat"})).text.splitlines()
    ]
    assert sorted(chat["messages"][-1]["content"] for chat in chats) == [
        "It is 110 km/h, guyed out.",
        "You have **45 days** from delivery. [1]",
    ]
    (pair,) = [
        json.loads(line)
        for line in (await api.get("/review/export", params={"format": "preferences"})).text.splitlines()
    ]
    assert pair["prompt"][-1]["content"] == "How strong a wind does the Kestrel Ridge 2 stand?"
    assert pair["chosen"][0]["content"] == "It is 110 km/h, guyed out."
    assert pair["rejected"][0]["content"].startswith("Its wind limit is 120 km/h")


async def test_an_export_masks_what_is_personal_unless_it_is_asked_not_to_and_is_in_the_audit_log(
    api: httpx.AsyncClient, site: ReviewSite
) -> None:
    question = "I am maria.ortiz@example.com; does maria.ortiz@example.com have a refund? [EMAIL_1]"
    asked = await site.asked(
        question, "It went to DE89 3704 0044 0532 0130 00. [1]", ("chk_returns_1_0", "doc_returns")
    )
    right = "Ask tom@example.org, not maria.ortiz@example.com."
    await site.feedback.vote(asked, "key_reader", is_up=False, correction=right)
    await api.post(f"/api/review/{asked}", json={"decision": "confirm"})

    async def export(**params: str) -> tuple[str, Any]:
        answer = await api.get("/review/export", params={"format": "preferences", **params})
        return answer.headers["content-disposition"], json.loads(answer.text)

    name, pair = await export()
    assert "feedback-preferences.jsonl" in name
    assert pair["prompt"][-1]["content"] == "I am [EMAIL_2]; does [EMAIL_2] have a refund? [EMAIL_1]"
    assert pair["rejected"][0]["content"] == "It went to [IBAN_1]. [1]"
    assert pair["chosen"][0]["content"] == "Ask [EMAIL_3], not [EMAIL_2]."
    name, raw = await export(raw="true")
    assert "feedback-preferences-raw.jsonl" in name
    assert (raw["prompt"][-1]["content"], raw["chosen"][0]["content"]) == (question, right)
    lines = await Audit(site.database).list(subject="preferences")
    assert [(line.principal_id, line.action) for line in lines] == [("key_admin", "feedback.export")] * 2
    assert [line.after for line in lines] == [
        {"format": "preferences", "lines": 1, "is_masked": is_masked} for is_masked in (False, True)
    ]


async def test_the_pages_show_the_queue_and_one_answer(page: httpx.AsyncClient, traces: list[str]) -> None:
    shown = (await page.get("/review")).text
    assert "How strong a wind" in shown
    assert "Not free at all!" in shown
    opened = await page.get("/review", params={"trace": traces[1]})
    assert opened.headers["location"] == f"/review/{traces[1]}"
    one = (await page.get(f"/review/{traces[1]}")).text
    assert "110 km" in one
    assert "<script>alert" not in one, "an answer is other people's words"
    assert f'href="/traces/{traces[1]}"' in one
    assert "Text of chk_tents_1_0." in one


async def test_a_reviewer_decides_and_makes_a_case_on_the_page(
    page: httpx.AsyncClient, site: ReviewSite, traces: list[str]
) -> None:
    address, token = f"/review/{traces[1]}", _token(page)
    decided = {"decision": "confirm", "voter": "key_reader", "note": "right", "right_answer": ""}
    assert (await page.post(address, data=decided)).status_code == 403, "without the session's token"
    assert (await page.post(address, data={**decided, **token})).status_code == 303
    form = {
        **token,
        "suite": "feedback",
        "new_suite": "sample-company",
        "question": "How strong a wind?",
        "facts": "110 km/h | 110 kph\n\nguyed out",
        "documents": "products/kestrel.md",
    }
    refused = await page.post(f"{address}/case", data=form)
    assert refused.status_code == 422
    assert "comes with Causeway" in refused.text
    assert "110 km/h | 110 kph" in refused.text, "what was typed is still there"
    sent = await page.post(f"{address}/case", data={**form, "new_suite": "wind"})
    assert sent.headers["location"] == f"{address}?made=wind"
    (case,) = (await site.review.collected.suite("wind")).cases
    assert list(case.expected_output.facts) == [["110 km/h", "110 kph"], "guyed out"]
    assert "wind" in (await page.get("/review")).text
    assert "110 kph" in (await page.get("/review/suites/wind")).text
    removed = await page.post("/review/suites/wind/remove", data={**token, "name": case.name})
    assert removed.headers["location"] == "/review"


async def test_questions_that_were_not_kept_are_said_to_be_gone(
    page: httpx.AsyncClient, site: ReviewSite
) -> None:
    with site.spans.start("chat") as root:
        pass
    await site.feedback.vote(root.trace_id, "key_reader", is_up=False)
    assert "The question was not kept" in (await page.get("/review")).text
    assert (await page.get(f"/review/{root.trace_id}")).status_code == 200
    case = await page.post(f"/review/{root.trace_id}/case", data={**_token(page), "suite": "feedback"})
    assert case.status_code == 404, case.text
    assert (await page.get(f"/review/{'0' * 32}")).status_code == 404


async def test_an_answer_that_nobody_voted_on_can_be_a_case(api: httpx.AsyncClient, site: ReviewSite) -> None:
    await site.furnish()
    trace_id = await site.asked("What weighs a label?", "Nothing. [1]", ("chk_returns_1_1", "doc_returns"))
    assert (await api.get(f"/review/{trace_id}")).status_code == 200
    item = (await api.get(f"/api/review/{trace_id}")).json()
    assert (item["votes"], item["case"]["documents"]) == ([], ["policies/returns.md"])
    assert (await api.post(f"/api/review/{trace_id}/case", json={})).status_code == 201
