"""People for tests: accounts with passwords that are quick to check."""

from __future__ import annotations

import argon2

from causeway.accounts.passwords import Passwords

PASSWORD = "four words make one"


def cheap_passwords() -> Passwords:
    """The same algorithm as in use, without its cost."""
    return Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
