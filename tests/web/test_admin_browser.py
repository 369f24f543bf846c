"""The administrators' pages in a real browser, over a database; a console message fails a test."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.admin_site import AdminSite, furnish, serving_admin
from tests.web.conftest import DESK, PHONE, visiting
from tests.web.test_browser import overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

LISTS = ("keys", "teams", "tiers", "budgets", "providers", "routes", "usage", "audit", "settings")


class Upstream(BaseHTTPRequestHandler):
    """A server that lists two models and answers everything with one word."""

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "gpt-6-sol"}, {"id": "gpt-6-luna"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "ready"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        self._answer({"choices": [choice], "usage": usage, "model": "gpt-6-luna"})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, body: object) -> None:
        sent = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


@pytest.fixture
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def admin(database_url: str, tmp_path: Path, upstream: str) -> Iterator[tuple[str, AdminSite]]:
    """The site with keys, teams and calls; its address."""
    environment = {
        "SHOP_API_KEY": "sk-shop",
        "CAUSEWAY_PROVIDERS__OPENAI__BASE_URL": upstream,
        "CAUSEWAY_PROVIDERS__ANTHROPIC__KIND": "anthropic",
        "CAUSEWAY_PROVIDERS__ANTHROPIC__MODELS": "claude-sonnet-5-5",
    }
    with serving_admin(database_url, tmp_path, environment=environment, furnished=furnish) as served:
        yield served


@pytest.fixture
def page(admin: tuple[str, AdminSite], browser: Browser) -> Iterator[Page]:
    """A desk's browser, signed in as an administrator."""
    address, site = admin
    with visiting(browser, address, key=site.admin_key, viewport=DESK) as opened:
        yield opened


def test_a_key_is_made_shown_once_and_revoked(page: Page, admin: tuple[str, AdminSite]) -> None:
    page.get_by_role("link", name="Administration").first.click()
    page.get_by_role("link", name="New key").click()
    sheet = page.get_by_role("dialog")
    sheet.get_by_label("Name").fill("Night job")
    sheet.get_by_label("US dollars a day").fill("ten")
    sheet.get_by_role("button", name="Make the key").click()
    expect(sheet.locator("#wrong-budget_usd_per_day")).to_have_text("Is no amount; write it like 20 or 2.50")
    expect(sheet.get_by_label("US dollars a day")).to_be_focused()
    sheet.get_by_label("US dollars a day").fill("10")
    sheet.get_by_label("Team").select_option("Search")
    sheet.get_by_role("button", name="Make the key").click()
    secret = sheet.locator("#secret").inner_text()
    assert re.fullmatch(r"cw-[\w-]{43}", secret)
    page.keyboard.press("Escape")
    expect(sheet.locator("#secret")).to_be_visible()  # it cannot be lost by a slip
    sheet.get_by_role("link", name="Done").click()
    row = page.locator("tr", has_text="Night job")
    expect(row).to_contain_text("$10.00")
    expect(row).to_have_class("is-changed")
    assert secret not in page.content()
    row.get_by_role("link", name="Revoke").click()
    expect(sheet).to_contain_text("stops working at once")
    sheet.get_by_role("link", name="Keep as it is").click()
    expect(sheet).to_be_hidden()
    row.get_by_role("link", name="Revoke").click()
    sheet.get_by_role("button", name="Revoke").click()
    expect(page.locator("tr", has_text="Night job")).to_have_count(0)
    page.get_by_role("link", name="Revoked").click()
    expect(page.locator("tr", has_text="Night job")).to_contain_text("Revoked")


def test_a_secret_is_copied_by_one_button(admin: tuple[str, AdminSite], browser: Browser) -> None:
    address, site = admin
    with visiting(browser, address, key=site.admin_key, viewport=DESK) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto("/admin/new/key")
        page.get_by_label("Name").fill("Copied")
        page.get_by_role("button", name="Make the key").click()
        secret = page.locator("#secret").inner_text()
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == secret


def test_a_tier_is_changed_in_force_at_once_and_listed(page: Page, admin: tuple[str, AdminSite]) -> None:
    page.goto("/admin/tiers")
    page.get_by_role("link", name="Edit free").click()
    sheet = page.get_by_role("dialog")
    sheet.get_by_label("Requests per minute").fill("0")
    sheet.get_by_role("button", name="Save").click()
    expect(sheet.locator("#wrong-requests_per_minute")).to_contain_text("greater than or equal to 1")
    sheet.get_by_label("Requests per minute").fill("77")
    sheet.get_by_role("button", name="Save").click()
    expect(page.locator("#tier-free")).to_contain_text("77")
    expect(page.locator("#tier-free")).to_have_class(re.compile("is-changed"))
    assert admin[1].admin.live.current.tiers["free"].requests_per_minute == 77
    page.get_by_role("link", name="Changes").click()
    first = page.locator("tbody tr").first
    expect(first).to_contain_text("root")
    expect(first).to_contain_text("tier update")
    expect(first.locator("del")).to_have_text("30")
    expect(first.locator("ins")).to_have_text("77")


def test_a_provider_is_added_tested_and_removed(page: Page, upstream: str) -> None:
    page.goto("/admin/providers")
    page.get_by_role("link", name="Add a provider").click()
    sheet = page.get_by_role("dialog")
    sheet.get_by_label("Name").fill("shop")
    sheet.get_by_label("Address").fill(upstream)
    sheet.get_by_label("Key", exact=True).fill("sk-by-mistake")
    sheet.get_by_role("button", name="Add the provider").click()
    expect(sheet.locator("#wrong-api_key")).to_contain_text("name where it is")
    expect(sheet.get_by_label("Key", exact=True)).to_have_value("")
    sheet.get_by_label("Key", exact=True).fill("env:SHOP_API_KEY")
    sheet.get_by_role("button", name="Add the provider").click()
    card = page.locator("#provider-shop")
    expect(card).to_contain_text("env:SHOP_API_KEY")
    card.get_by_role("button", name="Test shop").click()
    expect(card.locator(".check-result")).to_contain_text("gpt-6-luna answered in")
    expect(card.locator(".check-result")).to_contain_text("Lists 2 models")
    broken = page.locator("#provider-anthropic")
    broken.get_by_role("button", name="Test anthropic").click()
    expect(broken.locator(".check-result .bad")).to_be_visible()
    card.get_by_role("link", name="Reset or remove shop").click()
    sheet.get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0)


def test_the_filter_narrows_as_one_types_and_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/admin/keys")
    page.keyboard.press("/")
    page.keyboard.type("search")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("#filter")).to_be_focused()
    expect(page).to_have_url(re.compile(r"q=search"))
    page.get_by_role("link", name="Edit site-search").focus()
    page.keyboard.press("Enter")
    sheet = page.get_by_role("dialog")
    expect(sheet.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(page.get_by_role("link", name="Edit site-search")).to_be_focused()


def test_usage_is_grouped_and_downloaded(page: Page) -> None:
    page.goto("/admin/usage")
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(3)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename.startswith("usage-by-model-")


def test_a_phone_needs_no_sideways_scroll(admin: tuple[str, AdminSite], browser: Browser) -> None:
    address, site = admin
    options = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
    with visiting(browser, address, key=site.admin_key, **options) as phone:
        for path in (*LISTS, "new/key", "edit/tiers.free", "edit/gateway"):
            phone.goto(f"/admin/{path}")
            assert overflow(phone) == 0, path
        phone.goto("/admin/tiers")
        phone.get_by_role("link", name="Edit free").tap()
        expect(phone.get_by_role("dialog")).to_be_visible()
        assert overflow(phone) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(admin: tuple[str, AdminSite], browser: Browser, scheme: str) -> None:
    address, site = admin
    options = {"viewport": DESK, "color_scheme": scheme, "reduced_motion": "reduce"}
    with visiting(browser, address, key=site.admin_key, **options) as page:
        found = {}
        for path in (*LISTS, "new/key", "new/providers", "edit/tiers.free", "settings?all=1"):
            page.goto(f"/admin/{path}")
            found[path] = violations(page)
        page.goto("/admin/tiers")
        page.get_by_role("link", name="Edit free").click()
        sheet = page.get_by_role("dialog")
        sheet.get_by_label("Priority").fill("12")
        sheet.get_by_role("button", name="Save").click()
        expect(sheet.locator("#wrong-priority")).to_be_visible()
        found["sheet"] = violations(page)
        page.goto("/admin/providers")
        page.get_by_role("button", name="Test openai").click()
        expect(page.locator("#provider-openai .good")).to_be_visible()
        found["tested"] = violations(page)
        assert {place: each for place, each in found.items() if each} == {}


def test_who_is_no_administrator_sees_no_door(admin: tuple[str, AdminSite], browser: Browser) -> None:
    address, site = admin
    with visiting(browser, address, key=site.user_key, viewport=DESK) as page:
        expect(page.get_by_role("link", name="Administration")).to_have_count(0)
