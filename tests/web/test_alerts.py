from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from causeway.web.alerts_api import TermsBody
from causeway.web.app import build_app
from tests.gateway.calls import an_entry
from tests.web.admin_site import AdminSite, admin_site
from tests.web.test_stats_api import client_of

RULE = {
    "name": "Errors",
    "metric": "error_rate",
    "threshold": 0.05,
    "min_count": 1,
    "channels": ["operations"],
}


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[AdminSite]:
    async with admin_site(database_url, tmp_path, environment={}) as opened:
        yield opened


async def test_an_alert_is_made_changed_tested_and_deleted(site: AdminSite) -> None:
    async with client_of(site, site.admin_key) as api:
        made = await api.post("/api/alerts", json=RULE)
        assert made.status_code == 201
        rule = made.json()
        path = f"/api/alerts/{rule['id']}"
        listed = (await api.get("/api/alerts")).json()
        assert (listed["alerts"], listed["channels"]) == ([rule], ["operations"])
        changed = (await api.put(path, json={**RULE, "threshold": 0.1, "filters": {"model": "words"}})).json()
        assert (changed["threshold"], changed["filters"]) == (0.1, {"model": "words"})
        assert (await api.post(f"{path}/test")).json() == {"channels": {"operations": None}}
        assert (await api.post("/api/alerts", json=RULE)).status_code == 400
        for wrong in (
            {"threshold": 7},
            {"channels": ["pager"]},
            {"metric": "mood"},
            {"filters": {"colour": "red"}},
            {"name": "\0"},
        ):
            answer = await api.post("/api/alerts", json={**RULE, "name": "Other", **wrong})
            assert answer.status_code in (400, 422), wrong
        assert (await api.delete(path)).status_code == 204
        assert (await api.get(path)).status_code == 404


async def test_what_fired_is_told_with_its_deliveries(site: AdminSite) -> None:
    alerts = site.parts.alerts
    assert alerts is not None
    async with client_of(site, site.admin_key) as api:
        await api.post("/api/alerts", json=RULE)
        at = site.parts.clock.now() - timedelta(seconds=5)
        site.ledger.closed(an_entry("x", at=at, outcome="deadline"))
        await alerts.check()
        await alerts.deliver()
        (firing,) = (await api.get("/api/alerts/firings")).json()["firings"]
        assert (firing["name"], firing["value"], firing["count"]) == ("Errors", 1.0, 1)
        assert [(each["channel"], each["state"]) for each in firing["deliveries"]] == [("operations", "sent")]
        page = (await api.get("/alerts")).text
        assert "Firing" in page
        assert "100.0% of 1" in page


async def test_the_form_takes_shares_in_percent_and_tells_what_is_wrong(site: AdminSite) -> None:
    form = {
        "name": "Refusals",
        "metric": "refusal_rate",
        "threshold": "25 %",
        "window_min": "60",
        "channels": "operations",
    }
    async with client_of(site, site.admin_key) as api:
        assert "Nothing is watched yet" in (await api.get("/alerts")).text
        assert (await api.post("/alerts", data=form)).status_code == 303
        assert "share of refusals above 25.0% over 1 hour" in (await api.get("/alerts")).text
        wrong = await api.post("/alerts", data={**form, "name": "Other", "threshold": "much"})
        assert (wrong.status_code, "no number" in wrong.text) == (422, True)
        assert 'value="Other"' in wrong.text
        (rule,) = (await api.get("/api/alerts")).json()["alerts"]
        path = f"/alerts/{rule['id']}"
        opened = (await api.get("/alerts", params={"edit": rule["id"]})).text
        assert 'value="25"' in opened
        assert "Change Refusals" in opened
        wrong = await api.post(path, data={**form, "threshold": "200"})
        assert (wrong.status_code, "from 0 to 1" in wrong.text) == (422, True)
        narrowed = {**rule, "filters": {"model": "large", "team": "shop"}, "window_s": 1_800}
        terms = {name: narrowed[name] for name in TermsBody.model_fields}
        await api.put(f"/api/alerts/{rule['id']}", json=terms)
        assert '<option value="30" selected>' in (await api.get("/alerts", params={"edit": rule["id"]})).text
        other = {"threshold": "12.5", "window_min": "30", "filter": "team", "filter_value": "books"}
        assert (await api.post(path, data={**form, **other})).status_code == 303
        (rule,) = (await api.get("/api/alerts")).json()["alerts"]
        assert (rule["threshold"], rule["window_s"]) == (0.125, 1_800)
        assert rule["filters"] == {"team": "books", "model": "large"}, "what the form has no room for stays"
        told = await api.post(f"/alerts/{rule['id']}/test")
        assert "Test of Refusals on operations: taken" in told.text
        await api.post(f"/alerts/{rule['id']}/switch")
        assert "Turn on" in (await api.get("/alerts")).text
        await api.post(f"/alerts/{rule['id']}/delete")
        assert (await api.get("/api/alerts")).json()["alerts"] == []


async def test_only_administrators_see_alerts(site: AdminSite) -> None:
    transport = httpx2.ASGITransport(app=build_app(site.parts))
    headers = {"authorization": f"Bearer {site.user_key}"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://causeway.test", headers=headers
    ) as api:
        for path in ("/alerts", "/api/alerts", "/api/alerts/firings"):
            assert (await api.get(path)).status_code == 403
