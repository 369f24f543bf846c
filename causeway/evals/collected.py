"""Suites that reviewers collect: a case at a time, out of answers that people voted on, run like any other suite.

They are in the database, so that one click adds to them; ``causeway feedback export --format cases`` writes one to a file,
which is where a suite belongs once it gates anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.suite import Case, Suite, mixed_pages
from causeway.evals.suite_files import packaged_names
from causeway.storage.database import Database
from causeway.storage.feedback_schema import collected_cases

FIRST: Final = "feedback"
"""What a reviewer's first suite is called, unless they say otherwise."""


class CollectedSuites:
    """Keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def names(self) -> Mapping[str, int]:
        """How many cases each has, by name."""
        table = collected_cases.c
        counted = select(table.suite, func.count().label("cases")).group_by(table.suite).order_by(table.suite)
        async with self._database.connect() as connection:
            return {row.suite: row.cases for row in await connection.execute(counted)}

    async def suite(self, name: str) -> Suite:
        """The suite called ``name``, its cases in the order in which they were added.

        Raises:
            NotFoundError: Nobody has collected one of that name.
        """
        table = collected_cases.c
        wanted = select(table.content).where(table.suite == name).order_by(table.at, table.name)
        async with self._database.connect() as connection:
            cases = [Case.model_validate(row.content) for row in await connection.execute(wanted)]
        if not cases:
            raise NotFoundError(
                f"nobody has collected a suite '{name[:80]}'; make a case from an answer first"
            )
        return Suite(name=name, cases=tuple(cases))

    async def add(self, suite: str, case: Case, *, trace_id: str, by: str) -> None:
        """Put ``case`` into ``suite``; one of the same name is replaced.

        Raises:
            InvalidInputError: The suite's name cannot be used, or belongs to a packaged suite, or the case says that its
                page is in another half than its cases before.
        """
        if suite in packaged_names():
            raise InvalidInputError(
                f"'{suite}' comes with Causeway and is a file; collect into a suite of your own, such as '{FIRST}'"
            )
        held = await self._others(suite, case.name)
        try:
            Suite(name=suite, cases=(*held, case))
        except ValidationError as exc:
            raise InvalidInputError(
                f"'{suite[:80]}' is no name of a suite; use letters, digits, dots, hyphens and underscores"
            ) from exc
        if mixed_pages((*held, case)):
            raise InvalidInputError(
                f"cases of the page {case.page} would be in both halves; give this one the same 'split' as those"
            )
        row = {"trace_id": trace_id, "content": case.model_dump(mode="json"), "made_by": by}
        added = insert(collected_cases).values(suite=suite, name=case.name, **row)
        async with self._database.begin() as connection:
            await connection.execute(
                added.on_conflict_do_update(index_elements=["suite", "name"], set_={**row, "at": func.now()})
            )

    async def remove(self, suite: str, name: str) -> bool:
        """Take a case out; False when it was not there."""
        table = collected_cases.c
        gone = delete(collected_cases).where(table.suite == suite, table.name == name)
        async with self._database.begin() as connection:
            return bool((await connection.execute(gone)).rowcount)

    async def _others(self, suite: str, name: str) -> tuple[Case, ...]:
        table = collected_cases.c
        wanted = select(table.content).where(table.suite == suite, table.name != name)
        async with self._database.connect() as connection:
            return tuple(Case.model_validate(row.content) for row in await connection.execute(wanted))
