from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from causeway.web.evals_pages import difference
from tests.web.scripted import READER_KEY, Scripted
from tests.web.scripted_evals import EARLIER, LATER, STOPPED
from tests.web.test_sign_in import sign_in, token_of


def test_runs_are_listed_with_their_intervals_and_trends(client: TestClient) -> None:
    sign_in(client)
    shown = client.get("/evals").text
    assert 'aria-current="page"' in shown
    assert "92 %" in shown
    assert "74 to 98 %" in shown
    assert "<polyline" in shown
    assert "5 not answered" in shown
    assert "hx-get" not in shown, "nothing is under way"


@pytest.mark.parametrize("path", ["/evals", f"/evals/{EARLIER}", f"/evals/{LATER}/beside?earlier={EARLIER}"])
def test_evals_are_for_administrators(client: TestClient, path: str) -> None:
    client.headers["authorization"] = f"Bearer {READER_KEY}"
    assert client.get(path).status_code == 403


def test_a_run_shows_its_checks_and_what_failed(client: TestClient) -> None:
    sign_in(client)
    shown = client.get(f"/evals/{LATER}").text
    assert re.search(r"citations</td><td class=\"num\">1.00", shown.replace("\n", ""))
    assert "facts: misses" in shown
    assert f'value="{EARLIER}"' in shown, "it can be put beside the other"


def test_two_runs_are_compared_with_what_changed_first(client: TestClient) -> None:
    sign_in(client)
    shown = client.get(f"/evals/{LATER}/beside", params={"earlier": EARLIER}).text
    assert "The gate would stop this." in shown
    assert "knowledge.rerank" in shown
    assert shown.index("eval-broken") < shown.index("eval-fixed") < shown.index("eval-same")
    same = client.get(f"/evals/{EARLIER}/beside", params={"earlier": EARLIER}).text
    assert "The gate would let this through." in same


def test_a_case_shows_both_answers_and_what_differs(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    shown = client.get(f"/evals/{LATER}/cases/return-stockist", params={"earlier": EARLIER}).text
    assert "<del>" in shown
    assert "<ins>" in shown
    assert "policies/b2b-terms.pdf" in shown
    assert "<script>alert" not in shown, "an answer is other people's words"
    assert "&lt;script&gt;alert" in shown
    assert client.get(f"/evals/{LATER}/cases/none").status_code == 404


def test_a_suite_is_run_from_the_page(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    form = {
        "csrf_token": token_of(client),
        "suite": "sample-company",
        "subject": "retrieval",
        "reuse": "true",
    }
    sent = client.post("/evals", data=form)
    assert sent.status_code == 303
    assert site.evals.started == [("sample-company", "retrieval", True)]
    waiting = client.get("/evals", headers={"hx-request": "true"}).text
    assert "hx-get" in waiting
    assert "<html" not in waiting
    assert "1 min 30 s left" in waiting
    assert client.post("/evals", data={**form, "suite": "../secrets"}).status_code == 404
    del form["csrf_token"]
    assert client.post("/evals", data=form).status_code == 403


def test_a_stopped_run_goes_on(client: TestClient) -> None:
    sign_in(client)
    assert "Go on" in client.get(f"/evals/{STOPPED}").text
    token = {"csrf_token": token_of(client)}
    assert client.post(f"/evals/{STOPPED}/resume", data=token).status_code == 303
    assert "Stop" in client.get(f"/evals/{STOPPED}").text
    assert client.post(f"/evals/{STOPPED}/stop", data=token).status_code == 303
    assert "somebody stopped it" in client.get(f"/evals/{STOPPED}").text


def test_without_runs_the_page_says_how_to_make_one(client: TestClient, site: Scripted) -> None:
    site.evals.clear()
    sign_in(client)
    assert "causeway evals run sample-company" in client.get("/evals").text


def test_a_difference_keeps_what_is_in_both() -> None:
    assert difference("It costs £88 now.", "It costs £79 now.") == [
        ("same", "It costs "),
        ("gone", "£88"),
        ("new", "£79"),
        ("same", " now."),
    ]
    assert difference("same", "same") == [("same", "same")]
