"""How strongly each found statement bears on a part of a question.

Relevance comes from the cross-encoder and from search; what it does not know is told by rules: whether the statement has a
value of the kind that is asked for beside those the question has itself, whether it or its heading has the names and
years of the question, and whether it is about another thing of the same kind ('Larkrise 1' for 'Larkrise 3'). The best
statement then holds every fact of the answer for .67 of the answerable questions, .62 without the rules, and one of the
best five for .90 (docs/adr/0034-what-a-question-asks-for.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from causeway.knowledge.answer.asked import Part, values
from causeway.knowledge.answer.context import Candidate
from causeway.knowledge.answer.statements import Statement
from causeway.knowledge.answer.support import is_of_another, names, proper_names, terms
from causeway.knowledge.search.request import Hit

_RELEVANCE: Final = 0.5
"""Share of a statement's own relevance beside its passage's score; anything from .3 to 1 does as well."""
_OF_KIND: Final = 0.15
_NAMED: Final = 0.1
_DATED: Final = 0.1
_OF_ANOTHER: Final = -0.2
_TEMPERATURE: Final = 3.0
"""Flattens the cross-encoder's log-odds, which are -8 to 8: only 0 and 1 would be left otherwise."""
_SUREST: Final = 8.0
_YEAR: Final = re.compile(r"\b(?:19|20)\d\d\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is known of a statement without reading it.

    Attributes:
        relevance: The cross-encoder's log-odds, -8 to 8; 0 where it was not asked.
        score: Its passage's, by search.
        is_of_kind: Whether it has a value of the kind that the part asks for; true when the part does not tell.
        is_named: Whether it or its heading has every proper name of the part.
        is_dated: The same for years.
        is_of_another: Whether it is about another thing of a kind that the part names by a number or code.
        is_numbered: Whether it or its heading has everything that the part names by a number or code.
        is_elsewhere: Whether other found passages have the thing that is asked for, by name, and not this statement.
    """

    relevance: float
    score: float
    is_of_kind: bool = True
    is_named: bool = True
    is_dated: bool = True
    is_of_another: bool = False
    is_elsewhere: bool = False
    is_numbered: bool = True

    @property
    def strength(self) -> float:
        """How strongly the statement bears on the part; only its order means something."""
        return (
            self.score
            + _RELEVANCE / (1 + math.exp(-self.relevance / _TEMPERATURE))
            + _OF_KIND * self.is_of_kind
            + _NAMED * self.is_named
            + _DATED * self.is_dated
            + _OF_ANOTHER * self.is_of_another
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """A statement of the hit number ``hit``, and how it bears on the part it was rated for."""

    hit: int
    statement: Statement
    traits: Traits


def rate(
    part: Part,
    hits: Sequence[Hit],
    candidates: Sequence[Candidate],
    relevance: Sequence[float],
    scores: Sequence[float],
) -> tuple[Evidence, ...]:
    """Every candidate as evidence for ``part``, in their order.

    Args:
        part: Of the question.
        hits: The candidates are of.
        candidates: Of `causeway.knowledge.answer.context.cut`.
        relevance: For each candidate the cross-encoder's probability; .5 where it was not asked.
        scores: For each hit, how well search likes it for the part.
    """
    asked = _Asked.of(part, hits)
    return tuple(
        Evidence(
            one.hit,
            one.statement,
            asked.traits(hits[one.hit], one.statement, probability, scores[one.hit]),
        )
        for one, probability in zip(candidates, relevance, strict=True)
    )


def strongest(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """``evidence``, the strongest first."""
    return tuple(evidence[number] for number in _ranking(evidence))


def in_turn(rated: Sequence[Sequence[Evidence]]) -> tuple[int, ...]:
    """Numbers of candidates, the strongest first: of each part of a question in turn.

    Args:
        rated: For each part, every candidate as evidence for it.
    """
    turns = zip(*(_ranking(evidence) for evidence in rated), strict=True)
    return tuple(dict.fromkeys(number for turn in turns for number in turn))


def _ranking(evidence: Sequence[Evidence]) -> list[int]:
    return sorted(range(len(evidence)), key=lambda number: -evidence[number].traits.strength)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What of a part the rules look for."""

    part: Part
    values: frozenset[str]
    named: frozenset[str]
    proper: frozenset[str]
    years: frozenset[str]
    thing: frozenset[str]

    @classmethod
    def of(cls, part: Part, hits: Sequence[Hit]) -> _Asked:
        thing = terms(part.thing)
        is_known = thing <= frozenset[str]().union(*(terms(f"{hit.heading} {hit.text}") for hit in hits))
        return cls(
            part,
            values(part.kinds, part.query),
            names(part.query),
            proper_names(part.query),
            frozenset(_YEAR.findall(part.query)),
            thing if is_known else frozenset(),
        )

    def traits(self, hit: Hit, statement: Statement, probability: float, score: float) -> Traits:
        said = f"{hit.title} {hit.heading}\n{statement.words}"
        spoken, named = said.lower(), names(said, in_any_case=True)
        return Traits(
            relevance=_log_odds(probability),
            score=score,
            is_of_kind=not self.part.is_typed or bool(values(self.part.kinds, statement.words) - self.values),
            is_named=all(name in spoken for name in self.proper),
            is_dated=all(year in said for year in self.years),
            is_of_another=is_of_another(self.named, named),
            is_elsewhere=not self.thing <= terms(said),
            is_numbered=self.named <= named,
        )


def _log_odds(probability: float) -> float:
    certain = min(max(probability, 1e-6), 1 - 1e-6)
    return min(max(math.log(certain / (1 - certain)), -_SUREST), _SUREST)
