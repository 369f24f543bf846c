"""Whether a text says a fact: the same words, however numbers, dates, money and shares are written.

``£1,640.00``, ``GBP 1640`` and ``1 640 pounds`` are one amount, ``30 June``, ``June 30th`` and ``2026-06-30`` one day,
``4 per cent`` and ``4%`` one share, ``five days`` and ``5 days`` one number. Paraphrases are not understood: a fact lists
the ways in which it may be said.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import month_name
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_MONTHS: Final = [name.lower() for name in month_name[1:]]
_MONTH: Final = "|".join(f"{month[:3]}(?:{month[3:]})?" if month != "may" else "may" for month in _MONTHS)
_WORDS: Final = dict(
    zip(
        [
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
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
            "thirty",
            "forty",
            "fifty",
            "sixty",
            "seventy",
            "eighty",
            "ninety",
        ],
        (*range(1, 21), *range(30, 100, 10)),
        strict=True,
    )
)
_ISO_DAY: Final = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_DAY_FIRST: Final = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})\b\.?,?")
_MONTH_FIRST: Final = re.compile(rf"\b({_MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?\b,?(?! ?[:.]\d)")
_NUMBER_WORD: Final = re.compile(rf"\b({'|'.join(_WORDS)})\b")
_THOUSANDS: Final = re.compile(r"(?<=\d)[, ](?=\d{3}(?!\d))")
_EMPTY_DECIMALS: Final = re.compile(r"(?<=\d)\.0+(?!\d)")
_SHARE: Final = re.compile(r"(?<=\d) ?(?:per cent|percent|%)")
_CODED_MONEY: Final = re.compile(r"\b(?:gbp|eur|usd)\s?(?=\d)")
_SPELT_MONEY: Final = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?(pounds?(?: sterling)?|euros?|dollars?)\b")
_UNIT: Final = re.compile(
    r"(?<=\d)(?=(?:kg|g|km|km/h|cm|mm|m|l|ml|w|psi|days?|hours?|weeks?|months?|years?)\b)"
)
_SIGNS: Final = {"gbp": "£", "eur": "€", "usd": "$", "pound": "£", "euro": "€", "dollar": "$"}
_NUMBER: Final = re.compile(r"(?<![\w.])[£€$]?\d+(?:\.\d+)?%?")
_CITED: Final = re.compile(r"\[\d+(?:\s*,\s*\d+)*\]")


def says(text: str, fact: str | Sequence[str]) -> bool:
    """Whether ``text`` has ``fact``, or one of its ways of being said, as whole words."""
    ways = [fact] if isinstance(fact, str) else fact
    written = plain(text)
    return any(_stands_in(plain(way), written) for way in ways)


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """``text`` in the one spelling in which facts are compared."""
    written = unicodedata.normalize("NFKC", text).casefold().replace("\N{MINUS SIGN}", "-")
    written = _CITED.sub(" ", written.replace("*", "").replace("`", ""))
    written = " ".join(written.split())
    written = _ISO_DAY.sub(_spelt_day, written)
    written = _DAY_FIRST.sub(lambda found: f"{int(found[1])} {_month(found[2])}", written)
    written = _MONTH_FIRST.sub(lambda found: f"{int(found[2])} {_month(found[1])}", written)
    written = _NUMBER_WORD.sub(lambda found: str(_WORDS[found[1]]), written)
    written = _EMPTY_DECIMALS.sub("", _THOUSANDS.sub("", written))
    written = _SHARE.sub("%", written)
    written = _CODED_MONEY.sub(lambda found: _SIGNS[found[0].strip()], written)
    written = _SPELT_MONEY.sub(lambda found: f"{_SIGNS[found[2].rstrip('s').split()[0]]}{found[1]}", written)
    return _UNIT.sub(" ", written)


def unsupported_numbers(text: str, sources: Sequence[str]) -> list[str]:
    """The numbers in ``text`` that none of ``sources`` has: a model that copies wrongly makes these."""
    known = {number.strip("£€$%") for source in sources for number in _NUMBER.findall(plain(source))}
    return [number for number in _NUMBER.findall(plain(text)) if number.strip("£€$%") not in known]


def has_quote(quote: str, text: str) -> bool:
    """Whether ``text`` has the words of ``quote`` in their order; marks of tables and emphasis do not matter."""
    return _bare(quote) in _bare(text)


def _stands_in(fact: str, text: str) -> bool:
    if not fact:
        return False
    before = r"(?<![\w.])" if fact[0].isalnum() else r"(?<!\w)"
    return re.search(before + re.escape(fact) + r"(?!\w|[.,]\d)", text) is not None


def _spelt_day(found: re.Match[str]) -> str:
    month = int(found[2])
    return f"{int(found[3])} {_MONTHS[month - 1]} {found[1]}" if 1 <= month <= len(_MONTHS) else found[0]


def _month(written: str) -> str:
    return next(month for month in _MONTHS if month.startswith(written[:3]))


def _bare(text: str) -> str:
    written = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[|#\\>\[\]]+", " ", re.sub(r"[*_`]+", "", written)).split())
