"""Conversations in memory, behind the real web."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.errors import NotFoundError
from causeway.knowledge import Conversation, Exchange, Finished, Hit, Turn


class ScriptedConversations:
    """Has them in a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: dict[str, Conversation] = {}

    async def before(self, conversation_id: str, principal: Principal) -> tuple[Exchange, ...]:
        known = self._all.get(conversation_id)
        if known is None:
            return ()
        return tuple(
            Exchange(one.understood, one.answer) for one in self._mine(conversation_id, principal).turns
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
        now = self._clock.now()
        begun = self._all.get(conversation_id) or Conversation(
            id=conversation_id,
            title=question,
            owner=principal.id,
            collection=collection,
            is_shared=False,
            created_at=now,
            updated_at=now,
        )
        turn = Turn(
            number=len(begun.turns) + 1,
            question=question,
            understood=finished.question or question,
            answer=finished.answer,
            is_refused=finished.refused,
            hits=tuple(hits),
            citations=finished.citations,
            trace_id=finished.trace_id,
            model=finished.model,
            at=now,
        )
        self._all[conversation_id] = replace(begun, turns=(*begun.turns, turn), updated_at=now)

    async def of(
        self, principal: Principal, *, limit: int = 30, before: datetime | None = None, text: str = ""
    ) -> Sequence[Conversation]:
        mine = [
            one
            for one in self._all.values()
            if one.owner == principal.id and all(word in one.title.lower() for word in text.lower().split())
        ]
        mine.sort(key=lambda one: one.updated_at, reverse=True)
        return [replace(one, turns=()) for one in mine if before is None or one.updated_at < before][:limit]

    async def read(self, conversation_id: str, principal: Principal) -> Conversation:
        one = self._all.get(conversation_id)
        if one is not None and one.is_shared:
            return one
        return self._mine(conversation_id, principal)

    async def change(
        self,
        conversation_id: str,
        principal: Principal,
        *,
        title: str | None = None,
        shared: bool | None = None,
    ) -> Conversation:
        one = self._mine(conversation_id, principal)
        one = replace(one, title=title or one.title, is_shared=one.is_shared if shared is None else shared)
        self._all[conversation_id] = one
        return replace(one, turns=())

    async def delete(self, conversation_id: str, principal: Principal) -> None:
        self._mine(conversation_id, principal)
        del self._all[conversation_id]

    def _mine(self, conversation_id: str, principal: Principal) -> Conversation:
        one = self._all.get(conversation_id)
        if one is None or one.owner != principal.id:
            raise NotFoundError(f"no conversation '{conversation_id}' of yours")
        return one
