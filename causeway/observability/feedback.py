"""What people thought of an answer, kept under its trace; `causeway.observability.review` is what others make of it.

Everybody has one vote on an answer. Giving another replaces it, and what a reviewer said of the first is void then: the
vote waits for review again. A withdrawn vote is gone, with everything that was learnt from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from causeway.errors import NotFoundError
from causeway.observability.spans import Flush, Spans, store_ended
from causeway.storage.database import Database
from causeway.storage.feedback_schema import confirmed_answers
from causeway.storage.schema import votes
from causeway.storage.telemetry_schema import trace_summaries

Reason = Literal["wrong", "incomplete", "wrong_source", "refused", "other"]
REASONS: Final[Mapping[Reason, str]] = {
    "wrong": "It is wrong",
    "incomplete": "Something is missing",
    "wrong_source": "It uses the wrong source",
    "refused": "The documents do say",
    "other": "Something else",
}
"""What was wrong with an answer, and how pages say it; a program may send words of its own, which count as ``other``."""
LONGEST_REASON: Final = 500
LONGEST_CORRECTION: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one person thought of one answer.

    Attributes:
        reason: One of `REASONS`, or words of whoever voted.
        correction: What would have been right.
    """

    trace_id: str
    is_up: bool
    reason: str | None
    correction: str | None
    at: datetime


class Feedback:
    """Records votes; a second vote of one person on one answer replaces the first.

    Args:
        database: Where votes and traces are.
        recorder: Whose finished spans are stored first.
        flush: The ledger's.
    """

    def __init__(self, database: Database, recorder: Spans, *, flush: Flush | None = None) -> None:
        self._database = database
        self._recorder = recorder
        self._flush = flush

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
        given = {"is_up": is_up, "reason": reason or None, "correction": correction or None}
        unreviewed = {"state": "new", "reviewed_by": None, "reviewed_at": None, "right_answer": None}
        statement = insert(votes).values(trace_id=trace_id, principal_id=principal_id, **given)
        new = statement.excluded
        is_other = (
            votes.c.is_up.is_distinct_from(new.is_up)
            | votes.c.reason.is_distinct_from(new.reason)
            | votes.c.correction.is_distinct_from(new.correction)
        )
        await store_ended(self._recorder, self._flush)
        async with self._database.begin() as connection:
            query = select(trace_summaries.c.trace_id).where(trace_summaries.c.trace_id == trace_id)
            if owner is not None:
                query = query.where(trace_summaries.c.owner == owner)
            known = await connection.scalar(query)
            if known is None:
                raise NotFoundError(f"no trace '{trace_id}' to vote on; take trace_id from the answer")
            changed = await connection.scalar(
                statement.on_conflict_do_update(
                    index_elements=["trace_id", "principal_id"],
                    set_={**given, **unreviewed, "at": func.now()},
                    where=is_other,
                ).returning(votes.c.trace_id)
            )
            if changed is not None:
                await connection.execute(
                    delete(confirmed_answers).where(
                        confirmed_answers.c.trace_id == trace_id,
                        confirmed_answers.c.principal_id == principal_id,
                    )
                )

    async def withdraw(self, trace_id: str, principal_id: str) -> bool:
        """Take somebody's vote back, and what was learnt from it; False when there was none."""
        gone = delete(votes).where(votes.c.trace_id == trace_id, votes.c.principal_id == principal_id)
        async with self._database.begin() as connection:
            return bool((await connection.execute(gone)).rowcount)

    async def given(self, principal_id: str, trace_ids: Sequence[str]) -> list[Vote]:
        """What somebody has said of these answers, newest first; those that they did not vote on are left out."""
        wanted = (
            select(*_COLUMNS)
            .where(votes.c.principal_id == principal_id, votes.c.trace_id.in_(trace_ids))
            .order_by(votes.c.at.desc(), votes.c.trace_id)
        )
        async with self._database.connect() as connection:
            return [Vote(**row._mapping) for row in await connection.execute(wanted)]

    async def newest(self, *, limit: int) -> list[Vote]:
        """The newest votes first; those that a reviewer dismissed are left out, and a reviewer's answer is the correction."""
        correction = func.coalesce(votes.c.right_answer, votes.c.correction).label("correction")
        columns = (votes.c.trace_id, votes.c.is_up, votes.c.reason, correction, votes.c.at)
        listed = (
            select(*columns)
            .where(votes.c.state != "dismissed")
            .order_by(votes.c.at.desc(), votes.c.trace_id)
            .limit(limit)
        )
        async with self._database.connect() as connection:
            return [Vote(**row._mapping) for row in await connection.execute(listed)]


_COLUMNS: Final = (votes.c.trace_id, votes.c.is_up, votes.c.reason, votes.c.correction, votes.c.at)
