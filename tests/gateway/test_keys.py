from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import event, select, text, update

from causeway.contracts.identity import Budget, Principal, Scope
from causeway.contracts.money import Micros
from causeway.errors import InvalidInputError, NotAllowedError, NotFoundError, NotSignedInError
from causeway.gateway.audit import Audit
from causeway.gateway.keys import Bounds, Keys
from causeway.gateway.teams import Teams
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.storage.schema import api_keys
from causeway.testing.clock import FrozenClock

ADMIN = Principal(id="key_admin", name="admin", scopes=frozenset({Scope.ADMIN}))
GUESS = f"cw-{'x' * 43}"


class Process:
    """Keys as one process has them, with what it asked the database for."""

    def __init__(self, database: Database, clock: FrozenClock) -> None:
        self.notices = Notices(database)
        self.keys = Keys(database, clock, notices=self.notices, default_tier="pro")
        self.told: asyncio.Queue[str | None] = asyncio.Queue()
        self.notices.follow("api_keys", self.told.put_nowait)
        self.notices.follow("teams", self.told.put_nowait)

    async def hears(self, changed: str) -> None:
        """Wait until the change of a key or team has been heard."""
        async with asyncio.timeout(20):
            while await self.told.get() != changed:
                pass


@pytest.fixture
def keys(database: Database, clock: FrozenClock) -> Keys:
    """Keys that hear nothing, as in a command, so every call asks the database."""
    return Keys(database, clock, notices=Notices(database), default_tier="pro")


@pytest.fixture
async def here(database: Database, clock: FrozenClock) -> AsyncIterator[Process]:
    process = Process(database, clock)
    async with process.notices.listening(), process.keys.running():
        await process.notices.live()
        yield process


@pytest.fixture
async def there(database: Database, clock: FrozenClock) -> AsyncIterator[Process]:
    process = Process(database, clock)
    async with process.notices.listening():
        await process.notices.live()
        yield process


@pytest.fixture
def statements(database: Database) -> list[str]:
    """What the database was asked for."""
    seen: list[str] = []
    event.listen(
        database.engine.sync_engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_rest: seen.append(statement),
    )
    return seen


async def test_a_key_tells_who_calls_and_its_secret_is_not_stored(database: Database, keys: Keys) -> None:
    made = await keys.create("ci", [Scope.MODELS])
    principal = await keys.identify(made.secret)
    assert (principal.id, principal.name, principal.scopes) == (made.id, "ci", frozenset({Scope.MODELS}))
    assert (principal.tier, principal.team, principal.budgets) == ("pro", None, ())
    async with database.connect() as connection:
        row = (await connection.execute(select(api_keys))).one()
    assert made.secret not in str(row)


async def test_a_principal_may_do_what_its_scopes_say_and_an_admin_everything(keys: Keys) -> None:
    some = await keys.identify((await keys.create("ci", [Scope.MODELS])).secret)
    every = await keys.identify((await keys.create("root", [Scope.ADMIN])).secret)
    some.require(Scope.MODELS)
    every.require(Scope.INGEST)
    with pytest.raises(NotAllowedError, match="'ci' may not do this: it needs the scope 'ask'"):
        some.require(Scope.ASK)


async def test_a_principal_has_the_bounds_of_its_key_and_the_budgets_of_its_team(
    database: Database, keys: Keys
) -> None:
    team = await Teams(database).create("ops", budget_per_month=Micros(3))
    bounds = Bounds(
        team=team.id,
        tier="free",
        models=("openai/*", "chat"),
        endpoints=frozenset({"chat"}),
        budget_per_day=Micros(1),
        budget_per_month=Micros(2),
    )
    made = await keys.create("ci", [Scope.MODELS], bounds=bounds)
    principal = await keys.identify(made.secret)
    assert (principal.team, principal.tier) == (team.id, "free")
    assert (principal.models, principal.endpoints) == (("openai/*", "chat"), frozenset({"chat"}))
    assert set(principal.budgets) == {
        Budget("key", made.id, "day", Micros(1)),
        Budget("key", made.id, "month", Micros(2)),
        Budget("team", team.id, "month", Micros(3)),
    }
    (listed,) = await keys.list()
    assert listed.bounds == bounds


async def test_a_revoked_key_ends_at_once(keys: Keys) -> None:
    made = await keys.create("ci", [Scope.MODELS])
    await keys.revoke(made.prefix)
    with pytest.raises(NotSignedInError, match="revoked"):
        await keys.identify(made.secret)
    with pytest.raises(NotFoundError):
        await keys.revoke(made.prefix)


async def test_a_key_expires_by_the_clock(clock: FrozenClock, here: Process) -> None:
    made = await here.keys.create("ci", [Scope.MODELS], expires_at=clock.now() + timedelta(hours=1))
    await here.hears(made.id)
    await here.keys.identify(made.secret)
    clock.advance(3599)
    assert here.keys.remembered(made.secret)
    clock.advance(1)
    with pytest.raises(NotSignedInError, match="expired"):
        await here.keys.identify(made.secret)


@pytest.mark.parametrize("secret", ["cw-guess", "", GUESS, "cw-é", "\ud800"])
async def test_an_unknown_key_is_refused(keys: Keys, here: Process, secret: str) -> None:
    for asked in (keys, here.keys):
        with pytest.raises(NotSignedInError, match="unknown key"):
            await asked.identify(secret)


async def test_two_processes_that_start_at_once_make_one_first_key(keys: Keys) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keys.create_first()) for _ in range(4)]
    assert [task.result() is None for task in tasks].count(False) == 1


async def test_a_known_key_is_answered_from_memory(here: Process, statements: list[str]) -> None:
    made = await here.keys.create("ci", [Scope.MODELS])
    await here.hears(made.id)
    first = await here.keys.identify(made.secret)
    statements.clear()
    assert [await here.keys.identify(made.secret) for _ in range(50)] == [first] * 50
    assert statements == []


async def test_a_key_revoked_in_one_process_is_refused_in_the_other_when_the_notice_is_there(
    here: Process, there: Process
) -> None:
    made = await here.keys.create("ci", [Scope.MODELS])
    await there.hears(made.id)
    assert (await there.keys.identify(made.secret)).id == made.id
    assert there.keys.remembered(made.secret)
    await here.keys.revoke(made.id)
    with pytest.raises(NotSignedInError, match="revoked"):
        await here.keys.identify(made.secret)
    await there.hears(made.id)
    with pytest.raises(NotSignedInError, match="revoked"):
        await there.keys.identify(made.secret)


async def test_a_change_of_the_row_by_anybody_is_heard(database: Database, there: Process) -> None:
    made = await there.keys.create("ci", [Scope.MODELS])
    await there.hears(made.id)
    assert (await there.keys.identify(made.secret)).tier == "pro"
    async with database.begin() as connection:
        await connection.execute(update(api_keys).values(tier="free"))
    await there.hears(made.id)
    assert (await there.keys.identify(made.secret)).tier == "free"


async def test_a_teams_new_budget_reaches_its_keys_in_every_process(
    database: Database, here: Process, there: Process
) -> None:
    teams = Teams(database)
    team = await teams.create("ops")
    made = await here.keys.create("ci", [Scope.MODELS], bounds=Bounds(team=team.id))
    await there.hears(made.id)
    assert (await there.keys.identify(made.secret)).budgets == ()
    await teams.set_budget("ops", per_day=Micros(5), per_month=None)
    await there.hears(team.id)
    assert (await there.keys.identify(made.secret)).budgets == (Budget("team", team.id, "day", Micros(5)),)


async def test_nothing_is_remembered_while_notices_are_not_heard(
    here: Process, keys: Keys, statements: list[str]
) -> None:
    made = await keys.create("ci", [Scope.MODELS])
    for _ in range(3):
        statements.clear()
        await keys.identify(made.secret)
        assert len(statements) == 1
    assert keys.remembered(made.secret) is None


async def test_a_cut_connection_forgets_every_key(database: Database, here: Process, there: Process) -> None:
    made = await here.keys.create("ci", [Scope.MODELS])
    await there.hears(made.id)
    await there.keys.identify(made.secret)
    assert there.keys.remembered(made.secret)
    while not there.told.empty():
        there.told.get_nowait()
    async with database.begin() as connection:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'causeway notices'"
        await connection.execute(text(f"{end} AND datname = current_database()"))
    async with asyncio.timeout(20):
        assert await there.told.get() is None
    assert there.keys.remembered(made.secret) is None
    assert (await there.keys.identify(made.secret)).id == made.id


async def test_a_guess_is_looked_up_once_in_five_seconds_and_a_malformed_one_never(
    here: Process, clock: FrozenClock, statements: list[str]
) -> None:
    async def refused(secret: str) -> int:
        statements.clear()
        with pytest.raises(NotSignedInError, match="unknown key"):
            await here.keys.identify(secret)
        return len(statements)

    assert [await refused(GUESS) for _ in range(3)] == [1, 0, 0]
    clock.advance(5)
    assert await refused(GUESS) == 1
    assert await refused("cw-short") == 0


async def test_guesses_take_few_connections(here: Process, statements: list[str], database: Database) -> None:
    most = 0

    def count(*_arguments: object) -> None:
        nonlocal most
        most = max(most, database.engine.sync_engine.pool.checkedout())  # type: ignore[attr-defined]  # QueuePool

    event.listen(database.engine.sync_engine, "before_cursor_execute", count)

    async def guess(number: int) -> None:
        with pytest.raises(NotSignedInError):
            await here.keys.identify(f"cw-{number:043}")

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(guess(number))
    assert len(statements) == 100
    assert most == 4


async def test_a_rotated_key_keeps_its_old_secret_for_the_grace_period(
    here: Process, clock: FrozenClock
) -> None:
    made = await here.keys.create("ci", [Scope.MODELS])
    fresh = await here.keys.rotate(made.id, grace=timedelta(hours=1))
    assert {(await here.keys.identify(key.secret)).id for key in (made, fresh)} == {made.id}
    clock.advance(3600)
    with pytest.raises(NotSignedInError, match=f"replaced by the one that begins {fresh.prefix}"):
        await here.keys.identify(made.secret)
    assert (await here.keys.identify(fresh.secret)).id == made.id


async def test_a_key_rotated_without_grace_ends_its_old_secret_at_once(here: Process, there: Process) -> None:
    made = await here.keys.create("ci", [Scope.MODELS])
    await there.hears(made.id)
    await there.keys.identify(made.secret)
    fresh = await here.keys.rotate(made.id)
    await there.hears(made.id)
    for process in (here, there):
        with pytest.raises(NotSignedInError, match="unknown key"):
            await process.keys.identify(made.secret)
        assert (await process.keys.identify(fresh.secret)).id == made.id


async def test_an_update_changes_what_is_given_and_leaves_the_rest(here: Process) -> None:
    made = await here.keys.create("ci", [Scope.MODELS], bounds=Bounds(tier="free"))
    await here.keys.identify(made.secret)
    await here.keys.update(made.id, name="build")
    await here.keys.update(made.id, bounds=Bounds(budget_per_day=Micros(1)))
    principal = await here.keys.identify(made.secret)
    assert (principal.name, principal.tier, principal.scopes) == ("build", "pro", frozenset({Scope.MODELS}))
    assert principal.budgets == (Budget("key", made.id, "day", Micros(1)),)


async def test_wrong_bounds_are_refused(keys: Keys) -> None:
    with pytest.raises(InvalidInputError, match="no team 'team_x'"):
        await keys.create("ci", [Scope.MODELS], bounds=Bounds(team="team_x"))
    with pytest.raises(InvalidInputError, match="negative"):
        await keys.create("ci", [Scope.MODELS], bounds=Bounds(budget_per_day=Micros(-1)))
    assert await keys.list() == []


async def test_the_last_use_is_noted_in_the_end_and_once_a_minute_at_most(
    database: Database, clock: FrozenClock
) -> None:
    process = Process(database, clock)
    made = await process.keys.create("ci", [Scope.MODELS])
    async with process.notices.listening():
        await process.notices.live()
        for seconds, noted in ((0, 0), (59, 0), (1, 60)):
            clock.advance(seconds)
            start = clock.now() - timedelta(seconds=clock.monotonic())
            async with process.keys.running():
                await process.keys.identify(made.secret)
            (key,) = await process.keys.list()
            assert key.last_used_at == start + timedelta(seconds=noted)


async def test_every_change_of_a_key_is_in_the_audit_log_without_its_secret(
    database: Database, keys: Keys
) -> None:
    made = await keys.create("ci", [Scope.MODELS], by=ADMIN)
    fresh = await keys.rotate(made.id, by=ADMIN)
    await keys.update(made.id, bounds=Bounds(tier="free"), by=ADMIN)
    await keys.revoke(made.id, by=ADMIN)
    lines = await Audit(database).list(subject=made.id)
    assert [line.action for line in lines] == ["key.revoke", "key.update", "key.rotate", "key.create"]
    assert {line.principal_id for line in lines} == {"key_admin"}
    assert (lines[1].before["bounds"]["tier"], lines[1].after["bounds"]["tier"]) == ("pro", "free")
    assert lines[3].before is None
    assert not any(secret in str(lines) for secret in (made.secret, fresh.secret))
    (key,) = await keys.list()
    assert key.created_by == "key_admin"
