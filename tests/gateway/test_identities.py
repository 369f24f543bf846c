from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from sqlalchemy import event, text

from causeway.contracts.identity import Scope
from causeway.errors import BusyError, DeadlineError, NotSignedInError
from causeway.gateway import identities
from causeway.gateway.keys import Keys
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.testing.clock import FrozenClock


class Told:
    """Notices that say what the test says."""

    is_live = True

    def __init__(self) -> None:
        self._followers: list[Callable[[str | None], None]] = []

    def follow(self, table: str, heard: Callable[[str | None], None]) -> None:
        self._followers.append(heard)

    def tell(self, changed: str | None) -> None:
        for heard in self._followers:
            heard(changed)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def keys(database: Database, clock: FrozenClock, told: Told) -> Keys:
    return Keys(database, clock, notices=cast(Notices, told), default_tier="pro")


async def test_a_change_that_is_told_while_a_key_is_looked_up_is_not_missed(
    database: Database, keys: Keys, told: Told
) -> None:
    made = await keys.create("ci", [Scope.MODELS])
    engine = database.engine.sync_engine

    def change(*_arguments: object) -> None:
        told.tell(made.id)  # the row has been read as it was before

    event.listen(engine, "after_cursor_execute", change)
    assert (await keys.identify(made.secret)).id == made.id
    assert keys.remembered(made.secret) is None
    event.remove(engine, "after_cursor_execute", change)
    await keys.identify(made.secret)
    assert keys.remembered(made.secret)


async def test_a_change_of_one_key_leaves_the_others_remembered(keys: Keys, told: Told) -> None:
    one, other = [await keys.create(name, [Scope.MODELS]) for name in ("one", "other")]
    for key in (one, other):
        await keys.identify(key.secret)
    told.tell(one.id)
    assert keys.remembered(one.secret) is None
    assert keys.remembered(other.secret)
    told.tell(None)
    assert keys.remembered(other.secret) is None


async def test_the_keys_used_longest_ago_are_forgotten_first(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities, "_MOST_KNOWN", 2)
    first, second, third = [await keys.create(f"{n}", [Scope.MODELS]) for n in range(3)]
    await keys.identify(first.secret)
    await keys.identify(second.secret)
    await keys.identify(first.secret)
    await keys.identify(third.secret)
    assert [keys.remembered(key.secret) is not None for key in (first, second, third)] == [True, False, True]


async def test_a_replaced_secret_stays_refused_when_other_keys_change(keys: Keys, told: Told) -> None:
    made = await keys.create("ci", [Scope.MODELS])
    rotated = await keys.rotate(made.id)
    with pytest.raises(NotSignedInError, match="unknown key"):
        await keys.identify(made.secret)
    told.tell("key_of_another")
    with pytest.raises(NotSignedInError, match="unknown key"):
        await keys.identify(made.secret)
    assert (await keys.identify(rotated.secret)).id == made.id


async def test_more_lookups_than_can_wait_are_refused(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "_MOST_WAITING", 5)
    outcomes: list[type[Exception]] = []

    async def guess(number: int) -> None:
        try:
            await keys.identify(f"cw-{number:043}")
        except (NotSignedInError, BusyError) as exc:
            outcomes.append(type(exc))

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(guess(number))
    assert (outcomes.count(NotSignedInError), outcomes.count(BusyError)) == (5, 15)


async def test_a_database_that_hangs_is_not_waited_for_without_end(
    database: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await keys.create("ci", [Scope.MODELS])
    monkeypatch.setattr(identities, "_ASK_DEADLINE_S", 0.1)
    async with database.begin() as connection:
        await connection.execute(text("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(DeadlineError, match=r"within 0\.1 s whose key this is"):
            await keys.identify(made.secret)
    monkeypatch.undo()
    assert (await keys.identify(made.secret)).id == made.id
