"""Passages that say the same as a better one: copies in two folders, and versions that differ by a few words.

Near-duplicates by shingles (Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900): runs of `_RUN` words of which two
passages share nearly all. What two passages differ in decides too: a number, a code or a "not" is what a reader looks for, so
passages that differ in one are both kept, however alike they are otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_RUN: Final = 4
_LEAST_SHARED: Final = 0.8
_CONSIDERED: Final = 60
"""The best passages alone: further down only those that are the same but for spaces and capitals are dropped."""
_WORD = re.compile(r"[^\W_]+(?:['\u2019.,-][^\W_]+)*")
_DECISIVE = frozenset(
    [
        "not",
        "no",
        "never",
        "none",
        "neither",
        "nor",
        "without",
        "except",
        "unless",
        "cannot",
        "nicht",
        "kein",
        "keine",
        "nie",
        "ohne",
        "ni",
        "pas",
        "sans",
        "aucun",
        "sin",
    ]
)


@dataclass(frozen=True, slots=True)
class _Outline:
    runs: frozenset[tuple[str, ...]]
    decisive: frozenset[str]


def first_of_each(texts: Sequence[str]) -> list[int]:
    """The numbers of those of ``texts``, best first, that say something which none before them does."""
    kept: list[int] = []
    said: set[str] = set()
    outlines: list[_Outline] = []
    for number, text in enumerate(texts):
        plain = " ".join(text.split()).casefold()
        if plain in said:
            continue
        said.add(plain)
        if number < _CONSIDERED:
            outline = _outline(plain)
            if any(_are_alike(outline, other) for other in outlines):
                continue
            outlines.append(outline)
        kept.append(number)
    return kept


def _outline(plain: str) -> _Outline:
    words = _WORD.findall(plain)
    runs = frozenset(tuple(words[at : at + _RUN]) for at in range(max(1, len(words) - _RUN + 1)))
    decisive = frozenset(
        word
        for word in words
        if any(map(str.isdigit, word)) or word in _DECISIVE or word.endswith(("n't", "n\u2019t"))
    )
    return _Outline(runs, decisive)


def _are_alike(one: _Outline, other: _Outline) -> bool:
    if one.decisive != other.decisive:
        return False
    shared = len(one.runs & other.runs)
    return shared >= _LEAST_SHARED * (len(one.runs) + len(other.runs) - shared)
