"""The ledger's rows in PostgreSQL: written in batches, summed for budgets.

A batch is one parameter: the journal's JSON as it is, which PostgreSQL itself takes apart, so that a row costs the
gateway's process next to nothing; of a call that is all of its trace it makes the trace's line, too
(`causeway.observability.lone_calls`). Writing a row twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from psycopg.types.json import Json
from sqlalchemy import TextClause, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from causeway.contracts.money import Micros
from causeway.errors import DeadlineError
from causeway.observability.lone_calls import GIVEN_COLUMNS, JOIN_LINES, NEW_LINES
from causeway.storage.database import Database
from causeway.storage.database_failures import sqlstate
from causeway.storage.schema import ledger

log = logging.getLogger(__name__)

BudgetScope = Literal["key", "team", "tier"]

_DEADLINE_S = 30.0
_POSTGRESQL = make_url("postgresql+psycopg://").get_dialect()()
_COLUMNS = ", ".join(column.name for column in ledger.columns)
_GIVEN_COLUMNS = ", ".join(
    f"{column.name} {column.type.compile(dialect=_POSTGRESQL)}" for column in ledger.columns
)
_GIVEN = f"given AS MATERIALIZED (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS row ({_GIVEN_COLUMNS}, {GIVEN_COLUMNS}))"  # noqa: S608 - our own column names
_ROWS = f"INSERT INTO ledger ({_COLUMNS}) SELECT {_COLUMNS} FROM given"  # noqa: S608 - our own column names
_INSERT = text(f"WITH {_GIVEN}, stored AS ({_ROWS}) {NEW_LINES}")
_MERGED = (
    f"WITH {_GIVEN}, stored AS ({_ROWS} ON CONFLICT (id) DO NOTHING RETURNING id), traced AS ({JOIN_LINES})"
)
_MERGE = text(f"{_MERGED} SELECT")
_MERGE_NEW = text(f"{_MERGED} SELECT id FROM stored")  # noqa: S608 - our own column names
_IS_THERE = "23505"
"""SQLSTATE of a key that is stored already: seldom so, and a statement that expects it takes PostgreSQL an eighth longer."""
_UNSTORABLE = ("22", "23")
"""SQLSTATE classes that say the rows are wrong and not the server."""
_SPENDER = {"key": ledger.c.principal_id, "team": ledger.c.team, "tier": ledger.c.tier}


class LedgerTable:
    """The table ``ledger``; rows that it refuses are kept in the file ``unstorable``."""

    def __init__(self, database: Database, unstorable: Path) -> None:
        self._database = database
        self._unstorable = unstorable

    async def insert(self, rows: Sequence[bytes]) -> None:
        """Write encoded rows, those that are there already left out.

        Raises:
            DatabaseUnavailableError: The server cannot be reached.
            DiskFullError: The server has no room left.
            DeadlineError: It did not answer in time; the rows may be there or not.
        """
        await self._insert(_INSERT, rows)

    async def insert_new(self, rows: Sequence[bytes]) -> set[str]:
        """Write encoded rows, and say which were not there yet, by their ids. Raises like ``insert``."""
        return await self._insert(_MERGE_NEW, rows)

    async def _insert(self, statement: TextClause, rows: Sequence[bytes]) -> set[str]:
        if not rows:
            return set()
        batch = b"[" + b",".join(rows) + b"]"
        try:
            async with asyncio.timeout(_DEADLINE_S), self._database.begin() as connection:
                done = await connection.execute(statement, {"rows": Json(batch, dumps=bytes)})
                return set(done.scalars()) if statement is _MERGE_NEW else set()
        except TimeoutError as exc:
            raise DeadlineError(
                f"PostgreSQL did not take {len(rows)} rows of the ledger within {_DEADLINE_S:g} s; they wait in the journal"
            ) from exc
        except DBAPIError as exc:
            state = sqlstate(exc)
            if state == _IS_THERE and statement is _INSERT:
                return await self._insert(_MERGE, rows)
            if state is None or not state.startswith(_UNSTORABLE):
                raise
            if len(rows) == 1:
                self._set_aside(rows[0], state)
                return set()
        # one row that PostgreSQL refuses must not hold up the others for ever
        middle = len(rows) // 2
        return await self._insert(statement, rows[:middle]) | await self._insert(statement, rows[middle:])

    async def spent(self, scope: BudgetScope, spender: str, start: datetime) -> Micros:
        """What the calls that began at ``start`` or later cost."""
        query = select(func.coalesce(func.sum(ledger.c.cost_micros), 0)).where(
            _SPENDER[scope] == spender, ledger.c.at >= start
        )
        async with self._database.connect() as connection:
            return Micros(int((await connection.execute(query)).scalar_one()))

    def _set_aside(self, row: bytes, state: str) -> None:
        log.error(
            "the database refuses a row of the ledger; it is kept in a file",
            extra={"file": str(self._unstorable), "sqlstate": state},
        )
        with self._unstorable.open("ab") as file:
            file.write(row + b"\n")
