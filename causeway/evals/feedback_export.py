"""Feedback as training data: chats that were good, and pairs of a better and a worse answer; one JSON document a line.

- ``chat``: ``{"messages": [...]}``, what OpenAI's and most other fine-tuning takes. The last message is the answer that was
  liked, or what would have been right.
- ``preferences``: ``{"prompt": [...], "chosen": [...], "rejected": [...]}``, TRL's conversational preference format. A corrected
  answer gives a pair, and so does a question that one answer was liked for and another was not.

The messages before the answer are those that the model was sent, with passages and all, where the trace has them; else the
question alone. They are people's own words, so personal data and secrets are placeholders (``[EMAIL_1]``) in what leaves the
house, the same for the same value all over a line, unless somebody asks for the words as they are. The audit log says who
exported what, masked or not.
https://huggingface.co/docs/trl/dataset_formats
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from causeway.contracts.identity import Principal
from causeway.errors import NotFoundError
from causeway.evals.collect import Traces
from causeway.guard.pii import Finder
from causeway.guard.restore import Placeholders
from causeway.observability import genai_names as names
from causeway.observability.review import Reviewed, ReviewQuery, Reviews
from causeway.observability.trace_store import SpanRecord, Trace
from causeway.storage.database import Database
from causeway.storage.recorder import Recorder

Format = Literal["chat", "preferences"]
FORMATS: Final[tuple[Format, ...]] = ("chat", "preferences")
Said = Mapping[str, str]
_ANSWERING: Final = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """An answer that was voted on.

    Attributes:
        before: What the model was sent.
        right: What would have been right; None when nobody said.
    """

    question: str
    before: Sequence[Said]
    answer: str
    is_up: bool
    right: str | None


class FeedbackExport:
    """Votes as training data.

    Args:
        database: Where the audit log is.
        reviews: The votes.
        traces: What was said.
        finder: Finds what is masked: ``guard.kinds``.
        record: Writes the line of the audit log.
    """

    def __init__(
        self, database: Database, reviews: Reviews, *, traces: Traces, finder: Finder, record: Recorder
    ) -> None:
        self._database = database
        self._reviews = reviews
        self._traces = traces
        self._finder = finder
        self._record = record

    async def lines(
        self, query: ReviewQuery, form: Format, *, by: Principal, is_raw: bool = False
    ) -> list[dict[str, Any]]:
        """The lines of an export; votes that were dismissed, or whose question was not kept, are left out.

        Args:
            query: Which votes.
            form: What becomes of them.
            by: Who exports, for the audit log.
            is_raw: Leave personal data and secrets as they were said.
        """
        votes = [vote for vote in await self._reviews.queue(query) if vote.state != "dismissed"]
        found = await exported(votes, form, traces=self._traces)
        if not is_raw:
            found = await asyncio.to_thread(lambda: [_masked(line, self._finder) for line in found])
        async with self._database.begin() as connection:
            told = {"format": form, "lines": len(found), "is_masked": not is_raw}
            await self._record(connection, by, "feedback.export", form, after=told)
        return found


async def exported(votes: Iterable[Reviewed], form: Format, *, traces: Traces) -> list[dict[str, Any]]:
    """The lines of an export as people said them; votes whose question was not kept are left out."""
    exchanges = [each for vote in votes if (each := await _exchange(vote, traces)) is not None]
    return _chats(exchanges) if form == "chat" else _preferences(exchanges)


def _masked(line: Mapping[str, Any], finder: Finder) -> dict[str, Any]:
    """With placeholders that stand for the same value all over the line."""
    table = Placeholders(said["content"] for said in _said(line))
    return {
        part: [
            {**said, "content": table.mask(said["content"], finder.find(said["content"]))}
            for said in messages
        ]
        for part, messages in line.items()
    }


def _said(line: Mapping[str, Sequence[Said]]) -> Iterator[Said]:
    for messages in line.values():
        yield from messages


def _chats(exchanges: Iterable[_Exchange]) -> list[dict[str, Any]]:
    """One a question: the newest answer that is known to be good."""
    chats: dict[str, dict[str, Any]] = {}
    for each in exchanges:
        good = each.right or (each.answer if each.is_up else None)
        if good and each.question not in chats:
            chats[each.question] = {"messages": [*each.before, _assistant(good)]}
    return list(chats.values())


def _preferences(exchanges: Sequence[_Exchange]) -> list[dict[str, Any]]:
    liked: defaultdict[str, list[str]] = defaultdict(list)
    for each in exchanges:
        if each.is_up and each.answer:
            liked[each.question].append(each.answer)
    pairs: dict[tuple[str, str, str], dict[str, Any]] = {}
    for each in exchanges:
        if each.is_up or not each.answer:
            continue
        for better in (each.right, *liked[each.question]):
            if better and better != each.answer:
                pairs[each.question, better, each.answer] = {
                    "prompt": list(each.before),
                    "chosen": [_assistant(better)],
                    "rejected": [_assistant(each.answer)],
                }
    return list(pairs.values())


async def _exchange(vote: Reviewed, traces: Traces) -> _Exchange | None:
    if not vote.question:
        return None
    try:
        trace = await traces.trace(vote.trace_id)
    except NotFoundError:
        return None
    question = vote.question.strip()
    return _Exchange(
        question=question,
        before=_sent(trace) or ({"role": "user", "content": question},),
        answer=vote.answer or "",
        is_up=vote.is_up,
        right=vote.right,
    )


def _sent(trace: Trace) -> Sequence[Said]:
    """What the call that wrote the answer was sent; the check before it, which is sent nearly the same, writes one word."""
    calls = [
        span
        for span in trace.spans
        if span.attributes.get(names.PURPOSE) == _ANSWERING and names.INPUT_MESSAGES in span.attributes
    ]
    written = max(calls, key=_written, default=None)
    return _messages(written.attributes[names.INPUT_MESSAGES]) if written else ()


def _written(span: SpanRecord) -> int:
    tokens = span.attributes.get(names.OUTPUT_TOKENS)
    return tokens if isinstance(tokens, int) else 0


def _messages(value: object) -> Sequence[Said]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        return ()
    return tuple(
        {"role": str(each["role"]), "content": str(each["content"])}
        for each in found
        if isinstance(each, dict) and each.get("role") and isinstance(each.get("content"), str)
    )


def _assistant(text: str) -> Said:
    return {"role": "assistant", "content": text}
