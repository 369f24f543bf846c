"""The dashboard over numbers that were counted: the ledger's, not scripted ones."""

from __future__ import annotations

import re

from tests.web.admin_site import AdminSite
from tests.web.test_stats_api import client_of
from tests.web.test_stats_api import site as site


async def test_what_was_called_is_shown_and_leads_to_its_traces(site: AdminSite) -> None:
    async with client_of(site, site.admin_key) as client:
        html = (await client.get("/dashboard")).text
        values = re.findall(r'<span class="stat-value">([^<]*)</span>', html)
        assert values[:3] == ["4", "25 %", "$0.0075"]
        assert "rate limited" in html
        assert "=1+1" in html
        assert 'href="/api/stats.csv?table=series' in html
        assert "status=rate_limited" in html
        filtered = (await client.get("/dashboard", params={"owner": "key_a", "range": "24h"})).text
        assert re.findall(r'<span class="stat-value">([^<]*)</span>', filtered)[:2] == ["3", "0 %"]
