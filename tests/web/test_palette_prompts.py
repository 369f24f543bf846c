from __future__ import annotations

from pathlib import Path

import httpx2

from causeway.web.app import build_app
from tests.web.prompts_site import prompts_site


async def test_an_administrator_finds_prompts_by_name_and_a_reader_does_not(
    database_url: str, tmp_path: Path
) -> None:
    async with prompts_site(database_url, tmp_path) as site:
        transport = httpx2.ASGITransport(app=build_app(site.parts))
        async with httpx2.AsyncClient(transport=transport, base_url="http://causeway.test") as client:
            found = await _groups(client, site.admin.admin_key, "answ")
            assert {"label": "answer", "url": "/prompts/answer"} in found["Prompts"]
            assert "Prompts" not in await _groups(client, site.admin.admin_key, "")
            assert "Prompts" not in await _groups(client, site.admin.user_key, "answ")


async def _groups(client: httpx2.AsyncClient, key: str, q: str) -> dict[str, list[dict[str, str]]]:
    answer = await client.get("/api/palette", params={"q": q}, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    return {
        group["name"]: [{"label": item["label"], "url": item["url"]} for item in group["items"]]
        for group in answer.json()["groups"]
    }
