from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from causeway.contracts.identity import Scope
from causeway.errors import NotAllowedError, NotFoundError, NotSignedInError
from causeway.gateway.keys import Keys
from causeway.storage.database import Database
from causeway.storage.schema import api_keys
from causeway.testing.clock import FrozenClock


async def test_a_key_tells_who_calls_and_its_secret_is_not_stored(
    database: Database, clock: FrozenClock
) -> None:
    keys = Keys(database, clock)
    made = await keys.create("ci", [Scope.MODELS])
    principal = await keys.identify(made.secret)
    assert (principal.id, principal.name, principal.scopes) == (made.id, "ci", frozenset({Scope.MODELS}))
    async with database.connect() as connection:
        row = (await connection.execute(select(api_keys))).one()
    assert made.secret not in str(row)


async def test_a_principal_may_do_what_its_scopes_say_and_an_admin_everything(
    database: Database, clock: FrozenClock
) -> None:
    keys = Keys(database, clock)
    some = await keys.identify((await keys.create("ci", [Scope.MODELS])).secret)
    every = await keys.identify((await keys.create("root", [Scope.ADMIN])).secret)
    some.require(Scope.MODELS)
    every.require(Scope.INGEST)
    with pytest.raises(NotAllowedError, match="'ci' may not do this: it needs the scope 'ask'"):
        some.require(Scope.ASK)


async def test_a_revoked_key_ends_at_once(database: Database, clock: FrozenClock) -> None:
    keys = Keys(database, clock)
    made = await keys.create("ci", [Scope.MODELS])
    await keys.revoke(made.prefix)
    with pytest.raises(NotSignedInError, match="revoked"):
        await keys.identify(made.secret)
    with pytest.raises(NotFoundError):
        await keys.revoke(made.prefix)


async def test_a_key_expires_by_the_clock(database: Database, clock: FrozenClock) -> None:
    keys = Keys(database, clock)
    made = await keys.create("ci", [Scope.MODELS], expires_at=clock.now() + timedelta(hours=1))
    await keys.identify(made.secret)
    clock.advance(3600)
    with pytest.raises(NotSignedInError, match="expired"):
        await keys.identify(made.secret)


async def test_an_unknown_key_is_refused(database: Database, clock: FrozenClock) -> None:
    with pytest.raises(NotSignedInError, match="unknown key"):
        await Keys(database, clock).identify("cw-guess")


async def test_two_processes_that_start_at_once_make_one_first_key(
    database: Database, clock: FrozenClock
) -> None:
    keys = Keys(database, clock)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keys.create_first()) for _ in range(4)]
    assert [task.result() is None for task in tasks].count(False) == 1
