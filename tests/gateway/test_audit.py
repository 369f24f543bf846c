from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import SecretStr

from causeway.contracts.identity import SYSTEM
from causeway.gateway import audit
from causeway.gateway.audit import Audit
from causeway.storage.database import Database


async def _record(database: Database, subject: str, **shown: object) -> None:
    async with database.begin() as connection:
        await audit.record(connection, SYSTEM, "setting.change", subject, **shown)


async def test_secrets_are_masked_by_type_and_by_name(database: Database) -> None:
    after = {
        "api_key": "sk-1",
        "api_keys": ["sk-2"],
        "headers": {"x-api-key": "sk-3", "Authorization": "sk-4", "accept": "json"},
        "url": SecretStr("sk-5"),
        "password": "",
        "key_budget_usd_per_day": Decimal("1.50"),
        "kinds": frozenset({"b", "a"}),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
    }
    await _record(database, "providers.openai", after=after)
    (line,) = await Audit(database).list()
    assert "sk-" not in str(line)
    assert line.before is None
    assert line.after == {
        "api_key": "***",
        "api_keys": "***",
        "headers": {"x-api-key": "***", "Authorization": "***", "accept": "json"},
        "url": "***",
        "password": "",
        "key_budget_usd_per_day": "1.50",
        "kinds": ["a", "b"],
        "at": "2026-01-02T00:00:00+00:00",
    }


async def test_a_change_that_is_rolled_back_leaves_no_line(database: Database) -> None:
    async with database.connect() as connection:
        await audit.record(connection, SYSTEM, "setting.change", "x", after=1)
    assert await Audit(database).list() == []


async def test_the_log_is_read_in_pages_newest_first(database: Database) -> None:
    for number in range(5):
        await _record(database, f"s{number % 2}", after=number)
    log = Audit(database)
    first = await log.list(limit=2)
    second = await log.list(limit=2, before_id=first[-1].id)
    assert [line.after for line in (*first, *second)] == [4, 3, 2, 1]
    assert [line.after for line in await log.list(subject="s1")] == [3, 1]


async def test_what_has_no_json_is_a_mistake_of_the_program(database: Database) -> None:
    with pytest.raises(TypeError, match="no values of the type 'object'"):
        await _record(database, "x", after=object())
