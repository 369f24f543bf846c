"""What an answer is written from: the statements of the found passages that bear on the question, within a budget.

Reading is what a small model on a small machine spends its time on, and what it reads beside the point leads it astray.
So passages are cut into statements, and only the best are shown, each under the heading of its passage. Over the sample
company's questions 500 tokens of statements hold the answer more often than 900 tokens of whole passages do
(docs/adr/0007-when-to-refuse.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from causeway.knowledge.answer.statements import Statement, statements
from causeway.knowledge.search.request import Hit

_CHARACTERS_PER_TOKEN: Final = 3.2
"""Of statements, which are full of numbers; prose alone has four."""


@dataclass(frozen=True, slots=True)
class Passage:
    """The hit that is cited as ``[n]``, and what of it the model reads, in its order."""

    n: int
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
    hits: Sequence[Hit], candidates: Sequence[Candidate], order: Sequence[int], *, budget_tokens: int
) -> tuple[Passage, ...]:
    """The first statements in ``order`` that fit into ``budget_tokens`` together; the very first one always does.

    Args:
        hits: Best first; hit number 0 is cited as [1].
        candidates: Of `cut`.
        order: Numbers of candidates, the best first.
        budget_tokens: Headings included, estimated by characters.
    """
    kept: set[int] = set()
    shown: set[int] = set()
    left = budget_tokens * _CHARACTERS_PER_TOKEN
    for number in order:
        one = candidates[number]
        needed = len(one.statement.text) + (0 if one.hit in shown else len(hits[one.hit].heading))
        if needed <= left or not kept:
            kept.add(number)
            shown.add(one.hit)
            left -= needed
    chosen = [candidates[number] for number in sorted(kept)]
    return tuple(
        Passage(number + 1, hits[number], tuple(one.statement for one in ones))
        for number, ones in groupby(chosen, key=lambda one: one.hit)
    )
