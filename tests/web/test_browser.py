"""The pages in a real browser. Every test also fails on a console message, which a breach of the CSP is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.web.conftest import DESK, Served, visiting
from tests.web.scripted import BROKEN, ENDLESS, EXAMPLES, HOSTILE, READER_KEY, UNANSWERABLE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

AXE = Path(__file__).parent / "vendor" / "axe.min.js"


def ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.press("#question", "Enter")


def answered(page: Page) -> None:
    expect(page.locator(".turn:last-child .turn-foot")).to_be_visible()


def violations(page: Page) -> list[str]:
    """What axe finds serious."""
    page.evaluate(AXE.read_text())  # the debugger's own evaluation, which the page's policy does not bind
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{each['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_an_answer_streams_and_its_marks_open_the_passage(page: Page) -> None:
    ask(page, EXAMPLES[0])
    expect(page.locator(".card")).to_have_count(4)
    expect(page.locator(".answer[aria-busy]")).to_be_visible()
    answered(page)
    expect(page.locator(".answer[aria-busy]")).to_have_count(0)
    expect(page.locator(".answer strong").first).to_have_text("45 days")
    expect(page.locator(".answer li")).to_have_count(2)
    expect(page.locator(".is-cited")).to_have_count(2)
    page.locator(".answer .cite", has_text="2").click()
    panel = page.locator("#passage")
    expect(panel).to_be_visible()
    expect(panel.locator(".panel-place")).to_have_text('What "unused" means')
    assert page.evaluate("[...CSS.highlights.get('quote')].map(String)") == [
        "Tents: pitched once, indoors or on dry grass, and packed dry"
    ]
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator(".answer .cite", has_text="2")).to_be_focused()
    expect(page.locator(".turn-meta")).to_contain_text("913 tokens read")
    page.locator(".turn-meta a").click()
    expect(page.locator("h1")).to_have_text(EXAMPLES[0])


def test_a_citation_of_a_pdf_shows_its_page_and_opens_its_document(page: Page) -> None:
    ask(page, EXAMPLES[1])
    answered(page)
    page.locator(".answer .cite").first.click()
    image = page.locator(".panel-page img")
    expect(image).to_have_attribute("alt", "Page 2 of Travel policy 2026")
    expect(image).to_have_js_property("naturalWidth", 1100)
    page.locator("[data-open]").click()
    expect(page.locator(".chunk:target")).to_contain_text("£115")
    expect(page.locator(".chunk:target")).to_be_in_viewport()


def test_a_refusal_says_so_and_looks_it(page: Page) -> None:
    ask(page, UNANSWERABLE)
    answered(page)
    expect(page.locator(".refusal-title")).to_have_text("The documents don't say.")
    expect(page.locator(".answer .cite")).to_have_count(0)
    expect(page.locator("#progress")).to_contain_text("The documents don't say.")


def test_a_failure_offers_to_try_again(page: Page) -> None:
    ask(page, BROKEN)
    expect(page.locator(".failure")).to_contain_text("The model 'chat' is starting; try again in a moment.")
    page.locator(".failure button").click()
    expect(page.locator(".turn")).to_have_count(2)


def test_stop_ends_the_answer_and_keeps_what_there_is(page: Page, served: Served) -> None:
    ask(page, ENDLESS)
    expect(page.locator(".answer")).to_contain_text("Boots Boots")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".turn-meta")).to_have_text("Stopped")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    expect(page.locator(".answer")).to_contain_text("Boots")


def test_only_the_open_block_is_drawn_again(page: Page) -> None:
    ask(page, EXAMPLES[0])
    expect(page.locator(".answer > p").first).to_be_visible()
    page.evaluate("document.querySelector('.answer > p').dataset.kept = 'yes'")
    answered(page)
    expect(page.locator(".answer > p").first).to_have_attribute("data-kept", "yes")


def test_a_hostile_answer_runs_nothing_and_fetches_nothing(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ask(page, HOSTILE)
    answered(page)
    assert page.evaluate("window.hacked") is None
    expect(page.locator(".answer :is(img, script, a, b)")).to_have_count(0)
    expect(page.locator(".answer")).to_contain_text("<script>window.hacked = true</script>")
    assert [url for url in asked if "evil.example" in url] == []


def test_thumbs_are_sent_and_a_bad_one_asks_why(page: Page, served: Served) -> None:
    ask(page, EXAMPLES[3])
    answered(page)
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Bad answer").click()
    page.locator(".why textarea").fill("It is 120 km/h")
    page.locator(".why [type=submit]").click()
    expect(page.locator(".why")).to_be_hidden()
    assert [(is_up, said) for _, is_up, said in served.site.feedback.votes] == [
        (True, None),
        (False, None),
        (False, "It is 120 km/h"),
    ]


def test_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/documents")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.goto("/")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("first line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type(EXAMPLES[0])
    expect(page.locator("#question")).to_have_value(f"first line\n{EXAMPLES[0]}")
    page.locator("#question").fill(EXAMPLES[0])
    page.keyboard.press("Enter")
    answered(page)
    page.locator(".card").nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".panel-title")).to_be_focused()
    expect(page.locator(".panel-title")).to_have_text("Returns and exchanges in our shops")


def test_uploads_show_progress_until_they_can_be_searched(page: Page) -> None:
    page.get_by_role("link", name="Documents").first.click()
    files: list[FilePayload] = [
        {
            "name": "tide-tables.md",
            "mimeType": "text/markdown",
            "buffer": b"# Tide tables\n\nHigh water at noon.",
        },
        {"name": "encrypted.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7"},
        {"name": "huge.txt", "mimeType": "text/plain", "buffer": b"x" * 2_100_000},
    ]
    page.set_input_files("#files", files)
    rows = page.locator(".upload")
    expect(rows.nth(0)).to_contain_text("Ready, 1 passage")
    expect(rows.nth(1)).to_contain_text(
        "The file is encrypted. Save it without its password and add it again."
    )
    expect(rows.nth(2)).to_contain_text("larger than this Causeway takes")
    expect(page.locator("#uploads-title")).to_have_text("3 files done")
    listed = page.locator("tr", has_text="Tide tables")
    expect(listed).to_contain_text("Ready")
    expect(page.locator("tr", has_text="encrypted")).to_contain_text("The file is encrypted.")
    expect(page.locator(".chip", has_text="Failed")).to_contain_text("1")


def test_files_dropped_on_the_page_are_uploaded(page: Page) -> None:
    page.goto("/documents")
    dropped = page.evaluate_handle(
        """() => { const files = new DataTransfer();
                   files.items.add(new File(["# Dropped notes\\n\\nLow water."], "dropped.md")); return files; }"""
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": dropped})
    expect(page.locator("#drop-veil")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    expect(page.locator("#drop-veil")).to_be_hidden()
    expect(page.locator(".upload")).to_contain_text("Ready")


def test_deleting_asks_first(page: Page) -> None:
    page.goto("/documents")
    row = page.locator("tr", has_text="Kestrel Ridge 2")
    row.get_by_role("button", name="Delete").click()
    dialog = page.locator("#delete-dialog")
    expect(dialog).to_contain_text("Kestrel Ridge 2")
    dialog.get_by_role("button", name="Keep").click()
    expect(dialog).to_be_hidden()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.locator(".table")).to_be_visible()
    expect(page.locator("tr", has_text="Kestrel Ridge 2")).to_have_count(0)


def test_the_filter_narrows_as_one_types_and_keeps_the_focus(page: Page) -> None:
    page.goto("/documents")
    page.keyboard.press("/")
    page.keyboard.type("travel")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("#filter")).to_be_focused()
    expect(page).to_have_url(re.compile(r"q=travel"))
    page.keyboard.type(" policy 2026")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_the_theme_follows_the_system_until_it_is_chosen(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, viewport=DESK, color_scheme="dark") as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(colour)
        page.locator("[data-theme-toggle]").first.click()
        light = page.evaluate(colour)
        assert light != dark
        page.goto("/documents")
        assert page.evaluate(colour) == light


def test_a_phone_needs_no_sideways_scroll(phone: Page) -> None:
    ask(phone, EXAMPLES[2])
    answered(phone)
    assert overflow(phone) == 0
    phone.locator(".answer .cite").first.tap()
    expect(phone.locator("#passage")).to_be_visible()
    assert overflow(phone) == 0
    phone.get_by_role("button", name="Close passage").tap()
    for path in ("/documents", "/sources", "/traces", "/api/docs"):
        phone.goto(path)
        assert overflow(phone) == 0, path
    phone.get_by_role("button", name="Menu").tap()
    phone.locator("#menu").get_by_role("link", name="Documents").tap()
    phone.wait_for_url("**/documents")
    phone.locator(".row-link").first.tap()
    expect(phone.locator(".chunk").first).to_be_visible()
    assert overflow(phone) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(served: Served, browser: Browser, scheme: str) -> None:
    with visiting(
        browser, served.address, viewport=DESK, color_scheme=scheme, reduced_motion="reduce"
    ) as page:
        found = {"ask": violations(page)}
        ask(page, EXAMPLES[2])
        answered(page)
        page.locator(".answer .cite").first.click()
        found["answer"] = violations(page)
        page.keyboard.press("Escape")
        ask(page, UNANSWERABLE)
        answered(page)
        found["refusal"] = violations(page)
        page.locator(".turn-meta a").first.click()
        page.locator(".step").nth(4).click()
        found["trace"] = violations(page)
        for path in ("/documents", "/sources", "/traces", "/api/docs"):
            page.goto(path)
            found[path] = violations(page)
        page.goto("/documents")
        page.locator(".row-link").nth(3).click()
        found["document"] = violations(page)
        page.locator("form[action$='sign-out'] button").first.click()
        found["sign-in"] = violations(page)
        assert {place: each for place, each in found.items() if each} == {}


def test_a_reader_sees_no_doors_that_are_shut(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, key=READER_KEY, viewport=DESK) as page:
        expect(page.get_by_role("link", name="Traces")).to_have_count(0)
        page.goto("/documents")
        expect(page.get_by_text("Add documents")).to_have_count(0)
        expect(page.get_by_role("button", name="Delete")).to_have_count(0)


def test_without_scripts_asking_works(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, java_script_enabled=False) as page:
        page.fill("#question", EXAMPLES[0])
        page.locator(".send").click()
        page.locator(".cite").first.click()
        expect(page.locator(".chunk:target")).to_contain_text("45 days")


def test_a_source_is_run_from_its_page_and_the_page_says_so(page: Page) -> None:
    page.get_by_role("link", name="Sources").click()
    row = page.locator("#source-handbook")
    expect(row).to_contain_text("In step")
    row.get_by_role("button", name="Run now").click()
    expect(row).to_contain_text("Waiting")
    expect(row.get_by_role("button", name="Run now")).to_be_disabled()
    page.locator("#source-wiki summary").click()
    expect(page.locator("#source-wiki")).to_contain_text("Plans/Roadmap.md")
