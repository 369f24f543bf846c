"""Passwords: which may be chosen, and their hashes (argon2id, RFC 9106's profile for little memory).

A hash takes 64 MiB and tens of milliseconds on purpose, so few are made at a time, in threads, and callers beyond a
bound are sent away: guessing must not take the machine. https://www.rfc-editor.org/rfc/rfc9106
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from causeway.errors import BusyError, InvalidInputError

SHORTEST: Final = 12
LONGEST: Final = 256
_MOST_AT_ONCE = 2
_MOST_WAITING = 50

Result = TypeVar("Result")


class Passwords:
    """Makes hashes and checks passwords against them."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._room = asyncio.Semaphore(_MOST_AT_ONCE)
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str, *, email: str) -> str:
        """The hash of a password that somebody chooses.

        Raises:
            InvalidInputError: It may not be chosen.
            BusyError: Very many passwords are being hashed.
        """
        chosen = _normal(password)
        _check(chosen, email)
        return await self._in_thread(lambda: self._hasher.hash(chosen))

    async def is_right(self, password: str, hashed: str | None) -> bool:
        """Whether it is the password of a hash; without one it takes as long, so that nobody learns who has an account.

        Raises:
            BusyError: Very many passwords are being hashed.
        """
        given = _normal(password[: LONGEST + 1])
        if self._nobodys is None:
            self._nobodys = await self._in_thread(lambda: self._hasher.hash(secrets.token_hex()))
        against = hashed or self._nobodys
        is_it = await self._in_thread(lambda: self._verify(against, given))
        return is_it and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(hashed)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerifyMismatchError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= _MOST_WAITING:
            msg = "too many people are signing in at once; try again in a moment"
            raise BusyError(msg)
        self._waiting += 1
        try:
            async with self._room:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _normal(password: str) -> str:
    """One spelling for what looks alike: NIST SP 800-63B asks for it. Lone surrogates, which no keyboard makes, go."""
    return unicodedata.normalize("NFKC", password.encode("utf-8", "ignore").decode())


def _check(password: str, email: str) -> None:
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInputError(
            f"the password has {len(password)} characters; choose one of {SHORTEST} to {LONGEST}"
        )
    if len(set(password)) < SHORTEST // 3:
        msg = "the password repeats a few characters; choose one that is harder to guess, such as four words"
        raise InvalidInputError(msg)
    if password.casefold() == email.casefold():
        msg = "the password is the e-mail address; choose another"
        raise InvalidInputError(msg)
