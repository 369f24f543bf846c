"""How long a server that refuses a call asks to wait.

``Retry-After`` is RFC 9110, section 10.2.3 (seconds or a date). OpenAI and Azure add ``retry-after-ms`` and, for each
limit, ``x-ratelimit-remaining-*`` with ``x-ratelimit-reset-*`` in Go's duration form (``1m3.5s``, ``120ms``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LIMITS = ("requests", "tokens")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_S = 86_400.0


def asked_wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds in [0, 86400] that the answer's ``headers`` ask for; None when they say nothing that can be read.

    Args:
        headers: Of the answer, their names in lower case.
        now: Aware; what a date is counted from.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    after = headers.get("retry-after")
    if after is not None:
        seconds = _number(after)
        return _bounded(seconds) if seconds is not None else _until(after, now)
    resets = [
        _duration(headers.get(f"x-ratelimit-reset-{limit}", ""))
        for limit in _LIMITS
        if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
    ]
    known = [seconds for seconds in resets if seconds is not None]
    return _bounded(max(known)) if known else None


def _number(written: str | None) -> float | None:
    try:
        number = float(written) if written is not None else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _until(written: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(written)
    except ValueError:
        return None
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    return _bounded((aware - now).total_seconds())


def _duration(written: str) -> float | None:
    parts = _DURATION.findall(written)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None


def _bounded(seconds: float) -> float:
    return min(_LONGEST_S, max(0.0, seconds))
