"""Random hexadecimal for ids: a quarter of what ``uuid4().hex`` costs, on every call's way."""

from __future__ import annotations

import os


def random_hex() -> str:
    """128 random bits, 32 digits."""
    return os.urandom(16).hex()
