"""How well a passage supports a sentence: the share of the sentence's content words that a few of its statements have.

A word check and not a model: it costs microseconds, so every sentence is checked while it streams. Numbers and codes
weigh double and must all be there, since a wrong number in a fluent sentence is the error that hurts; and they must be
there together, since a number of another row is as wrong as one that is made up. What shared words cannot see, a 'not' or the
number of another column, is left to `causeway.knowledge.answer.contradiction`; bench/results/support.md has the rates.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from causeway.knowledge.answer import contradiction

_WORD = re.compile(r"[^\W_]+(?:[-.,:/'][^\W_]+)*")
_NUMBERED = re.compile(r"\b([A-Z][a-z]+)\s(\d{1,4})\b(?![.,:]\d|\s*(?:%|per\b))")
_COUNTED = re.compile(_NUMBERED.pattern, re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d")
_CALENDAR = frozenset([*calendar.month_name, *calendar.day_name])
_PROPER = re.compile(r"(?<![.?!:]\s)(?<=\s)[A-Z][a-z]\w+")
_REPEATED = 0.25
"""What a word weighs that the sentence only repeats from the question: 'footage stays for 30 days' answers with 30 days,
and is right although its passage speaks of pictures from cameras."""
_MOST_STATEMENTS = 4
"""Statements that one sentence may draw on: more, and any words could be found together."""
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
_NO_NAMES = (
    _STOP_WORDS | {name.lower() for name in _CALENDAR} | {"between", "over", "since", "under", "until"}
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


@dataclass(frozen=True, slots=True)
class Support:
    """How far a passage backs a sentence.

    Attributes:
        share: Of the sentence's content words, in [0, 1]; 0 when the passage contradicts it.
        statements: Which of the passage's statements have the words, the most telling first.
        is_contradicted: Whether a number, code or name of it is not there, or the statements say something else with its
            words (`causeway.knowledge.answer.contradiction`).
    """

    share: float
    statements: tuple[int, ...] = ()
    is_contradicted: bool = False


def support(sentence: str, heading: str, statements: Sequence[str], *, given: str = "") -> Support:
    """How far a few statements of one passage, under its heading, say what ``sentence`` says.

    A statement about another article than the sentence's does not count: the price in the row of FS-WF-040 is no
    support for a price of FS-WF-041.

    Args:
        sentence: A sentence of an answer, without citation marks.
        heading: What the passage stands under.
        statements: The passage, cut by `causeway.knowledge.answer.statements`.
        given: The question. The sentence may repeat its numbers and codes, and its words weigh little.
    """
    asked = terms(given)
    said = {
        term: (2.0 if _is_exact(term) else 1.0) * (_REPEATED if term in asked else 1.0)
        for term in terms(sentence)
    }
    if not said:
        return Support(0.0)
    backed = said.keys() & terms(heading)
    named = names(sentence)
    pieces = {
        number: said.keys() & terms(statement)
        for number, statement in enumerate(statements)
        if not is_of_another(named, names(statement))
    }
    chosen: list[int] = []
    for _ in range(_MOST_STATEMENTS):
        best = max(
            pieces, key=lambda number: sum(said[term] for term in pieces[number] - backed), default=None
        )
        if best is None or not pieces[best] - backed:
            break
        backed |= pieces.pop(best)
        chosen.append(best)
    shown = [statements[number] for number in chosen]
    is_contradicted = any(_is_exact(term) for term in said.keys() - backed - asked) or _is_contradicted(
        sentence, heading, shown, statements, given=given
    )
    if is_contradicted or _says_more(sentence, heading, shown, given=given):
        return Support(0.0, is_contradicted=is_contradicted)
    return Support(sum(said[term] for term in backed) / sum(said.values()), tuple(chosen))


def _is_contradicted(
    sentence: str, heading: str, shown: Sequence[str], statements: Sequence[str], *, given: str
) -> bool:
    """Whether ``shown`` has the sentence's words and says something else."""
    said = terms(sentence)
    is_same_language = any(not _is_exact(term) for one in shown for term in said & terms(one))
    numbers = {term for term in said - terms(given) - terms(heading) if _is_exact(term)}
    having = [terms(one) for one in statements if numbers <= terms(one)]
    others = [
        terms(one) for one in statements if not numbers & terms(one) and any(map(_is_exact, terms(one)))
    ]
    return (
        contradiction.is_turned(sentence, shown, terms)
        or (is_same_language and contradiction.has_other_units(sentence, shown, terms))
        or any(contradiction.is_of_other_column(sentence, one, terms) for one in shown)
        or (bool(numbers and having) and contradiction.is_of_better_statement(said, having, others))
    )


def _says_more(sentence: str, heading: str, shown: Sequence[str], *, given: str) -> bool:
    """Whether a name or a clause of the sentence is neither in ``shown`` nor in the question."""
    asked = terms(given)
    around = terms(heading).union(*(terms(statement) for statement in shown))
    return bool(
        terms(" ".join(contradiction.named(sentence))) - around - asked
    ) or contradiction.unbacked_clause(sentence, around, asked, terms)


def _shape(name: str) -> str:
    """What names of one kind have in common: ``fs-wf-041`` and ``fs-tn-204``, ``larkrise 1`` and ``larkrise 2``."""
    word, _, number = name.partition(" ")
    return f"{word} 9" if number else re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "a", name))


def names(text: str, *, in_any_case: bool = False) -> frozenset[str]:
    """What ``text`` calls by a number, lower case: codes such as ``e-4017`` and models such as ``larkrise 2``.

    Args:
        text: Of a question, a sentence or a passage.
        in_any_case: Count ``till 3`` as well as ``Till 3``; that finds more than names.
    """
    numbered = {
        " ".join(match.groups()).lower()
        for match in (_COUNTED if in_any_case else _NUMBERED).finditer(text)
        if match[1].lower() not in _NO_NAMES and not _YEAR.fullmatch(match[2])
    }
    return codes(text) | numbered


def is_of_another(named: frozenset[str], others: frozenset[str]) -> bool:
    """Whether ``others`` are of a kind that is ``named``, such as FS-WF-040 for FS-WF-041, and none of them is."""
    return not named & others and bool({_shape(name) for name in named} & {_shape(name) for name in others})


def proper_names(question: str) -> frozenset[str]:
    """The words of ``question`` that are names by their capital letter, lower case: not the first of a sentence."""
    return frozenset(match[0].lower() for match in _PROPER.finditer(question) if match[0] not in _CALENDAR)


def codes(text: str) -> frozenset[str]:
    """The identifiers in ``text``, lower case: words of letters and digits such as ``e-4017`` or ``fs-tnt-210``."""
    return frozenset(
        term for term in terms(text) if _is_exact(term) and any(letter.isalpha() for letter in term)
    )


def weight(sentence: str) -> int:
    """How many content words a sentence has."""
    return len(terms(sentence))


@lru_cache(maxsize=512)
def terms(text: str) -> frozenset[str]:
    """The content words of ``text``, stemmed, with numbers and codes as they are."""
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
