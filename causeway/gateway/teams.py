"""Teams: keys that are paid for together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import uuid4

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import SYSTEM, Principal
from causeway.contracts.money import Micros
from causeway.errors import InvalidInputError, NotFoundError
from causeway.gateway import audit
from causeway.storage.database import Database
from causeway.storage.schema import teams


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A team; a budget of None is no limit."""

    id: str
    name: str
    budget_per_day: Micros | None
    budget_per_month: Micros | None
    created_at: datetime


class Teams:
    """The teams of this Causeway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        name: str,
        *,
        budget_per_day: Micros | None = None,
        budget_per_month: Micros | None = None,
        by: Principal = SYSTEM,
    ) -> Team:
        """Make a team.

        Raises:
            InvalidInputError: There is a team of this name, or a budget is negative.
        """
        check_budgets(budget_per_day, budget_per_month)
        budgets = {"budget_day_micros": budget_per_day, "budget_month_micros": budget_per_month}
        statement = insert(teams).values(id=f"team_{uuid4().hex}", name=name, **budgets).returning(teams)
        try:
            async with self._database.begin() as connection:
                team = _team(dict((await connection.execute(statement)).mappings().one()))
                await audit.record(connection, by, "team.create", team.id, after=asdict(team))
        except IntegrityError as exc:
            raise InvalidInputError(f"there is a team called '{name}'; choose another name") from exc
        return team

    async def list(self) -> list[Team]:
        """Every team, by name."""
        async with self._database.connect() as connection:
            rows = (await connection.execute(select(teams).order_by(teams.c.name))).mappings()
            return [_team(dict(row)) for row in rows]

    async def find(self, id_or_name: str) -> Team:
        """One team.

        Raises:
            NotFoundError: There is no such team.
        """
        async with self._database.connect() as connection:
            return await _find(connection, id_or_name)

    async def set_budget(
        self,
        id_or_name: str,
        *,
        per_day: Micros | None,
        per_month: Micros | None,
        by: Principal = SYSTEM,
    ) -> Team:
        """Replace a team's budgets, in force for every key of the team at once; None takes a limit away.

        Raises:
            NotFoundError: There is no such team.
            InvalidInputError: A budget is negative.
        """
        check_budgets(per_day, per_month)
        async with self._database.begin() as connection:
            before = await _find(connection, id_or_name)
            statement = (
                update(teams)
                .where(teams.c.id == before.id)
                .values(budget_day_micros=per_day, budget_month_micros=per_month)
            )
            await connection.execute(statement)
            after = replace(before, budget_per_day=per_day, budget_per_month=per_month)
            await audit.record(
                connection, by, "team.budget", before.id, before=asdict(before), after=asdict(after)
            )
        return after


def check_budgets(*limits: Micros | None) -> None:
    """Pass, or refuse negative limits; zero is a limit that allows only what is free.

    Raises:
        InvalidInputError: One is negative.
    """
    for limit in limits:
        if limit is not None and limit < 0:
            raise InvalidInputError(f"a budget of {limit} micro-dollars is negative; use 0 or more, or none")


async def _find(connection: AsyncConnection, id_or_name: str) -> Team:
    query = select(teams).where((teams.c.id == id_or_name) | (teams.c.name == id_or_name)).with_for_update()
    row = (await connection.execute(query.limit(1))).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no team is called '{id_or_name}'; 'causeway teams list' shows them")
    return _team(dict(row))


def _team(row: dict[str, object]) -> Team:
    day, month = row.pop("budget_day_micros"), row.pop("budget_month_micros")
    return Team(budget_per_day=day, budget_per_month=month, **row)  # type: ignore[arg-type]  # a row's columns
