"""How a statement can have a sentence's words and yet not say what it says.

Shared words alone keep the citations of every second wrong sentence (bench/results/support.md). Five rules, each about a
way in which small models err: a 'not' too many or too few; a number beside the word of another ('402 tents' where the
passage has '402 stoves'); the number of another column or of a statement that fits less well than one with another
number; a name that is not there; and a clause of which nothing is there.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

Terms = Callable[[str], frozenset[str]]

_NEGATOR: Final = re.compile(
    r"\b(?:not|never|cannot|no|nobody|none|neither|nor)\b|n['\u2019]t\b", re.IGNORECASE
)
_BOUND: Final = re.compile(
    r"\b(?:not|no|never)\s+(?:\w+\s+)?(?:more|less|fewer|later|earlier|longer|higher|lower|older|younger|beyond|only|until)\b"
    r"|\bno\.\s?\d|\bno longer\b",
    re.IGNORECASE,
)
"""'Does not lift more than 23 kg' says what may be lifted, so it denies nothing."""
_STOP: Final = re.compile(
    r"[.,;:!?()]|\b(?:but|except|unless|and|if|when|because|although|before|after|than)\b", re.IGNORECASE
)
_MOST_DENIED: Final = 3
_CLAUSE: Final = re.compile(
    r"\s*[;,]\s+(?:and|but|which|while|where|who)?\s*|\s+(?:and|but|which|while|whereas)\s+", re.IGNORECASE
)
_LEAST_OF_CLAUSE: Final = 0.34
_WORD: Final = re.compile(r"[^\W_]+(?:[-.,:/'][^\W_]+)*|[;|.](?=\s|\Z)")
_NAME: Final = re.compile(r"(?<=[a-z\d,;)] )[A-Z][a-z][\w-]+|(?<=\s)[A-Z][a-z][\w-]+(?= [A-Z])")
_CALENDAR: Final = frozenset([*calendar.month_name, *calendar.day_name])


def is_turned(sentence: str, statements: Sequence[str], terms: Terms) -> bool:
    """Whether one of both denies what the other says."""
    said, denied = terms(sentence), _denied(sentence, terms)
    other = frozenset[str]().union(*(terms(one) for one in statements))
    other_denied = frozenset[str]().union(*(_denied(one, terms) for one in statements))
    return bool(((said - denied) & other_denied) or (denied & (other - other_denied)))


def _denied(text: str, terms: Terms) -> frozenset[str]:
    """The content words that a negation is about: the few after it, to the end of its clause."""
    plain = _BOUND.sub(" ", text.replace("*", ""))
    found: set[str] = set()
    for negator in _NEGATOR.finditer(plain):
        rest = plain[negator.end() :]
        stop = _STOP.search(rest)
        words = (terms(word) for word in rest[: stop.start() if stop else None].split())
        found |= set([term for word in words for term in word][:_MOST_DENIED])
    return frozenset(found)


def has_other_units(sentence: str, statements: Sequence[str], terms: Terms) -> bool:
    """Whether a number of ``sentence`` counts something else there than it does in the statements that have it."""
    counted = _counted(sentence, terms)
    others = [_counted(one, terms) for one in statements]
    for number, units in counted.items():
        there = [other[number] for other in others if number in other]
        if units and there and all(other and not units & other for other in there):
            return True
    return False


def _counted(text: str, terms: Terms) -> dict[str, frozenset[str]]:
    """Number -> the content words right after it, up to two, and not beyond the end of its clause."""
    words = _WORD.findall(text.replace("*", "").replace(";", " ; "))
    found: dict[str, frozenset[str]] = {}
    for place, word in enumerate(words):
        for number in terms(word):
            if number.isdigit():
                after: set[str] = set()
                for follower in words[place + 1 : place + 3]:
                    if not follower[0].isalpha() or _STOP.fullmatch(follower):
                        break
                    after |= {term for term in terms(follower) if term.isalpha()}
                found[number] = found.get(number, frozenset()) | after
    return found


def is_of_other_column(sentence: str, row: str, terms: Terms) -> bool:
    """Whether a number of ``sentence`` stands in ``row`` only under other columns than those that it names.

    Args:
        sentence: Of an answer.
        row: As `causeway.knowledge.answer.statements` writes rows out: ``Weight; Brook: 65 g; Weir: 320 g``.
        terms: The content words of a text.
    """
    first = (
        0 if ": " in row.split("; ")[0] else 1
    )  # a table that compares has a row's name before its columns
    cells = [cell.partition(": ") for cell in row.split("; ")[first:]]
    columns = [(terms(label), terms(value)) for label, colon, value in cells if colon]
    said = terms(sentence)
    labels = [label for label, _ in columns if label and label <= said]
    named = [label for label in labels if not any(label < other for other in labels)]
    places = [
        [place for place, (_, value) in enumerate(columns) if term in value]
        for term in said
        if any(character.isdigit() for character in term)
    ]
    found = [under for under in places if under]
    if first and len(named) < 2 and found and not set(found[0]).intersection(*found):
        return True
    return bool(named) and any(
        not any(
            columns[place][0] in named or (not first and (place == 0 or columns[place][0] & said))
            for place in under
        )
        for under in found
    )


def is_of_better_statement(
    said: frozenset[str], having: Iterable[frozenset[str]], others: Iterable[frozenset[str]]
) -> bool:
    """Whether a statement with other numbers fits the words of a sentence better than those that have its number.

    Args:
        said: The sentence's content words.
        having: Those of the statements that have all of its numbers.
        others: Those of the statements that have another number and none of its own.
    """
    words = frozenset(term for term in said if not term[:1].isdigit())
    fit = max((len(words & one) for one in having), default=0)
    return any(len(words & one) > fit for one in others)


def unbacked_clause(sentence: str, backed: frozenset[str], given: frozenset[str], terms: Terms) -> bool:
    """Whether there is a clause of which too little is backed; words of the question are nobody's to back."""
    for clause in _CLAUSE.split(sentence):
        said = terms(clause) - given
        if len(said) >= 2 and len(said & backed) < _LEAST_OF_CLAUSE * len(said):
            return True
    return False


@lru_cache(maxsize=512)
def named(sentence: str) -> frozenset[str]:
    """The words of ``sentence`` that are names by their capital letter; not its first."""
    return frozenset(match[0] for match in _NAME.finditer(sentence) if match[0] not in _CALENDAR)
