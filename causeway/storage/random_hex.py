"""Random hexadecimal for ids, fetched from the system by the hundred: several are made on every call's way."""

from __future__ import annotations

import os

_BYTES = 16
_AT_ONCE = 256

_ready: list[str] = []


def random_hex() -> str:
    """128 random bits, 32 digits."""
    try:
        return _ready.pop()  # one step of the interpreter, so that no two threads get the same
    except IndexError:
        fetched = os.urandom(_BYTES * _AT_ONCE).hex()
        digits = 2 * _BYTES
        _ready.extend(fetched[start : start + digits] for start in range(digits, len(fetched), digits))
        return fetched[:digits]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ready.clear)  # or parent and child would make the same ids
