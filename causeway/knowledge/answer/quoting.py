"""An answer in the documents' own words: the strongest statements of each part of a question, quoted where they stand.

For a small model on a small machine this is the better answer: over the sample company's questions the quotes have every
fact more often than the local model's sentences have, no model is waited for, and each is supported by what it is
(docs/adr/0034-what-a-question-asks-for.md). It is also what is left when nothing that a model wrote has support.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from causeway.knowledge.answer.asked import Part
from causeway.knowledge.answer.citations import cited
from causeway.knowledge.answer.events import Cited, TextDelta
from causeway.knowledge.answer.evidence import Evidence, strongest
from causeway.knowledge.answer.freshness import day, disagreement, newest_first
from causeway.knowledge.search.request import Hit

CAUTION: Final = "The documents may not answer this. What comes nearest:"
_DISAGREE: Final = "Documents disagree; the newer one comes first:"
_MARGIN: Final = 0.15
"""How much weaker than a part's strongest statement another may be and still be quoted beside it."""
_MOST_TYPED: Final = 2
_MOST_OPEN: Final = 3
"""Statements quoted for a part that tells the kind of value it asks for, and for one that does not."""
_LONGEST: Final = 600
"""Characters of a quote: a list item without an end is cut."""
_NUMBERING: Final = re.compile(r"^\d+(?:\.\d+)*\.?\s+")


def quotes(
    parts: Sequence[Part], rated: Sequence[Sequence[Evidence]], hits: Sequence[Hit], *, is_sure: bool
) -> Iterator[TextDelta | Cited]:
    """The answer, piece by piece.

    Args:
        parts: Of the question.
        rated: For each part, every statement as evidence for it.
        hits: They are of; hit number 0 is cited as [1].
        is_sure: Whether the statements are likely to answer; a caution comes first otherwise.
    """
    chosen: list[Evidence] = []
    disagree = False
    for part, evidence in zip(parts, rated, strict=True):
        found = _nearest(part, evidence)
        if found and (other := disagreement(part, found[0], strongest(evidence), hits)):
            kept = [one for one in found if one is not other]
            found = [*newest_first([kept[0], other], hits), *kept[1:]]
            disagree = True
        chosen += found
    chosen = list({(one.hit, one.statement.quote): one for one in chosen}.values())
    intro = CAUTION if not is_sure else _DISAGREE if disagree else ""
    if intro:
        yield TextDelta(text=f"{intro}\n\n")
    known: set[int] = set()
    for number, one in enumerate(chosen):
        n = one.hit + 1
        is_list = bool(intro) or len(chosen) > 1
        end = "\n" if number < len(chosen) - 1 else ""
        yield TextDelta(
            text=f"{'- ' if is_list else ''}{_place(one, hits[one.hit])}: \u201c{_said(one)}\u201d [{n}]{end}"
        )
        if n not in known:
            known.add(n)
            yield cited(n, hits[one.hit], one.statement.quote, 1.0)


def _nearest(part: Part, evidence: Sequence[Evidence]) -> list[Evidence]:
    ranked = strongest(evidence)[: _MOST_TYPED if part.is_typed else _MOST_OPEN]
    return [one for one in ranked if one.traits.strength >= ranked[0].traits.strength - _MARGIN]


def _place(evidence: Evidence, hit: Hit) -> str:
    """Where the quote stands: document, section, and the document's date where it is known."""
    path = [_NUMBERING.sub("", step) for step in hit.heading.split(" > ") if step] or [hit.title]
    steps = [path[0], *path[-1:]] if len(path) > 1 else path
    if evidence.statement.above and evidence.statement.above not in path:
        steps.append(_NUMBERING.sub("", evidence.statement.above))
    place = " \u203a ".join(steps)
    return f"{place} ({written})" if (written := day(hit)) else place


def _said(evidence: Evidence) -> str:
    text = evidence.statement.text
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rsplit(' ', 1)[0]}\u2026"
