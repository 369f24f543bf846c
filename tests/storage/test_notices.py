from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import delete, insert, text, update

from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.storage.schema import api_keys, setting_overrides, teams


class Follower:
    """Keeps what it hears."""

    def __init__(self, notices: Notices, table: str) -> None:
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        notices.follow(table, self._heard.put_nowait)

    async def next(self) -> str | None:
        async with asyncio.timeout(20):
            return await self._heard.get()


@pytest.fixture
async def notices(database: Database) -> AsyncIterator[Notices]:
    heard = Notices(database, beat_every_s=0.05)
    async with heard.listening():
        yield heard
    assert not heard.is_live


async def _add_team(database: Database, team: str) -> None:
    async with database.begin() as connection:
        await connection.execute(insert(teams).values(id=team, name=team))


async def test_a_change_is_heard_when_it_is_committed(database: Database, notices: Notices) -> None:
    heard = Follower(notices, "teams")
    await notices.live()
    assert await heard.next() is None  # from here on nothing is missed
    await _add_team(database, "team_a")
    assert await heard.next() == "team_a"
    async with database.begin() as connection:
        await connection.execute(update(teams).values(budget_day_micros=5))
    assert await heard.next() == "team_a"
    async with database.connect() as connection:  # rolled back
        await connection.execute(delete(teams))
    await _add_team(database, "team_b")
    assert await heard.next() == "team_b"


async def test_every_one_of_many_changes_is_heard_between_beats(database: Database, notices: Notices) -> None:
    heard = Follower(notices, "teams")
    await notices.live()
    assert await heard.next() is None
    names = [f"team_{n}" for n in range(200)]
    for name in names:
        await _add_team(database, name)
    assert [await heard.next() for _ in names] == names


async def test_using_a_key_is_no_change_of_it(database: Database, notices: Notices) -> None:
    heard = Follower(notices, "api_keys")
    await notices.live()
    assert await heard.next() is None
    row = {"name": "a", "prefix": "cw-", "scopes": ["ask"], "tier": "pro"}
    async with database.begin() as connection:
        await connection.execute(insert(api_keys).values(id="key_1", secret_hash="1", **row))
    assert await heard.next() == "key_1"
    async with database.begin() as connection:
        await connection.execute(update(api_keys).values(last_used_at=text("now()")))
    async with database.begin() as connection:
        await connection.execute(insert(api_keys).values(id="key_2", secret_hash="2", **row))
    assert await heard.next() == "key_2"


async def test_an_overridden_setting_is_told_by_its_section(database: Database, notices: Notices) -> None:
    heard = Follower(notices, "setting_overrides")
    await notices.live()
    assert await heard.next() is None
    row = {"section": "tiers", "name": "free", "value": {"cache": "off"}, "updated_by": "key_1"}
    async with database.begin() as connection:
        await connection.execute(insert(setting_overrides).values(row))
    assert await heard.next() == "tiers"


async def test_a_broken_connection_is_told_and_mended(database: Database, notices: Notices) -> None:
    heard = Follower(notices, "teams")
    await notices.live()
    assert await heard.next() is None
    async with database.begin() as connection:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'causeway notices'"
        await connection.execute(text(f"{end} AND datname = current_database()"))
    assert await heard.next() is None  # no longer live
    assert await heard.next() is None  # live again
    assert notices.is_live
    await _add_team(database, "team_c")
    assert await heard.next() == "team_c"
