from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from causeway.accounts.groups import Groups
from causeway.accounts.passwords import Passwords
from causeway.accounts.users import INVITED_FOR, Users, put_into_groups
from causeway.contracts.identity import Principal, Role, Scope
from causeway.errors import InvalidInputError, NotFoundError, NotSignedInError
from causeway.gateway.audit import Audit
from causeway.storage.database import Database
from causeway.storage.schema import users as table
from causeway.testing.clock import FrozenClock
from causeway.web.sessions import Sessions
from tests.accounts.people import PASSWORD

ADMIN = Principal(id="key_admin", name="admin", scopes=frozenset({Scope.ADMIN}))


async def test_an_account_begins_with_an_invitation_and_its_owner_chooses_the_password(users: Users) -> None:
    made = await users.create("Dana@Example.COM", name="Dana Reyes", role=Role.EDITOR)
    assert (made.user.email, made.user.has_password) == ("dana@example.com", False)
    with pytest.raises(NotSignedInError):
        await users.sign_in("dana@example.com", "")
    await users.accept(made.token, PASSWORD)
    known = await users.sign_in(" DANA@example.com", PASSWORD)
    assert (known.name, known.role, known.invited_until) == ("Dana Reyes", Role.EDITOR, None)


async def test_neither_password_nor_invitation_is_stored(users: Users, database: Database) -> None:
    made = await users.create("dana@example.com")
    async with database.connect() as connection:
        row = str((await connection.execute(select(table))).one())
    assert made.token not in row
    await users.accept(made.token, PASSWORD)
    async with database.connect() as connection:
        row = str((await connection.execute(select(table))).one())
    assert PASSWORD not in row


async def test_an_invitation_works_once(users: Users) -> None:
    made = await users.create("dana@example.com")
    await users.accept(made.token, PASSWORD)
    for again in (made.token, "", "made up"):
        with pytest.raises(NotSignedInError):
            await users.accept(again, "another long word here")


async def test_an_invitation_ends_after_a_week(users: Users, clock: FrozenClock) -> None:
    made = await users.create("dana@example.com")
    clock.advance(INVITED_FOR.total_seconds() - 1)
    assert (await users.invited(made.token)).email == "dana@example.com"
    clock.advance(1)
    with pytest.raises(NotSignedInError):
        await users.accept(made.token, PASSWORD)


async def test_a_bad_password_leaves_the_invitation_for_another_try(users: Users) -> None:
    made = await users.create("dana@example.com")
    with pytest.raises(InvalidInputError, match="12 to 256"):
        await users.accept(made.token, "short")
    assert (await users.accept(made.token, PASSWORD)).has_password


async def test_wrong_password_unknown_address_and_disabled_account_are_told_alike(users: Users) -> None:
    made = await users.create("dana@example.com")
    await users.accept(made.token, PASSWORD)
    told = set()
    for email, password in (("dana@example.com", "wrong"), ("nobody@example.com", PASSWORD), ("", "")):
        with pytest.raises(NotSignedInError) as refused:
            await users.sign_in(email, password)
        told.add(refused.value.message)
    await users.update(made.user.id, is_disabled=True)
    with pytest.raises(NotSignedInError) as refused:
        await users.sign_in("dana@example.com", PASSWORD)
    assert told == {refused.value.message}


async def test_a_reset_ends_password_and_sessions(
    users: Users, database: Database, clock: FrozenClock
) -> None:
    made = await users.create("dana@example.com")
    await users.accept(made.token, PASSWORD)
    sessions = Sessions(database, clock)
    token = await sessions.open_for(made.user.id)
    again = await users.invite("dana@example.com", by=ADMIN)
    with pytest.raises(NotSignedInError):
        await sessions.principal(token)
    with pytest.raises(NotSignedInError):
        await users.sign_in("dana@example.com", PASSWORD)
    await users.accept(again.token, "quite another long word")
    assert (await users.sign_in("dana@example.com", "quite another long word")).has_password


async def test_an_outdated_hash_is_made_anew_at_the_next_sign_in(
    users: Users, database: Database, clock: FrozenClock
) -> None:
    made = await users.create("dana@example.com")
    await users.accept(made.token, PASSWORD)
    await Users(database, clock, Passwords()).sign_in("dana@example.com", PASSWORD)
    async with database.connect() as connection:
        stored = await connection.scalar(select(table.c.password_hash))
    assert "m=65536" in str(stored)


async def test_two_accounts_never_share_an_address(users: Users) -> None:
    await users.create("dana@example.com")
    with pytest.raises(InvalidInputError, match=r"there is an account of 'dana@example\.com'"):
        await users.create("DANA@example.com")


@pytest.mark.parametrize(
    "written", ["", "dana", "@example.com", "dana@", "a b@example.com", "a@b@c", "a@b\x00c"]
)
async def test_what_is_no_address_gets_no_account(users: Users, written: str) -> None:
    with pytest.raises(InvalidInputError, match="no e-mail address"):
        await users.create(written)


async def test_groups_are_named_by_name_or_id_and_replaced_as_a_whole(users: Users, groups: Groups) -> None:
    hr, ops = await groups.create("HR"), await groups.create("Operations")
    made = await users.create("dana@example.com", groups=["HR"])
    assert made.user.groups == {hr.id: "HR"}
    changed = await users.update("dana@example.com", groups=[ops.id])
    assert changed.groups == {ops.id: "Operations"}
    with pytest.raises(NotFoundError, match="no group is called 'Sales'"):
        await users.update("dana@example.com", groups=["Sales"])
    assert [group.members for group in await groups.list()] == [0, 1]


async def test_a_claim_takes_back_what_was_claimed_and_never_what_was_given(
    users: Users, groups: Groups, database: Database
) -> None:
    for name in ("Given", "Claimed", "Claimed next"):
        await groups.create(name)
    user = (await users.create("dana@example.com", groups=["Given"])).user

    async def claim(*names: str) -> set[str]:
        async with database.begin() as connection:
            await put_into_groups(connection, user.id, names, is_claimed=True)
        return set((await users.find(user.id)).groups.values())

    assert await claim("Claimed") == {"Given", "Claimed"}
    assert await claim("Claimed next") == {"Given", "Claimed next"}
    assert await claim() == {"Given"}


async def test_nobody_locks_themselves_out(users: Users) -> None:
    user = (await users.create("ada@example.com", role=Role.ADMIN)).user
    me = Principal(id=user.id, name="Ada", scopes=Role.ADMIN.scopes, user=user.id)
    for change in ({"is_disabled": True}, {"role": Role.READER}):
        with pytest.raises(InvalidInputError, match="your own account"):
            await users.update(user.id, by=me, **change)
    with pytest.raises(InvalidInputError, match="your own account"):
        await users.delete(user.id, by=me)
    assert (await users.update(user.id, name="Ada L.", role=Role.ADMIN, by=me)).name == "Ada L."


async def test_every_change_is_in_the_audit_log_without_a_secret(users: Users, database: Database) -> None:
    made = await users.create("dana@example.com", by=ADMIN)
    await users.accept(made.token, PASSWORD)
    await users.update("dana@example.com", role=Role.EDITOR, by=ADMIN)
    again = await users.invite("dana@example.com", by=ADMIN)
    await users.delete("dana@example.com", by=ADMIN)
    lines = await Audit(database).list(subject=made.user.id)
    assert [(line.action, line.principal_id) for line in reversed(lines)] == [
        ("user.create", "key_admin"),
        ("user.password", made.user.id),
        ("user.update", "key_admin"),
        ("user.invite", "key_admin"),
        ("user.delete", "key_admin"),
    ]
    for secret in (made.token, again.token, PASSWORD, "argon2"):
        assert secret not in str(lines)


async def test_changing_the_password_needs_the_present_one_and_signs_other_browsers_out(
    users: Users, database: Database, clock: FrozenClock
) -> None:
    made = await users.create("dana@example.com")
    await users.accept(made.token, PASSWORD)
    sessions = Sessions(database, clock)
    token = await sessions.open_for(made.user.id)
    with pytest.raises(NotSignedInError, match="present password"):
        await users.change_password(made.user.id, "wrong", "quite another long word")
    await sessions.principal(token)
    await users.change_password(made.user.id, PASSWORD, "quite another long word")
    with pytest.raises(NotSignedInError):
        await sessions.principal(token)
    assert (await users.sign_in("dana@example.com", "quite another long word")).has_password


async def test_a_deleted_group_leaves_its_members(users: Users, groups: Groups) -> None:
    await groups.create("HR")
    await users.create("dana@example.com", groups=["HR"])
    await groups.delete("HR")
    assert (await users.find("dana@example.com")).groups == {}
    with pytest.raises(NotFoundError):
        await groups.delete("HR")


async def test_groups_have_different_names_that_people_can_read(groups: Groups) -> None:
    await groups.create(" Human   resources ")
    with pytest.raises(InvalidInputError, match="there is a group called 'Human resources'"):
        await groups.create("Human resources")
    for name in ("", "  ", "a\x07b", "x" * 121, "grp_1"):
        with pytest.raises(InvalidInputError, match="cannot name a group"):
            await groups.create(name)


async def test_sign_in_is_noted(users: Users, clock: FrozenClock) -> None:
    made = await users.create("dana@example.com")
    await users.accept(made.token, PASSWORD)
    clock.advance(timedelta(hours=5).total_seconds())
    assert (await users.sign_in("dana@example.com", PASSWORD)).signed_in_at == clock.now()
