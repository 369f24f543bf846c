"""The questions that were asked in Slack: which were taken, where their answers are, what was said in a thread before.

A question is known by Slack's id of its event, so one that is delivered again is not asked again. Its words are kept until
it is answered; then they are its conversation's (`causeway.knowledge.answer.conversations`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from causeway.contracts.identity import EVERYONE, Principal
from causeway.knowledge.answer.events import Cited
from causeway.knowledge.answer.follow_up import Exchange
from causeway.knowledge.sight import Sight
from causeway.storage.database import Database
from causeway.storage.durable import Durable, Priority
from causeway.storage.product_schema import turns
from causeway.storage.schema import documents
from causeway.storage.search_schema import slack_questions

WORK: Final = "slack"
_MOST_BEFORE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackQuestion:
    """A question as it was asked; the fields are those of its row."""

    event_id: str
    channel: str
    ts: str
    thread: str
    asker: str
    is_direct: bool
    is_shared: bool
    question: str
    state: str = "waiting"
    answer_channel: str | None = None
    answer_ts: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answer as its conversation has it."""

    answer: str
    citations: tuple[Cited, ...]


class SlackQuestions:
    """The rows of `slack_questions`, and the queue of those that wait."""

    def __init__(self, database: Database, durable: Durable) -> None:
        self._database = database
        self._durable = durable
        self._is_queue_made = False

    async def take(self, asked: SlackQuestion) -> bool:
        """Keep a question and queue its answer, in one transaction; False when it was taken before.

        Raises:
            DatabaseUnavailableError: It is not kept; Slack will deliver it again.
        """
        if not self._is_queue_made:  # see `Durable.enqueue`: not within a transaction
            await self._durable.state(WORK)
            self._is_queue_made = True
        row = {
            name: getattr(asked, name)
            for name in ("event_id", "channel", "ts", "thread", "asker", "is_direct", "is_shared", "question")
        }
        async with self._database.begin() as connection:
            kept = await connection.execute(insert(slack_questions).values(row).on_conflict_do_nothing())
            if not kept.rowcount:
                return False
            await self._durable.enqueue(
                WORK,
                asked.event_id,
                key=f"slack-{asked.event_id}",
                within=connection,
                priority=Priority.PERSON,
            )
        return True

    async def find(self, event_id: str) -> SlackQuestion | None:
        """A question that was taken."""
        wanted = select(slack_questions).where(slack_questions.c.event_id == event_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        return None if row is None else _question(row)

    async def begun(self, event_id: str, channel: str, ts: str) -> None:
        """The message that its answer is being written into."""
        await self._set(event_id, answer_channel=channel, answer_ts=ts)

    async def answered(self, event_id: str, trace_id: str) -> None:
        """Its answer is whole and kept, though perhaps not shown."""
        await self._set(event_id, trace_id=trace_id)

    async def done(self, event_id: str) -> None:
        """Nothing is left to do for it."""
        await self._set(event_id, state="done", question="")

    async def trace_of(self, channel: str, ts: str) -> str | None:
        """The trace of the answer in a message; None when the message is no answer."""
        wanted = select(slack_questions.c.trace_id).where(
            slack_questions.c.answer_channel == channel, slack_questions.c.answer_ts == ts
        )
        async with self._database.connect() as connection:
            return (await connection.execute(wanted)).scalar_one_or_none()

    async def kept(self, trace_id: str) -> KeptAnswer | None:
        """An answer that was kept in its conversation."""
        wanted = select(turns.c.answer, turns.c.citations).where(turns.c.trace_id == trace_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(wanted)).first()
        if row is None:
            return None
        return KeptAnswer(answer=row.answer, citations=msgspec.convert(row.citations, tuple[Cited, ...]))

    async def before(self, asked: SlackQuestion, principal: Principal) -> tuple[Exchange, ...]:
        """What was asked and answered in its thread, by whomever, oldest first.

        Without what rests on documents that the asker may not see: a model must not be told of it either.
        """
        wanted = (
            select(turns.c.understood, turns.c.answer, turns.c.documents)
            .join(slack_questions, slack_questions.c.trace_id == turns.c.trace_id)
            .where(
                slack_questions.c.channel == asked.channel,
                slack_questions.c.thread == asked.thread,
                slack_questions.c.event_id != asked.event_id,
                ~turns.c.is_refused,
            )
            .order_by(turns.c.at.desc())
            .limit(_MOST_BEFORE)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(wanted)).all()
        ids = sorted({document for row in rows for document in row.documents})
        seen = await self._seen(Sight.of(principal, self._database), ids)
        return tuple(
            Exchange(row.understood, row.answer) for row in reversed(rows) if seen.issuperset(row.documents)
        )

    async def are_for_everyone(self, document_ids: Sequence[str]) -> bool:
        """Whether every person with an account may see all of these documents."""
        ids = sorted(set(document_ids))
        seen = await self._seen(Sight(self._database, frozenset({EVERYONE})), ids)
        return seen.issuperset(ids)

    async def forget_before(self, oldest: datetime) -> int:
        """Forget those that were asked before; returns how many."""
        gone = delete(slack_questions).where(slack_questions.c.created_at < oldest)
        async with self._database.begin() as connection:
            return (await connection.execute(gone)).rowcount

    async def _seen(self, sight: Sight, document_ids: Sequence[str]) -> frozenset[str]:
        if not document_ids:
            return frozenset()
        wanted = select(documents.c.id).where(documents.c.id == func.any(list(document_ids)), sight.documents)
        async with self._database.connect() as connection:
            return frozenset((await connection.scalars(wanted)).all())

    async def _set(self, event_id: str, **values: object) -> None:
        changed = update(slack_questions).where(slack_questions.c.event_id == event_id).values(values)
        async with self._database.begin() as connection:
            await connection.execute(changed)


def _question(row: Row[*tuple[Any, ...]]) -> SlackQuestion:
    values = dict(row._mapping)
    del values["created_at"]
    return SlackQuestion(**values)
