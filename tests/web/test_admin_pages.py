from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from causeway.contracts.money import Micros
from causeway.web.app import build_app
from causeway.web.sign_in import COOKIE
from tests.gateway.calls import an_entry
from tests.web.admin_site import AdminSite, admin_site

ENVIRONMENT = {
    "SHOP_API_KEY": "sk-very-secret",
    "CAUSEWAY_PROVIDERS__LOCAL__BASE_URL": "http://127.0.0.1:9/v1",
    "CAUSEWAY_PROVIDERS__LOCAL__MODELS": "words",
}
LISTS = ("keys", "teams", "tiers", "budgets", "providers", "routes", "usage", "audit", "settings")
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Browser:
    """A browser without scripts."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self.answer = httpx2.Response(204)

    async def open(self, path: str, **query: str) -> LexborHTMLParser:
        self.answer = await self._client.get(path, params=query or None)
        return LexborHTMLParser(self.answer.text)

    async def send(
        self, path: str, changed: Mapping[str, str | Sequence[str] | None], *, form: str = "main form"
    ) -> LexborHTMLParser:
        """Fill in the form of a page, as far as ``changed`` says, and send it; None unchecks or leaves out."""
        found = (await self.open(path)).css_first(form)
        assert found is not None, self.answer.text
        fields: dict[str, str | Sequence[str] | None] = {**_filled(found), **changed}
        sent = {name: value for name, value in fields.items() if value is not None}
        action = found.attributes["action"] or path
        body = urlencode(sent, doseq=True)
        self.answer = await self._client.post(action, content=body, headers=FORM)
        return LexborHTMLParser(self.answer.text)

    @property
    def onward(self) -> str:
        return self.answer.headers.get("location", f"{self.answer.status_code}: stayed")


def _filled(form: LexborNode) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for field in form.css("input, select, textarea"):
        about = field.attributes
        name = about.get("name")
        is_left_out = about.get("type") == "checkbox" and "checked" not in about
        if not name or is_left_out:
            continue
        if field.tag == "select":
            chosen = field.css_first("option[selected]") or field.css_first("option")
            value = chosen.attributes.get("value") if chosen else ""
            value = chosen.text() if chosen and value is None else value
        elif field.tag == "textarea":
            value = field.text()
        else:
            value = about.get("value") or ("on" if about.get("type") == "checkbox" else "")
        fields.setdefault(name, []).append(value or "")
    return fields


def problems(page: LexborHTMLParser) -> dict[str, str]:
    return {
        (each.attributes["id"] or "").removeprefix("wrong-"): each.text().strip()
        for each in page.css(".field-problem")
    }


def rows(page: LexborHTMLParser) -> list[str]:
    return [" ".join(row.text(separator=" ").split()) for row in page.css("tbody tr")]


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[AdminSite]:
    async with admin_site(database_url, tmp_path, environment=ENVIRONMENT) as opened:
        yield opened


async def _signed_in(site: AdminSite, key: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=build_app(site.parts))
    client = httpx2.AsyncClient(transport=transport, base_url="http://causeway.test")
    principal = await site.admin.keys.identify(key)
    client.cookies.set(COOKIE, await site.parts.sessions.open(principal.id))
    return client


@pytest.fixture
async def browser(site: AdminSite) -> AsyncIterator[Browser]:
    async with await _signed_in(site, site.admin_key) as client:
        yield Browser(client)


async def test_who_is_no_administrator_is_told_calmly(site: AdminSite) -> None:
    async with await _signed_in(site, site.user_key) as client:
        reader = Browser(client)
        assert "Administration" not in (await reader.open("/")).text()
        for path in (*(f"/admin/{name}" for name in LISTS), "/admin/new/key", "/admin/edit/tiers.free"):
            page = await reader.open(path)
            assert reader.answer.status_code == 403, path
            heading = page.css_first("h1")
            assert heading is not None
            assert heading.text() == "Not for this key"


async def test_every_list_teaches_while_it_is_empty(browser: Browser) -> None:
    for name in ("teams", "budgets", "usage"):
        page = await browser.open(f"/admin/{name}")
        said = page.css_first(".empty p")
        assert said is not None, name
        assert len(said.text()) > 60, name
    assert (await browser.open("/admin")) is not None
    assert browser.onward == "/admin/keys"


async def test_a_key_is_made_by_a_form_and_shown_once(browser: Browser, site: AdminSite) -> None:
    page = await browser.send(
        "/admin/new/key",
        {"name": "Site search", "scopes": ["models"], "budget_usd_per_day": "2.50", "expires": "30"},
    )
    shown = page.css_first("#secret")
    assert shown is not None
    principal = await site.admin.keys.identify(shown.text())
    assert [budget.limit for budget in principal.budgets] == [2_500_000]
    listed = await browser.open("/admin/keys", changed=principal.id)
    assert shown.text() not in browser.answer.text
    assert any(row.startswith("Site search") and "$2.50" in row for row in rows(listed))
    marked = listed.css_first("tr.is-changed")
    assert marked is not None
    assert marked.id == principal.id


async def test_what_is_wrong_with_a_key_stands_beside_its_field(browser: Browser) -> None:
    page = await browser.send(
        "/admin/new/key", {"name": " ", "scopes": None, "budget_usd_per_month": "ten", "models": "openai/*"}
    )
    assert browser.answer.status_code == 422
    assert problems(page) == {
        "name": "Needs a name",
        "scopes": "Choose at least one",
        "budget_usd_per_month": "Is no amount; write it like 20 or 2.50",
    }
    kept = page.css_first("textarea[name=models]")
    assert kept is not None
    assert kept.text() == "openai/*"
    field = page.css_first("[name=budget_usd_per_month]")
    assert field is not None
    assert field.attributes["aria-describedby"] == "wrong-budget_usd_per_month"
    assert field.attributes["value"] == "ten"


async def test_a_key_is_edited_rotated_and_revoked_by_forms(browser: Browser, site: AdminSite) -> None:
    made = await site.admin.keys.create("bot", [])
    path = f"/admin/keys/{made.id}"
    await browser.send(f"{path}/edit", {"name": "robot", "scopes": ["ask"], "tier": "free"})
    assert browser.onward == f"/admin/keys?changed={made.id}"
    assert (await site.admin.keys.identify(made.secret)).tier == "free"
    page = await browser.send(f"{path}/rotate", {"grace_hours": "1"})
    fresh = page.css_first("#secret")
    assert fresh is not None
    assert (await site.admin.keys.identify(made.secret)).name == "robot"
    asked = await browser.open(f"{path}/revoke")
    assert "stops working at once" in asked.text()
    await browser.send(f"{path}/revoke", {})
    assert browser.onward == "/admin/keys"
    assert [row for row in rows(await browser.open("/admin/keys")) if "robot" in row] == []
    assert any("robot" in row for row in rows(await browser.open("/admin/keys", state="revoked")))


async def test_a_team_is_made_and_given_a_budget(browser: Browser) -> None:
    await browser.send("/admin/new/team", {"name": "Web shop", "month": "800"})
    team = browser.onward.partition("changed=")[2]
    page = await browser.send("/admin/new/team", {"name": "Web shop"})
    assert "choose another name" in problems(page)["name"]
    await browser.send(f"/admin/teams/{team}/edit", {"day": "25", "month": ""})
    assert rows(await browser.open("/admin/teams")) != []
    assert "$25.00 none" in rows(await browser.open("/admin/teams"))[0]


async def test_a_tiers_form_changes_what_was_changed_and_nothing_else(
    browser: Browser, site: AdminSite
) -> None:
    await browser.send("/admin/edit/tiers.free", {"requests_per_minute": "7", "tokens_per_minute": ""})
    assert browser.onward == "/admin/tiers?changed=free"
    assert site.admin.live.overridden == {"tiers.free": {"requests_per_minute": 7, "tokens_per_minute": None}}
    page = await browser.open("/admin/tiers")
    card = page.css_first("#tier-free")
    assert card is not None
    assert "changed here" in card.text()
    await browser.send("/admin/edit/tiers.free", {"filter_output": None, "mask_local": "on", "pii": "refuse"})
    free = site.admin.live.current.tiers["free"]
    assert (free.filter_output, free.mask_local, free.pii, free.requests_per_minute) == (
        False,
        True,
        "refuse",
        7,
    )
    await browser.send("/admin/reset/tiers.free", {})
    assert site.admin.live.overridden == {}


async def test_what_is_wrong_with_a_setting_stands_beside_its_field(
    browser: Browser, site: AdminSite
) -> None:
    page = await browser.send(
        "/admin/edit/tiers.free",
        {"priority": "12", "requests_per_minute": "many", "cache_similarity": "0.8"},
    )
    assert browser.answer.status_code == 422
    assert problems(page) == {"requests_per_minute": "'many' is no number; write it like 1500 or 2.50"}
    page = await browser.send("/admin/edit/tiers.free", {"priority": "12", "cache_similarity": "0.3"})
    assert problems(page) == {
        "priority": "Must be less than or equal to 9",
        "cache_similarity": "Must be greater than or equal to 0.5",
    }
    assert site.admin.live.overridden == {}


async def test_a_new_tier_needs_a_name_of_its_own(browser: Browser, site: AdminSite) -> None:
    page = await browser.send("/admin/new/tiers", {"name": "free"})
    assert problems(page) == {"name": "There is a tier called “free”"}
    page = await browser.send("/admin/new/tiers", {"name": "Big Spenders"})
    assert "small letters" in problems(page)["name"]
    await browser.send("/admin/new/tiers", {"name": "trial"})
    assert browser.onward == "/admin/tiers?changed=trial"
    assert "trial" in site.admin.live.current.tiers


async def test_a_provider_is_added_by_a_form_that_takes_no_key(browser: Browser, site: AdminSite) -> None:
    filled = {
        "name": "shop",
        "base_url": "http://127.0.0.1:9/v1",
        "api_key": "sk-written-out",
        "models": "m\nother",
        "prices": "m 2.5 10 0.25",
    }
    page = await browser.send("/admin/new/providers", filled)
    assert "name where it is" in problems(page)["api_key"]
    assert "sk-written-out" not in browser.answer.text
    await browser.send("/admin/new/providers", {**filled, "api_key": "env:SHOP_API_KEY"})
    assert browser.onward == "/admin/providers?changed=shop"
    shop = site.admin.live.current.providers["shop"]
    assert shop.api_key.get_secret_value() == "sk-very-secret"
    assert (shop.models, str(shop.prices["m"].cached_input)) == (["m", "other"], "0.25")
    page = await browser.open("/admin/edit/providers.shop")
    written = page.css_first("[name=api_key]")
    assert written is not None
    assert written.attributes["value"] == "env:SHOP_API_KEY"
    assert "very-secret" not in browser.answer.text


async def test_a_provider_is_tested_without_scripts_too(browser: Browser, site: AdminSite) -> None:
    await browser.send("/admin/new/providers", {"name": "echo", "kind": "scripted", "models": "chat"})
    await browser.send("/admin/providers", {}, form="#provider-echo form")
    assert browser.onward == "/admin/providers?changed=echo"
    page = await browser.open("/admin/providers")
    result = page.css_first("#provider-echo .check-result")
    assert result is not None
    assert "chat answered in" in result.text()


async def test_routes_fallbacks_and_names_are_changed_by_forms(browser: Browser, site: AdminSite) -> None:
    await browser.send("/admin/new/routes", {"name": "best", "models": "local/words\nchat"})
    await browser.send("/admin/edit/gateway", {"fallbacks": "best: fast, local/words"})
    await browser.send("/admin/edit/models", {"fast": "local/words"})
    current = site.admin.live.current
    assert current.routes["best"].models == ["local/words", "chat"]
    assert current.gateway.fallbacks == {"best": ["fast", "local/words"]}
    assert current.models.fast == "local/words"
    assert "best" in (await browser.open("/admin/routes")).text()
    page = await browser.send("/admin/edit/gateway", {"fallbacks": "best"})
    assert "is not of the form" in problems(page)["fallbacks"]
    page = await browser.send("/admin/edit/routes.best", {"models": "no/where"})
    notice = page.css_first(".notice-danger")
    assert notice is not None
    assert "no/where" in notice.text()
    page = await browser.send("/admin/new/routes", {"name": "none", "models": ""})
    assert problems(page) == {"models": "Needs at least one"}


async def test_every_change_is_listed_with_who_made_it(browser: Browser) -> None:
    await browser.send("/admin/edit/tiers.free", {"requests_per_minute": "7"})
    await browser.send("/admin/new/team", {"name": "Ops", "day": "3"})
    listed = rows(await browser.open("/admin/audit"))
    assert "root team create Ops" in listed[0]
    assert "budget_per_day $3.00" in listed[0]
    assert "root tier update tiers.free requests_per_minute 20 → 7" in listed[1]
    only = rows(await browser.open("/admin/audit", subject="tiers.free"))
    assert len(only) == 1


async def test_older_changes_come_page_by_page(browser: Browser, site: AdminSite) -> None:
    for number in range(60):
        await site.admin.teams.create(f"team {number}")
    page = await browser.open("/admin/audit")
    more = page.css_first(".more-row a")
    assert more is not None
    older = rows(await browser.open(more.attributes["href"] or ""))
    assert "team 9" in older[0]


async def test_usage_shows_sums_and_shares(browser: Browser, site: AdminSite) -> None:
    now = site.parts.clock.now() - timedelta(minutes=1)
    for number, cost in enumerate((1_000_000, 250_000)):
        site.ledger.closed(an_entry(f"c{number}", at=now, model=f"model-{number}", cost=Micros(cost)))
    page = await browser.open("/admin/usage", by="model", days="7")
    assert [row.split()[:2] for row in rows(page)] == [["model-0", "$1.00"], ["model-1", "$0.25"]]
    figures = page.css_first(".figures")
    assert figures is not None
    assert "$1.25" in figures.text()
    assert [bar.attributes["width"] for bar in page.css("rect.spent")] == ["100.0", "25.0"]


async def test_settings_are_filtered_and_tell_what_lies_beneath(browser: Browser) -> None:
    await browser.send("/admin/edit/tiers.free", {"requests_per_minute": "7"})
    listed = rows(await browser.open("/admin/settings", q="free.requests"))
    assert listed == ["tiers.free.requests_per_minute 7 beneath: 20 (default) changed here"]
    assert len(rows(await browser.open("/admin/settings", all="1"))) > 100
    await browser.send("/admin/settings", {}, form="form[action$=reload]")
    assert browser.onward == "/admin/settings?changed=nothing"


async def test_a_form_without_its_token_changes_nothing(browser: Browser, site: AdminSite) -> None:
    for path, values in (
        ("/admin/edit/tiers.free", {"priority": "9"}),
        ("/admin/new/key", {"name": "x"}),
        ("/admin/new/team", {"name": "x"}),
    ):
        await browser.send(path, {**values, "csrf_token": "forged"})
        assert browser.answer.status_code == 403
    assert site.admin.live.overridden == {}
    assert await site.admin.teams.list() == []


@pytest.mark.parametrize(
    "path",
    [
        "/admin/edit/tiers.nobody",
        "/admin/edit/server",
        "/admin/keys/key_0/edit",
        "/admin/teams/team_0/edit",
        "/admin/new/servers",
    ],
)
async def test_what_is_not_there_is_a_calm_page(browser: Browser, path: str) -> None:
    await browser.open(path)
    assert browser.answer.status_code in (404, 422)
    assert browser.answer.headers["content-type"].startswith("text/html")
