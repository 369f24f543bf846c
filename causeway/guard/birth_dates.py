"""Dates of birth: a date shortly after, or in brackets before, a word for being born."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from causeway.guard.near import Span

_MONTHS = (
    r"(?:jan(?:uary|uar|vier|uari)?|j[aä]nner|feb(?:ruary|ruar|ruari)?|f[eé]vr(?:ier)?|mar(?:ch|s|zo|\w{0,3})?|m[aä]rz|m[aä][iy]|"
    r"apr(?:il|ile)?|avr(?:il)?|may|mei|mayo|maggio|jun(?:e|i|io|ho)?|juin|giugno|jul(?:y|i|io|ho)?|juil(?:let)?|luglio|aug(?:ust|ustus)?|"
    r"ao[uû]t|agosto|sep(?:t|tember|tembre)?|settembre|sept(?:iembre)?|setembro|oct(?:ober|obre|ubre)?|okt(?:ober)?|ottobre|outubro|"
    r"nov(?:ember|embre|iembre|embro)?|dec(?:ember)?|dez(?:ember|embro)?|d[eé]c(?:embre)?|dic(?:iembre|embre)?|"
    r"enero|febrero|abril|gennaio|febbraio|aprile|janeiro|fevereiro|mar[cç]o|maio|junho|julho)"
)
_YEAR = r"(?:19|20)[0-9]{2}"
_DATE = re.compile(
    rf"(?<![0-9./-])(?:{_YEAR}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}"
    rf"|[0-9]{{1,2}}[-/.] ?[0-9]{{1,2}}[-/.] ?(?:{_YEAR}|[0-9]{{2}})"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th|er|\.|º)?[ -](?:of |de |d')?{_MONTHS}\.?,?[ -](?:de |of )?(?:{_YEAR}|[0-9]{{2}})"
    rf"|{_MONTHS}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? {_YEAR})(?![0-9])",
    re.IGNORECASE,
)
_BORN = re.compile(
    r"(?:\b(?:born|birth\s?(?:day|date)?|date[ _-]?of[ _-]?birth|birth_?date|d\.?o\.?b\.?|b-?day|bday|geb(?:oren|\.)?|geburts(?:datum|tag)|n[eé]e?|"
    r"date de naissance|naissance|nacid[oa]|naci[oó]|nacimiento|f\. ?nac\.?|nat[oa]|nascita|nascid[oa]|nascimento|geboren|"
    r"geboortedatum|f[oö]dd|f[oö]delsedatum|urodzon[ya]|data urodzenia)(?![a-z]))(?P<between>[^\n0-9]{0,40})\Z",
    re.IGNORECASE,
)
_OTHER_DATE = re.compile(
    r"\b(?:died|death|hired|joined|signed|updated|founded|order(?:ed)?|due|since|expires?|started|until|gestorben)\b",
    re.IGNORECASE,
)
_STEMS = (
    "born",
    "birth",
    "dob",
    "d.o.b",
    "bday",
    "b-day",
    "geb",
    "né",
    "nee",
    "naiss",
    "naci",
    "nac.",
    "nat",
    "nasc",
    "född",
    "föd",
    "urodz",
)
_REACH = 64
_BEFORE_YEAR = 26
_AFTER_ANCHOR = 16
"""In characters, around a year or the first digit of a numeric date, where the whole date lies."""

_YEAR_OR_DAY = re.compile(r"[0-9]{4}|[0-9][-/.] ?[0-9]{1,2}[-/.]")


def find_birth_dates(text: str, anchors: Iterable[int]) -> Iterator[Span]:
    """Dates that a word for birth stands before, with no other event between.

    Args:
        text: Any text.
        anchors: Where digits stand that may belong to a date, in order; see `date_anchors`.
    """
    places = list(anchors)
    stems = _stems_of(text) if places else []
    done = 0
    for anchor in places:
        first = max(0, anchor - _REACH)
        nearest = bisect_left(stems, first)
        if anchor < done or nearest == len(stems) or stems[nearest] >= anchor:
            continue
        for match in _DATE.finditer(text, max(done, anchor - _BEFORE_YEAR), anchor + _AFTER_ANCHOR):
            born = _BORN.search(text[max(0, match.start() - _REACH) : match.start()])
            if born and not _OTHER_DATE.search(born["between"]):
                yield match.span()
                done = match.end()


def _stems_of(text: str) -> list[int]:
    """Where words for being born may begin, in order."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a capital İ grows when it is lowered
        lowered = text
    places: list[int] = []
    for stem in _STEMS:
        at = lowered.find(stem)
        while at >= 0:
            places.append(at)
            at = lowered.find(stem, at + 1)
    return sorted(places)


def date_anchors(text: str) -> Iterator[int]:
    """Where years and numeric dates may begin."""
    return (match.start() for match in _YEAR_OR_DAY.finditer(text))
