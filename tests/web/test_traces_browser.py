"""Traces in a real browser: hostile content does nothing, filters work as they are typed, both sizes are whole."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from playwright.sync_api import Browser, Page, expect

from causeway.observability.trace_store import Rating
from tests.web.conftest import Served, visiting
from tests.web.scripted import ScriptedTraces
from tests.web.test_traces import hostile_trace

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
TRACE = "0" * 32


@pytest.fixture
def hostile(served: Served) -> Served:
    """A site with a trace full of scripts."""
    traces = cast("ScriptedTraces", served.site.parts.traces)
    line, trace = hostile_trace()
    traces.put(line, trace)
    traces.rated[TRACE] = [Rating(by="vote", name="down", value=0.0, reason=str(line.question))]
    return served


def look(page: Page, path: str) -> None:
    page.goto(path)
    for summary in page.locator("details:not([open]) > summary").all():
        summary.click()
    page.evaluate(AXE.read_text())
    assert page.evaluate("axe.run().then(run => run.violations.map(each => each.id))") == [], path
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    assert page.evaluate("window.hacked") is None


def test_a_desk_searches_as_it_types_and_opens_a_trace_full_of_scripts(
    hostile: Served, browser: Browser
) -> None:
    with visiting(browser, hostile.address, viewport={"width": 1440, "height": 900}, bypass_csp=True) as page:
        page.goto("/traces")
        page.get_by_role("searchbox").press_sequentially("nothing of that")
        expect(page.get_by_text("No trace matches")).to_be_visible()
        page.get_by_role("searchbox").fill("")
        page.get_by_label("Status").select_option("error")
        expect(page.get_by_text("half a trace")).to_be_visible()
        look(page, "/traces?status=error&vote=down")
        look(page, f"/traces/{TRACE}")


def test_a_phone_in_the_dark_shows_both_pages_whole(hostile: Served, browser: Browser) -> None:
    with visiting(
        browser,
        hostile.address,
        viewport={"width": 390, "height": 844},
        is_mobile=True,
        has_touch=True,
        color_scheme="dark",
        bypass_csp=True,
    ) as page:
        look(page, "/traces?text=script&model=some&since=24h")
        look(page, f"/traces/{TRACE}")
