"""Numbers that states give to people.

A rule is a shape, a check, and the words that must stand before the number where neither shape nor checksum is
enough: one check digit lets every tenth number through. Checks follow the issuers' own publications; python-stdnum
documents all of them (https://arthurdejong.org/python-stdnum/).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from causeway.guard.accounts import luhn
from causeway.guard.near import Span, is_labelled_as_other, words_before

_REACH_BEFORE = 8
_REACH_AFTER = 6


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one kind of number is told.

    Attributes:
        is_valid: Takes the number without separators, in capitals.
        digits: The fewest digits in a row of it, separators aside.
        sign: A character that it always holds; empty when there is none.
        words: What must be found shortly before it; None when shape and check say enough.
    """

    shape: re.Pattern[str]
    is_valid: Callable[[str], bool]
    digits: int
    sign: str = ""
    words: re.Pattern[str] | None = None


def find_national_ids(text: str, runs: list[Span]) -> Iterator[Span]:
    """Such numbers in or around the runs of digits ``runs`` of ``text``."""
    if not runs:
        return
    lowered = text.lower()
    rules = _RULES if any(stem in lowered for stem in _STEMS) else _RULES_WITHOUT_WORDS
    for start, end in runs:
        first, last = max(0, start - _REACH_BEFORE), end + _REACH_AFTER
        stretch = text[first:last]
        has_capital = not stretch.islower() and stretch.upper() != stretch.lower()
        for rule in rules:
            if rule.digits > end - start or (rule.sign == "A" and not has_capital):
                continue
            if rule.sign not in ("", "A") and rule.sign not in stretch:
                continue
            for match in rule.shape.finditer(text, first, last):
                if _ends_a_word(text, match.end()) and _holds(rule, text, match):
                    yield match.span()


_TAX_CODE_MIDDLE = re.compile(r"[0-9]{2}[A-EHLMPR-T][0-9]{2}[A-Z][0-9]{3}[A-Z](?![0-9A-Za-z])")
_TAX_CODE_HEAD = 6


def find_tax_codes(text: str) -> Iterator[Span]:
    """Italian tax codes (codice fiscale), whose digits never stand in a row long enough for a run."""
    for match in _TAX_CODE_MIDDLE.finditer(text):
        start = match.start() - _TAX_CODE_HEAD
        if start < 0 or (start and text[start - 1].isalnum()):
            continue
        code = text[start : match.end()]
        if code[:_TAX_CODE_HEAD].isalpha() and code.isascii() and code.isupper() and _tax_code(code):
            yield start, match.end()


def _ends_a_word(text: str, end: int) -> bool:
    """A match that was cut by the end of the stretch that was searched does not count."""
    return not text[end : end + 1].isalnum()


def _holds(rule: _Rule, text: str, match: re.Match[str]) -> bool:
    compact = re.sub(r"[^0-9A-Za-z]", "", match[0]).upper()
    if not rule.is_valid(compact):
        return False
    if rule.words is not None:
        return rule.words.search(words_before(text, match.start())) is not None
    return not is_labelled_as_other(text, match.start())


def _words(alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{alternatives})\b[^0-9\n]{{0,30}}\Z", re.IGNORECASE)


def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![0-9A-Za-z])(?<![0-9][.-])(?:{pattern})(?![0-9A-Za-z]|[.-][0-9])")


def _ssn(number: str) -> bool:
    """20 CFR 422.103: area, group and serial are never zero; 666 and 900 up are no areas (9xx is an ITIN)."""
    area, group, serial = int(number[:3]), int(number[3:5]), int(number[5:])
    if area >= 900:
        return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99
    return area not in (0, 666) and group > 0 and serial > 0


def _nino(number: str) -> bool:
    return number[:2] not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def _nhs(number: str) -> bool:
    return (11 - sum(int(d) * w for d, w in zip(number, range(10, 1, -1), strict=False)) % 11) % 11 == int(
        number[9]
    )


_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def _dni(number: str) -> bool:
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI_LETTERS[int(digits) % 23] == number[-1]


def _nir(number: str) -> bool:
    """INSEE: 97 less the number modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    digits = number[:13].replace("2A", "19").replace("2B", "18")
    return digits.isdigit() and 97 - int(digits) % 97 == int(number[13:])


def _german_tax_id(number: str) -> bool:
    """ISO 7064 MOD 11,10; among the first ten one digit comes twice or three times, and not two of them."""
    counts = sorted((number[:10].count(digit) for digit in set(number[:10])), reverse=True)
    if number[0] == "0" or counts[0] not in (2, 3) or counts[1] > 1:
        return False
    product = 10
    for digit in number[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(number[10])


_ODD = dict(
    zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
        22, 25, 24, 23,
    ), strict=True)
)  # fmt: skip


def _tax_code(number: str) -> bool:
    odd = sum(_ODD[character] for character in number[0:15:2])
    even = sum(int(c) if c.isdigit() else ord(c) - ord("A") for c in number[1:15:2])
    return chr(ord("A") + (odd + even) % 26) == number[15]


def _bsn(number: str) -> bool:
    weighted = sum(int(d) * w for d, w in zip(number, range(9, 1, -1), strict=False)) - int(number[8])
    return int(number) > 0 and weighted % 11 == 0


def _pesel(number: str) -> bool:
    total = sum(int(d) * w for d, w in zip(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), strict=True))
    return total % 10 == 0 and 1 <= int(number[2:4]) % 20 <= 12 and 1 <= int(number[4:6]) <= 31


def _cpf(number: str) -> bool:
    if len(set(number)) == 1:
        return False
    for length in (9, 10):
        total = sum(int(d) * w for d, w in zip(number, range(length + 1, 1, -1), strict=False))
        if total * 10 % 11 % 10 != int(number[length]):
            return False
    return True


def _swedish(number: str) -> bool:
    digits = number[-10:]
    return 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) % 60 <= 31 and luhn(digits)


_HETU_LETTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def _hetu(number: str) -> bool:
    digits = re.sub(r"[A-Z]", "", number[:6]) + number[-4:-1]
    return digits.isdigit() and _HETU_LETTERS[int(digits) % 31] == number[-1]


def _ahv(number: str) -> bool:
    """EAN-13 over 756 and ten digits."""
    total = sum(int(digit) * (1 + 2 * (place % 2)) for place, digit in enumerate(number))
    return total % 10 == 0


def _belgian(number: str) -> bool:
    serial, check = int(number[:9]), int(number[9:])
    return check in (97 - serial % 97, 97 - (2_000_000_000 + serial) % 97)


def _always(number: str) -> bool:
    return bool(number)


def _verhoeff(number: str) -> bool:
    """The dihedral check digit of India's Aadhaar; first digits 0 and 1 are not issued."""
    check = 0
    for place, digit in enumerate(reversed(number)):
        permuted = int(digit)
        for _ in range(place % 8):
            permuted = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[permuted]
        check = _dihedral(check, permuted)
    return check == 0


def _dihedral(a: int, b: int) -> int:
    """Multiplication in the dihedral group of order 10."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b - 5) % 5
    return 5 + (a - 5 - b) % 5 if b < 5 else (a - b) % 5


_SEPARATOR = r"[ \u00a0-]"
_RULES = (
    _Rule(_shape(r"[0-9]{3}-[0-9]{2}-[0-9]{4}"), _ssn, 9, "-"),
    _Rule(_shape(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"), _nino, 6, "A"),
    _Rule(_shape(r"(?:[0-9]{8}|[XYZ][0-9]{7})[ -]?[A-Z]"), _dni, 7, "A"),
    _Rule(_shape(r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"), _nir, 8),
    _Rule(_shape(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"), _cpf, 11, "."),
    _Rule(_shape(r"(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}"), _swedish, 10, "-"),
    _Rule(_shape(r"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]"), _hetu, 6),
    _Rule(_shape(r"756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}"), _ahv, 13),
    _Rule(_shape(r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}"), _belgian, 11, "."),
    _Rule(
        _shape(rf"[0-9]{{3}}{_SEPARATOR}?[0-9]{{2}}{_SEPARATOR}?[0-9]{{4}}"),
        _ssn,
        9,
        words=_words(r"ssn|social(?: security)?(?: number)?|itin|tax(?:payer)? id\w*|tin"),
    ),
    _Rule(_shape(r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}"), _nhs, 10, words=_words(r"nhs")),
    _Rule(
        _shape(r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}"),
        _german_tax_id,
        11,
        words=_words(r"steuer\S*|idnr|tin|tax(?:payer)? id\w*|identifikationsnummer"),
    ),
    _Rule(_shape(r"[0-9]{9}"), _bsn, 9, words=_words(r"bsn|burgerservicenummer|sofinummer")),
    _Rule(_shape(r"[0-9]{11}"), _pesel, 11, words=_words(r"pesel")),
    _Rule(_shape(r"[0-9]{11}"), _cpf, 11, words=_words(r"cpf")),
    _Rule(
        _shape(r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}"),
        luhn,
        9,
        words=_words(r"sin|social insurance(?: number)?"),
    ),
    _Rule(_shape(r"[2-9][0-9]{3} ?[0-9]{4} ?[0-9]{4}"), _verhoeff, 12, words=_words(r"aadhaa?r|uidai|uid")),
    _Rule(
        _shape(r"[A-Z]{1,2}[0-9]{6,8}|[0-9]{9}|[A-Z][0-9]{2}[A-Z0-9]{6}"),
        _always,
        6,
        words=_words(
            r"passport|reisepass\w*|passeport|pasaporte|passaporto|driving licen[cs]e|driver'?s licen[cs]e|personalausweis\w*"
        ),
    ),
)
_RULES_WITHOUT_WORDS = tuple(rule for rule in _RULES if rule.words is None)
_STEMS = (
    "ssn", "social", "itin", "tax", "tin", "nhs", "steuer", "idnr", "identifik", "bsn", "burgers", "sofin", "pesel", "cpf", "sin", "aadha",
    "uid", "pass", "pasaporte", "licen", "personala",
)  # fmt: skip
"""One of these is in every text in which the words of a rule are."""
