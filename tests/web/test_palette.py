from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient

from tests.web.conftest import DESK, PHONE, Served, visiting
from tests.web.scripted import ADMIN_KEY, EXAMPLES, READER_KEY
from tests.web.test_browser import answered, ask, overflow, violations
from tests.web.test_sign_in import sign_in


def found(client: TestClient, q: str = "") -> dict[str, list[str]]:
    groups = client.get("/api/palette", params={"q": q}).json()["groups"]
    return {group["name"]: [item["label"] for item in group["items"]] for group in groups}


def offered(client: TestClient) -> dict[str, str]:
    page = client.get("/documents").text
    commands = re.search(r'id="palette-commands">(.*?)</script>', page, re.DOTALL)
    assert commands
    return {each["label"]: each["group"] for each in json.loads(commands[1])}


def test_every_word_narrows_and_their_order_does_not_matter(api: TestClient) -> None:
    assert found(api, "2026 travel") == {"Documents": ["Travel policy 2026"]}
    assert found(api, "no such thing") == {}


def test_without_words_there_is_what_is_of_late(api: TestClient) -> None:
    conversation = api.post("/api/ask", json={"question": EXAMPLES[0]}).json()["conversation_id"]
    assert conversation
    groups = found(api)
    assert groups["Conversations"] == [EXAMPLES[0]]
    assert len(groups["Documents"]) == 6


def test_conversations_of_others_are_not_found(api: TestClient) -> None:
    api.post("/api/ask", json={"question": EXAMPLES[0]})
    assert "Conversations" in found(api, "tent online")
    api.headers["authorization"] = f"Bearer {READER_KEY}"
    assert "Conversations" not in found(api, "tent online")


def test_the_id_of_a_trace_leads_to_its_page_for_who_may_see_traces(api: TestClient) -> None:
    assert found(api, "ab" * 16) == {"Traces": ["ab" * 16]}
    api.headers["authorization"] = f"Bearer {READER_KEY}"
    assert found(api, "ab" * 16) == {}


def test_what_the_database_cannot_hold_is_refused(api: TestClient) -> None:
    assert api.get("/api/palette", params={"q": "a\0b"}).status_code == 422
    assert api.get("/api/palette", params={"q": "a" * 201}).status_code == 422


def test_a_reader_is_offered_what_a_reader_may_do(client: TestClient) -> None:
    sign_in(client, key=READER_KEY)
    reader = offered(client)
    assert {"Ask", "Documents", "New question", "Sign out"} <= reader.keys()
    assert {"Traces", "Evals", "Sources", "Add documents"} & reader.keys() == set()
    client.cookies.clear()
    sign_in(client, key=ADMIN_KEY)
    assert {"Traces", "Evals", "Sources", "Add documents"} <= offered(client).keys()


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_the_palette_is_opened_filled_and_left_by_the_keyboard(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, viewport=DESK) as page:
        ask(page, EXAMPLES[0])
        answered(page)
        page.goto("/documents")
        page.keyboard.press("Control+k")
        palette, field = page.locator("#palette"), page.locator("#palette-input")
        expect(palette).to_be_visible()
        expect(field).to_be_focused()
        expect(page.get_by_role("option", name=EXAMPLES[0])).to_be_visible()
        assert violations(page) == []
        height = palette.bounding_box()
        page.keyboard.type("travel 2026")
        chosen = page.get_by_role("option", selected=True)
        expect(chosen).to_contain_text("Travel policy 2026")
        assert palette.bounding_box() == height
        expect(field).to_have_attribute("aria-activedescendant", chosen.get_attribute("id") or "")
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("option", selected=True)).to_contain_text("Ask the documents")
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("option", selected=True)).to_contain_text("Travel policy 2026")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Travel policy 2026")
        page.keyboard.press("Control+k")
        page.keyboard.press("Escape")
        expect(palette).to_be_hidden()


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_what_was_chosen_last_comes_first_and_actions_act(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, viewport=DESK, color_scheme="light") as page:
        _choose(page, "evals")
        expect(page.locator("h1")).to_have_text("Evals")
        page.get_by_role("button", name="Find").click()
        expect(page.locator("#palette").get_by_role("option").first).to_have_text("Evals")
        page.keyboard.press("Escape")
        _choose(page, "dark")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        _choose(page, "sign out")
        expect(page.locator("h1")).to_have_text("Sign in")


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_on_a_phone_in_the_dark_the_palette_fits(served: Served, browser: Browser) -> None:
    with visiting(
        browser, served.address, viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark"
    ) as page:
        page.get_by_role("button", name="Find").tap()
        page.keyboard.type("tents")
        option = page.get_by_role("option", name="Larkrise")
        expect(option).to_be_visible()
        assert overflow(page) <= 0
        assert violations(page) == []
        option.tap()
        expect(page.locator("h1")).to_contain_text("Larkrise")


def _choose(page: Page, words: str) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type(words)
    expect(page.locator("#palette [aria-selected=true]")).to_be_visible()
    page.keyboard.press("Enter")
