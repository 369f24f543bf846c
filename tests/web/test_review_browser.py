"""The pages of review in a real browser, over a database: a reviewer's way, without complaints, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.web.conftest import DESK, PHONE, visiting
from tests.web.review_site import serving_review
from tests.web.test_browser import overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def reviewed(database_url: str, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The site's address, and the traces that were voted on."""
    with serving_review(database_url, tmp_path) as served:
        yield served


def test_a_reviewer_finds_a_bad_answer_confirms_it_and_makes_a_case(
    reviewed: tuple[str, list[str]], browser: Browser
) -> None:
    address, _ = reviewed
    with visiting(browser, address, viewport=DESK) as page:
        page.get_by_role("link", name="Review").first.click()
        page.get_by_role("link", name="How strong a wind").click()
        page.get_by_role("button", name="Confirm").click()
        expect(page.get_by_role("button", name="Open again")).to_be_visible()
        page.get_by_label("Facts that the answer").fill("110 km/h")
        page.get_by_role("button", name="Make eval case").click()
        expect(page.get_by_role("status").filter(has_text="It is a case")).to_be_visible()
        page.get_by_role("link", name="feedback").first.click()
        expect(page.get_by_text("110 km/h")).to_be_visible()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_page_is_whole_and_accessible(
    reviewed: tuple[str, list[str]], browser: Browser, size: dict[str, int]
) -> None:
    address, traces = reviewed
    scheme = "dark" if size is PHONE else "light"
    with visiting(browser, address, viewport=size, color_scheme=scheme) as page:
        for path in (
            "/review?state=all",
            f"/review/{traces[1]}",
            "/review/learning",
            f"/feedback/{traces[0]}",
        ):
            page.goto(path)
            assert violations(page) == [], path
            assert overflow(page) <= 0, path
