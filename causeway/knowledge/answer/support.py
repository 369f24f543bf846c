"""How well a passage supports a sentence: the share of the sentence's content words that the passage has.

A word check and not a model: it costs microseconds, so every sentence is checked while it streams. Numbers and codes
weigh double and must all be there, since a wrong number in a fluent sentence is the error that hurts.
Measured in bench/results/answers.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:[-.,:/'][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "may",
        "me",
        "must",
        "my",
        "no",
        "nor",
        "not",
        "of",
        "on",
        "or",
        "our",
        "out",
        "shall",
        "she",
        "should",
        "so",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "up",
        "us",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "why",
        "will",
        "with",
        "within",
        "without",
        "would",
        "you",
        "your",
        "yes",
        "also",
        "any",
        "all",
        "each",
        "per",
        "only",
        "such",
        "other",
        "about",
        "after",
        "before",
        "according",
        "states",
        "stated",
        "passage",
        "document",
        "documents",
    ]
)
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
        ]
    )
}


def support(sentence: str, passage: str, *, given: str = "") -> float:
    """In [0, 1]; 0 when the sentence has a number or code that neither the passage nor ``given`` has.

    Args:
        sentence: A sentence of an answer, without citation marks.
        passage: The text it cites.
        given: Text whose numbers and codes the sentence may repeat: the question.
    """
    asked = _terms(given)
    said = _terms(sentence)
    known = _terms(passage)
    if any(_is_exact(term) and term not in known and term not in asked for term in said):
        return 0.0
    weights = {term: 2.0 if _is_exact(term) else 1.0 for term in said}
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in known) / total if total else 0.0


def best_quote(sentence: str, passage: str) -> str:
    """The passage's sentence that has most of ``sentence``'s words; the first of equals."""
    pieces = [piece.strip() for piece in _SENTENCE_END.split(passage) if piece.strip()]
    said = _terms(sentence)
    return max(pieces, key=lambda piece: len(said & _terms(piece)), default=passage.strip())


def codes(text: str) -> frozenset[str]:
    """The identifiers in ``text``, lower case: words of letters and digits such as ``e-4017`` or ``fs-tnt-210``."""
    return frozenset(
        term for term in _terms(text) if _is_exact(term) and any(letter.isalpha() for letter in term)
    )


def weight(sentence: str) -> int:
    """How many content words a sentence has."""
    return len(_terms(sentence))


@lru_cache(maxsize=512)
def _terms(text: str) -> frozenset[str]:
    return frozenset(_content_words(text))


def _content_words(text: str) -> Iterable[str]:
    for match in _WORD.finditer(text.lower().replace("\u2019", "'")):
        for word in _split(match[0].strip(".,:/'-")):
            if word in _STOP_WORDS:
                continue
            yield _NUMBER_WORDS.get(word) or (word if _is_exact(word) else _stem(word))


def _split(word: str) -> Iterable[str]:
    """A code (``fs-tnt-210``, ``1,500``) stays whole, thousands commas dropped; hyphenated words come apart."""
    if any(character.isdigit() for character in word):
        yield re.sub(r"(?<=\d),(?=\d{3})", "", word)
    else:
        yield from re.split(r"[-.,:/']", word)


def _stem(word: str) -> str:
    for ending in ("ings", "ing", "edly", "ied", "ies", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)].rstrip("e") + ("y" if ending in ("ied", "ies") else "")
    return word.rstrip("e") if len(word) > 3 else word


def _is_exact(term: str) -> bool:
    return any(character.isdigit() for character in term)
