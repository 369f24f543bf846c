from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from causeway.contracts.money import Micros
from causeway.errors import NotSignedInError
from causeway.web.app import build_app
from causeway.web.sign_in import COOKIE, csrf_token
from tests.gateway.calls import an_entry
from tests.web.admin_site import AdminSite, admin_site

ENVIRONMENT = {
    "SHOP_API_KEY": "sk-very-secret",
    "CAUSEWAY_PROVIDERS__LOCAL__BASE_URL": "http://127.0.0.1:9/v1",
    "CAUSEWAY_PROVIDERS__LOCAL__MODELS": "words",
    "CAUSEWAY_PROVIDERS__LOCAL__API_KEY": "sk-also-secret",
    "CAUSEWAY_TIERS__FREE__PRIORITY": "1",
}


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[AdminSite]:
    async with admin_site(database_url, tmp_path, environment=ENVIRONMENT) as opened:
        yield opened


def client_of(site: AdminSite, key: str | None) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    transport = httpx2.ASGITransport(app=build_app(site.parts))
    return httpx2.AsyncClient(transport=transport, base_url="http://causeway.test", headers=headers)


@pytest.fixture
async def api(site: AdminSite) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(site, site.admin_key) as opened:
        yield opened


async def changes(api: httpx2.AsyncClient, **query: str) -> list[tuple[str, Any, Any]]:
    lines = (await api.get("/api/admin/audit", params=query)).json()["lines"]
    return [(line["action"], line["before"], line["after"]) for line in lines]


async def test_only_administrators_get_in(site: AdminSite) -> None:
    paths = [
        "/api/admin/" + each
        for each in (
            "keys",
            "teams",
            "tiers",
            "budgets",
            "providers",
            "routes",
            "usage",
            "usage.csv",
            "audit",
        )
    ]
    async with client_of(site, site.user_key) as reader, client_of(site, None) as nobody:
        for path in [*paths, "/api/admin/settings"]:
            refused = await reader.get(path)
            assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed"), path
            assert (await nobody.get(path)).status_code == 401, path
        assert (await reader.post("/api/admin/reload")).status_code == 403
        assert (await reader.post("/api/admin/keys", json={"name": "x"})).status_code == 403


async def test_a_browser_needs_its_token_to_change_something(site: AdminSite) -> None:
    token = await site.parts.sessions.open((await site.admin.keys.identify(site.admin_key)).id)
    async with client_of(site, None) as browser:
        browser.cookies.set(COOKIE, token)
        assert (await browser.get("/api/admin/keys")).status_code == 200
        assert (await browser.post("/api/admin/reload")).status_code == 403
        own = {"x-csrf-token": csrf_token(token)}
        assert (await browser.post("/api/admin/reload", headers=own)).status_code == 200


async def test_a_key_is_made_shown_once_changed_rotated_and_revoked(
    api: httpx2.AsyncClient, site: AdminSite
) -> None:
    team = (await api.post("/api/admin/teams", json={"name": "shop", "budget_usd_per_day": "25.50"})).json()
    body = {
        "name": "bot",
        "scopes": ["models"],
        "tier": "free",
        "team_id": team["team_id"],
        "models": ["local/*"],
        "endpoints": ["chat"],
        "budget_usd_per_day": "0.000001",
    }
    answer = await api.post("/api/admin/keys", json=body)
    assert answer.status_code == 201
    made = answer.json()
    principal = await site.admin.keys.identify(made["secret"])
    assert (principal.tier, principal.models, principal.endpoints) == (
        "free",
        ("local/*",),
        frozenset({"chat"}),
    )
    shown = (await api.get(f"/api/admin/keys/{made['key_id']}")).json()
    assert (shown["team"], shown["budget_usd_per_day"], shown["state"]) == ("shop", 0.000001, "in force")
    assert made["secret"] not in (await api.get("/api/admin/keys")).text

    path = f"/api/admin/keys/{made['key_id']}"
    changed = (await api.patch(path, json={"tier": "pro", "budget_usd_per_day": None})).json()
    assert (changed["tier"], changed["budget_usd_per_day"], changed["models"]) == ("pro", None, ["local/*"])
    assert (await site.admin.keys.identify(made["secret"])).tier == "pro"

    rotated = (await api.post(f"{path}/rotate")).json()
    with pytest.raises(NotSignedInError):
        await site.admin.keys.identify(made["secret"])
    assert (await api.delete(path)).status_code == 204
    with pytest.raises(NotSignedInError):
        await site.admin.keys.identify(rotated["secret"])
    assert (await api.get(path)).json()["state"] == "revoked"
    assert (await api.delete(path)).status_code == 404
    told = await changes(api, subject=made["key_id"])
    assert [action for action, _, _ in told] == ["key.revoke", "key.rotate", "key.update", "key.create"]
    assert made["secret"] not in str(told)
    assert rotated["secret"] not in str(told)


async def test_keys_are_found_by_words_and_state(api: httpx2.AsyncClient, site: AdminSite) -> None:
    made = (await api.post("/api/admin/keys", json={"name": "Night job", "tier": "free"})).json()
    await api.delete(f"/api/admin/keys/{made['key_id']}")
    for query, names in (
        ({"q": "night FREE"}, ["Night job"]),
        ({"state": "revoked"}, ["Night job"]),
        ({"state": "in force", "q": "job"}, []),
    ):
        found = (await api.get("/api/admin/keys", params=query)).json()["keys"]
        assert [key["name"] for key in found] == names, query


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": " "}, 422),
        ({"name": "x", "scopes": []}, 422),
        ({"name": "x", "scopes": ["root"]}, 422),
        ({"name": "x", "budget_usd_per_day": -1}, 422),
        ({"name": "x", "budget_usd_per_day": "1e40"}, 422),
        ({"name": "x", "tier": "gold"}, 400),
        ({"name": "x", "team_id": "team_nobody"}, 400),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, 400),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00"}, 422),
    ],
)
async def test_a_wrong_key_is_explained(api: httpx2.AsyncClient, body: dict[str, Any], code: int) -> None:
    answer = await api.post("/api/admin/keys", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (code, "application/problem+json")


async def test_a_teams_budget_is_changed_in_parts(api: httpx2.AsyncClient) -> None:
    team = (await api.post("/api/admin/teams", json={"name": "ops", "budget_usd_per_day": 1})).json()
    changed = (
        await api.patch(f"/api/admin/teams/{team['team_id']}", json={"budget_usd_per_month": 9})
    ).json()
    assert (changed["budget_usd_per_day"], changed["budget_usd_per_month"]) == (1.0, 9.0)
    again = await api.post("/api/admin/teams", json={"name": "ops"})
    assert "choose another name" in again.json()["detail"]


async def test_a_tier_is_changed_at_once_and_left_to_the_file_again(
    api: httpx2.AsyncClient, site: AdminSite
) -> None:
    answer = await api.put(
        "/api/admin/tiers/free", json={"requests_per_minute": 7, "tokens_per_minute": None}
    )
    assert answer.json()["changed"] == ["tiers.free.requests_per_minute", "tiers.free.tokens_per_minute"]
    free = site.admin.live.current.tiers["free"]
    assert (free.requests_per_minute, free.tokens_per_minute, free.priority) == (7, None, 1)
    listed = (await api.get("/api/admin/tiers")).json()
    shown = next(tier for tier in listed["tiers"] if tier["name"] == "free")
    assert shown["origins"] == {
        "requests_per_minute": "page",
        "tokens_per_minute": "page",
        "priority": "CAUSEWAY_TIERS__FREE__PRIORITY",
    }
    assert (await api.delete("/api/admin/tiers/free")).status_code == 200
    assert site.admin.live.current.tiers["free"].requests_per_minute == 20
    assert await changes(api, subject="tiers.free") == [
        (
            "tier.reset",
            {"requests_per_minute": 7, "tokens_per_minute": None},
            {"requests_per_minute": 20, "tokens_per_minute": 40_000},
        ),
        (
            "tier.update",
            {"requests_per_minute": 20, "tokens_per_minute": 40_000},
            {"requests_per_minute": 7, "tokens_per_minute": None},
        ),
    ]


async def test_a_tier_that_keys_are_of_cannot_be_removed(api: httpx2.AsyncClient) -> None:
    await api.put("/api/admin/tiers/trial", json={"requests_per_minute": 3})
    made = (await api.post("/api/admin/keys", json={"name": "x", "tier": "trial"})).json()
    refused = await api.delete("/api/admin/tiers/trial")
    assert "1 key is of the tier 'trial'" in refused.json()["detail"]
    await api.delete(f"/api/admin/keys/{made['key_id']}")
    assert (await api.delete("/api/admin/tiers/trial")).status_code == 200
    assert (await api.delete("/api/admin/tiers/trial")).status_code == 404


@pytest.mark.parametrize(
    ("name", "body", "status", "told"),
    [
        ("free", {"priority": 10}, 422, "priority"),
        ("free", {"colour": "red"}, 422, "colour"),
        ("Free!", {"priority": 1}, 400, "small letters"),
    ],
)
async def test_a_wrong_tier_is_explained(
    api: httpx2.AsyncClient, name: str, body: dict[str, Any], status: int, told: str
) -> None:
    answer = await api.put(f"/api/admin/tiers/{name}", json=body)
    assert answer.status_code == status
    assert told in answer.json()["detail"]


async def test_a_provider_is_added_by_reference_and_no_secret_is_ever_told(
    api: httpx2.AsyncClient, site: AdminSite
) -> None:
    refused = await api.put(
        "/api/admin/providers/shop", json={"base_url": "http://127.0.0.1:9/v1", "api_key": "sk-written-out"}
    )
    assert refused.status_code == 400
    assert "name where it is" in refused.json()["detail"]
    assert "sk-written-out" not in refused.text
    body = {
        "base_url": "http://127.0.0.1:9/v1",
        "api_key": "env:SHOP_API_KEY",
        "models": ["m"],
        "prices": {"m": {"input": "2.5"}},
    }
    assert (await api.put("/api/admin/providers/shop", json=body)).status_code == 200
    provider = site.admin.live.current.providers["shop"]
    assert provider.api_key.get_secret_value() == "sk-very-secret"
    told = [
        (await api.get(f"/api/admin/{each}")).text for each in ("providers", "settings", "audit", "routes")
    ]
    assert not any("sk-" in text for text in told)
    listed = {each["name"]: each for each in (await api.get("/api/admin/providers")).json()["providers"]}
    assert (listed["shop"]["key"], listed["local"]["key"]) == ("env:SHOP_API_KEY", "set")
    assert (listed["shop"]["models"], listed["shop"]["prices"]) == (["m"], {"m": {"input": "2.5"}})
    assert listed["shop"]["state"] == "idle"


async def test_a_provider_that_a_route_needs_cannot_be_removed(
    api: httpx2.AsyncClient, site: AdminSite
) -> None:
    await api.put("/api/admin/providers/shop", json={"base_url": "http://127.0.0.1:9/v1", "models": ["m"]})
    await api.put("/api/admin/routes/best", json={"models": ["shop/m", "local/words"]})
    assert "best" in (await api.get("/api/admin/routes")).json()["names"]
    refused = await api.delete("/api/admin/providers/shop")
    assert refused.json()["code"] == "invalid_setting"
    assert "routes.best names 'shop/m'" in refused.json()["detail"]
    assert "shop" in site.admin.live.current.providers
    assert (await api.delete("/api/admin/routes/best")).status_code == 200
    assert (await api.delete("/api/admin/providers/shop")).status_code == 200


async def test_how_a_provider_does_is_told(api: httpx2.AsyncClient, site: AdminSite) -> None:
    now = site.parts.clock.now() - timedelta(minutes=1)
    for number, outcome in enumerate(("ok", "upstream_error", "upstream_error", "cancelled", "ok")):
        site.ledger.closed(an_entry(f"c{number}", at=now, provider="local", outcome=outcome, latency_ms=50))
    breaker = site.breakers.of("local/words")
    for _ in range(5):
        breaker.failed("pass", "it answers 503")
    (local,) = (await api.get("/api/admin/providers")).json()["providers"]
    assert (local["calls"], local["errors"]) == (5, {"upstream_error": 2})
    assert (local["state"], local["latency_p50_ms"]) == ("resting", 50)
    (resting,) = local["resting"]
    assert (resting["model"], resting["reason"]) == ("words", "it answers 503")
    assert 0 < resting["probed_in_s"] <= 20


async def test_a_provider_is_tested_live(api: httpx2.AsyncClient) -> None:
    await api.put("/api/admin/providers/echo", json={"kind": "scripted", "models": ["chat"]})
    good = (await api.post("/api/admin/providers/echo/test")).json()
    assert (good["ok"], good["model"]) == (True, "chat")
    away = (await api.post("/api/admin/providers/local/test", json={"model": "words"})).json()
    assert not away["ok"]
    assert "local" in away["told"]
    listed = {each["name"]: each for each in (await api.get("/api/admin/providers")).json()["providers"]}
    assert listed["echo"]["newest_test"]["ok"]
    assert (await api.post("/api/admin/providers/nobody/test")).status_code == 400


async def test_fallbacks_and_aliases_are_changed(api: httpx2.AsyncClient, site: AdminSite) -> None:
    fallbacks = {"fallbacks": {"chat": ["local/words"]}}
    assert (await api.patch("/api/admin/settings/gateway", json=fallbacks)).status_code == 200
    assert (await api.patch("/api/admin/settings/models", json={"fast": "local/words"})).status_code == 200
    told = (await api.get("/api/admin/routes")).json()
    assert (told["fallbacks"], told["aliases"]["fast"]) == ({"chat": ["local/words"]}, "local/words")
    wrong = await api.patch("/api/admin/settings/models", json={"embed": "local/words"})
    assert "models.embed" in wrong.json()["detail"]
    nowhere = await api.patch("/api/admin/settings/gateway", json={"fallbacks": {"chat": ["no/where"]}})
    assert "no/where" in nowhere.json()["detail"]
    assert (await api.delete("/api/admin/settings/gateway")).json()["changed"] == ["gateway.fallbacks"]
    assert site.admin.live.current.gateway.fallbacks == {}


async def test_settings_tell_their_origin_and_what_lies_beneath(api: httpx2.AsyncClient) -> None:
    await api.put("/api/admin/tiers/free", json={"priority": 8})
    told = {each["name"]: each for each in (await api.get("/api/admin/settings")).json()["settings"]}
    priority = told["tiers.free.priority"]
    assert (priority["value"], priority["origin"]) == (8, "page")
    assert (priority["beneath"], priority["beneath_origin"]) == (1, "CAUSEWAY_TIERS__FREE__PRIORITY")
    assert told["providers.local.api_key"]["value"] == "***"
    assert (told["server.port"]["origin"], told["server.port"]["is_live"]) == ("default", False)


async def test_usage_adds_up_and_is_harmless_in_a_spreadsheet(
    api: httpx2.AsyncClient, site: AdminSite
) -> None:
    made = (
        await api.post("/api/admin/keys", json={"name": '=HYPERLINK("http://evil")', "scopes": ["models"]})
    ).json()
    now = site.parts.clock.now() - timedelta(minutes=1)
    for number in range(3):
        entry = an_entry(f"c{number}", at=now, principal_id=made["key_id"], cost=Micros(1_500))
        site.ledger.closed(entry)
    site.ledger.closed(an_entry("other", at=now, principal_id="key_gone", cost=Micros(2), model="@SUM(1)"))
    report = (await api.get("/api/admin/usage", params={"by": "key"})).json()
    assert [(line["group"], line["calls"], line["cost_usd"]) for line in report["lines"]] == [
        (made["key_id"], 3, 0.0045),
        ("key_gone", 1, 0.000002),
    ]
    only = (await api.get("/api/admin/usage", params={"by": "model", "key": "key_gone"})).json()["lines"]
    assert [line["group"] for line in only] == ["@SUM(1)"]
    sheet = await api.get("/api/admin/usage.csv", params={"by": "key"})
    assert sheet.headers["content-disposition"].startswith('attachment; filename="usage-by-key-')
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert rows[0]["name"] == '\'=HYPERLINK("http://evil")'
    models = csv.DictReader(io.StringIO((await api.get("/api/admin/usage.csv", params={"by": "model"})).text))
    assert {row["group"] for row in models} == {"words", "'@SUM(1)"}
    assert float(rows[0]["cost_usd"]) == 0.0045


@pytest.mark.parametrize(
    "query",
    [
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2020-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"until": "0001-01-01T00:00:00Z"},
        {"by": "colour"},
        {"since": "yesterday"},
    ],
)
async def test_a_wrong_period_is_refused(api: httpx2.AsyncClient, query: dict[str, str]) -> None:
    assert (await api.get("/api/admin/usage", params=query)).status_code in (400, 422)


async def test_budgets_tell_how_they_stand(api: httpx2.AsyncClient, site: AdminSite) -> None:
    made = (await api.post("/api/admin/keys", json={"name": "bot", "budget_usd_per_day": 2})).json()
    now = site.parts.clock.now()
    site.ledger.closed(an_entry("c", at=now, principal_id=made["key_id"], cost=Micros(500_000)))
    (budget,) = (await api.get("/api/admin/budgets")).json()["budgets"]
    assert (budget["of"], budget["name"], budget["period"]) == ("key", "bot", "day")
    assert (budget["limit_usd"], budget["spent_usd"], budget["reserved_usd"]) == (2.0, 0.5, 0.0)


async def test_the_audit_log_comes_in_pages_with_names(api: httpx2.AsyncClient) -> None:
    for number in range(3):
        await api.post("/api/admin/teams", json={"name": f"team {number}"})
    first = (await api.get("/api/admin/audit", params={"limit": 2})).json()["lines"]
    assert [(line["by_name"], line["after"]["name"]) for line in first] == [
        ("root", "team 2"),
        ("root", "team 1"),
    ]
    second = (await api.get("/api/admin/audit", params={"limit": 2, "before_id": first[-1]["id"]})).json()
    assert second["lines"][0]["after"]["name"] == "team 0"


async def test_a_reload_tells_what_came_into_force(api: httpx2.AsyncClient) -> None:
    assert (await api.post("/api/admin/reload")).json() == {"changed": [], "needs_restart": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "teams", r'{"name": "a\u0000b"}'),
        ("POST", "keys", r'{"name": "a\u0000b"}'),
        ("POST", "keys", r'{"name": "a", "team_id": "\u0000"}'),
        ("POST", "keys", r'{"name": "a", "models": ["\u0000"]}'),
        ("PUT", "tiers/free", r'{"models": ["a\u0000"]}'),
        ("PUT", "providers/p", r'{"kind": "scripted", "models": ["\u0000"]}'),
        ("PATCH", "settings/gateway", r'{"fallbacks": {"a\u0000": ["fast"]}}'),
        ("PATCH", "settings/guard", r'{"kinds": ["\ud800"]}'),
        ("PATCH", "settings/guard", r'{"\udfff": 1}'),
        ("PATCH", "settings/gateway", '{"deadline_s": Infinity}'),
        ("PATCH", "settings/gateway", '{"retry_budget": NaN}'),
        ("GET", "audit?subject=%00", ""),
        ("GET", "usage?key=%00", ""),
    ],
)
async def test_what_cannot_be_stored_is_refused(
    api: httpx2.AsyncClient, method: str, path: str, body: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = await api.request(method, f"/api/admin/{path}", content=body.encode(), headers=headers)
    assert answer.status_code in (400, 422), answer.text
