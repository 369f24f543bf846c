"""Random hexadecimal for ids, fetched from the system by the hundred: several are made on every call's way."""

from __future__ import annotations

import os

from causeway.contracts.clock import SystemClock

_BYTES = 16
_TIME_BYTES = 6
_AT_ONCE = 256

_ready: list[str] = []
_ready_by_time: list[str] = []
_clock = SystemClock()


def random_hex() -> str:
    """128 random bits, 32 digits."""
    try:
        return _ready.pop()  # one step of the interpreter, so that no two threads get the same
    except IndexError:
        fetched = _fetched(_BYTES)
        _ready.extend(fetched[1:])
        return fetched[0]


def time_ordered_hex() -> str:
    """32 digits: 48 bits of time and 80 random ones.

    For the keys of tables that grow by thousands of rows a second: keys that are nearly in order go into the last pages of
    their index, random ones each into another. The time is when the process fetched its next 256: before the id was given
    out, and long before where ids are made seldom.
    """
    try:
        return _ready_by_time.pop()
    except IndexError:
        time = f"{int(_clock.now().timestamp() * 1000):0{2 * _TIME_BYTES}x}"
        fetched = [time + digits for digits in _fetched(_BYTES - _TIME_BYTES)]
        _ready_by_time.extend(fetched[1:])
        return fetched[0]


def _fetched(size: int) -> list[str]:
    digits, fetched = 2 * size, os.urandom(size * _AT_ONCE).hex()
    return [fetched[start : start + digits] for start in range(0, len(fetched), digits)]


def _forget() -> None:
    _ready.clear()
    _ready_by_time.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # or parent and child would make the same ids
