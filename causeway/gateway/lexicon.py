"""What words mean the same in a question: forms of a word, synonyms, and ways of asking.

The word lists are in ``words/``: ours, and those that ``bench/derive_synonyms.py`` derived from WordNet 3.1. They are read
once, in some 0.2 s. English; of other languages only articles and politeness are known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import resources
from typing import Literal

_ME = (
    "(?:i|we|you|u|one|someone|somebody|anyone|anybody|people|a person|users|a user|the user|customers|a customer"
    "|me|us|my team|everyone)"
)
_BE = "(?:is|are|was|were|am|would be|will be|might be|could be)"

_VOWEL = re.compile("[aeiouy]")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One way of saying something, and how it is said here."""

    pattern: re.Pattern[str]
    replacement: str


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of synonyms by their numbers: below ``names`` of names, below ``usual`` of usual meanings, then of any.

    Attributes:
        of: A lemma -> the groups that it is in.
    """

    of: Mapping[str, frozenset[int]]
    names: int
    usual: int


class Lexicon:
    """Words, looked up.

    Attributes:
        lemma: A word to the form that all of its forms share.
        numbers: Words for numbers, and the numbers in digits.
        dropped: Words that never tell questions apart.
        filler: Words that one question may have and the other lack; ``light``, when the questions are near.
        signals: Short words that both must have; ``negations`` are some of them.
        adjectives: Words that mostly tell one thing of a kind from another.
        units: Of measures, money and time.
        foreign: Articles and politeness of other languages.
        only_english: Short words by which English is told from other languages, and ``only_foreign`` theirs.
    """

    def __init__(
        self,
        *,
        rewrites: tuple[Rewrite, ...],
        groups: Groups,
        lemma: Callable[[str], str],
        light: Mapping[str, frozenset[str]],
        adjectives: frozenset[str],
        numbers: Mapping[str, str],
    ) -> None:
        self._rewrites = rewrites
        self._groups = groups
        self.lemma = lemma
        self.numbers = numbers
        self.dropped = light["dropped"]
        self.filler = light["filler"]
        self.light = light["light"]
        self.signals = light["signal"]
        self.adjectives = adjectives
        self.units = light["unit"]
        self.negations = light["negation"]
        self.foreign = light["foreign"]
        english = light["dropped"] | light["signal"] | {"how", "why", "where"}
        abroad = light["of_foreign"] | light["foreign"]
        self.only_english = english - abroad
        self.only_foreign = abroad - english

    def rewritten(self, words: str) -> str:
        """``words``, lower case and separated by one space, in the fewest ways of saying it."""
        for rewrite in self._rewrites:
            words, times = rewrite.pattern.subn(rewrite.replacement, words)
            if times:
                words = " ".join(words.split())
        return words

    def are_synonyms(self, one: str, other: str, *, among: Literal["names", "usual", "any"]) -> bool:
        """Whether two lemmas share a meaning: a usual one, any, or as two names of the same."""
        of = self._groups.of
        shared = of.get(one, frozenset()) & of.get(other, frozenset())
        if among == "any":
            return bool(shared)
        return any(
            group < (self._groups.names if among == "names" else self._groups.usual) for group in shared
        )


@lru_cache(maxsize=1)
def packaged() -> Lexicon:
    """The lexicon that comes with Causeway; immutable, so one a process is enough."""
    irregular = {
        form: words[0]
        for file in ("derived.txt", "irregular.txt")
        for words in _lines(file)
        for form in words
    }
    verbs_in_e = frozenset(word for words in _lines("verbs_in_e.txt") for word in words)

    groups: dict[str, set[int]] = {}
    names = list(_lines("aliases.txt"))
    usual = [*names, *_lines("synonyms.txt"), *_lines("wordnet.txt")]
    lemma = lru_cache(maxsize=4096)(partial(_lemma, irregular=irregular, verbs_in_e=verbs_in_e))
    for number, words in enumerate([*usual, *_lines("wordnet_wide.txt")]):
        for word in words:
            groups.setdefault(lemma(word), set()).add(number)
    return Lexicon(
        rewrites=tuple(_rewrites()),
        groups=Groups(
            of={word: frozenset(numbers) for word, numbers in groups.items()},
            names=len(names),
            usual=len(usual),
        ),
        lemma=lemma,
        light=_sections("light.txt"),
        adjectives=frozenset(
            word for words in _lines("adjectives.txt") for word in words if lemma(word) == word
        ),
        numbers=dict(_pairs("numbers.txt")),
    )


def _text(file: str) -> Iterator[str]:
    text = resources.files("causeway.gateway").joinpath("words", file).read_text(encoding="utf-8")
    return (line for line in text.splitlines() if line and not line.startswith("#"))


def _lines(file: str) -> Iterator[list[str]]:
    return (line.split() for line in _text(file))


def _pairs(file: str) -> Iterator[tuple[str, str]]:
    return ((words[0], words[1]) for words in _lines(file))


def _sections(file: str) -> dict[str, frozenset[str]]:
    found: dict[str, list[str]] = {}
    section: list[str] = []
    for line in _text(file):
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        else:
            section += line.split()
    return {name: frozenset(words) for name, words in found.items()}


def _rewrites() -> Iterator[Rewrite]:
    for line in _text("phrases.txt"):
        left, _, right = line.partition("=>")
        pattern = left.strip().replace("{me}", _ME).replace("{be}", _BE)
        pattern = re.sub("(?<!P)<([ab])>", r"(?P<\1>.+)", pattern)
        start = "" if pattern.startswith("^") else "(?<![^ ])"
        replacement = re.sub(r"(?<!\\g)<([ab])>", r"\\g<\1>", right.strip())
        yield Rewrite(re.compile(f"{start}(?:{pattern})(?:(?<= )|(?![^ ]))"), f" {replacement} ")


def _lemma(word: str, irregular: Mapping[str, str], verbs_in_e: frozenset[str]) -> str:
    known = irregular.get(word)
    if known is None:
        regular = _regular(word, verbs_in_e)
        known = irregular.get(regular, regular)
    return known


def _regular(word: str, verbs_in_e: frozenset[str]) -> str:
    """The word without its inflection; not always a word, but the same for all of its forms."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    word = _without_suffix(_spelled(word), verbs_in_e)
    return word[:-2] + "y" if word.endswith("ie") and len(word) > 3 else word


def _spelled(word: str) -> str:
    """British spelling in American."""
    word = re.sub(r"(?<=[a-z]{3})is(e|es|ed|ing|ation|ations)$", r"iz\1", word) if len(word) > 7 else word
    word = re.sub(r"(?<=[a-z]{2})our(s|ed|ing|ite|ites|)$", r"or\1", word) if len(word) > 5 else word
    return re.sub(r"(?<=[a-z]{2}[td])re(s|)$", r"er\1", word) if len(word) > 5 else word


def _without_suffix(word: str, verbs_in_e: frozenset[str]) -> str:
    if word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "zzes", "shes", "tches", "oes")):
        return word[:-2]
    if word.endswith("ches"):
        return word[:-1] if word[:-1] in verbs_in_e else word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    if word.endswith("ily") and len(word) > 5:
        return word[:-3] + "y"
    if word.endswith("ly") and len(word) > 5:
        return word[:-2]
    for suffix in ("ing", "ed"):
        stem = word.removesuffix(suffix)
        if stem != word and len(stem) > 1 and _VOWEL.search(stem):
            return _verb(stem, verbs_in_e)
    return word


def _verb(stem: str, verbs_in_e: frozenset[str]) -> str:
    if stem + "e" in verbs_in_e:
        return stem + "e"
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz":
        return stem[:-1]
    if len(stem) > 4 and stem.endswith(("ell", "oll")):  # cancelling, controlled; not calling
        return stem[:-1]
    return stem
