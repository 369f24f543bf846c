"""Days said in words: ``last week``, ``since March``, ``in 2025``, ``between 3 March and 2026-04-01``.

Rules over English, and the asker's own day: weeks begin on Monday (ISO 8601), a month without a year is its last one so
far. What can be read in two ways, such as 3/4/2025, is not read at all.
"""

from __future__ import annotations

import re
from calendar import day_name, month_name, monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

_MONTHS: Final = [name.lower() for name in month_name[1:]]
_DAYS: Final = [name.lower() for name in day_name]
_MONTH = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_SINGLE: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<iso>\d{4}-\d\d-\d\d)",
        rf"(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of)?\s+{_MONTH}(?:,?\s+{_YEAR})?",
        rf"{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d)(?:,?\s+{_YEAR})?",
        rf"{_MONTH}(?:,?\s+(?:of\s+)?{_YEAR})?",
        rf"(?:q(?P<quarter>[1-4])\s+{_YEAR})",
        _YEAR,
        r"(?P<word>today|yesterday)",
        r"(?P<which>this|last)\s+(?P<unit>week|month|quarter|year)",
        r"(?P<last_day>last\s+)?(?P<weekday>monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
    )
)
_SPAN = re.compile(
    r"(?:the\s+|in\s+the\s+)?(?:last|past)\s+(?P<count>\d{1,3}|two|three|four|five|six|seven|ten|twelve)\s+"
    r"(?P<unit>days?|weeks?|months?|years?)",
    re.IGNORECASE,
)
_COUNTS: Final = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10, "twelve": 12}


@dataclass(frozen=True, slots=True)
class Days:
    """Days from ``first`` to ``last``, both included; None leaves that end open."""

    first: date | None
    last: date | None

    def __str__(self) -> str:
        """As a filter's value is written: ``2026-11-16..2026-11-22``, or one day."""
        if self.first == self.last and self.first is not None:
            return self.first.isoformat()
        return f"{self.first.isoformat() if self.first else ''}..{self.last.isoformat() if self.last else ''}"


def read_days(text: str, today: date) -> tuple[Days, int] | None:
    """The days that ``text`` begins with, and how many characters say so; None when it begins with none.

    >>> str(read_days("since March, please", date(2026, 11, 27))[0])
    '2026-03-01..'
    """
    for reader in (_between, _open_ended, _last_few):
        found = reader(text, today)
        if found is not None:
            return found
    inside = re.match(r"(?:in|on|from|of|during|dated)\s+", text, re.IGNORECASE)
    found = _single(text[inside.end() :] if inside else text, today)
    return (found[0], found[1] + (inside.end() if inside else 0)) if found else None


def _between(text: str, today: date) -> tuple[Days, int] | None:
    opened = re.match(r"(between|from)\s+", text, re.IGNORECASE)
    first = _single(text[opened.end() :], today) if opened else None
    if opened is None or first is None:
        return None
    at = opened.end() + first[1]
    joined = re.match(r"\s+(and|to|until|till|through)\s+", text[at:], re.IGNORECASE)
    last = _single(text[at + joined.end() :], today) if joined else None
    if joined is None or last is None or (opened[1].lower() == "between") != (joined[1].lower() == "and"):
        return None
    return Days(first[0].first, last[0].last), at + joined.end() + last[1]


def _open_ended(text: str, today: date) -> tuple[Days, int] | None:
    opened = re.match(r"(since|after|before|until|till|up to|newer than|older than)\s+", text, re.IGNORECASE)
    found = _single(text[opened.end() :], today) if opened else None
    if opened is None or found is None or found[0].first is None or found[0].last is None:
        return None
    days, length = found[0], opened.end() + found[1]
    one = timedelta(days=1)
    match opened[1].lower():
        case "since":
            return Days(days.first, None), length
        case "after" | "newer than":
            return Days(found[0].last + one, None), length
        case "before" | "older than":
            return Days(None, found[0].first - one), length
        case _:
            return Days(None, days.last), length


def _last_few(text: str, today: date) -> tuple[Days, int] | None:
    found = _SPAN.match(text)
    if found is None:
        return None
    count = int(_COUNTS.get(found["count"].lower(), found["count"]))
    unit = found["unit"].lower().rstrip("s")
    if unit in ("day", "week"):
        first = today - timedelta(days=count * (7 if unit == "week" else 1) - 1)
    else:
        months = count * (12 if unit == "year" else 1)
        first = _months_before(today, months) + timedelta(days=1)
    return Days(first, today), found.end()


def _single(text: str, today: date) -> tuple[Days, int] | None:
    """A day, a week, a month, a quarter or a year."""
    for pattern in _SINGLE:
        found = pattern.match(text)
        if found is not None and not re.match(r"[\w/]|[-.]\d", text[found.end() :]):
            days = _days_of({name: value for name, value in found.groupdict().items() if value}, today)
            if days is not None:
                return days, found.end()
    return None


def _days_of(said: dict[str, str], today: date) -> Days | None:
    try:
        if "iso" in said:
            day = date.fromisoformat(said["iso"])
            return Days(day, day)
        if "word" in said:
            day = today - timedelta(days=said["word"].lower() == "yesterday")
            return Days(day, day)
        if "which" in said:
            return _unit(said["unit"].lower(), today, is_last=said["which"].lower() == "last")
        if "weekday" in said:
            return _weekday(said, today)
        return _calendar(said, today)
    except ValueError:  # 31 February
        return None


def _calendar(said: dict[str, str], today: date) -> Days | None:
    year = int(said["year"]) if "year" in said else None
    if "quarter" in said:
        month = 3 * int(said["quarter"]) - 2
        return Days(date(year or today.year, month, 1), _end_of_month(date(year or today.year, month + 2, 1)))
    if "month" not in said:
        return Days(date(year or 0, 1, 1), date(year or 0, 12, 31))
    month = next(n for n, name in enumerate(_MONTHS, 1) if name.startswith(said["month"].lower()[:3]))
    if "day" in said:
        day = date(year or today.year, month, int(said["day"]))
        day = day if year or day <= today else day.replace(year=today.year - 1)
        return Days(day, day)
    first = date(year or today.year, month, 1)
    first = first if year or first <= today else first.replace(year=today.year - 1)
    return Days(first, _end_of_month(first))


def _weekday(said: dict[str, str], today: date) -> Days:
    """The one before today; ``last`` makes it that of before this week only where today's week has had it."""
    back = (today.weekday() - _DAYS.index(said["weekday"].lower())) % 7 or 7
    day = today - timedelta(days=back)
    return Days(day, day)


def _unit(unit: str, today: date, *, is_last: bool) -> Days:
    match unit:
        case "week":
            first = today - timedelta(days=today.weekday() + 7 * is_last)
            return Days(first, first + timedelta(days=6))
        case "month":
            first = _months_before(today.replace(day=1), int(is_last))
            return Days(first, _end_of_month(first))
        case "quarter":
            first = _months_before(
                today.replace(month=3 * ((today.month - 1) // 3) + 1, day=1), 3 * int(is_last)
            )
            return Days(first, _end_of_month(_months_before(first, -2)))
        case _:
            year = today.year - is_last
            return Days(date(year, 1, 1), date(year, 12, 31))


def _months_before(day: date, months: int) -> date:
    """The same day of an earlier month, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _end_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])
