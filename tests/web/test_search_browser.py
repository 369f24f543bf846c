"""Searching and narrowing in a real browser: the search page, and filters, spelling and doubt on the ask page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import DESK, Served, visiting
from tests.web.scripted import EXAMPLES, UNSURE
from tests.web.test_browser import answered, ask, overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_searching_narrowing_and_taking_back_by_keyboard(page: Page) -> None:
    page.get_by_role("link", name="Search", exact=True).click()
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("retrun a tent")
    page.keyboard.press("Enter")
    expect(page.locator(".search-mended")).to_have_text(
        "Searched for return: no document that you may see has \N{LEFT DOUBLE QUOTATION MARK}retrun\N{RIGHT DOUBLE QUOTATION MARK}."
    )
    expect(page.locator(".hit mark").first).to_be_visible()
    expect(page.locator(".hits-count")).to_contain_text("newer")
    policies = page.locator(".facets").get_by_role("link", name="policies")
    policies.focus()
    page.keyboard.press("Enter")
    chip = page.get_by_role("group", name="Filters that are on").get_by_role(
        "link", name="Without folder policies"
    )
    expect(chip).to_be_visible()
    places = page.locator(".hit-place").all_inner_texts()
    assert places
    assert all(place.startswith("policies/") for place in places)
    chip.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Filters that are on")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.locator(".hit-title").first.click()
    expect(page.locator(".chunk:target")).to_be_visible()


def test_a_question_is_asked_of_fewer_documents_and_of_all_again(page: Page) -> None:
    ask(page, EXAMPLES[1])
    answered(page)
    turn = page.locator(".turn:last-child")
    turn.locator(".turn-narrow summary").click()
    turn.get_by_role("button", name="Only Folder: handbook, 1 document").click()
    expect(page.locator(".turn")).to_have_count(2)
    answered(page)
    chip = page.locator(".turn:last-child .filter-chip")
    expect(chip).to_have_text("Folder: handbook")
    expect(page.locator(".turn:last-child .card")).to_have_count(1)
    chip.get_by_role("button").click()
    expect(page.locator(".turn")).to_have_count(3)
    answered(page)
    expect(page.locator(".turn:last-child .filter-chip")).to_have_count(0)


def test_a_doubtful_answer_looks_like_one_and_says_what_was_left_out(page: Page) -> None:
    ask(page, UNSURE)
    answered(page)
    expect(page.locator(".answer.is-unsure")).to_contain_text("The documents may not answer this.")
    expect(page.locator(".turn-meta")).to_contain_text("2 sentences without support left out")
    ask(page, "Can I retrun a tent?")
    answered(page)
    expect(page.locator(".turn:last-child .turn-mended")).to_contain_text("Searched for")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(served: Served, browser: Browser, scheme: str) -> None:
    with visiting(
        browser, served.address, viewport=DESK, color_scheme=scheme, reduced_motion="reduce"
    ) as page:
        page.goto("/search")
        found = {"empty": violations(page)}
        page.goto("/search?q=only+PDF+files+retrun+tent&f=folder:policies")
        found["hits"] = violations(page)
        page.goto("/search?q=return&f=folder:nowhere")
        found["nothing"] = violations(page)
        page.goto("/")
        ask(page, EXAMPLES[1])
        answered(page)
        page.locator(".turn-narrow summary").click()
        found["narrow"] = violations(page)
        ask(page, UNSURE)
        answered(page)
        found["unsure"] = violations(page)
        assert {place: each for place, each in found.items() if each} == {}


def test_on_a_phone_nothing_is_wider_than_the_screen(phone: Page) -> None:
    phone.goto("/search?q=retrun+a+tent&f=collection:fernhill")
    assert overflow(phone) == 0
    expect(phone.locator("aside.facets")).to_be_hidden()
    phone.locator(".facets-fold summary").tap()
    phone.locator(".facets-fold").get_by_role("link", name="policies").tap()
    expect(phone.get_by_role("link", name="Without folder policies")).to_be_visible()
    assert overflow(phone) == 0
    phone.goto("/")
    ask(phone, EXAMPLES[1])
    answered(phone)
    phone.locator(".turn-narrow summary").tap()
    assert overflow(phone) == 0
