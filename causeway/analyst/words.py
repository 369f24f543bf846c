"""Words of questions and of names, brought to one form so that they can be compared."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:'s)?")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_STOP: Final = (
    "a about above after again all also am an and any are as at be because been before being below between both but by "
    "can could did do does doing down during each every few first for from further get give given had has have having he "
    "her here him his how i if in into is it its itself just last least less let list many me more most much must my new no nor "
    "not now of off on once one only or other our out over own per please same she should show so some such tell than that the "
    "their them then there these they this those through to too top two under until up us very want was we were what when "
    "where which while who whom why will with would you your find compare return display number amount total average mean "
    "count sum highest lowest maximum minimum max min percentage percent share rate ratio trend distribution rank ranking "
    "biggest largest smallest best worst different distinct unique overall across median sorted sort descending ascending "
    "year years month months week weeks day days quarter date time today yesterday three four five ten bring brought belong belongs together longer come came made make sell sold buy bought there's what's "
    "grow grew growth change changed increase increased decrease decreased rise rose fell among altogether gave given running"
)
STOP_WORDS: Final = frozenset(_STOP.split())
"""Words that say how to count or ask, and nothing of what."""


def words(text: str) -> list[str]:
    """The words of a text in lower case, with plurals and common endings taken off."""
    return [stem(word) for word in _WORD.findall(text.lower())]


def name_words(name: str) -> list[str]:
    """The words that an identifier is made of: ``orderItems`` and ``order_items`` are the same."""
    return words(_HUMP.sub(" ", name).replace("_", " "))


def content_words(text: str) -> list[str]:
    """Those that say what a question is about."""
    return [
        stem(word)
        for word in _WORD.findall(text.lower())
        if word not in STOP_WORDS and not word.isdigit() and len(word) > 1
    ]


def stem(word: str) -> str:
    """A word without its ending: plural, possessive, -ed, -ing."""
    word = word.removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("sses", "shes", "ches", "xes"):
        if word.endswith(ending):
            return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word.removesuffix("e") if len(word) > 4 else word
