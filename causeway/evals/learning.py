"""What follows from a reviewer's decision: an answer that was liked, and agreed to, is one to learn from.

Only an answer that says something and cites passages teaches anything: which passages answered the question, and how the
answer was put. A decision that is taken back, or a dismissal, unteaches it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from causeway.contracts.model_gateway import Call
from causeway.errors import CausewayError, NotFoundError
from causeway.evals.collect import Asked, Documents, Traces, asked_in, draft_case, unvoted_case
from causeway.evals.subject import EVALS
from causeway.evals.suite import Case
from causeway.observability.feedback import Vote
from causeway.observability.review import Reviewed, Reviews, State

log = logging.getLogger(__name__)

_CALL: Final = Call(principal=EVALS, purpose="feedback")


class Answers(Protocol):
    """`causeway.knowledge.ConfirmedAnswers`."""

    async def learn(
        self, trace_id: str, voter: str, *, question: str, answer: str, chunk_ids: list[str], call: Call
    ) -> int:
        """Keep an answer."""
        ...

    async def forget(self, trace_id: str, voter: str) -> None:
        """Keep it no longer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a reviewer decides.

    Attributes:
        voter: Whose vote; all votes on the answer when not given.
        note: For other reviewers; None leaves what there is.
        right_answer: What would have been right; None leaves what there is.
    """

    state: State
    voter: str | None = None
    note: str | None = None
    right_answer: str | None = None


class Reviewing:
    """Reviews with their consequences.

    Args:
        reviews: The queue.
        answers: Where confirmed answers are kept.
        traces: Where questions and answers are.
        library: Where the documents that were cited are.
    """

    def __init__(self, reviews: Reviews, *, answers: Answers, traces: Traces, library: Documents) -> None:
        self.reviews = reviews
        self._answers = answers
        self._traces = traces
        self._library = library

    async def decide(self, trace_id: str, decision: Decision, *, by: str) -> list[Reviewed]:
        """Put votes into a state, and learn from them or not.

        Raises:
            NotFoundError: There is no such vote.
            CausewayError: The question cannot be embedded; the decision stands, and deciding again learns from it.
        """
        decided = await self.reviews.decide(
            trace_id,
            decision.state,
            by=by,
            voter=decision.voter,
            note=decision.note,
            right_answer=decision.right_answer,
        )
        await self._learn(decided)
        return decided

    async def asked(self, trace_id: str) -> Asked | None:
        """The question, answer and citations of a trace; None when it is gone or has none."""
        try:
            return await asked_in(await self._traces.trace(trace_id), self._library)
        except NotFoundError:
            return None

    async def draft(self, trace_id: str, votes: Sequence[Reviewed]) -> Case:
        """The case that an answer makes, as far as its newest vote tells; nobody has to have voted on it.

        Raises:
            NotFoundError: The question was not kept, or its trace is gone.
        """
        asked = await self.asked(trace_id)
        if asked is None:
            raise NotFoundError(
                f"the question of trace '{trace_id}' was not kept, or is older than telemetry.trace_days"
            )
        return draft_case(as_vote(votes[0]), asked) if votes else unvoted_case(trace_id, asked)

    async def _learn(self, decided: Iterable[Reviewed]) -> None:
        for vote in decided:
            is_liked = vote.state == "confirmed" and vote.is_up and not vote.is_refused
            asked = await self.asked(vote.trace_id) if is_liked else None
            if asked is None or not asked.cited:
                await self._answers.forget(vote.trace_id, vote.voter)
                continue
            try:
                await self._answers.learn(
                    vote.trace_id,
                    vote.voter,
                    question=asked.understood,
                    answer=asked.answer,
                    chunk_ids=list(asked.cited),
                    call=_CALL,
                )
            except CausewayError as exc:
                log.warning("a confirmed answer was not learnt", extra={"reason": exc.code})
                raise


def as_vote(vote: Reviewed) -> Vote:
    """A reviewed vote with the right answer, whoever wrote it, as its correction."""
    return Vote(
        trace_id=vote.trace_id, is_up=vote.is_up, reason=vote.reason, correction=vote.right, at=vote.at
    )
