from __future__ import annotations

import asyncio
from typing import Literal

import argon2
import pytest

from causeway.accounts.passwords import LONGEST, Passwords
from causeway.errors import BusyError, InvalidInputError
from tests.accounts.people import PASSWORD, cheap_passwords

EMAIL = "dana@example.com"


async def test_a_password_is_known_again_and_another_is_not() -> None:
    hashed = await cheap_passwords().hash(PASSWORD, email=EMAIL)
    assert PASSWORD not in hashed
    assert await cheap_passwords().is_right(PASSWORD, hashed)
    assert not await cheap_passwords().is_right(f"{PASSWORD} ", hashed)


async def test_the_hash_in_use_is_argon2id_with_64_mib() -> None:
    hashed = await Passwords().hash(PASSWORD, email=EMAIL)
    assert hashed.startswith("$argon2id$v=19$m=65536,")


async def test_letters_that_look_alike_are_one_password() -> None:
    hashed = await cheap_passwords().hash("caf\u00e9 in a long word", email=EMAIL)
    assert await cheap_passwords().is_right("cafe\u0301 in a long word", hashed)


@pytest.mark.parametrize("chosen", ["short", "x" * (LONGEST + 1), "a" * 40, "ababab" * 4, "Dana@Example.com"])
async def test_what_is_easily_guessed_may_not_be_chosen(chosen: str) -> None:
    with pytest.raises(InvalidInputError):
        await cheap_passwords().hash(chosen, email=EMAIL)


async def test_nobody_and_somebody_without_a_password_cost_one_check_each() -> None:
    class Counted(argon2.PasswordHasher):
        checks = 0

        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
            Counted.checks += 1
            return super().verify(hash, password)

    passwords = Passwords(Counted(time_cost=1, memory_cost=8, parallelism=1))
    assert not await passwords.is_right(PASSWORD, None)
    assert Counted.checks == 1
    assert not await passwords.is_right(PASSWORD, "not a hash")
    assert Counted.checks == 2


async def test_no_password_opens_an_account_that_has_none() -> None:
    class Always(argon2.PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's names
            return True

    assert not await Passwords(Always(time_cost=1, memory_cost=8, parallelism=1)).is_right("", None)


async def test_a_crowd_is_sent_away_rather_than_let_take_the_memory() -> None:
    passwords = cheap_passwords()
    hashed = await passwords.hash(PASSWORD, email=EMAIL)
    answers: list[bool | None] = []

    async def attempt() -> None:
        try:
            answers.append(await passwords.is_right(PASSWORD, hashed))
        except BusyError:
            answers.append(None)

    async with asyncio.TaskGroup() as crowd:
        for _ in range(80):
            crowd.create_task(attempt())
    assert answers.count(None) > 0
    assert answers.count(True) >= 40
    assert await passwords.is_right(PASSWORD, hashed)


async def test_a_hash_of_other_parameters_is_outdated() -> None:
    hashed = await cheap_passwords().hash(PASSWORD, email=EMAIL)
    assert Passwords().is_outdated(hashed)
    assert not cheap_passwords().is_outdated(hashed)
