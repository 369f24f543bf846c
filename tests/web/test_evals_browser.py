"""The pages of evals in a real browser: reachable, without complaints, on a desk and on a phone in the dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import Served, visiting
from tests.web.scripted_evals import EARLIER, LATER

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PAGES = (
    "/evals",
    f"/evals/{LATER}",
    f"/evals/{LATER}/beside?earlier={EARLIER}",
    f"/evals/{LATER}/cases/return-stockist?earlier={EARLIER}",
)


def _look(page: Page) -> None:
    for path in PAGES:
        page.goto(path)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run().then(run => run.violations.map(each => each.id))")
        assert found == [], path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path


def test_a_desk_finds_its_way_from_the_menu_to_a_case(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, viewport={"width": 1440, "height": 900}, bypass_csp=True) as page:
        page.get_by_role("link", name="Evals").first.click()
        page.get_by_role("link", name="sample-company").nth(1).click()
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_text("The gate would stop this.")).to_be_visible()
        page.locator("tr.eval-broken a").first.click()
        expect(page.get_by_text("What changed in the answer")).to_be_visible()
        _look(page)


def test_a_phone_in_the_dark_shows_every_page_whole(served: Served, browser: Browser) -> None:
    with visiting(
        browser,
        served.address,
        viewport={"width": 390, "height": 844},
        is_mobile=True,
        has_touch=True,
        color_scheme="dark",
        bypass_csp=True,
    ) as page:
        _look(page)
