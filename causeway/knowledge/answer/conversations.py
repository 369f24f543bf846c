"""Conversations: what somebody asked one after the other and what was answered, kept so that they can go on with it.

An answer is kept with the passages it was written from, as they were. Whoever may no longer see one of their documents
does not see the answer either; see `Conversations.read`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, func, select, union, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal
from causeway.errors import InvalidInputError, NotFoundError
from causeway.knowledge.answer.events import Cited, Finished
from causeway.knowledge.answer.follow_up import Exchange
from causeway.knowledge.search.request import Hit
from causeway.knowledge.sight import Sight
from causeway.storage.database import Database
from causeway.storage.product_schema import conversations, turns
from causeway.storage.schema import documents, past_revisions

_MOST_BEFORE: Final = 3
_LONGEST_TITLE: Final = 120
LONGEST_ID: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question and its answer.

    Attributes:
        number: From 1.
        understood: The question as it was searched for: a follow-up stands alone in it.
        hits: The passages the answer was written from; the first is [1].
        is_withheld: The reader may not see all documents that it rests on: question, answer and passages are empty.
    """

    number: int
    question: str
    understood: str
    answer: str
    is_refused: bool
    hits: tuple[Hit, ...]
    citations: tuple[Cited, ...]
    trace_id: str
    model: str
    at: datetime
    is_withheld: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What was said, oldest first; a list of conversations leaves ``turns`` empty."""

    id: str
    title: str
    owner: str
    collection: str | None
    is_shared: bool
    created_at: datetime
    updated_at: datetime
    turns: tuple[Turn, ...] = ()


class Conversations:
    """Keeps conversations; everything is done as somebody, and other people's are not there unless shared."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def before(self, conversation_id: str, principal: Principal) -> tuple[Exchange, ...]:
        """The last answered questions, oldest first; none where the conversation is yet to begin.

        Without those whose documents the asker may no longer see: a model must not be told of them either.

        Raises:
            NotFoundError: The id is another one's conversation.
        """
        wanted = (
            select(turns.c.understood, turns.c.answer, turns.c.documents)
            .where(turns.c.conversation_id == conversation_id, ~turns.c.is_refused)
            .order_by(turns.c.number.desc())
            .limit(_MOST_BEFORE)
        )
        async with self._database.connect() as connection:
            owner = await connection.scalar(
                select(conversations.c.owner).where(conversations.c.id == conversation_id)
            )
            if owner not in (None, principal.owner):
                raise _not_there(conversation_id)
            rows = (await connection.execute(wanted)).all()
        seen = await self._seen(principal, rows)
        return tuple(
            Exchange(row.understood, row.answer) for row in reversed(rows) if seen.issuperset(row.documents)
        )

    async def keep(
        self,
        conversation_id: str,
        principal: Principal,
        question: str,
        finished: Finished,
        *,
        hits: Sequence[Hit],
        collection: str | None,
    ) -> None:
        """Add a turn; the conversation begins with its first one.

        Raises:
            NotFoundError: The id is another one's conversation.
        """
        begun = insert(conversations).values(
            id=conversation_id,
            owner=principal.owner,
            title=_titled(question),
            collection=collection,
        )
        async with self._database.begin() as connection:
            await connection.execute(begun.on_conflict_do_nothing())
            await self._mine(connection, conversation_id, principal)
            last = await connection.scalar(
                select(func.max(turns.c.number)).where(turns.c.conversation_id == conversation_id)
            )
            await connection.execute(
                insert(turns).values(
                    conversation_id=conversation_id,
                    number=(last or 0) + 1,
                    question=question,
                    understood=finished.question,
                    answer=finished.answer,
                    is_refused=finished.refused,
                    passages=msgspec.to_builtins(hits),
                    citations=msgspec.to_builtins(finished.citations),
                    documents=sorted({hit.document_id for hit in hits}),
                    trace_id=finished.trace_id,
                    model=finished.model,
                )
            )
            await connection.execute(
                update(conversations)
                .where(conversations.c.id == conversation_id)
                .values(updated_at=func.now())
            )

    async def of(
        self, principal: Principal, *, limit: int = 30, before: datetime | None = None, text: str = ""
    ) -> Sequence[Conversation]:
        """The newest of one's own, without their turns; every word of ``text`` is in their titles."""
        wanted = (
            select(conversations)
            .where(conversations.c.owner == principal.owner)
            .order_by(conversations.c.updated_at.desc(), conversations.c.id)
            .limit(limit)
        )
        if before is not None:
            wanted = wanted.where(conversations.c.updated_at < before)
        for word in text.split():
            wanted = wanted.where(conversations.c.title.icontains(word, autoescape=True))
        async with self._database.connect() as connection:
            return [_conversation(row) for row in await connection.execute(wanted)]

    async def read(self, conversation_id: str, principal: Principal) -> Conversation:
        """One's own, or a shared one, whole but for turns that rest on what the reader may not see.

        Raises:
            NotFoundError: There is none, or it is another one's and not shared.
        """
        async with self._database.connect() as connection:
            row = (
                await connection.execute(select(conversations).where(conversations.c.id == conversation_id))
            ).first()
            if row is None or not (row.is_shared or row.owner == principal.owner):
                raise _not_there(conversation_id)
            said = (
                await connection.execute(
                    select(turns).where(turns.c.conversation_id == conversation_id).order_by(turns.c.number)
                )
            ).all()
        seen = await self._seen(principal, said)
        return _conversation(
            row, tuple(_turn(one) if seen.issuperset(one.documents) else _withheld(one) for one in said)
        )

    async def change(
        self,
        conversation_id: str,
        principal: Principal,
        *,
        title: str | None = None,
        shared: bool | None = None,
    ) -> Conversation:
        """Call one's own conversation something else, share it, or stop sharing it; returns it without turns.

        Raises:
            InvalidInputError: The title is empty.
            NotFoundError: There is none, or it is another one's.
        """
        values: dict[str, object] = {}
        if title is not None:
            if not title.strip():
                msg = "the title is empty; give it one or more letters"
                raise InvalidInputError(msg)
            values["title"] = _titled(title)
        if shared is not None:
            values["is_shared"] = shared
        async with self._database.begin() as connection:
            row = await self._mine(connection, conversation_id, principal)
            if values:
                changed = update(conversations).where(conversations.c.id == conversation_id).values(values)
                row = (await connection.execute(changed.returning(conversations))).one()
        return _conversation(row)

    async def delete(self, conversation_id: str, principal: Principal) -> None:
        """Forget one's own conversation.

        Raises:
            NotFoundError: There is none, or it is another one's.
        """
        async with self._database.begin() as connection:
            await self._mine(connection, conversation_id, principal)
            await connection.execute(delete(conversations).where(conversations.c.id == conversation_id))

    async def forget_before(self, oldest: datetime) -> int:
        """Forget those that nobody has gone on with since; returns how many."""
        gone = delete(conversations).where(conversations.c.updated_at < oldest)
        async with self._database.begin() as connection:
            return (await connection.execute(gone)).rowcount

    async def _seen(self, principal: Principal, said: Sequence[Row[*tuple[Any, ...]]]) -> frozenset[str]:
        """Those documents of the turns that ``principal`` may see, or might have seen before they were deleted."""
        asked = sorted({document for one in said for document in one.documents})
        if principal.sees_as is None or not asked:
            return frozenset(asked)
        sight = Sight.of(principal, self._database)
        there = select(documents.c.id).where(documents.c.id == func.any(asked), sight.documents)
        gone = select(past_revisions.c.document_id).where(
            past_revisions.c.document_id == func.any(asked), sight.past
        )
        async with self._database.connect() as connection:
            return frozenset((await connection.scalars(union(there, gone))).all())

    async def _mine(
        self, connection: AsyncConnection, conversation_id: str, principal: Principal
    ) -> Row[*tuple[Any, ...]]:
        """The conversation's row, locked."""
        wanted = select(conversations).where(
            conversations.c.id == conversation_id, conversations.c.owner == principal.owner
        )
        row = (await connection.execute(wanted.with_for_update())).first()
        if row is None:
            raise _not_there(conversation_id)
        return row


def new_id() -> str:
    """An id that nobody can guess."""
    return f"cnv_{uuid.uuid4().hex}"


def _titled(question: str) -> str:
    line = " ".join(question.split())
    return line if len(line) <= _LONGEST_TITLE else f"{line[: _LONGEST_TITLE - 1].rstrip()}…"


def _not_there(conversation_id: str) -> NotFoundError:
    return NotFoundError(f"no conversation '{conversation_id}' of yours; leave the id out to begin one")


def _conversation(row: Row[*tuple[Any, ...]], said: tuple[Turn, ...] = ()) -> Conversation:
    return Conversation(**row._mapping, turns=said)


def _withheld(row: Row[*tuple[Any, ...]]) -> Turn:
    return Turn(
        number=row.number,
        question="",
        understood="",
        answer="",
        is_refused=False,
        hits=(),
        citations=(),
        trace_id="",
        model="",
        at=row.at,
        is_withheld=True,
    )


def _turn(row: Row[*tuple[Any, ...]]) -> Turn:
    return Turn(
        number=row.number,
        question=row.question,
        understood=row.understood,
        answer=row.answer,
        is_refused=row.is_refused,
        hits=msgspec.convert(row.passages, tuple[Hit, ...]),
        citations=msgspec.convert(row.citations, tuple[Cited, ...]),
        trace_id=row.trace_id,
        model=row.model,
        at=row.at,
    )
