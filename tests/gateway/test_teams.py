from __future__ import annotations

import pytest

from causeway.contracts.money import Micros
from causeway.errors import InvalidInputError, NotFoundError
from causeway.gateway.audit import Audit
from causeway.gateway.teams import Teams
from causeway.storage.database import Database


async def test_teams_are_found_by_name_and_id(database: Database) -> None:
    teams = Teams(database)
    ops = await teams.create("ops", budget_per_day=Micros(5))
    art = await teams.create("art")
    assert await teams.list() == [art, ops]
    assert await teams.find("ops") == await teams.find(ops.id) == ops
    with pytest.raises(NotFoundError, match="no team is called 'hr'"):
        await teams.find("hr")


async def test_a_name_is_taken_once(database: Database) -> None:
    teams = Teams(database)
    await teams.create("ops")
    with pytest.raises(InvalidInputError, match="there is a team called 'ops'"):
        await teams.create("ops")
    assert len(await Audit(database).list()) == 1


async def test_budgets_are_replaced_and_the_change_is_recorded(database: Database) -> None:
    teams = Teams(database)
    ops = await teams.create("ops", budget_per_day=Micros(5))
    changed = await teams.set_budget("ops", per_day=None, per_month=Micros(0))
    assert (changed.budget_per_day, changed.budget_per_month) == (None, 0)
    assert await teams.list() == [changed]
    line = (await Audit(database).list(subject=ops.id))[0]
    assert (line.action, line.before["budget_per_day"], line.after["budget_per_month"]) == (
        "team.budget",
        5,
        0,
    )


async def test_a_negative_budget_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInputError, match="negative"):
        await Teams(database).create("ops", budget_per_month=Micros(-1))
