"""Personal data and secrets in a text: where they are and of which kind.

The fast path that every call goes through: patterns, checksums and numbering plans, no model. Best effort: names and
addresses are beyond it (see `causeway.guard.person_names`), and an unusual spelling is missed. Precision, recall and
time: ``bench/results/guard.md``.

A kilobyte in which nothing is suspicious costs some microseconds: a few single characters are looked for, and one pass
over the bytes tells whether any row of digits is long enough to mean something. Every step is linear in the text's
length, hostile or not.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from causeway.errors import SettingsError
from causeway.guard.accounts import find_cards, find_ibans
from causeway.guard.birth_dates import date_anchors, find_birth_dates
from causeway.guard.credentials import find_credentials
from causeway.guard.national_ids import find_national_ids, find_tax_codes
from causeway.guard.near import Span
from causeway.guard.person_names import PersonFinder
from causeway.guard.phones import PhoneFinder
from causeway.settings import GuardSettings


class Kind(StrEnum):
    """What a stretch of text is; of two that overlap the one listed first is kept."""

    SECRET = "secret"  # noqa: S105 - the name of a kind
    EMAIL = "email"
    IBAN = "iban"
    CARD = "card"
    NATIONAL_ID = "national_id"
    DATE_OF_BIRTH = "date_of_birth"
    PHONE = "phone"
    PERSON = "person"


_RANK = {kind: rank for rank, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class Found:
    """A stretch ``text[start:end]`` that is personal or secret; it does not hold the text itself."""

    kind: Kind
    start: int
    end: int


_WINDOW = 65_536
_OVERLAP = 24_576
"""Longer than anything that is found: a private key's block."""

_DIGITS = b"0123456789"
_SEPARATORS = b" .-()/\t\xa0\xc2\xe2\x80\x91\x93\xaf"
"""Bytes that may stand between the digits of one number, those of the spaces and hyphens beyond ASCII included."""

_CAPITALS = bytes(range(ord("A"), ord("Z") + 1))
_AS_DIGIT = bytes(ord("0") if byte in _DIGITS else ord("x") for byte in range(256))
_AS_DATE = bytes(
    ord("0") if byte in _DIGITS else ord("/") if byte in b"-/." else ord("x") for byte in range(256)
)
_RUN = re.compile(r"[0-9](?:[ .()/\t\u00a0\u202f\u2011\u2013-]{0,3}[0-9]){5,}")
_DATE_OR_TIME = re.compile(
    r"(?:(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.][0-3]?[0-9]|[0-3]?[0-9][-/.](?:0?[1-9]|1[0-2])[-/.](?:19|20)[0-9]{2})(?: [0-9]{1,2})?"
)
_OTHER_DIGITS = re.compile(r"[\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\uff10-\uff19]")
_TO_ASCII_DIGITS = {
    first + value: str(value) for first in (0x660, 0x6F0, 0x966, 0xFF10) for value in range(10)
}

_DOMAIN = re.compile(
    r"@(?:[0-9A-Za-zÀ-ɏ](?:[0-9A-Za-zÀ-ɏ-]{0,61}[0-9A-Za-zÀ-ɏ])?\.){1,8}([A-Za-z]{2,24})(?![0-9A-Za-z-]|\.[0-9A-Za-z])"
)
_LOCAL_BACKWARDS = re.compile(r"[0-9A-Za-zÀ-ɏ._%+'&=~!#$*/?^{|}-]{1,64}")
_FILE_ENDINGS = frozenset(
    (
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "ico",
        "css",
        "js",
        "mjs",
        "ts",
        "tsx",
        "jsx",
        "py",
        "map",
        "json",
        "html",
        "woff",
    )
)


class Finder:
    """Finds the kinds that ``settings`` name.

    Raises:
        SettingsError: A kind or a region is unknown.
        MissingCapabilityError: Names of people are wanted and the extra is not installed.
    """

    def __init__(self, settings: GuardSettings) -> None:
        unknown = sorted(set(settings.kinds) - set(Kind))
        if unknown:
            raise SettingsError(f"guard.kinds: '{unknown[0]}' is unknown; use {', '.join(Kind)}")
        self._kinds = frozenset(Kind(kind) for kind in settings.kinds)
        self._phones = PhoneFinder(settings.phone_regions)
        self._people = PersonFinder() if settings.ner or Kind.PERSON in self._kinds else None

    @property
    def names_people(self) -> bool:
        """Whether a model looks for names: then a kilobyte takes tens of milliseconds and belongs in a thread."""
        return self._people is not None

    def find(self, text: str) -> tuple[Found, ...]:
        """What is personal or secret in ``text``, in reading order, without overlaps."""
        if len(text) <= _WINDOW:
            return self._in_window(text)
        return tuple(self._by_windows(text))

    def kinds(self, text: str) -> list[str]:
        """The kinds of what `find` finds, in the order of the text."""
        return [str(found.kind) for found in self.find(text)]

    def _by_windows(self, text: str) -> Iterator[Found]:
        """Window by window, so that no single step holds the interpreter for long."""
        start = reached = 0
        while start < len(text):
            stop = _word_end(text, start + _WINDOW)
            for found in self._in_window(text[start : stop + _OVERLAP]):
                if found.start + start >= reached and found.start + start < stop:
                    reached = found.end + start
                    yield Found(found.kind, found.start + start, reached)
            start = stop

    def _in_window(self, text: str) -> tuple[Found, ...]:
        if not text.isascii() and _OTHER_DIGITS.search(text):
            text = text.translate(_TO_ASCII_DIGITS)
        candidates = [*self._by_characters(text), *self._by_digits(text)]
        if self._people is not None:
            candidates += [(Kind.PERSON, span) for span in self._people.find(text)]
        return _without_overlaps(candidates) if candidates else ()

    def _by_characters(self, text: str) -> Iterator[tuple[Kind, Span]]:
        if Kind.SECRET in self._kinds:
            for span in find_credentials(text):
                yield Kind.SECRET, span
        if "@" in text and Kind.EMAIL in self._kinds:
            for span in find_emails(text):
                yield Kind.EMAIL, span

    def _by_digits(self, text: str) -> Iterator[tuple[Kind, Span]]:
        """What is made of digits; most texts hold none that matter and end in the first lines."""
        coded = text.encode("utf-8", "surrogatepass")
        has_run = b"000000" in coded.translate(_AS_DIGIT, _SEPARATORS)
        if Kind.DATE_OF_BIRTH in self._kinds:
            anchors = date_anchors(text) if has_run or not text.isascii() else _dates(coded)
            for span in find_birth_dates(text, anchors):
                yield Kind.DATE_OF_BIRTH, span
        if Kind.NATIONAL_ID in self._kinds and b"0000000" in coded.translate(_AS_DIGIT, _CAPITALS):
            for span in find_tax_codes(text):
                yield Kind.NATIONAL_ID, span
        if not has_run:
            return
        runs = [match.span() for match in _RUN.finditer(text) if not _DATE_OR_TIME.fullmatch(match[0])]
        for kind, find in (
            (Kind.IBAN, find_ibans),
            (Kind.CARD, find_cards),
            (Kind.NATIONAL_ID, find_national_ids),
            (Kind.PHONE, self._phones.find),
        ):
            if runs and kind in self._kinds:
                for span in find(text, runs):
                    yield kind, span


def _dates(coded: bytes) -> list[int]:
    """Where years and numeric dates begin in ASCII text: quicker than a pattern where there are none."""
    marked = coded.translate(_AS_DATE)
    places: list[int] = []
    at = marked.find(b"0000")
    while at >= 0:
        places.append(at)
        at = marked.find(b"0000", at + 4)
    at = marked.find(b"0/0")
    while at >= 0:
        if b"/" in marked[at + 3 : at + 5]:
            places.append(at)
        at = marked.find(b"0/0", at + 2)
    return sorted(places)


def find_emails(text: str) -> Iterator[Span]:
    """Mail addresses; not ``git@host:path``, nor file names with an at sign."""
    for match in _DOMAIN.finditer(text):
        at = match.start()
        local = _LOCAL_BACKWARDS.match(text[max(0, at - 64) : at][::-1])
        if local is None or match[1].lower() in _FILE_ENDINGS:
            continue
        name = local[0][::-1].lstrip(".'-=/?&#*{}|^!~$")
        name = name.rpartition("=")[2].rpartition("/")[2].rpartition("?")[2]
        if name and not (name == "git" and text[match.end() : match.end() + 1] == ":"):
            yield at - len(name), match.end()


def _word_end(text: str, position: int) -> int:
    """The end of the last word before ``position``, or ``position`` where a word is longer than a line."""
    if position >= len(text):
        return len(text)
    space = max(text.rfind(" ", position - 1024, position), text.rfind("\n", position - 1024, position))
    return space + 1 if space >= 0 else position


def _without_overlaps(candidates: Iterable[tuple[Kind, Span]]) -> tuple[Found, ...]:
    """The candidates in reading order; of two that overlap the more telling kind, then the longer one, is kept."""
    kept: list[Found] = []
    starts: list[int] = []
    ordered = sorted(candidates, key=lambda one: (_RANK[one[0]], one[1][0] - one[1][1], one[1][0]))
    for kind, (start, end) in ordered:
        place = bisect_right(starts, start)
        if (place and kept[place - 1].end > start) or (place < len(kept) and kept[place].start < end):
            continue
        kept.insert(place, Found(kind, start, end))
        starts.insert(place, start)
    return tuple(kept)
