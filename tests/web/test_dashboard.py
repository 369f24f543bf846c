from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient

from causeway.contracts.money import Micros
from causeway.observability.stats_report import (
    CostLine,
    Costs,
    ErrorCount,
    QuestionLine,
    StatsQuery,
    StatsReport,
    Totals,
)
from causeway.web.dashboard_numbers import changed
from causeway.web.parts import WebParts
from causeway.web.tables import Order
from tests.web.conftest import DESK, PHONE, Served, visiting
from tests.web.scripted import ADMIN_KEY, READER_KEY, Scripted
from tests.web.test_browser import overflow, violations
from tests.web.test_sign_in import sign_in

HOSTILE = '"><script>alert(1)</script>'
Connect = Callable[[WebParts], TestClient]


class Given:
    """Numbers as they are given."""

    def __init__(self, report: StatsReport) -> None:
        self.report = report

    async def read(self, query: StatsQuery, *, is_own: bool = False) -> StatsReport:
        return dataclasses.replace(self.report, query=query)


def links(html: str, inside: str) -> list[dict[str, str]]:
    found = re.findall(rf'{inside}[^>]*href="([^"]*)"', html)
    return [
        {name: values[0] for name, values in parse_qs(urlsplit(each.replace("&amp;", "&")).query).items()}
        for each in found
    ]


@pytest.fixture
def admin(client: TestClient) -> TestClient:
    sign_in(client, key=ADMIN_KEY)
    return client


def test_the_usual_time_is_a_week_and_every_number_leads_to_its_traces(
    admin: TestClient, site: Scripted
) -> None:
    html = admin.get("/dashboard?model=gpt-6-sol").text
    asked = site.stats.asked[-1]
    assert asked.until - asked.since == timedelta(days=7)
    assert asked.model == "gpt-6-sol"
    tiles = links(html, '<a class="stat"')
    assert len(tiles) == 10
    assert all(each["model"] == "gpt-6-sol" and each["since"] < each["until"] for each in tiles)
    assert tiles[1]["status"] == "error"
    assert int(tiles[3]["min_ms"]) > 0
    assert tiles[9]["vote"] == "any"


def test_every_link_of_it_leads_somewhere(admin: TestClient) -> None:
    html = admin.get("/dashboard?range=24h&team=team_shop&owner=key_1&prompt=answer%401").text
    found = {
        each.replace("&amp;", "&") for each in re.findall(r'href="(/(?:traces\?|api/stats)[^"]*)"', html)
    }
    by_filters = {
        tuple(sorted(set(parse_qs(urlsplit(each).query)) - {"since", "until"})): each for each in found
    }
    assert len(by_filters) > 8
    for each in by_filters.values():
        assert admin.get(each).status_code == 200, each


def test_a_given_time_is_kept_by_every_link(admin: TestClient, site: Scripted) -> None:
    html = admin.get("/dashboard?from=2026-11-01T00:00&to=2026-11-03T12:00:00%2B02:00&team=team_shop").text
    asked = site.stats.asked[-1]
    assert asked.since == datetime(2026, 11, 1, tzinfo=UTC)
    assert asked.until == datetime(2026, 11, 3, 10, tzinfo=UTC)
    removal = links(html, '<a class="chip-remove"')
    assert removal == [{"from": "2026-11-01T00:00:00Z", "to": "2026-11-03T10:00:00Z"}]
    assert links(html, '<a class="stat"')[0]["since"] == "2026-11-01T00:00:00Z"


@pytest.mark.parametrize(
    "wrong",
    [
        "from=2026-11-03&to=2026-11-01",
        "from=2020-01-01&to=2026-11-01",
        "from=yesterday",
        "to=0001-01-01T00:00:00Z",
        "to=9999-12-31T23:59:59-12:00",
        "team=a%00b",
        f"model={'x' * 201}",
    ],
)
def test_what_is_no_time_or_filter_is_refused_with_a_page(admin: TestClient, wrong: str) -> None:
    answer = admin.get(f"/dashboard?{wrong}")
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"].startswith("text/html")


def test_an_unknown_range_is_the_usual_one(admin: TestClient, site: Scripted) -> None:
    assert admin.get("/dashboard?range=9y").status_code == 200
    assert site.stats.asked[-1].until - site.stats.asked[-1].since == timedelta(days=7)


def test_questions_are_sorted_by_the_server(admin: TestClient) -> None:
    def order(sort: str) -> list[str]:
        html = admin.get(f"/dashboard?sort={sort}").text
        return re.findall(r'<a class="row-link"[^>]*>([^<]*)</a>', html)

    sizes = order("-size")
    assert sizes[0] == "tent, return, online"
    assert order("size") == sizes[::-1]
    assert order("trend")[-1] == "wind, tent, strongest"
    assert order("-trend")[-1] == "wind, tent, strongest"
    assert order("password") == sizes
    assert 'aria-sort="descending"' in admin.get("/dashboard").text


def test_without_calls_it_says_what_will_be_here(site: Scripted, connect: Connect) -> None:
    site.stats.is_empty = True
    client = connect(site.parts)
    sign_in(client, key=ADMIN_KEY)
    assert "Nothing has been counted yet" in client.get("/dashboard").text
    filtered = client.get("/dashboard?model=nothing").text
    assert "Nothing has been counted yet" not in filtered
    assert "No request failed." in filtered
    assert filtered.count("Nothing in this time") == 7


def test_names_that_callers_choose_stay_text(site: Scripted, connect: Connect) -> None:
    line = CostLine(key=HOSTILE, name=HOSTILE, cost=Micros(5), requests=1)
    question = QuestionLine(
        cluster_id=HOSTILE,
        label=HOSTILE,
        example=HOSTILE,
        size=1,
        trend=None,
        thumbs_up=1,
        thumbs_down=1,
        cost=Micros(1),
    )
    report = StatsReport(
        query=StatsQuery(since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 2, tzinfo=UTC)),
        bucket_s=3600,
        totals=Totals(requests=1),
        previous=Totals(),
        errors=(ErrorCount(code=HOSTILE, count=1),),
        costs=Costs(team=(line,), model=(line,), product=(line,)),
        questions=(question,),
    )
    client = connect(dataclasses.replace(site.parts, stats=Given(report)))
    sign_in(client, key=ADMIN_KEY)
    html = client.get("/dashboard", params={"model": HOSTILE, "owner": HOSTILE}).text
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_it_is_an_administrators_page(client: TestClient, site: Scripted, connect: Connect) -> None:
    sign_in(client, key=READER_KEY)
    assert client.get("/dashboard").status_code == 403
    assert "Dashboard" not in client.get("/documents").text
    bare = connect(dataclasses.replace(site.parts, stats=None))
    sign_in(bare, key=ADMIN_KEY)
    assert bare.get("/dashboard").status_code == 404
    assert "Dashboard" not in bare.get("/documents").text


def test_changes_are_told_as_people_do() -> None:
    assert changed(150, 100, "down") == {"change": "50 % more", "tone": "bad"}
    assert changed(400, 100, "") == {"change": "300 % more", "tone": ""}
    assert changed(100.2, 100, "up") == {"change": "the same", "tone": ""}
    assert changed(0.05, 0.04, "up", is_share=True) == {"change": "1 point more", "tone": "good"}
    assert changed(0, 0, "down", is_share=True) == {"change": "the same", "tone": ""}
    assert changed(5, 0, "down") == changed(None, 5, "down") == changed(5, None, "") == {}


def test_an_order_that_is_unknown_is_the_usual_one() -> None:
    assert Order.read("-", ("a",), "-a") == Order("a", is_descending=True)
    assert str(Order.read("-a", ("a", "b"), "b")) == "-a"


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_charts_tell_zoom_and_lead_to_traces(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, viewport={"width": 1280, "height": 860}) as page:
        page.get_by_role("link", name="Dashboard").click()
        charts = page.locator(".charts-first .chart-box.is-live")
        expect(charts).to_have_count(3)
        for number in range(3):
            expect(charts.nth(number)).to_be_in_viewport(ratio=1)
        assert violations(page) == []
        over = page.locator("#chart-requests .u-over")
        over.hover(position={"x": 100, "y": 40})
        tip = page.locator("#chart-requests .chart-tip")
        expect(tip).to_contain_text("Answered")
        box = over.bounding_box()
        assert box
        page.mouse.move(box["x"] + 60, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 140, box["y"] + 40, steps=6)
        page.mouse.up()
        page.wait_for_url(re.compile(r"from=.*&to="))
        expect(page.locator(".chart-box.is-live")).to_have_count(8)
        assert served.site.stats.asked[-1].until - served.site.stats.asked[-1].since < timedelta(days=4)
        page.locator("#chart-requests .u-over").click(position={"x": 60, "y": 60})
        page.wait_for_url(re.compile(r"/traces\?since=.*until="))


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_filters_chips_and_sorting_without_leaving_the_page(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, viewport=DESK) as page:
        page.goto("/dashboard")
        page.get_by_text("Filter", exact=True).click()
        page.get_by_label("Model").select_option("gpt-6-luna")
        page.get_by_label("Prompt").fill("answer@1")
        page.locator(".drop[open]").get_by_role("button", name="Show").click()
        page.wait_for_url(re.compile("model=gpt-6-luna&prompt=answer"))
        page.get_by_role("link", name="Without model gpt-6-luna").click()
        page.wait_for_url(lambda url: "model=" not in url)
        first = page.locator(".questions-table tbody .row-link").first
        expect(first).to_have_text("tent, return, online")
        page.get_by_role("link", name="Trend").click()
        expect(first).to_have_text("till, orange, cloud")
        expect(page).to_have_url(re.compile("sort=-trend"))
        expect(page.get_by_role("columnheader", name="Trend")).to_have_attribute("aria-sort", "descending")
        page.get_by_text("Custom").click()
        page.keyboard.press("Escape")
        expect(page.locator(".drop[open]")).to_have_count(0)


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_a_phone_in_the_dark_shows_the_whole_dashboard(served: Served, browser: Browser) -> None:
    with visiting(
        browser, served.address, viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark"
    ) as page:
        page.goto("/dashboard")
        expect(page.locator(".chart-box.is-live")).to_have_count(8)
        assert overflow(page) <= 0
        assert violations(page) == []
        page.get_by_text("Filter", exact=True).tap()
        assert overflow(page) <= 0
        _inside(page, ".drop-panel:visible")


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_without_scripts_everything_is_there(served: Served, browser: Browser) -> None:
    with visiting(browser, served.address, viewport=DESK, java_script_enabled=False) as page:
        page.goto("/dashboard")
        expect(page.locator("#chart-requests .chart-svg rect").first).to_be_visible()
        page.locator("#chart-requests summary").click()
        expect(page.locator("#chart-requests tbody tr")).to_have_count(29)
        page.get_by_role("link", name="Asked").click()
        expect(page.locator(".questions-table tbody .row-link").first).to_have_text(
            "boots, resole, guarantee"
        )
        page.get_by_role("link", name="30 days").click()
        expect(page).to_have_url(re.compile("range=30d"))


def _inside(page: Page, selector: str) -> None:
    box = page.locator(selector).bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
