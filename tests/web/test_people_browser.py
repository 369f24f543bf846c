"""The pages of people and rules in a real browser: made, invited, signed in; a rule set and taken away; axe, widths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect
from sqlalchemy import make_url

from tests.accounts.people import PASSWORD
from tests.web.admin_site import AdminSite, serving_admin
from tests.web.conftest import DESK, PHONE, visiting
from tests.web.test_browser import overflow, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
def admin(database_url: str, tmp_path: Path) -> Iterator[tuple[str, AdminSite]]:
    """The site with a collection and a group; its address."""
    query = make_url(database_url).query
    with psycopg.connect(
        host=str(query["host"]),
        port=str(query["port"]),
        user="postgres",
        dbname=make_url(database_url).database,
        autocommit=True,
    ) as connection:
        connection.execute(
            "INSERT INTO collections (id, name, embedding_model, dimensions) VALUES ('c', 'handbook', 'm', 2)"
        )
        connection.execute("INSERT INTO groups (id, name) VALUES ('grp_1', 'HR')")
    with serving_admin(database_url, tmp_path, environment={}) as served:
        yield served


@pytest.fixture
def page(admin: tuple[str, AdminSite], browser: Browser) -> Iterator[Page]:
    address, site = admin
    with visiting(browser, address, key=site.admin_key, viewport=DESK) as opened:
        yield opened


def test_a_colleague_is_invited_chooses_a_password_and_signs_in(
    page: Page, admin: tuple[str, AdminSite], browser: Browser
) -> None:
    page.goto("/admin/users")
    page.get_by_role("link", name="New user").click()
    sheet = page.locator("#sheet")
    sheet.get_by_label("E-mail").fill("dana@example.com")
    sheet.get_by_label("Name").fill("Dana Reyes")
    sheet.get_by_label("HR").check()
    sheet.get_by_role("button", name="Make the account").click()
    invitation = sheet.locator("#secret").inner_text()
    sheet.get_by_role("link", name="Done").click()
    expect(page.get_by_role("row", name="Dana Reyes")).to_contain_text("Invited")
    context = browser.new_context(
        base_url=admin[0], viewport=ViewportSize(width=PHONE["width"], height=PHONE["height"])
    )
    theirs = context.new_page()
    theirs.goto(invitation)
    theirs.get_by_label("Password").fill(PASSWORD)
    theirs.get_by_role("button", name="Set the password").click()
    theirs.goto("/account")
    expect(theirs.locator("main")).to_contain_text("dana@example.com · Reader · HR")
    assert overflow(theirs) == 0
    theirs.get_by_role("button", name="Sign out everywhere").click()
    theirs.get_by_label("E-mail").fill("dana@example.com")
    theirs.get_by_label("Password").fill(PASSWORD)
    theirs.keyboard.press("Enter")
    theirs.wait_for_url(f"{admin[0]}/")
    context.close()
    page.reload()
    expect(page.get_by_role("row", name="Dana Reyes")).to_contain_text("Active")


def test_a_folders_rule_is_set_and_taken_away(page: Page, admin: tuple[str, AdminSite]) -> None:
    page.goto("/admin/access")
    page.get_by_label("New rule for a folder of handbook").click()
    sheet = page.locator("#sheet")
    sheet.get_by_label("Folder", exact=True).fill("hr/pay")
    sheet.get_by_label("May see it").fill("group:Sales")
    sheet.get_by_role("button", name="Save").click()
    expect(sheet.get_by_role("alert")).to_contain_text("No group is called 'Sales'")
    sheet.get_by_label("May see it").fill("group:HR")
    sheet.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="handbook/hr/pay/")).to_contain_text("group:HR")
    page.get_by_label("Edit who may see hr/pay").click()
    sheet.get_by_role("button", name="Take the rule away").click()
    expect(page.get_by_role("row", name="handbook/hr/pay/")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(admin: tuple[str, AdminSite], browser: Browser, scheme: str) -> None:
    address, site = admin
    found = {}
    with visiting(browser, address, key=site.admin_key, viewport=PHONE, color_scheme=scheme) as page:
        for path in ("admin/users", "admin/groups", "admin/access", "admin/new/user", "account"):
            page.goto(f"/{path}")
            assert overflow(page) == 0, path
            found[path] = violations(page)
    context = browser.new_context(base_url=address, color_scheme=scheme)  # type: ignore[arg-type]  # one of two
    page = context.new_page()
    page.goto("/sign-in")
    found["sign-in"] = violations(page)
    context.close()
    assert {path: each for path, each in found.items() if each} == {}
