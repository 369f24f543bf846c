"""What an answer is written from: the statements of the found passages that bear on the question, within a budget.

Reading is what a small model on a small machine spends its time on, and what it reads beside the point leads it astray.
So passages are cut into statements, and only the best are shown, each under the heading of its passage. Over the sample
company's questions 500 tokens of statements hold the answer more often than 900 tokens of whole passages do
(docs/adr/0007-when-to-refuse.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from causeway.knowledge.answer.statements import Statement, statements
from causeway.knowledge.search.request import Hit

_STATEMENT_WEIGHT: Final = 0.5
"""Share of a statement's own relevance beside its passage's score; anything from .3 to 1 does as well."""
_TEMPERATURE: Final = 3.0
"""Flattens the cross-encoder's log-odds, which are -8 to 8: only 0 and 1 would be left otherwise."""
_CHARACTERS_PER_TOKEN: Final = 3.2
"""Of statements, which are full of numbers; prose alone has four."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit, and what of it the model reads, in its order."""

    hit: Hit
    statements: tuple[Statement, ...]

    @property
    def text(self) -> str:
        """The statements as a list, those below a heading of their own under it."""
        lines: list[str] = []
        for above, under in groupby(self.statements, key=lambda statement: statement.above):
            lines += [f"{above}:"] if above else []
            lines += [f"- {statement.text}" for statement in under]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A statement that could be shown, and the number of the hit it is from."""

    hit: int
    statement: Statement


def cut(hits: Sequence[Hit]) -> tuple[Candidate, ...]:
    """Every statement of ``hits``, in their order."""
    return tuple(
        Candidate(number, statement) for number, hit in enumerate(hits) for statement in statements(hit.text)
    )


def choose(
    hits: Sequence[Hit], candidates: Sequence[Candidate], relevance: Sequence[float], *, budget_tokens: int
) -> tuple[Passage, ...]:
    """The best statements that fit into ``budget_tokens`` together; the best one always does.

    Args:
        hits: Best first, which is the order of the passages.
        candidates: Of `cut`.
        relevance: For each candidate the cross-encoder's probability; all the same where there is none, so that the
            best hits are shown from their beginning.
        budget_tokens: Headings included, estimated by characters.
    """
    scores = [
        hits[one.hit].score + _STATEMENT_WEIGHT * _flattened(probability)
        for one, probability in zip(candidates, relevance, strict=True)
    ]
    kept: set[int] = set()
    shown: set[int] = set()
    left = budget_tokens * _CHARACTERS_PER_TOKEN
    for number in sorted(range(len(candidates)), key=lambda number: -scores[number]):
        one = candidates[number]
        needed = len(one.statement.text) + (0 if one.hit in shown else len(hits[one.hit].heading))
        if needed <= left or not kept:
            kept.add(number)
            shown.add(one.hit)
            left -= needed
    chosen = [candidates[number] for number in sorted(kept)]
    return tuple(
        Passage(hits[number], tuple(one.statement for one in ones))
        for number, ones in groupby(chosen, key=lambda one: one.hit)
    )


def _flattened(probability: float) -> float:
    certain = min(max(probability, 1e-6), 1 - 1e-6)
    return 1 / (1 + math.exp(-math.log(certain / (1 - certain)) / _TEMPERATURE))
