"""Telephone numbers, by the numbering plans of libphonenumber (``phonenumbers``).

A number with a country code needs nothing else. A national one must be valid in a configured region, and either be
written in that region's groups or follow a word that says telephone: ten digits in a row are as often an order.

The library's own matcher takes some 60 us for every candidate; here its plans are compiled to one pattern a region.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneMetadata

from causeway.errors import SettingsError
from causeway.guard.near import Span, is_labelled_as_other, set_of, undivided_before

_MOST_DIGITS = 15
_FEWEST_DIGITS = 7
_MOST_GROUPS = 8
_REACH = 48
_JOINTS = frozenset((" ", "-", ".", "\u00a0", "\u202f", "\u2011"))
_GROUP = re.compile(r"[0-9]+")
_OPENING = re.compile(r"(?:\+ ?\(?|\()\Z")
_WORD = re.compile(r"[^\W\d_]+")
_TELEPHONE_WORDS = set_of(
    "tel telephone telefone phone phones téléphone tél teléfono telefono ph fon móvil movil portable fax dial ring whatsapp signal text sms "
    "contact reach rufnummer hotline handy appelez appeler appelle cellulare cell cellphone llámame anruf anrufen ruf"
)  # fmt: skip
_TELEPHONE_BEGINNINGS = ("call", "mobil", "telefon", "phone", "handy", "llam", "llám", "chiam", "cell")
_OWN_NUMBER = (
    "my number",
    "his number",
    "her number",
    "their number",
    "our number",
    "your number",
    "meine nummer",
    "mon numéro",
    "mi número",
)
_SYMBOLS = ("\u260e", "\u2706", "\U0001f4de")
_WORD_REACH = 24
_GLUE_BEFORE = frozenset("$€£¥%./#&?-_")
_GLUED_AFTER = re.compile(r"[A-Za-z_%€£$]|[.:/-][0-9]|-[A-Za-z]")


_RESERVED = {
    "GB": "1632960[0-9]{3}|7700900[0-9]{3}|1(?:1[3-8]|[2-6]1)4960[0-9]{3}|8081570[0-9]{3}|3069990[0-9]{3}"
}
"""Numbers for films and examples (Ofcom), which no plan calls valid: they are what people try a mask with."""

_TYPES = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "uan",
)


@dataclass(frozen=True, slots=True)
class _Region:
    """What tells a region's national numbers.

    Attributes:
        valid: A whole national number of any type, without its trunk prefix.
        trunk: The prefix that is dialled inside the country: ``0`` in most of Europe.
        lengths: How many digits such a number has, with and without the trunk prefix.
        formats: Pairs of leading digits and the groups in which numbers that begin so are written.
    """

    trunk: str
    valid: re.Pattern[str]
    lengths: frozenset[int]
    formats: list[tuple[re.Pattern[str], re.Pattern[str]]]

    def national(self, digits: str) -> str | None:
        """``digits`` without the trunk prefix; None when no number of the region has them."""
        if len(digits) not in self.lengths:
            return None
        if self.valid.fullmatch(digits):
            return digits
        if not self.trunk or not digits.startswith(self.trunk):
            return None
        rest = digits[len(self.trunk) :]
        return rest if self.valid.fullmatch(rest) else None

    def is_grouped(self, national: str, written: tuple[str, ...]) -> bool:
        """Whether the digits are written in the groups that the region's people use, not in one row."""
        if len(written) == 1:
            return False
        groups = self._groups(national)
        if not groups:
            return False
        trunk, first = self.trunk, groups[0]
        if written in {groups, (trunk, *groups), (trunk + first, *groups[1:])}:
            return True
        # 0171-1234567: an area code of the plan, then the rest in any groups
        return trunk == "0" and len(first) > 1 and written[0] == trunk + first

    def _groups(self, national: str) -> tuple[str, ...]:
        for leading, pattern in self.formats:
            if leading.match(national) and (match := pattern.fullmatch(national)):
                return match.groups()
        return ()


class PhoneFinder:
    """Finds the telephone numbers of ``regions`` (ISO 3166) and those with a country code.

    Raises:
        SettingsError: There is no such region.
    """

    def __init__(self, regions: Iterable[str]) -> None:
        self._regions = [_region(code) for code in regions]
        self._lengths = frozenset().union(*(region.lengths for region in self._regions))
        self._plans: dict[int, list[_Region]] = {}

    def find(self, text: str, runs: list[Span]) -> Iterator[Span]:
        """The numbers in the runs of digits ``runs`` of ``text``."""
        for run_start, run_end in runs:
            groups = [match.span() for match in _GROUP.finditer(text, run_start, run_end)]
            first, follows_number = 0, True
            while first < len(groups):
                is_apart = follows_number or not _is_joined(text, groups, first)
                last = self._last_group(text, groups, first) if is_apart else None
                if last is None:
                    first, follows_number = first + 1, False
                else:
                    yield _begin(text, groups[first][0]), groups[last][1]
                    first, follows_number = last + 1, True

    def _last_group(self, text: str, groups: list[Span], first: int) -> int | None:
        """The last group of the longest number that begins with the group ``first``; None when none does."""
        start = groups[first][0]
        floor = groups[first - 1][1] if first else 0
        is_international = "+" in text[max(0, start - 3) : start] or text.startswith("00", start)
        digits = ""
        ends: list[tuple[int, str]] = []
        for index in range(first, min(first + _MOST_GROUPS, len(groups))):
            digits += text[groups[index][0] : groups[index][1]]
            if len(digits) > _MOST_DIGITS + 2:
                break
            if len(digits) >= _FEWEST_DIGITS and (is_international or len(digits) in self._lengths):
                ends.append((index, digits))
        for index, digits in reversed(ends):
            goes_on = index + 1 < len(groups) and _goes_on(text, groups, first, index)
            if self._is_phone(text, groups[first : index + 1], digits, floor, goes_on=goes_on):
                return index
        return None

    def _is_phone(self, text: str, groups: list[Span], digits: str, floor: int, *, goes_on: bool) -> bool:
        """Whether ``groups`` are a number; no word before ``floor`` says anything about it."""
        start, end = _begin(text, groups[0][0]), groups[-1][1]
        if (text[start] == "+" or digits.startswith("00")) and self._has_country_code(digits):
            return not (start and text[start - 1].isalnum()) and not _GLUED_AFTER.match(text, end)
        for region in self._regions:
            national = region.national(digits)
            if national is None or _is_glued(text, start, end):
                continue
            if not goes_on and region.is_grouped(national, tuple(text[a:b] for a, b in groups)):
                is_bare = start == 0 or text[start - 1] not in ":="
                if is_bare and not is_labelled_as_other(text, start):
                    return True
            if start - floor > 1 and _is_called_telephone(text, start):
                return True
        return False

    def _has_country_code(self, digits: str) -> bool:
        """Whether ``digits`` after a plus sign or ``00`` are a valid number of any country."""
        digits = digits.removeprefix("00")
        for length in (1, 2, 3):
            code = int(digits[:length] or 0)
            if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
                rest = digits[length:]
                return any(region.national(rest) is not None for region in self._plan(code))
        return False

    def _plan(self, code: int) -> list[_Region]:
        """The regions that share a country code, the largest first."""
        plan = self._plans.get(code)
        if plan is None:
            names = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
            plan = self._plans[code] = [_region(name, code) for name in names]
        return plan


def _begin(text: str, start: int) -> int:
    """``start`` moved back over the plus sign and parenthesis that open the number."""
    match = _OPENING.search(text, max(0, start - 3), start)
    return match.start() if match else start


def _is_called_telephone(text: str, start: int) -> bool:
    """Whether a word for telephone stands shortly before ``start``, in the same line."""
    before = undivided_before(text, start, _REACH).rpartition("\n")[2]
    for match in _WORD.finditer(before):
        if len(before) - match.end() <= _WORD_REACH and (
            match[0] in _TELEPHONE_WORDS or match[0].startswith(_TELEPHONE_BEGINNINGS)
        ):
            return True
    return any(words in before for words in _OWN_NUMBER) or any(symbol in before for symbol in _SYMBOLS)


def _is_joined(text: str, groups: list[Span], index: int) -> bool:
    """Whether a group belongs to the one before it: one space, hyphen or dot lies between."""
    return text[groups[index - 1][1] : groups[index][0]] in _JOINTS


def _goes_on(text: str, groups: list[Span], first: int, last: int) -> bool:
    """Whether digits go on behind the group ``last`` in the way the groups before it are joined: a longer number."""
    start, end = groups[last + 1]
    if end - start < 3 or not _is_joined(text, groups, last + 1):
        return False
    joint = text[groups[last][1] : start]
    inside = text[groups[first][1] : groups[first + 1][0]] if last > first else joint
    is_another = text[groups[first][0]] == "0" == text[start]
    return joint == inside and not is_another


def _is_glued(text: str, start: int, end: int) -> bool:
    """Whether the digits go on as something else: an amount, a path, a version, a word."""
    before = text[start - 1] if start else " "
    if before in _GLUE_BEFORE or before.isalnum():
        return True
    return _GLUED_AFTER.match(text, end) is not None


def _region(code: str, country_code: int = 0) -> _Region:
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(country_code, code.upper())
    if metadata is None:
        raise SettingsError(
            f"guard.phone_regions: '{code}' is no region; use ISO 3166 codes such as US or DE"
        )
    whole = metadata.general_desc.possible_length if metadata.general_desc else ()
    known = [kind for name in _TYPES if (kind := getattr(metadata, name)) and kind.national_number_pattern]
    trunk = metadata.national_prefix or ""
    reserved = [_RESERVED[code.upper()]] if code.upper() in _RESERVED else []
    lengths = {length for kind in known for length in kind.possible_length or whole}
    return _Region(
        trunk=trunk,
        valid=re.compile("|".join([f"(?:{kind.national_number_pattern})" for kind in known] + reserved)),
        lengths=frozenset(lengths | {length + len(trunk) for length in lengths}),
        formats=_formats(metadata.country_code or 0),
    )


def _formats(country_code: int) -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    """The formats of a country code, which its main region holds for all that share it."""
    main = phonenumbers.region_code_for_country_code(country_code)
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(country_code, main)
    return [
        (
            re.compile(one.leading_digits_pattern[-1] if one.leading_digits_pattern else ""),
            re.compile(one.pattern or ""),
        )
        for one in (metadata.number_format if metadata else ())
    ]
