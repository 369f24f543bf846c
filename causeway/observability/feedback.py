"""What people thought of an answer, kept under its trace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from causeway.errors import NotFoundError
from causeway.observability.spans import Spans
from causeway.observability.trace_store import is_owned
from causeway.storage.database import Database
from causeway.storage.schema import spans, votes


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one person thought of one answer."""

    trace_id: str
    is_up: bool
    reason: str | None
    correction: str | None
    at: datetime


class Feedback:
    """Records votes; a second vote of one person on one answer replaces the first."""

    def __init__(self, database: Database, recorder: Spans) -> None:
        self._database = database
        self._recorder = recorder

    async def vote(
        self,
        trace_id: str,
        principal_id: str,
        *,
        is_up: bool,
        reason: str | None = None,
        correction: str | None = None,
        owner: str | None = None,
    ) -> None:
        """Record a thumb up or down; with ``owner``, only on an answer of theirs.

        Raises:
            NotFoundError: No such trace, or another's.
        """
        given = {"is_up": is_up, "reason": reason, "correction": correction, "at": func.now()}
        statement = insert(votes).values(trace_id=trace_id, principal_id=principal_id, **given)
        await asyncio.to_thread(self._recorder.flush)
        async with self._database.begin() as connection:
            query = select(spans.c.span_id).where(spans.c.trace_id == trace_id).limit(1)
            if owner is not None:
                query = query.where(is_owned(trace_id, owner))
            known = await connection.scalar(query)
            if known is None:
                raise NotFoundError(f"no trace '{trace_id}' to vote on; take trace_id from the answer")
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["trace_id", "principal_id"], set_=given)
            )

    async def newest(self, *, limit: int) -> list[Vote]:
        """The newest votes first."""
        columns = (votes.c.trace_id, votes.c.is_up, votes.c.reason, votes.c.correction, votes.c.at)
        listed = select(*columns).order_by(votes.c.at.desc(), votes.c.trace_id).limit(limit)
        async with self._database.connect() as connection:
            return [Vote(**row._mapping) for row in await connection.execute(listed)]
