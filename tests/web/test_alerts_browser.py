"""The page of alerts in a real browser, over a database: made, tried, changed; whole at both sizes, in both colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.web.admin_site import AdminSite, serving_admin
from tests.web.alerts_site import HOSTILE, furnish
from tests.web.conftest import DESK, PHONE, visiting
from tests.web.test_browser import overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def served(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[str, AdminSite]]:
    """The site; with the parameter ``empty`` nothing is watched."""
    is_empty = getattr(request, "param", "") == "empty"
    furnished = None if is_empty else furnish
    with serving_admin(database_url, tmp_path, environment={}, furnished=furnished) as found:
        yield found


@pytest.mark.parametrize("served", ["empty"], indirect=True)
def test_the_first_alert_is_made_tried_turned_off_and_deleted(
    served: tuple[str, AdminSite], browser: Browser
) -> None:
    address, site = served
    with visiting(browser, address, key=site.admin_key, viewport=DESK) as page:
        page.goto("/alerts")
        expect(page.get_by_text("Nothing is watched yet")).to_be_visible()
        assert violations(page) == []
        page.get_by_label("Name").fill("Errors")
        page.get_by_label("operations").check()
        page.get_by_label("Threshold").fill("5 %")
        page.get_by_role("button", name="Add alert").click()
        row = page.locator(".alert-rules tbody tr")
        expect(row).to_contain_text("error rate above 5.0% over 15 minutes")
        expect(row).to_contain_text("operations")
        row.get_by_role("link", name="Edit").click()
        expect(page.get_by_label("Threshold")).to_have_value("5")
        page.get_by_label("Threshold").fill("7.5")
        page.get_by_role("button", name="Save").click()
        expect(row).to_contain_text("error rate above 7.5% over 15 minutes")
        row.get_by_role("button", name="Test").click()
        expect(
            page.get_by_role("status").filter(has_text="Test of Errors on operations: taken")
        ).to_be_visible()
        row.get_by_role("button", name="Turn off").click()
        expect(row).to_contain_text("Off")
        row.get_by_text("Delete", exact=False).first.click()
        row.get_by_role("button", name="Delete it and its history").click()
        expect(page.get_by_text("Nothing is watched yet")).to_be_visible()


def test_what_fired_leads_to_its_traces(served: tuple[str, AdminSite], browser: Browser) -> None:
    address, site = served
    with visiting(browser, address, key=site.admin_key, viewport=DESK) as page:
        page.goto("/alerts")
        row = page.locator(".alert-rules tbody tr", has_text="Errors of the shop")
        expect(row).to_contain_text("Firing")
        row.get_by_role("link", name="33.3% of 30").click()
        expect(page.get_by_label("Status")).to_have_value("error")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_whole_and_accessible_and_runs_nothing(
    served: tuple[str, AdminSite], browser: Browser, size: dict[str, int], scheme: str
) -> None:
    address, site = served
    options = {"viewport": size, "color_scheme": scheme}
    with visiting(browser, address, key=site.admin_key, **options) as page:
        page.goto("/alerts")
        expect(page.locator(".alert-rules")).to_contain_text(HOSTILE)
        page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
        assert violations(page) == []
        assert overflow(page) <= 0
        assert page.evaluate("window.hacked") is None
