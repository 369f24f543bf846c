"""What a group of questions is called: the question in its middle, and the words that set it apart from the other groups."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_]{2,}(?:['\u2019-][^\W\d_]+)*")
_MOST_WORDS: Final = 3
_LONGEST: Final = 80
_EMPTY: Final = """
a about am an and any are as at be been but by can could did do does for from get had has have how i if in into is it its i'm
just let like me my need not of on or our please s should so some than that the their them then there these they this to us
want was we were what what's when where which who why will with would you your
auf das dem den der des die ein eine einen einer für gibt haben hat ich im ist kann man mein meine mit muss nach oder sind und
von wann warum was welche wer wie wir wird wo zu zum zur
au aux avec ce ces comment de des du elle en est et il je la le les leur mon ne notre nous où par pas pour puis quand que quel
quelle quels qui sont sur un une vous
como con cual cuando del donde el es las los mi para por se son una
"""
_EMPTY_WORDS: Final = frozenset(_EMPTY.split())


def words_of(question: str) -> list[str]:
    """The words of a question that say what it is about, in small letters, each once, in their order."""
    found = (match[0].lower() for match in _WORD.finditer(question))
    return [word for word in dict.fromkeys(found) if word not in _EMPTY_WORDS]


def frequencies(examples: Iterable[str]) -> tuple[Mapping[str, int], int]:
    """In how many of the groups' examples each word is, and how many examples there are."""
    counts: Counter[str] = Counter()
    total = 0
    for example in examples:
        counts.update(words_of(example))
        total += 1
    return counts, total


def label_of(questions: Sequence[str], example: str, *, known: Mapping[str, int], of: int) -> str:
    """Up to three words that many of ``questions`` have and few other groups' examples (tf-idf), in the example's order.

    A group without such words is called by its example.
    """
    counts: Counter[str] = Counter()
    for question in questions:
        counts.update(words_of(question))
    weights = {
        word: count / len(questions) * (1.0 + math.log((1 + of) / (1 + known.get(word, 0))))
        for word, count in counts.items()
    }
    best = sorted(weights, key=lambda word: (-weights[word], word))[:_MOST_WORDS]
    places = {word: place for place, word in enumerate(words_of(example))}
    ordered = sorted(best, key=lambda word: (places.get(word, len(places)), -weights[word]))
    return " ".join(ordered) or (example if len(example) <= _LONGEST else f"{example[: _LONGEST - 1]}…")
