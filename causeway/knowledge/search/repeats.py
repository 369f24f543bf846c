"""Passages that say the same as a better one: copies in two folders, and versions that differ by a few words.

Near-duplicates by shingles (Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900): runs of `_RUN` words of which two
passages share nearly all. What two passages differ in decides too: a number, a code or a "not" is what a reader looks for, so
passages that differ in one are both kept, however alike they are otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
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


def first_of_each(texts: Sequence[str]) -> list[int]:
    """The numbers of those of ``texts``, best first, that say something which none before them does."""
    kept: list[int] = []
    said: set[str] = set()
    outlines: dict[frozenset[str], list[_Outline]] = {}
    for number, text in enumerate(texts):
        plain = " ".join(text.split()).casefold()
        if plain in said:
            continue
        said.add(plain)
        if number < _CONSIDERED:
            outline = _Outline(_WORD.findall(plain))
            alike = outlines.setdefault(outline.decisive, [])
            if any(_are_alike(outline, other) for other in alike):
                continue
            alike.append(outline)
        kept.append(number)
    return kept


class _Outline:
    """The words that decide, and the runs: made when first asked for, since few passages decide alike."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        distinct = set(words)
        odd = [word for word in distinct if not word.isalpha()]
        self.decisive = _DECISIVE.intersection(distinct).union(filter(_decides, odd))

    @cached_property
    def runs(self) -> frozenset[tuple[str, ...]]:
        shifted = (self._words[at:] for at in range(_RUN))
        return frozenset(zip(*shifted, strict=False)) or frozenset([tuple(self._words)])


def _decides(word: str) -> bool:
    return any(map(str.isdigit, word)) or word.endswith(("n't", "n\u2019t"))


def _are_alike(one: _Outline, other: _Outline) -> bool:
    shared = len(one.runs & other.runs)
    return shared >= _LEAST_SHARED * (len(one.runs) + len(other.runs) - shared)
