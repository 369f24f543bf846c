"""What two near questions differ in, if a reply to the one would not answer the other.

An embedding puts "enable" beside "disable" and Paris beside Rome: nearness alone answers the wrong question. So every
word of one question has to be in the other, as itself or by a synonym, unless it is one of few that never matter; and the
kind of question, tense, person, numbers, direction and order have to agree. What is not known to be the same is different.
The nearer the vectors, the less has to be proven: `_NEAR`, `_VERY_NEAR`. Measured: ``bench/results/semantic_cache.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

from causeway.gateway.lexicon import Lexicon
from causeway.gateway.wording import BE, Wording

DifferenceKind = Literal[
    "kind", "tense", "person", "number", "negation", "name", "word", "direction", "order", "nothing"
]

_NEAR = 0.92
"""From here a synonym in any sense will do."""
_VERY_NEAR = 0.955
"""From here words may be missing on one side, but for adjectives and names: of 40 questions with a telling word added ("delete a
branch", "delete a remote branch") two came as near, both by a noun; half of the harmless additions do."""

_ALIKE = (frozenset({"@what", "@amount"}), frozenset({"@what", "@who"}), frozenset({"@what", ""}))
_PERMISSION = frozenset({"safe", "okay", "ok", "allow", "permit", "possible", "fine", "acceptable"})
_DUTY = frozenset({"mandatory", "require", "need", "necessary", "obligatory", "compulsory"})
_SAID_BY_KIND = {frozenset({"@can", "@is"}): _PERMISSION, frozenset({"@must", "@is"}): _DUTY}
"""Two kinds that ask the same when one of these words is in one of the questions: "can dogs eat it", "is it safe for dogs"."""
_ADVICE = frozenset(
    {"different", "good", "best", "ideal", "right", "proper", "correct", "recommend", "suitable"}
)
_OF_ANYONE = ("@how", "@can", "@should", "@must")
"""Kinds in which "you" and "I" are everybody."""
_COUNTING = ("@many", "@amount")
"""Kinds that ask for the number of what they say first."""
_AHEAD = frozenset({"next", "tomorrow", "upcoming"})
_OPPOSED = frozenset(
    frozenset(pair)
    for pair in (
        *(("from", other) for other in ("to", "for", "about")),
        *(("by", other) for other in ("to", "for", "about")),
    )
)
_OPPOSED_OF_NUMBERS = _OPPOSED | {frozenset({"at", "for"}), frozenset({"in", "for"})}
"""A table for six, a table at six."""
_CLOCK = frozenset({"amclock", "pmclock"})
_AIMS = ("from", "to", "in", "than")
_EXCHANGED = frozenset({"substitute", "exchange", "swap", "trade", "replace"})
"""Verbs whose "for" has a direction: sugar for honey."""
_SCOPED = frozenset({"without", "except", "instead", "only", "no"})
_HAVE = frozenset({"have", "has", "had"})
_MODALS = frozenset({"can", "could", "should", "must", "may", "might"})
_DO = frozenset({"do", "does", "did"})
_SYMMETRIC = frozenset({"and", "or", "between"})
_MOST_ORDERED = 24


@dataclass(frozen=True, slots=True)
class Difference:
    """Why a reply must not be reused: what kind of difference, and the words of either question."""

    kind: DifferenceKind
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {' '.join(self.ours) or '-'} / {' '.join(self.theirs) or '-'}"


def find_difference(
    ours: Wording, theirs: Wording, lexicon: Lexicon, *, similarity: float
) -> Difference | None:
    """The first difference that forbids to answer ``ours`` with the reply to ``theirs``; None when there is none.

    Args:
        ours: The question that is asked.
        theirs: The question that the reply was given to.
        lexicon: Which words mean the same.
        similarity: The cosine of the two questions' vectors.
    """
    if not ours.words or not theirs.words:
        return Difference("nothing", (ours.kind,), (theirs.kind,))
    shared = set(ours.words) & set(theirs.words)
    return (
        _of_kind(ours, theirs)
        or _of_tense(ours, theirs, shared)
        or _of_person(ours, theirs)
        or _of_numbers(ours, theirs, shared, lexicon)
        or _of_words(ours, theirs, lexicon, similarity)
        or _of_direction(ours, theirs, shared)
        or _of_order(ours, theirs, lexicon)
    )


def _of_kind(ours: Wording, theirs: Wording) -> Difference | None:
    kinds = frozenset((ours.kind, theirs.kind))
    is_alike = len(kinds) == 1 or kinds in _ALIKE
    if kinds in _SAID_BY_KIND:
        is_alike = not _SAID_BY_KIND[kinds].isdisjoint({*ours.words, *theirs.words})
    if is_alike and (ours.grain == theirs.grain or not ours.grain or not theirs.grain):
        return None
    return Difference("kind", (ours.kind, ours.grain), (theirs.kind, theirs.grain))


def _of_tense(ours: Wording, theirs: Wording, shared: Set[str]) -> Difference | None:
    tenses = {ours.tense, theirs.tense}
    is_same = len(tenses) == 1 or "" in tenses
    if tenses == {
        "",
        "past",
    }:  # "how do I get started", "how did it get started"; "can I register", "did I register"
        is_same = ours.kind != "@how" and _MODALS.isdisjoint(ours.little | theirs.little)
    if tenses == {"present", "future"}:  # "when does it end", "when will it end"
        is_same = ours.kind == "@when" or not shared.isdisjoint(_AHEAD)
    if tenses == {"present", "past"}:  # "the number of people hired in 2021", which is over either way
        is_same = any(len(word) == 4 and word.isdigit() for word in shared) or "last" in shared
    for one, other in ((ours, theirs), (theirs, ours)):
        if other.tense != "past" and any(_is_past(one, other, word) for word in shared):
            is_same = False
    return None if is_same else Difference("tense", (ours.tense,), (theirs.tense,))


def _is_past(one: Wording, other: Wording, verb: str) -> bool:
    """Whether one says "attended" where the other says "attend"; with an auxiliary it may be a passive."""
    said = one.forms[verb]
    return said.endswith("ed") and said not in (verb, other.forms[verb]) and not one.little & (BE | _HAVE)


def _of_person(ours: Wording, theirs: Wording) -> Difference | None:
    if ours.kind in _OF_ANYONE or not ours.persons or not theirs.persons or ours.persons & theirs.persons:
        return None
    return Difference("person", tuple(ours.persons), tuple(theirs.persons))


def _of_numbers(ours: Wording, theirs: Wording, shared: Set[str], lexicon: Lexicon) -> Difference | None:
    mine, other = tuple(bond.number for bond in ours.numbers), tuple(bond.number for bond in theirs.numbers)
    if mine != other:
        return Difference("number", mine, other)
    for bond, its in zip(ours.numbers, theirs.numbers, strict=True):
        units = {bond.after, its.after}
        if len(units) == 2 and units & lexicon.units and units <= shared:
            return Difference("number", (bond.number, bond.after), (its.number, its.after))
        for before, after in ((bond.before, its.after), (its.before, bond.after)):
            if (
                before != after
                and {before, after} <= shared
                and not {bond.before, bond.after} & {its.before, its.after}
            ):
                return Difference("number", (bond.number, before), (its.number, after))
    return None


def _of_words(ours: Wording, theirs: Wording, lexicon: Lexicon, similarity: float) -> Difference | None:
    mine, other = _unmatched(ours, theirs, lexicon, is_near=similarity >= _NEAR)
    said = _SAID_BY_KIND.get(frozenset((ours.kind, theirs.kind)), frozenset())
    mine, other = tuple(w for w in mine if w not in said), tuple(w for w in other if w not in said)
    changed = {*mine, *other}
    if not changed:
        return None
    names = ours.exact | theirs.exact
    is_one_sided = not mine or not other
    if is_one_sided and changed.isdisjoint(lexicon.signals | lexicon.units | names):
        lacker = theirs if mine else ours
        is_missable = similarity >= _VERY_NEAR and changed.isdisjoint(lexicon.adjectives - _ADVICE)
        if is_missable or changed <= _missable(lacker, lexicon, is_near=similarity >= _NEAR):
            return None
    if changed & lexicon.negations:
        return Difference("negation", mine, other)
    return Difference("name" if changed & names else "word", mine, other)


def _missable(lacker: Wording, lexicon: Lexicon, *, is_near: bool) -> Set[str]:
    """Words that ``lacker`` may lack."""
    words = lexicon.filler | lexicon.light if is_near else lexicon.filler
    if "should" in lacker.little:  # "a good time to rest", "how long should I rest"
        words |= _ADVICE
    return words


def _unmatched(
    ours: Wording, theirs: Wording, lexicon: Lexicon, *, is_near: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words of either that the other has not, neither as itself nor by a synonym."""
    mine = list((Counter(ours.words) - Counter(theirs.words)).elements())
    other = list((Counter(theirs.words) - Counter(ours.words)).elements())
    exact = ours.exact | theirs.exact
    for word in list(mine):
        for candidate in other:
            is_name = bool({word, candidate} & exact)
            if lexicon.are_synonyms(
                word, candidate, among="names" if is_name else "any" if is_near else "usual"
            ):
                mine.remove(word)
                other.remove(candidate)
                break
    return tuple(mine), tuple(other)


def _of_direction(ours: Wording, theirs: Wording, shared: Set[str]) -> Difference | None:
    """From Rome, or to Rome; by Orwell, or about Orwell; without milk, or without sugar."""
    for word in sorted(shared):
        mine, other = ours.leading[word], theirs.leading[word]
        is_number = word.isdigit() and len(word) < 4 and not shared & _CLOCK
        if frozenset((mine, other)) in (_OPPOSED_OF_NUMBERS if is_number else _OPPOSED):
            return Difference("direction", (mine, word), (other, word))
    for name, mine_, other_ in (*_aims(ours, theirs), *_scopes(ours, theirs, shared)):
        first, second = mine_ & shared, other_ & shared
        if first and second and first.isdisjoint(second):
            return Difference("direction", (name, *sorted(first)), (name, *sorted(second)))
    return None


def _aims(ours: Wording, theirs: Wording) -> Iterator[tuple[str, Set[str], Set[str]]]:
    is_exchange = not _EXCHANGED.isdisjoint(ours.words)
    for aim in (*_AIMS, "for") if is_exchange else _AIMS:
        mine = {word for word, preposition in ours.leading.items() if preposition == aim}
        yield aim, mine, {word for word, preposition in theirs.leading.items() if preposition == aim}


def _scopes(ours: Wording, theirs: Wording, shared: Set[str]) -> Iterator[tuple[str, Set[str], Set[str]]]:
    for word in _SCOPED & shared:
        mine = {after for before, after in pairwise(ours.words) if before == word}
        yield word, mine, {after for before, after in pairwise(theirs.words) if before == word}


def _of_order(ours: Wording, theirs: Wording, lexicon: Lexicon) -> Difference | None:
    """Who bites whom."""
    if ours.kind == "@compare":
        return None
    place = _places(ours, theirs, lexicon)
    counted, also = ours.words[0], theirs.words[0]
    if ours.kind in _COUNTING and counted != also and place.get(counted, 0) > 0 and also in ours.words:
        return Difference("order", (counted, also), (also, counted))
    shared = [word for word in ours.words if word in place][:_MOST_ORDERED]
    for first, pivot, last in combinations(shared, 3):
        if pivot not in theirs.words:  # a synonym may turn its sides: need, be required by
            continue
        is_turned = place[first] > place[pivot] > place[last]
        if is_turned and pivot != "or" and not _is_passive(ours, theirs, pivot):
            return Difference("order", (first, pivot, last), (last, pivot, first))
        if place[first] < place[pivot] < place[last] and _is_turned_by_passive(ours, theirs, pivot, last):
            return Difference("order", (first, pivot, last), (first, pivot, "by", last))
    for first, last in combinations(shared, 2):
        if place[first] > place[last] and _have_changed_roles(ours, theirs, first, last):
            return Difference("order", (first, last), (last, first))
    return None


def _places(ours: Wording, theirs: Wording, lexicon: Lexicon) -> dict[str, int]:
    """Words of ours that both say once, and where theirs says them, itself or by a synonym."""
    here, there = Counter(ours.words), Counter(theirs.words)
    places: dict[str, int] = {}
    for word in ours.words:
        same = [
            at
            for at, other in enumerate(theirs.words)
            if other == word
            or (word not in there and other not in here and lexicon.are_synonyms(word, other, among="usual"))
        ]
        if here[word] == 1 and len(same) == 1:
            places[word] = same[0]
    return places


def _is_passive(ours: Wording, theirs: Wording, verb: str) -> bool:
    """Whether one of the two says by its grammar that the verb's sides have changed."""
    return ("by" in ours.little) != ("by" in theirs.little) or any(
        _has_passive(one, verb) and one.forms[verb] != other.forms.get(verb)
        for one, other in ((ours, theirs), (theirs, ours))
    )


def _has_passive(wording: Wording, verb: str) -> bool:
    return wording.forms.get(verb, "").endswith(("ed", "en")) and bool(wording.little & BE)


def _is_turned_by_passive(ours: Wording, theirs: Wording, verb: str, last: str) -> bool:
    """Whether the same order says the opposite: beaten by Germany, beat Germany."""
    return any(
        _has_passive(one, verb) and one.leading.get(last) == "by" and not _has_passive(other, verb)
        for one, other in ((ours, theirs), (theirs, ours))
    )


def _have_changed_roles(ours: Wording, theirs: Wording, first: str, last: str) -> bool:
    """Two names that changed places, or "what do dogs eat" against "what eats dogs"."""
    if {first, last} <= ours.exact | theirs.exact:
        is_symmetric = ours.little & _SYMMETRIC and theirs.little & _SYMMETRIC
        return not is_symmetric and ("by" in ours.little) == ("by" in theirs.little)
    asks_for = {ours.kind, theirs.kind} <= {"@what", "@who", "@amount", "@many"}
    return asks_for and any(
        one.little & _DO and not other.little & (_DO | BE) for one, other in ((ours, theirs), (theirs, ours))
    )
