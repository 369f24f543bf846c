from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import Result

from causeway.contracts.identity import COMMAND_LINE
from causeway.errors import NotFoundError
from causeway.gateway.overrides import Change, Overrides
from causeway.settings import DatabaseSettings, Layer
from causeway.storage.database import open_database

Run = Callable[..., Result]


def page_says(database_url: str, folder: Path, section: str, **values: object) -> None:
    """Store values as a page would, without building anything from them."""

    async def store() -> None:
        async def chosen(_: Layer) -> Change:
            return Change(action="setting.update", overrides=values, before=None, after=values)

        database = await open_database(DatabaseSettings.model_validate({"url": database_url}), folder)
        await Overrides(database).change(section, chosen, by=COMMAND_LINE)
        await database.close()

    asyncio.run(store())


def test_what_pages_changed_is_listed_and_undone(run: Run, database_url: str, tmp_path: Path) -> None:
    assert run("settings", "list").stdout == ""
    page_says(database_url, tmp_path, "tiers.free", priority=7, max_output_tokens=None)
    assert run("settings", "list").stdout == (
        "tiers.free.max_output_tokens = null\ntiers.free.priority = 7\n"
    )
    assert json.loads(run("settings", "list", "--json").stdout) == {
        "tiers.free": {"max_output_tokens": None, "priority": 7}
    }
    run("settings", "reset", "tiers.free")
    assert run("settings", "list").stdout == ""
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        lines = connection.execute("SELECT principal_id, action FROM audit_log ORDER BY id").fetchall()
    assert lines[-1] == ("command_line", "setting.reset")
    with pytest.raises(NotFoundError, match=r"nothing of 'tiers\.free'"):
        run("settings", "reset", "tiers.free")


def test_a_change_that_keeps_causeway_from_starting_can_be_undone(
    run: Run, database_url: str, tmp_path: Path
) -> None:
    page_says(
        database_url, tmp_path, "providers.gone", base_url="http://127.0.0.1:9", api_key="env:GONE_API_KEY"
    )
    told = run("doctor", "--json")
    findings = {each["what"]: each for each in json.loads(told.stdout)["findings"]}
    assert told.exit_code == 1
    assert "the environment has no GONE_API_KEY" in findings["pages"]["found"]
    assert findings["pages"]["remedy"] == "causeway settings reset SECTION"
    run("settings", "reset", "providers.gone")
    assert "pages" not in {each["what"] for each in json.loads(run("doctor", "--json").stdout)["findings"]}


def test_the_doctor_shows_what_pages_changed_with_its_origin(
    run: Run, database_url: str, tmp_path: Path
) -> None:
    page_says(database_url, tmp_path, "gateway", retries=5)
    rows = {row["setting"]: row for row in json.loads(run("doctor", "--json").stdout)["settings"]}
    assert rows["gateway.retries"] == {"setting": "gateway.retries", "value": "5", "origin": "page"}
