from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from causeway.contracts.money import Micros
from causeway.web.app import build_app
from tests.gateway.calls import an_entry
from tests.web.admin_site import AdminSite, admin_site


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[AdminSite]:
    async with admin_site(database_url, tmp_path, environment={}) as opened:
        now = opened.parts.clock.now() - timedelta(minutes=1)
        for number in range(3):
            opened.ledger.closed(
                an_entry(
                    f"c{number}", at=now, cost=Micros(1_500), model="=1+1", principal_id="key_a", prompt=None
                )
            )
        opened.ledger.closed(an_entry("x", at=now, outcome="rate_limited", principal_id="key_b"))
        yield opened


def client_of(site: AdminSite, key: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=build_app(site.parts))
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(transport=transport, base_url="http://causeway.test", headers=headers)


async def test_an_administrator_reads_everybodys_numbers(site: AdminSite) -> None:
    async with client_of(site, site.admin_key) as api:
        told = (await api.get("/api/stats")).json()
        totals = told["totals"]
        assert (totals["requests"], totals["errors"], totals["error_rate"]) == (4, 1, 0.25)
        assert totals["cost_usd"] == 0.0075
        assert totals["latency_ms"]["p50"] == pytest.approx(1_200, rel=0.02)
        assert told["errors"] == [{"code": "rate_limited", "count": 1}]
        assert told["costs"]["model"][0] == {"key": "=1+1", "name": "=1+1", "cost_usd": 0.0045, "requests": 3}
        assert told["from"] < told["to"]
        assert told["previous"]["requests"] == 0
        assert sum(point["requests"] for point in told["series"]) == 4
        assert (await api.get("/api/stats", params={"owner": "key_a"})).json()["totals"]["requests"] == 3
        assert (await api.get("/api/stats", params={"prompt": ""})).json()["totals"]["requests"] == 3
        for wrong in (
            {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            {"to": "0001-01-01T00:00:00Z"},
            {"team": "\0"},
        ):
            assert (await api.get("/api/stats", params=wrong)).status_code in (400, 422), wrong


async def test_a_program_s_key_without_administration_reads_none(site: AdminSite) -> None:
    async with client_of(site, site.user_key) as api:
        for path in ("/api/stats", "/api/stats.csv"):
            assert (await api.get(path)).status_code == 403


async def test_tables_are_harmless_in_a_spreadsheet(site: AdminSite) -> None:
    async with client_of(site, site.admin_key) as api:
        sheet = await api.get("/api/stats.csv", params={"table": "costs"})
        assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(sheet.text)))
        assert rows[1]["key"] == "'=1+1"
        assert {row["by"] for row in rows} == {"team", "model", "product"}
        series = list(csv.DictReader(io.StringIO((await api.get("/api/stats.csv")).text)))
        assert sum(int(row["requests"]) for row in series) == 4
        assert "latency_p95_ms" in series[0]
        for table in ("questions", "errors", "scores"):
            assert (await api.get("/api/stats.csv", params={"table": table})).status_code == 200
        assert (await api.get("/api/stats.csv", params={"table": "secrets"})).status_code == 422
