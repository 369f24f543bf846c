"""Documents page by page in a real browser: boxes over the page, the passages beside it, the quote that was cited."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient

from causeway.knowledge import Chunk
from tests.web.conftest import DESK, Served, visiting
from tests.web.scripted import EXAMPLES, Scripted
from tests.web.test_browser import answered, ask, overflow, violations
from tests.web.test_sign_in import sign_in


def in_a_browser(test: Callable[..., None]) -> Callable[..., None]:
    marked: Callable[..., None] = pytest.mark.browser(pytest.mark.timeout(120)(test))
    return marked


QUOTE = "| Hotel, per night, with breakfast | £115 |"


def document_id(site: Scripted, words: str) -> str:
    return next(each.id for each in site.library.all() if words in each.title)


# --- without a browser ---------------------------------------------------------------------------------


def test_a_page_shows_the_passages_that_stand_on_it_and_no_other(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    document = document_id(site, "Travel policy 2026")
    listed = [
        [int(n) for n in re.findall(r'id="chunk-(\d+)"', client.get(f"/documents/{document}/pages/{n}").text)]
        for n in (1, 2, 3)
    ]
    assert listed[0] == [0, 1, 2, 3, 4, 5]
    assert listed[1][:2] == [6, 7]
    assert sorted({n for numbers in listed for n in numbers}) == list(range(16))
    assert client.get(f"/documents/{document}/pages/4").status_code == 404
    assert client.get(f"/documents/{document_id(site, 'Leave')}/pages/1").status_code == 404


def test_without_scripts_one_goes_to_a_page_by_its_number(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    address = f"/documents/{document_id(site, 'Travel policy 2026')}/pages"
    for typed, number in ((3, 3), (99, 3), (0, 1)):
        went = client.get(f"{address}/2", params={"go": typed})
        assert (went.status_code, went.headers["location"]) == (303, f"{address}/{number}")


def test_a_cited_revision_says_that_it_is_not_the_newest_and_one_that_is_gone_says_so(
    client: TestClient, site: Scripted
) -> None:
    sign_in(client)
    document = document_id(site, "Travel policy 2026")
    site.library.supersede(document, [Chunk(ordinal=0, heading="New", text="All new.", page=1, tokens=2)])
    for address in (f"/documents/{document}", f"/documents/{document}/pages/1"):
        past = client.get(address, params={"revision": 1}).text
        assert "This is revision 1, which was replaced" in past
        assert "All new." not in past
        assert "All new." in client.get(address).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(f"/documents/{document}").text)
    assert token
    assert "Earlier revisions" in client.get(f"/documents/{document}").text
    purged = client.post(f"/documents/{document}/purge", data={"csrf_token": token[1]})
    assert purged.headers["location"] == f"/documents/{document}"
    lost = client.get(f"/documents/{document}", params={"revision": 1}).text
    assert "Revision 1, which was cited, is not kept any more." in lost
    assert "All new." in lost
    assert "Earlier revisions" not in lost


def test_a_deleted_document_opens_where_it_was_cited(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    document = document_id(site, "Travel policy 2026")
    site.library.supersede(document, [Chunk(ordinal=0, heading="New", text="All new.", page=1, tokens=2)])
    site.library.forget(document)
    cited = client.get(f"/documents/{document}", params={"revision": 1})
    assert cited.status_code == 200
    assert "This document was deleted" in cited.text
    assert "Delete this document?" in cited.text  # the dialog is there, and no form that opens it
    assert f"/documents/{document}/delete" not in cited.text
    assert client.get(f"/documents/{document}").status_code == 404


def test_a_quote_that_stands_on_the_next_page_of_its_passage_is_shown_there(
    client: TestClient, site: Scripted
) -> None:
    sign_in(client)
    document = document_id(site, "Kestrel Ridge 2")
    quote = "The snow load was measured with sacks of wet sand, evenly spread, for twelve hours."
    asked: dict[str, str | int] = {"passage": 4, "quote": quote}
    went = client.get(f"/documents/{document}/pages/1", params=asked)
    assert went.status_code == 303
    assert went.headers["location"].startswith(f"/documents/{document}/pages/2?passage=4&quote=The+snow")
    shown = client.get(went.headers["location"])
    assert shown.status_code == 200
    assert 'class="mark"' in shown.text
    missed = client.get(f"/documents/{document}/pages/1", params={**asked, "quote": "Dogs travel free here"})
    assert "The quoted words were not found on this page." in missed.text


# --- in a browser --------------------------------------------------------------------------------------


@in_a_browser
def test_a_citation_opens_its_page_with_the_quoted_words_marked(page: Page) -> None:
    ask(page, EXAMPLES[1])
    answered(page)
    page.locator(".answer .cite").first.click()
    expect(page.locator(".panel-page svg .place")).to_have_count(1)
    expect(page.locator(".panel-page svg .mark").first).to_be_attached()
    page.locator("[data-open]").click()
    expect(page).to_have_url(re.compile(r"/pages/2\?revision=1&passage=7&quote=.*#chunk-7$"))
    expect(page.locator(".sheet img")).to_have_js_property("naturalWidth", 1100)
    marks = page.locator(".sheet-boxes .mark")
    expect(marks.first).to_be_in_viewport()
    expect(page.locator(".box.is-cited")).to_have_count(1)
    expect(page.locator(".chunk.is-cited")).to_contain_text("£115")
    expect(page.locator(".chunk.is-cited")).to_be_in_viewport()
    row, image = marks.first.bounding_box(), page.locator(".sheet img").bounding_box()
    assert row
    assert image
    assert 0.12 < (row["y"] - image["y"]) / image["height"] < 0.18  # the table's second row
    assert row["height"] < 0.03 * image["height"]


@in_a_browser
def test_a_passage_and_its_box_light_up_together(page: Page, served: Served) -> None:
    page.goto(f"/documents/{document_id(served.site, 'Travel policy 2026')}/pages/1")
    box, passage = page.locator('.box[data-passage="4"]'), page.locator("#chunk-4")
    passage.hover()
    expect(box).to_have_class(re.compile("is-on"))
    expect(page.locator(".is-on")).to_have_count(2)
    page.locator('.box[data-passage="1"] rect').first.hover()
    expect(page.locator("#chunk-1")).to_have_class(re.compile("is-on"))
    expect(passage).not_to_have_class(re.compile("is-on"))
    page.locator('.box[data-passage="5"] rect').first.click()
    expect(page.locator("#chunk-5")).to_be_focused()
    expect(page.locator("#chunk-5")).to_be_in_viewport()


@in_a_browser
def test_the_keyboard_turns_pages_and_walks_through_the_boxes(page: Page, served: Served) -> None:
    page.goto("/documents")
    page.get_by_role("link", name="3 pages of Travel policy 2026").click()
    expect(page).to_have_url(re.compile(r"/pages/1$"))
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"/pages/2$"))
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"/pages/3$"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"/pages/2$"))
    page.locator("#page-number").fill("1")
    page.keyboard.press("ArrowRight")  # moves in the box, not to the next page
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/pages/1$"))
    page.locator(".box").first.focus()
    page.keyboard.press("Tab")
    expect(page.locator(".box").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#chunk-1")).to_be_focused()
    page.get_by_role("link", name="Text", exact=True).click()
    expect(page).to_have_url(re.compile(r"/documents/doc_[0-9a-f]+$"))


@in_a_browser
def test_a_page_that_cannot_be_drawn_says_so_and_offers_the_file(page: Page, served: Served) -> None:
    page.route(
        "**/api/documents/*/pages/1*", lambda route: route.fulfill(body=b"x", content_type="image/png")
    )
    page.goto(f"/documents/{document_id(served.site, 'Travel policy 2026')}/pages/1")
    expect(page.locator(".sheet-broken")).to_contain_text("This page cannot be drawn.")
    expect(page.locator(".sheet-broken a")).to_have_attribute("href", re.compile("/file$"))
    expect(page.locator(".passage-list .chunk")).to_have_count(6)


@in_a_browser
def test_a_citation_of_a_text_opens_it_with_the_quote_marked(page: Page) -> None:
    ask(page, EXAMPLES[0])
    answered(page)
    page.locator(".answer .cite", has_text="2").click()
    page.locator("[data-open]").click()
    expect(page.locator(".chunk:target")).to_be_in_viewport()
    page.wait_for_function("CSS.highlights.has('quote')")
    assert page.evaluate("[...CSS.highlights.get('quote')].map(String)") == [
        "Tents: pitched once, indoors or on dry grass, and packed dry"
    ]


@in_a_browser
def test_on_a_phone_the_quote_is_in_view_and_nothing_scrolls_sideways(phone: Page, served: Served) -> None:
    document = document_id(served.site, "Travel policy 2026")
    phone.goto(f"/documents/{document}/pages/2?passage=7&quote={QUOTE}#chunk-7")
    expect(phone.locator(".mark").first).to_be_in_viewport()
    assert overflow(phone) == 0
    phone.locator('.box[data-passage="9"] rect').first.tap()
    expect(phone.locator("#chunk-9")).to_be_in_viewport()


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_page(served: Served, browser: Browser, scheme: str) -> None:
    document = document_id(served.site, "Travel policy 2026")
    served.site.library.supersede(document, served.site.library.chunks(document))
    with visiting(
        browser, served.address, viewport=DESK, color_scheme=scheme, reduced_motion="reduce"
    ) as page:
        page.goto(f"/documents/{document}/pages/2?passage=7&quote={QUOTE}#chunk-7")
        expect(page.locator(".mark").first).to_be_visible()
        found = {"page": violations(page)}
        page.goto(f"/documents/{document}?revision=1&quote=provided#chunk-1")
        found["text"] = violations(page)
        assert {place: each for place, each in found.items() if each} == {}
