"""The pages of prompts in a real browser, over a real registry; a console message fails a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import DESK, PHONE, visiting
from tests.web.prompts_site import FIRST, PromptsSite, serving_prompts
from tests.web.test_browser import overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PAGES = (
    "/prompts",
    "/prompts/new",
    "/prompts/answer",
    f"/prompts/answer/versions/{FIRST + 1}",
    f"/prompts/answer/diff?before={FIRST}&after={FIRST + 2}",
    "/prompts/answer/edit",
    "/prompts/answer/playground",
)


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[tuple[str, PromptsSite]]:
    """The site with versions, a rollout and a month of calls; its address."""
    with serving_prompts(database_url, tmp_path) as found:
        yield found


@pytest.fixture
def page(served: tuple[str, PromptsSite], browser: Browser) -> Iterator[Page]:
    """A desk's browser, signed in as an administrator."""
    address, site = served
    with visiting(browser, address, key=site.admin.admin_key, viewport=DESK) as opened:
        yield opened


def test_a_prompt_is_edited_published_tried_on_some_and_taken_back(page: Page) -> None:
    page.get_by_role("link", name="Prompts").first.click()
    page.get_by_role("link", name="context", exact=True).click()
    page.get_by_role("link", name="Edit").first.click()
    text = page.locator("textarea[name=text]")
    whole = text.input_value()
    text.fill(whole.replace("{{ title }}", "{{ titel }}"))
    expect(page.locator("#checked")).to_contain_text("'titel' is used but not declared")
    text.fill(whole.replace("At most 25 words", "At most 20 words"))
    expect(page.locator("#checked")).to_contain_text("At most 20 words")
    page.get_by_label("Why").fill("shorter lines")
    page.get_by_label("Label it").select_option("candidate")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("status").first).to_contain_text("context@2 is published")

    rollout = page.locator(".rollout")
    rollout.get_by_label("Version").select_option("2")
    rollout.get_by_label("Of 100 conversations").fill("25")
    rollout.get_by_label("Why").fill("a quarter, for a week")
    rollout.get_by_role("button", name="Apply").click()
    expect(page.locator(".live-versions")).to_have_text(re.compile(r"@1\s+75 %\s+@2\s+25 %"))
    page.get_by_role("button", name="End the trial").click()
    expect(page.locator(".live-versions")).to_have_text("@1")
    expect(page.locator(".events li").first).to_contain_text("live: @1 and @2 for 25 % to @1")
    expect(page.locator(".events li").nth(1)).to_contain_text("a quarter, for a week")


def test_two_versions_are_compared_word_by_word(page: Page) -> None:
    page.goto("/prompts/answer")
    expect(page.locator(".versions-table tbody tr").nth(1)).to_contain_text("84")
    page.locator(".versions-table tbody tr").first.get_by_role("link", name="Compare").click()
    expect(page.locator(".diff ins").filter(has_text="kindly")).to_have_count(1)
    expect(page.locator(".diff-skipped").first).to_be_visible()
    page.get_by_label("All lines").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".diff-skipped")).to_have_count(0)


def test_the_playground_runs_versions_and_models_side_by_side(
    page: Page, served: tuple[str, PromptsSite]
) -> None:
    page.goto("/prompts/answer/playground")
    expect(page.locator(".play-input")).to_have_count(1)
    page.get_by_label("openai/gpt-6-sol").check()
    page.locator("#pick").select_option(index=1)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#count")).to_have_text("8 calls")
    page.get_by_role("button", name="Run").click()
    cells = page.locator(".play-results td")
    expect(cells).to_have_count(8)
    expect(page.locator("#count")).to_contain_text("8 of 8 done, $0.0050")
    expect(cells.first.locator(".play-output")).to_contain_text(f"chat by answer@{FIRST + 1}: thirty days")
    expect(cells.first.locator(".play-output")).to_contain_text("<script>alert(1)</script>")
    expect(cells.nth(1).locator(".play-facts")).to_contain_text("$0.00124")
    expect(cells.first.locator(".play-cost")).to_have_class(re.compile("play-best"))
    assert {call.purpose for call in served[1].gateway.calls} == {"playground"}

    page.get_by_text("Add a draft").click()
    page.locator("[name=text]").fill(page.locator("[name=text]").input_value() + "\nBe brief.\n")
    page.get_by_label("Run this text too").check()
    page.get_by_label("openai/gpt-6-sol").uncheck()
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".play-results thead th").nth(3)).to_contain_text("draft")
    expect(page.locator("#count")).to_contain_text("6 of 6 done")

    page.locator(".play-values [data-json]").first.fill("[1,")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#toasts")).to_contain_text("passages is no JSON")


@pytest.mark.parametrize("look", ["desk", "dark", "phone"])
def test_every_page_is_accessible_and_fits(
    served: tuple[str, PromptsSite], browser: Browser, look: str
) -> None:
    address, site = served
    scheme = "light" if look == "desk" else "dark"
    size = PHONE if look == "phone" else DESK
    with visiting(browser, address, key=site.admin.admin_key, viewport=size, color_scheme=scheme) as page:
        for path in PAGES:
            page.goto(path)
            if "playground" in path:
                page.locator(".play-input").wait_for()
            assert violations(page) == [], path
            assert overflow(page) <= 0, path
