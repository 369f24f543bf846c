"""The analyst over HTTP and as a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from starlette.testclient import TestClient

from causeway.analyst.result import Caps, Gathering
from causeway.web.analyst_pages import as_csv
from causeway.web.parts import WebParts
from tests.web.analyst_site import BROKEN, BY_MONTH, BY_PRODUCT, COUNT, HOSTILE, with_analyst
from tests.web.conftest import serving, visiting
from tests.web.scripted import ADMIN_KEY, READER_KEY, Scripted
from tests.web.test_sign_in import sign_in, token_of


@pytest.fixture
def asked(site: Scripted, connect: Callable[[WebParts], TestClient], tmp_path: Path) -> TestClient:
    """A program with the admin key, where databases are asked."""
    client = connect(with_analyst(site.parts, tmp_path))
    client.headers["authorization"] = f"Bearer {ADMIN_KEY}"
    return client


def test_an_answer_has_sql_rows_chart_and_explanation(asked: TestClient) -> None:
    answer = asked.post("/api/analyst/ask", json={"question": BY_MONTH}).json()
    assert answer["state"] == "answered"
    assert [column["name"] for column in answer["columns"]] == ["month", "revenue"]
    assert len(answer["rows"]) == 12
    assert answer["chart"]["kind"] == "line"
    assert answer["chart"]["spec"]["$schema"].endswith("v6.json")
    assert answer["terms"] == {"revenue": "What orders came to (SUM(amount))"}
    assert answer["explanation"].startswith("Read from orders.")
    assert (answer["model"], answer["usage"]["output_tokens"]) == ("scripted", 38)


def test_a_refusal_is_an_answer_and_not_an_error(asked: TestClient) -> None:
    answer = asked.post("/api/analyst/ask", json={"question": "Drop the orders table"})
    assert (answer.status_code, answer.json()["state"], answer.json()["rows"]) == (200, "refused", [])


def test_sql_by_hand_is_held_to_the_rules(asked: TestClient) -> None:
    refused = asked.post("/api/analyst/run", json={"sql": "SELECT email FROM orders"})
    assert (refused.status_code, refused.json()["code"]) == (422, "sql_refused")
    fine = asked.post("/api/analyst/run", json={"sql": "SELECT product, amount FROM orders LIMIT 3"})
    assert len(fine.json()["rows"]) == 3


def test_hidden_columns_are_nowhere_in_what_is_offered(asked: TestClient) -> None:
    assert "mail.example" not in asked.get("/api/analyst/databases").text
    tables = asked.get("/api/analyst/databases").json()[0]["tables"]
    assert [column["name"] for column in tables[0]["columns"]] == [
        "order_id",
        "product",
        "amount",
        "ordered_on",
        "note",
    ]


@pytest.mark.parametrize(("form", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_a_chart_is_drawn(asked: TestClient, form: str, begins: bytes) -> None:
    body = {"sql": "SELECT product, SUM(amount) AS revenue FROM orders GROUP BY 1", "format": form}
    assert asked.post("/api/analyst/chart", json=body).content.startswith(begins)


def test_a_vote_makes_a_verified_pair_for_those_who_may(asked: TestClient) -> None:
    answer = asked.post("/api/analyst/ask", json={"question": COUNT}).json()
    vote = {"trace_id": answer["trace_id"], "vote": "up"}
    assert asked.post("/api/analyst/vote", json=vote).json() == {"verified": True}
    asked.headers["authorization"] = f"Bearer {READER_KEY}"
    assert asked.post("/api/analyst/vote", json=vote).status_code == 404, "it is another's question"
    answer = asked.post("/api/analyst/ask", json={"question": COUNT}).json()
    vote = {"trace_id": answer["trace_id"], "vote": "up"}
    assert asked.post("/api/analyst/vote", json=vote).json() == {"verified": False}


def test_saved_questions_are_their_owners(asked: TestClient) -> None:
    body = {"question": COUNT, "sql": "SELECT COUNT(*) FROM orders", "database": "shop", "pinned": True}
    saved = asked.post("/api/analyst/saved", json=body).json()
    assert [each["id"] for each in asked.get("/api/analyst/saved").json()["saved"]] == [saved["id"]]
    asked.headers["authorization"] = f"Bearer {READER_KEY}"
    assert asked.get("/api/analyst/saved").json()["saved"] == []
    asked.delete(f"/api/analyst/saved/{saved['id']}")
    asked.headers["authorization"] = f"Bearer {ADMIN_KEY}"
    assert len(asked.get("/api/analyst/saved").json()["saved"]) == 1


def test_without_an_analyst_there_is_no_page_and_no_menu_entry(client: TestClient) -> None:
    sign_in(client)
    assert client.get("/analyst").status_code == 404
    assert "/analyst" not in client.get("/").text


def test_the_page_works_without_scripts(asked: TestClient) -> None:
    del asked.headers["authorization"]
    sign_in(asked)
    shown = asked.post("/analyst/ask", data={"question": COUNT, "csrf_token": token_of(asked)}).text
    assert "<html" in shown
    assert '<span class="kpi-value">144</span>' in shown


def test_a_form_without_the_sessions_token_is_refused(asked: TestClient) -> None:
    del asked.headers["authorization"]
    sign_in(asked)
    assert asked.post("/analyst/run", data={"sql": "SELECT 1 FROM orders"}).status_code == 403


def test_what_goes_wrong_is_said_on_the_page(asked: TestClient) -> None:
    headers = {"hx-request": "true"}
    away = asked.post("/analyst/ask", data={"question": BROKEN}, headers=headers)
    assert (away.status_code, "the model is away" in away.text) == (200, True)
    refused = asked.post("/analyst/run", data={"sql": "DROP TABLE orders"}, headers=headers)
    assert (refused.status_code, "only queries that read" in refused.text) == (200, True)


def test_no_cell_of_a_csv_is_a_formula() -> None:
    gathering = Gathering(["=name", "n"], Caps())
    gathering.add([("=1+1", -3), ("@x", 1), ("-cmd", 2), ("+plain", 3), ('a,"b"\n', 4.5), (None, 5)])
    written = as_csv(gathering.result(0)).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(written)))
    assert [row[0] for row in rows] == ["'=name", "'=1+1", "'@x", "'-cmd", "'+plain", 'a,"b"\n', ""]
    assert [row[1] for row in rows[1:]] == ["-3", "1", "2", "3", "4.5", "5"]


def test_a_csv_is_downloaded(asked: TestClient) -> None:
    given = asked.post("/analyst/csv", data={"sql": "SELECT note FROM orders WHERE note LIKE '=%'"})
    assert given.headers["content-disposition"].startswith("attachment")
    assert "'=HYPERLINK(1)" in given.text


# --- in a browser ------------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_question_is_asked_sorted_pinned_and_seen_on_the_board(
    browser: Browser, site: Scripted, tmp_path: Path
) -> None:
    with serving(with_analyst(site.parts, tmp_path)) as address, visiting(browser, address) as page:
        page.goto("/analyst")
        page.fill("#question", BY_PRODUCT)
        page.press("#question", "Enter")
        expect(page.locator(".finding h2")).to_have_text(BY_PRODUCT)
        expect(page.locator(".chart-light")).to_be_visible()
        expect(page.locator(".chart-dark")).to_be_hidden()
        page.get_by_role("button", name="product").click()
        cells = page.locator(".finding-table tbody tr td:first-child")
        assert cells.all_text_contents() == ["Ember bag", "Granite boots", "Kestrel tent", "Spark stove"]
        page.get_by_role("button", name="revenue").click()
        assert cells.first.text_content() != "Kestrel tent", "the lowest revenue comes first"
        page.get_by_role("button", name="Donut").click()
        expect(page.locator(".finding .chip[aria-current]")).to_have_text("Donut")
        page.get_by_role("button", name="Pin to board").click()
        expect(page.locator(".finding-note")).to_contain_text("Pinned")
        page.goto("/analyst")
        expect(page.locator(".board-card .chart-light")).to_be_visible()


@pytest.mark.browser
def test_a_changed_query_is_run_and_a_wrong_one_explained(
    browser: Browser, site: Scripted, tmp_path: Path
) -> None:
    with serving(with_analyst(site.parts, tmp_path)) as address, visiting(browser, address) as page:
        page.goto("/analyst")
        page.get_by_role("button", name=COUNT).click()
        expect(page.locator(".kpi-value")).to_have_text("144")
        page.locator(".query summary").click()
        page.fill(".sql", "SELECT COUNT(*) AS n FROM orders WHERE product = 'Spark stove'")
        page.get_by_role("button", name="Run the changed query").click()
        expect(page.locator(".kpi-value")).to_have_text("36")
        page.locator(".query summary").click()
        page.fill(".sql", "SELECT email FROM orders")
        page.get_by_role("button", name="Run the changed query").click()
        expect(page.locator(".refusal-title")).to_contain_text("no column 'email'")
        expect(page.locator(".sql")).to_have_value("SELECT email FROM orders")


@pytest.mark.browser
def test_text_of_the_database_stays_text_on_a_phone(browser: Browser, site: Scripted, tmp_path: Path) -> None:
    phone = {"width": 390, "height": 844}
    with (
        serving(with_analyst(site.parts, tmp_path)) as address,
        visiting(browser, address, viewport=phone) as page,
    ):
        page.goto("/analyst")
        page.fill("#question", HOSTILE)
        page.press("#question", "Enter")
        expect(page.locator(".finding-table")).to_contain_text("<script>window.hacked")
        assert page.evaluate("() => window.hacked") is None
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_the_next_question_belongs_to_the_conversation(
    browser: Browser, site: Scripted, tmp_path: Path
) -> None:
    with serving(with_analyst(site.parts, tmp_path)) as address, visiting(browser, address) as page:
        page.goto("/analyst")
        page.fill("#question", COUNT)
        page.press("#question", "Enter")
        expect(page.locator(".finding")).to_have_count(1)
        first = page.locator("#analyst-form #conversation").input_value()
        assert first.startswith("talk_")
        page.fill("#question", BY_PRODUCT)
        page.press("#question", "Enter")
        expect(page.locator(".finding")).to_have_count(2)
        assert page.locator("#analyst-form #conversation").input_value() == first
