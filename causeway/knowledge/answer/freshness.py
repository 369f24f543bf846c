"""How old what a passage says is, and which other document says otherwise.

Two documents disagree where statements of theirs have the same words and other values of the kind that is asked for: 'Hotel,
per night: £95' of 2025, £115 of 2026. An answer then names both, the newer first, unless the question itself says which
year it means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from causeway.knowledge.answer.asked import Kind, Part, values
from causeway.knowledge.answer.evidence import Evidence
from causeway.knowledge.answer.support import terms
from causeway.knowledge.search.request import Hit

_KEYS: Final = ("effective", "valid_from", "date", "modified", "updated", "created")
_YEAR: Final = re.compile(r"\b(?:19|20)\d\d\b")
_DAY: Final = re.compile(r"((?:19|20)\d\d)-(\d\d)-(\d\d)")
_LEAST_ALIKE: Final = 0.6
"""Least share of two statements' words, values and years apart, that both must have to be about the same."""
_LEAST_WORDS: Final = 2
_ANY: Final = frozenset({Kind.MONEY, Kind.DURATION, Kind.SHARE, Kind.WEIGHT, Kind.LENGTH, Kind.CLOCK})


def dated(hit: Hit) -> date | None:
    """When the passage's document was written: as its metadata has it, or its title's year; None where neither tells."""
    return _told(hit.metadata) or _titled(hit)


def day(hit: Hit) -> str:
    """The day of a passage's document as its metadata has it, such as ``19 January 2026``; empty where it does not tell."""
    found = _told(hit.metadata)
    return f"{found.day} {found:%B %Y}" if found else ""


def _told(metadata: Mapping[str, object]) -> date | None:
    for key in _KEYS:
        if match := _DAY.match(str(metadata.get(key, ""))):
            try:
                return date(int(match[1]), int(match[2]), int(match[3]))
            except ValueError:
                continue
    return None


def _titled(hit: Hit) -> date | None:
    years = _YEAR.findall(hit.title or hit.heading)
    return date(int(max(years)), 1, 1) if years else None


def disagreement(
    part: Part, chosen: Evidence, evidence: Sequence[Evidence], hits: Sequence[Hit]
) -> Evidence | None:
    """The strongest statement of another document that says otherwise than ``chosen``; None when there is none.

    Args:
        part: Of the question.
        chosen: What the answer rests on.
        evidence: For that part, the strongest first.
        hits: They are of.
    """
    kinds = _ANY if not part.is_typed or Kind.AMOUNT in part.kinds else part.kinds
    here = hits[chosen.hit]
    own = values(kinds, chosen.statement.text)
    written = dated(here)
    if not own or written is None or _YEAR.search(part.text):
        return None
    for other in evidence:
        there = hits[other.hit]
        if there.document_id == here.document_id or dated(there) in (None, written):
            continue
        different = values(kinds, other.statement.text)
        if different and not different & own and _are_alike(chosen, other, own | different):
            return other
    return None


def _are_alike(one: Evidence, other: Evidence, said: frozenset[str]) -> bool:
    first, second = (_subject(each, said) for each in (one, other))
    shared = len(first & second)
    return shared >= _LEAST_WORDS and shared >= _LEAST_ALIKE * len(first | second)


def _subject(evidence: Evidence, said: frozenset[str]) -> frozenset[str]:
    own = terms(" ".join(said))
    return frozenset(term for term in terms(evidence.statement.text) - own if not _YEAR.fullmatch(term))


def newest_first(evidence: Sequence[Evidence], hits: Sequence[Hit]) -> tuple[Evidence, ...]:
    """``evidence`` by the date of its documents, those without one last."""
    return tuple(sorted(evidence, key=lambda one: dated(hits[one.hit]) or date.min, reverse=True))
