"""Payment cards and bank accounts: numbers that carry a checksum.

Cards: the Luhn check (ISO/IEC 7812-1) and the lengths and leading digits that the schemes issue. Accounts: the
country's length and the mod 97 check (ISO 13616).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from causeway.guard.near import Span, is_labelled_as_other

_CARD = re.compile(
    r"(?<![0-9A-Za-z.])(?<![0-9]-)(?:"
    r"[2-6][0-9]{3}([ \u00a0-]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"  # 16 or 19 digits
    r"|3[47][0-9]{2}([ \u00a0-]?)[0-9]{6}\2[0-9]{5}"  # American Express
    r"|3[0689][0-9]{2}([ \u00a0-]?)[0-9]{6}\3[0-9]{4}"  # Diners Club
    r"|4[0-9]{12}"  # old Visa
    r")(?![0-9A-Za-z]|[.-][0-9])"
)
_ISSUED = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"
    r"|(?:6011|65[0-9]{2}|64[4-9][0-9]|62[0-9]{2}|50[0-9]{2}|5[6-8][0-9]{2}|6304|67[0-9]{2})[0-9]{12}(?:[0-9]{3})?"
)
_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Za-z]")
_IBAN_HEAD = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}")
_IBAN_SEPARATORS = " -\u00a0"
_IBAN_REACH = 46
"""Before a run of digits, and after its start, an IBAN that holds it begins and ends at most so far away."""

# SWIFT's IBAN registry: length by country
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FO FI GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}


def find_cards(text: str, runs: list[Span]) -> Iterator[Span]:
    """Payment cards in the runs of digits ``runs`` of ``text``."""
    for start, end in runs:
        for match in _CARD.finditer(text, max(0, start - 1), end):
            digits = _NOT_ALPHANUMERIC.sub("", match[0])
            if (
                _ISSUED.fullmatch(digits)
                and luhn(digits)
                and not is_labelled_as_other(text, match.start())
                and text[match.end() : match.end() + 1] not in _DIGITS_OR_LETTERS
            ):
                yield match.span()


def find_ibans(text: str, runs: list[Span]) -> Iterator[Span]:
    """Bank accounts in or around the runs of digits ``runs`` of ``text``."""
    done = 0
    for start, _ in runs:
        for match in _IBAN_HEAD.finditer(text, max(done, start - _IBAN_REACH), start + 4):
            end = _iban_end(text, match.start())
            if end is not None and mod_97(_NOT_ALPHANUMERIC.sub("", text[match.start() : end])):
                yield match.start(), end
                done = end


_DIGITS_OR_LETTERS = tuple("0123456789")


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of those before it."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def mod_97(iban: str) -> bool:
    """Whether an IBAN without separators passes ISO 7064 MOD 97-10."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def _iban_end(text: str, start: int) -> int | None:
    """Where the account that begins at ``start`` ends, by its country's length; None when it is none."""
    missing = _IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
    if not missing:
        return None
    position = start
    while missing:
        character = text[position : position + 1]
        if character.isascii() and character.isalnum():
            missing -= 1
        elif not character or character not in _IBAN_SEPARATORS or text[position - 1] in _IBAN_SEPARATORS:
            return None
        position += 1
    return None if text[position : position + 1].isalnum() else position
