from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient

from tests.web.conftest import DESK, PHONE, Served, visiting
from tests.web.scripted import ADMIN_KEY, READER_KEY
from tests.web.test_browser import overflow, violations
from tests.web.test_sign_in import sign_in
from tests.web.test_vendored_files import ROOT

ICONS = ROOT / "causeway/web/static/icons.svg"


def test_every_icon_is_shown_and_every_shown_icon_is_there(client: TestClient) -> None:
    sign_in(client, key=ADMIN_KEY)
    shown = set(re.findall(r"icons\.svg#([a-z-]+)", client.get("/styleguide").text))
    there = set(re.findall(r'<symbol id="([a-z-]+)"', ICONS.read_text()))
    assert shown == there


def test_it_is_for_who_administers(client: TestClient) -> None:
    sign_in(client, key=READER_KEY)
    assert client.get("/styleguide").status_code == 403


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_every_piece_is_right_in_both_lights_and_at_both_widths(served: Served, browser: Browser) -> None:
    for options in ({"viewport": DESK}, {"viewport": PHONE, "is_mobile": True, "has_touch": True}):
        for scheme in ("light", "dark"):
            with visiting(browser, served.address, color_scheme=scheme, **options) as page:
                page.goto("/styleguide")
                expect(page.locator(".chart-box.is-live")).to_have_count(3)
                assert violations(page) == [], (scheme, options)
                assert overflow(page) <= 0, (scheme, options)


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_pieces_act_as_they_say(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, viewport=DESK) as page:
        page.goto("/styleguide")
        _tables(page)
        page.get_by_role("button", name="Delete a collection").click()
        dialog = page.get_by_role("dialog", name="Delete this collection?")
        expect(dialog.get_by_role("button", name="Keep")).to_be_focused()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        page.get_by_role("button", name="Show one").click()
        expect(page.locator(".toast")).to_have_text("The link is copied")
        page.get_by_role("button", name="Open it").click()
        expect(page.locator("#palette-input")).to_be_focused()


def _tables(page: Page) -> None:
    rows = page.locator("#tents tbody tr")
    expect(rows).to_have_count(4)
    page.get_by_role("link", name="Weight").click()
    expect(rows.first).to_contain_text("Fellside Dome")
    expect(page.get_by_role("columnheader", name="Weight")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="Weight").click()
    expect(rows.first).to_contain_text("Tarn Tarp")
    page.get_by_label("Filter by name").fill("kestrel")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Kestrel Ridge 2")
    expect(page).to_have_url(re.compile("q=kestrel.*sort=weight|sort=weight.*q=kestrel"))
    page.get_by_label("Filter by name").fill("")
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(2)
    months = page.get_by_role("region", name="Months")
    months.get_by_role("button", name="Orders").click()
    expect(months.locator("tbody tr").first).to_contain_text("February")
    months.get_by_role("button", name="Month").click()
    expect(months.locator("tbody tr").first).to_contain_text("January")
