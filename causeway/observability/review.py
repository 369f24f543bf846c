"""Review of votes: a queue of what people said of answers, and what administrators make of it.

A vote is **new** until somebody confirms it (it is right) or dismisses it (it is not, or nothing follows from it). A
reviewer may say what would have been right, which goes before what the voter said. Questions and answers are the trace's:
they are gone with it after ``telemetry.trace_days``, and were never kept where content is not captured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Row, Select, func, or_, select, true, update

from causeway.errors import NotFoundError
from causeway.observability import genai_names as names
from causeway.observability.feedback import REASONS
from causeway.storage.database import Database
from causeway.storage.feedback_schema import collected_cases
from causeway.storage.schema import spans, votes

State = Literal["new", "confirmed", "dismissed"]
STATES: Final[tuple[State, ...]] = ("new", "confirmed", "dismissed")
LONGEST_NOTE: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewQuery:
    """Which votes; what is not given does not matter.

    Attributes:
        reason: One of `REASONS`; ``other`` is everything that is none of the others.
        text: Words that question, answer, correction or note have, in any case.
        offset: How many to pass over: the pages before.
    """

    state: State | None = None
    is_up: bool | None = None
    reason: str | None = None
    text: str = ""
    trace_id: str | None = None
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """A vote with what it was on, and what became of it.

    Attributes:
        voter: The principal whose vote it is.
        question: None when it was not kept, or its trace is gone.
        right_answer: The reviewer's.
        suites: Suites that have a case made from this answer.
    """

    trace_id: str
    voter: str
    is_up: bool
    reason: str | None
    correction: str | None
    at: datetime
    state: State
    reviewed_by: str | None
    reviewed_at: datetime | None
    note: str | None
    right_answer: str | None
    question: str | None
    answer: str | None
    is_refused: bool
    suites: tuple[str, ...] = ()

    @property
    def right(self) -> str | None:
        """What would have been right: the reviewer's words, or else the voter's."""
        return self.right_answer or self.correction


class Reviews:
    """The queue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queue(self, query: ReviewQuery) -> list[Reviewed]:
        """Votes that match; down-votes before up-votes, each the newest first."""
        listed = _listed(query).order_by(votes.c.is_up, votes.c.at.desc(), votes.c.trace_id)
        async with self._database.connect() as connection:
            return [
                _reviewed(row)
                for row in await connection.execute(listed.limit(query.limit).offset(query.offset))
            ]

    async def counts(self) -> Mapping[State, int]:
        """How many votes are in each state."""
        counted = select(votes.c.state, func.count().label("held")).group_by(votes.c.state)
        async with self._database.connect() as connection:
            found = {row.state: row.held for row in await connection.execute(counted)}
        return {state: found.get(state, 0) for state in STATES}

    async def of(self, trace_id: str) -> list[Reviewed]:
        """Every vote on one answer, newest first; none when nobody voted on it."""
        listed = _listed(ReviewQuery(trace_id=trace_id)).order_by(votes.c.at.desc(), votes.c.principal_id)
        async with self._database.connect() as connection:
            return [_reviewed(row) for row in await connection.execute(listed)]

    async def decide(
        self,
        trace_id: str,
        state: State,
        *,
        by: str,
        voter: str | None = None,
        note: str | None = None,
        right_answer: str | None = None,
    ) -> list[Reviewed]:
        """Put the votes on an answer, or ``voter``'s alone, into a state; they are returned as they are now.

        Args:
            trace_id: The answer's.
            state: ``new`` takes an earlier decision back.
            by: The principal who decides.
            voter: Whose vote; all votes on the answer without one.
            note: For other reviewers; None leaves what there is.
            right_answer: What would have been right; None leaves what there is.

        Raises:
            NotFoundError: There is no such vote.
        """
        mine = votes.c.trace_id == trace_id
        if voter is not None:
            mine &= votes.c.principal_id == voter
        is_open = state == "new"
        values: dict[str, Any] = {
            "state": state,
            "reviewed_by": None if is_open else by,
            "reviewed_at": None if is_open else func.now(),
        }
        if note is not None:
            values["note"] = note.strip() or None
        if right_answer is not None:
            values["right_answer"] = right_answer.strip() or None
        async with self._database.begin() as connection:
            changed = await connection.execute(update(votes).where(mine).values(values))
        if not changed.rowcount:
            raise NotFoundError(f"there is no such vote on the answer of trace '{trace_id}'")
        return [each for each in await self.of(trace_id) if voter in (None, each.voter)]


def _listed(query: ReviewQuery) -> Select[Any]:
    asked = (
        select(
            spans.c.attributes[names.QUESTION].astext.label("question"),
            spans.c.attributes[names.ANSWER].astext.label("answer"),
            spans.c.attributes[names.REFUSED].astext.label("refused"),
        )
        .where(spans.c.trace_id == votes.c.trace_id, spans.c.attributes.has_key(names.QUESTION))
        .order_by(spans.c.started_at)
        .limit(1)
        .lateral("asked")
    )
    suites = (
        select(func.array_agg(collected_cases.c.suite.distinct()))
        .where(collected_cases.c.trace_id == votes.c.trace_id)
        .scalar_subquery()
    )
    joined = votes.outerjoin(asked, true())
    listed = select(votes, asked.c.question, asked.c.answer, asked.c.refused, suites.label("suites"))
    return listed.select_from(joined).where(*_conditions(query, asked.c.question, asked.c.answer))


def _conditions(
    query: ReviewQuery, question: ColumnElement[Any], answer: ColumnElement[Any]
) -> Sequence[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.state is not None:
        wanted.append(votes.c.state == query.state)
    if query.is_up is not None:
        wanted.append(votes.c.is_up == query.is_up)
    if query.reason == "other":
        told = [reason for reason in REASONS if reason != "other"]
        wanted.append(votes.c.reason.is_not(None) & votes.c.reason.not_in(told))
    elif query.reason:
        wanted.append(votes.c.reason == query.reason)
    if query.trace_id is not None:
        wanted.append(votes.c.trace_id == query.trace_id)
    if query.text:
        places = (question, answer, votes.c.correction, votes.c.right_answer, votes.c.note)
        wanted.append(or_(*(place.icontains(query.text, autoescape=True) for place in places)))
    return wanted


def _reviewed(row: Row[Any]) -> Reviewed:
    return Reviewed(
        trace_id=row.trace_id,
        voter=row.principal_id,
        is_up=row.is_up,
        reason=row.reason,
        correction=row.correction,
        at=row.at,
        state=row.state,
        reviewed_by=row.reviewed_by,
        reviewed_at=row.reviewed_at,
        note=row.note,
        right_answer=row.right_answer,
        question=row.question,
        answer=row.answer,
        is_refused=row.refused == "true",
        suites=tuple(sorted(row.suites or ())),
    )
