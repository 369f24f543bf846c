"""A database that questions are asked of: what each kind must do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from causeway.analyst.result import Caps, Result
from causeway.analyst.schema import Dialect, Schema

Reach = Mapping[str, frozenset[str]]
"""The columns that a query may read of each table, in lower case; row rules' columns included."""


class ReadOnlyDatabase(Protocol):
    """A connection that cannot write, whatever it is given to run.

    The second and third layers of safety (`docs/adr/0025-safe-sql.md`): each kind does by means of its engine what the
    allow-list does by reading, and holds every query to its caps. All implementations pass
    ``tests/analyst/test_databases.py`` and the attacks of ``tests/analyst/test_attacks.py``.
    """

    @property
    def dialect(self) -> Dialect:
        """Its SQL."""
        ...

    async def read_schema(self, *, hidden: Reach) -> Schema:
        """Its tables; no value of a ``hidden`` column is read.

        Raises:
            QueryFailedError: It cannot be reached or read.
        """
        ...

    async def run(self, sql: str, caps: Caps, reach: Reach) -> Result:
        """Run a query.

        Raises:
            QueryFailedError: The database refuses it, or it goes beyond the caps.
        """
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
