"""Verified questions and their SQL: the strongest help a draft can have, grown from approvals.

The nearest by meaning are shown to the model (`bench/analyst.py` measures what they are worth). Also owns the turns of conversations, so that a question can follow another.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from causeway.analyst.draft_sql import Earlier
from causeway.analyst.semantic_layer import Pair
from causeway.analyst.words import content_words
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import EmbedRequest
from causeway.errors import CausewayError, NotFoundError
from causeway.seams import deferred
from causeway.storage.database import Database
from causeway.storage.product_schema import analyst_pairs, analyst_saved, analyst_turns

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

log = logging.getLogger(__name__)

_MOST_PAIRS = 2_000
_LEAST_SIMILARITY = 0.6
_WORDING = 0.3
"""What the same wording weighs beside the same meaning: "by what percentage did ... from ... to" is a shape of query, whatever grew."""
_MOST_VECTORS = 10_000
_EVERYBODYS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A question that somebody keeps; pinned ones are drawn on the board."""

    id: str
    database: str
    question: str
    sql: str
    chart: str
    is_pinned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question that was answered."""

    trace_id: str
    conversation_id: str
    principal_id: str
    database: str
    question: str
    sql: str


class VerifiedPairs:
    """Pairs, by database."""

    def __init__(self, database: Database, gateway: ModelGateway) -> None:
        self._database = database
        self._gateway = gateway
        self._vectors: dict[str, np.ndarray] = {}

    async def add(
        self, name: str, pair: Pair, principal_id: str, asker_values: Mapping[str, str] = _EVERYBODYS
    ) -> None:
        """Keep a pair for those who have all of ``asker_values``; the same question's newest SQL holds."""
        row = {
            "id": f"pair_{uuid4().hex}",
            "database": name,
            "question": pair.question,
            "approved_by": principal_id,
            "asker_values": dict(asker_values),
        }
        statement = insert(analyst_pairs).values(**row, sql=pair.sql)
        async with self._database.begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["database", "question", "asker_values"],
                    set_={"sql": pair.sql, "approved_by": principal_id},
                )
            )

    async def of(self, name: str, asker_values: Mapping[str, str] = _EVERYBODYS) -> list[Pair]:
        """Those that were approved by people who see the same rows as whoever has ``asker_values``, newest first."""
        found = (
            select(analyst_pairs.c.question, analyst_pairs.c.sql)
            .where(
                analyst_pairs.c.database == name,
                analyst_pairs.c.asker_values.contained_by(dict(asker_values)),
            )
            .order_by(analyst_pairs.c.created_at.desc())
            .limit(_MOST_PAIRS)
        )
        async with self._database.connect() as connection:
            return [Pair(question=row.question, sql=row.sql) for row in await connection.execute(found)]

    async def nearest(self, question: str, pairs: Sequence[Pair], count: int, call: Call) -> list[Pair]:
        """The ``count`` pairs nearest in meaning and in how they ask, the nearest last; by shared words while embedding fails."""
        if not pairs or count == 0:
            return []
        try:
            similar = await self._similarity(question, [pair.question for pair in pairs], call)
        except CausewayError as exc:
            log.warning("verified pairs chosen by words alone", extra={"reason": exc.code})
            similar = [_shared_words(question, pair.question) for pair in pairs]
        near = [
            likeness + _WORDING * _shared_wording(question, pair.question)
            for likeness, pair in zip(similar, pairs, strict=True)
        ]
        ranked = sorted(range(len(pairs)), key=lambda place: -near[place])[:count]
        return [pairs[place] for place in reversed(ranked) if similar[place] >= _LEAST_SIMILARITY]

    async def _similarity(self, question: str, others: Sequence[str], call: Call) -> list[float]:
        wanted = [text for text in dict.fromkeys([question, *others]) if text not in self._vectors]
        if len(self._vectors) + len(wanted) > _MOST_VECTORS:
            self._vectors.clear()
            wanted = list(dict.fromkeys([question, *others]))
        if wanted:
            made = await self._gateway.embed(
                EmbedRequest(model="embed", texts=tuple(wanted), kind="query"), call
            )
            self._vectors.update(zip(wanted, made.vectors, strict=True))
        asked = self._vectors[question]
        return [float(asked @ self._vectors[other]) for other in others]


class Notebook:
    """What people asked and keep: turns of conversations, saved questions, the board."""

    def __init__(self, database: Database, pairs: VerifiedPairs) -> None:
        self._database = database
        self.pairs = pairs

    async def note(self, turn: Turn) -> None:
        """Remember an answered question."""
        values = {name: getattr(turn, name) for name in Turn.__slots__}
        async with self._database.begin() as connection:
            await connection.execute(insert(analyst_turns).values(**values).on_conflict_do_nothing())

    async def earlier(self, conversation_id: str, principal_id: str, database: str) -> Earlier | None:
        """The newest answered question of a conversation."""
        found = (
            select(analyst_turns.c.question, analyst_turns.c.sql)
            .where(
                analyst_turns.c.conversation_id == conversation_id,
                analyst_turns.c.principal_id == principal_id,
                analyst_turns.c.database == database,
            )
            .order_by(analyst_turns.c.at.desc())
            .limit(1)
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(found)).first()
        return Earlier(row.question, row.sql) if row else None

    async def forget_before(self, oldest: datetime) -> None:
        """Forget conversations older than ``oldest``; what was saved or verified stays."""
        async with self._database.begin() as connection:
            await connection.execute(delete(analyst_turns).where(analyst_turns.c.at < oldest))

    async def turn(self, trace_id: str, principal_id: str) -> Turn:
        """The question that was answered under a trace.

        Raises:
            NotFoundError: This person asked none.
        """
        found = select(analyst_turns).where(
            analyst_turns.c.trace_id == trace_id, analyst_turns.c.principal_id == principal_id
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(found)).first()
        if row is None:
            raise NotFoundError(f"no question of yours was answered under the trace '{trace_id}'")
        return Turn(**{name: getattr(row, name) for name in Turn.__slots__})

    async def save(self, principal_id: str, saved: Saved) -> None:
        """Keep a question; one with the same id is replaced."""
        values = {name: getattr(saved, name) for name in Saved.__slots__}
        statement = insert(analyst_saved).values(principal_id=principal_id, **values)
        async with self._database.begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["id"],
                    set_={"is_pinned": saved.is_pinned, "chart": saved.chart},
                    where=analyst_saved.c.principal_id == principal_id,
                )
            )

    async def saved(self, principal_id: str) -> list[Saved]:
        """A person's saved questions, newest first."""
        found = select(analyst_saved).where(analyst_saved.c.principal_id == principal_id)
        async with self._database.connect() as connection:
            rows = await connection.execute(found.order_by(analyst_saved.c.created_at.desc()).limit(200))
            return [Saved(**{name: getattr(row, name) for name in Saved.__slots__}) for row in rows]

    async def forget(self, principal_id: str, saved_id: str) -> None:
        """Delete a saved question."""
        async with self._database.begin() as connection:
            await connection.execute(
                delete(analyst_saved).where(
                    analyst_saved.c.id == saved_id, analyst_saved.c.principal_id == principal_id
                )
            )


def _shared_wording(one: str, other: str) -> float:
    """The share of words that both have, small ones too, numbers counting as one word."""
    ours, theirs = (
        {"#" if word.isdigit() else word for word in re.findall(r"[^\W_]+", text.lower())}
        for text in (one, other)
    )
    return len(ours & theirs) / max(1, len(ours | theirs))


def _shared_words(one: str, other: str) -> float:
    left, right = set(content_words(one)), set(content_words(other))
    return len(left & right) / max(1, len(left | right))
