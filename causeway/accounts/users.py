"""Users: people with an account of their own, their role and groups.

An account is made with an invitation: a token, shown once and kept as a hash, with which its owner sets a password.
A reset is a new invitation, and takes password and sessions away. Whoever comes through the OpenID provider needs neither
(`causeway.accounts.single_sign_on`).

Owns the rows. Passwords are checked by `Passwords`, sessions are the web's.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Select, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.accounts import groups as all_groups
from causeway.accounts.passwords import Passwords
from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM, Principal, Role
from causeway.errors import InvalidInputError, NotFoundError, NotSignedInError
from causeway.gateway import audit
from causeway.gateway.identities import digest, person_of, person_query
from causeway.storage.database import Database
from causeway.storage.schema import group_members, groups, sessions, users

INVITED_FOR: Final = timedelta(days=7)
_EMAIL = re.compile(r"[^@\s<>\"',;:]{1,64}@[^@\s<>\"',;:]{1,189}")
_LONGEST_NAME = 120
_WRONG = "the e-mail address or the password is wrong"
_NO_INVITATION = "this invitation is used up, expired or wrong; ask an administrator for another"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account.

    Attributes:
        groups: Names by id.
        has_password: Whether they can sign in with one.
        invited_until: Until then an invitation waits to be used.
        issuer: The OpenID provider that knows them; None for a local account.
    """

    id: str
    email: str
    name: str
    role: Role
    groups: Mapping[str, str]
    has_password: bool
    invited_until: datetime | None
    issuer: str | None
    disabled_at: datetime | None
    signed_in_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A token that lets its bearer set the password of ``user``; it cannot be shown again."""

    user: User
    token: str


class Users:
    """The accounts of this Causeway."""

    def __init__(self, database: Database, clock: Clock, passwords: Passwords | None = None) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords or Passwords()

    # --- administration ------------------------------------------------------------------------------

    async def create(
        self,
        email: str,
        *,
        name: str = "",
        role: Role = Role.READER,
        groups: Iterable[str] = (),
        by: Principal = SYSTEM,
    ) -> Invitation:
        """Make an account with an invitation.

        Args:
            email: What its owner signs in with; any case.
            name: Of the person; without one the address is shown.
            role: What they may do.
            groups: Ids or names.
            by: Who does it.

        Raises:
            InvalidInputError: The address or name cannot be used, or there is an account of this address.
            NotFoundError: There is no such group.
        """
        address = email_of(email)
        token = secrets.token_urlsafe(32)
        row = {
            "id": f"usr_{uuid4().hex}",
            "email": address,
            "name": _named(name) or address,
            "role": role,
            "invitation_hash": digest(token),
            "invited_until": self._clock.now() + INVITED_FOR,
        }
        try:
            async with self._database.begin() as connection:
                await connection.execute(insert(users).values(row))
                await put_into_groups(connection, str(row["id"]), groups)
                user = await _one(connection, users.c.id == row["id"])
                await audit.record(connection, by, "user.create", user.id, after=_told(user))
        except IntegrityError as exc:
            raise InvalidInputError(f"there is an account of '{address}'; change that one") from exc
        return Invitation(user=user, token=token)

    async def list(self) -> list[User]:
        """Every account, by address."""
        async with self._database.connect() as connection:
            return await _all(connection, select(users).order_by(users.c.email))

    async def exist(self) -> bool:
        """Whether anybody has an account."""
        async with self._database.connect() as connection:
            return bool(await connection.scalar(select(exists().select_from(users))))

    async def find(self, id_or_email: str) -> User:
        """One account.

        Raises:
            NotFoundError: There is none.
        """
        async with self._database.connect() as connection:
            return await _one(connection, _is(id_or_email), told=id_or_email)

    async def principal(self, id_or_email: str, *, tier: str) -> Principal:
        """Somebody as a caller: for doors that act for a person without their session or key.

        Raises:
            NotFoundError: There is no such account, or it is disabled.
        """
        async with self._database.connect() as connection:
            found = await connection.execute(person_query().where(_is(id_or_email)))
            row = found.mappings().one_or_none()
        if row is None:
            raise _no_user(id_or_email)
        return person_of(row, tier=tier)

    async def update(
        self,
        id_or_email: str,
        *,
        name: str | None = None,
        role: Role | None = None,
        groups: Iterable[str] | None = None,
        is_disabled: bool | None = None,
        by: Principal = SYSTEM,
    ) -> User:
        """Change what is given and leave the rest, in force at once; ``groups`` replaces all of them.

        Raises:
            NotFoundError: There is no such account or group.
            InvalidInputError: The name cannot be used, or somebody would lock themselves out.
        """
        async with self._database.begin() as connection:
            before = await _locked(connection, id_or_email)
            if before.id == by.user and (is_disabled or role not in (None, before.role)):
                msg = "this is your own account; have another administrator disable it or change its role"
                raise InvalidInputError(msg)
            changed: dict[str, Any] = {}
            if name is not None:
                changed["name"] = _named(name) or before.email
            if role is not None:
                changed["role"] = role
            if is_disabled is not None:
                changed["disabled_at"] = (before.disabled_at or self._clock.now()) if is_disabled else None
            if changed:
                await connection.execute(update(users).where(users.c.id == before.id).values(changed))
            if groups is not None:
                await put_into_groups(connection, before.id, groups)
            if is_disabled:
                await connection.execute(delete(sessions).where(sessions.c.user_id == before.id))
            after = await _one(connection, users.c.id == before.id)
            await audit.record(
                connection, by, "user.update", before.id, before=_told(before), after=_told(after)
            )
        return after

    async def invite(self, id_or_email: str, *, by: Principal = SYSTEM) -> Invitation:
        """Give an account a new invitation, as for a forgotten password: its password and sessions end at once.

        Raises:
            NotFoundError: There is no such account.
        """
        token = secrets.token_urlsafe(32)
        changed = {
            "invitation_hash": digest(token),
            "invited_until": self._clock.now() + INVITED_FOR,
            "password_hash": None,
        }
        async with self._database.begin() as connection:
            before = await _locked(connection, id_or_email)
            await connection.execute(update(users).where(users.c.id == before.id).values(changed))
            await connection.execute(delete(sessions).where(sessions.c.user_id == before.id))
            user = await _one(connection, users.c.id == before.id)
            await audit.record(
                connection, by, "user.invite", user.id, after={"invited_until": user.invited_until}
            )
        return Invitation(user=user, token=token)

    async def delete(self, id_or_email: str, *, by: Principal = SYSTEM) -> None:
        """Take an account away, its keys and sessions with it.

        Raises:
            NotFoundError: There is no such account.
            InvalidInputError: It is the caller's own.
        """
        async with self._database.begin() as connection:
            before = await _locked(connection, id_or_email)
            if before.id == by.user:
                msg = "this is your own account; have another administrator delete it"
                raise InvalidInputError(msg)
            await connection.execute(delete(users).where(users.c.id == before.id))
            await audit.record(connection, by, "user.delete", before.id, before=_told(before))

    # --- signing in ----------------------------------------------------------------------------------

    async def sign_in(self, email: str, password: str) -> User:
        """Whose address and password these are.

        Raises:
            NotSignedInError: They are nobody's, or the account is disabled; the message does not tell which.
            BusyError: Very many people are signing in.
        """
        address = email.strip().casefold()
        query = select(users).where(users.c.email == address, users.c.disabled_at.is_(None))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        hashed = row["password_hash"] if row else None
        if not await self._passwords.is_right(password, hashed) or row is None or hashed is None:
            raise NotSignedInError(_WRONG)
        changed: dict[str, Any] = {"signed_in_at": self._clock.now()}
        if self._passwords.is_outdated(hashed):
            changed["password_hash"] = await self._passwords.hash(password, email=address)
        async with self._database.begin() as connection:
            # only while the password is the one that was checked: a reset may have come between
            same = update(users).where(users.c.id == row["id"], users.c.password_hash == hashed)
            if not (await connection.execute(same.values(changed))).rowcount:
                raise NotSignedInError(_WRONG)
            return await _one(connection, users.c.id == row["id"])

    async def invited(self, token: str) -> User:
        """Whom an invitation is for.

        Raises:
            NotSignedInError: It is used up, expired or wrong, or its account is disabled.
        """
        async with self._database.connect() as connection:
            return await self._invited(connection, token)

    async def accept(self, token: str, password: str) -> User:
        """Set the password of whoever was invited; the invitation is used up.

        Raises:
            NotSignedInError: The invitation is used up, expired or wrong.
            InvalidInputError: The password may not be chosen.
        """
        invited = await self.invited(token)
        hashed = await self._passwords.hash(password, email=invited.email)
        changed = {"password_hash": hashed, "invitation_hash": None, "invited_until": None}
        async with self._database.begin() as connection:
            await self._invited(connection, token, locked=True)
            now = self._clock.now()
            await connection.execute(
                update(users).where(users.c.id == invited.id).values(**changed, signed_in_at=now)
            )
            user = await _one(connection, users.c.id == invited.id)
            await audit.record(connection, _as_principal(user), "user.password", user.id)
        return user

    async def change_password(self, user_id: str, present: str, wanted: str) -> None:
        """Replace a password by its owner's will; their sessions all end, so open a new one.

        Raises:
            NotSignedInError: ``present`` is not the password.
            InvalidInputError: The new one may not be chosen.
        """
        async with self._database.connect() as connection:
            row = (await connection.execute(select(users).where(users.c.id == user_id))).mappings().one()
        if not await self._passwords.is_right(present, row["password_hash"]):
            msg = "the present password is wrong"
            raise NotSignedInError(msg)
        hashed = await self._passwords.hash(wanted, email=row["email"])
        async with self._database.begin() as connection:
            await connection.execute(update(users).where(users.c.id == user_id).values(password_hash=hashed))
            await connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
            user = await _one(connection, users.c.id == user_id)
            await audit.record(connection, _as_principal(user), "user.password", user_id)

    async def _invited(self, connection: AsyncConnection, token: str, *, locked: bool = False) -> User:
        query = select(users).where(
            users.c.invitation_hash == digest(token),
            users.c.invited_until > self._clock.now(),
            users.c.disabled_at.is_(None),
        )
        found = await _all(connection, query.with_for_update() if locked else query)
        if not found:
            raise NotSignedInError(_NO_INVITATION)
        return found[0]


def email_of(written: str) -> str:
    """An address as it is kept: lower case, one spelling.

    Raises:
        InvalidInputError: It is none.
    """
    address = unicodedata.normalize("NFKC", written).strip().casefold()
    if not _EMAIL.fullmatch(address) or not address.isprintable():
        raise InvalidInputError(f"'{written[:100]}' is no e-mail address; write it like dana@example.com")
    return address


async def put_into_groups(
    connection: AsyncConnection, user_id: str, ids_or_names: Iterable[str], *, is_claimed: bool = False
) -> None:
    """Make these the groups that a user is in, of those that administrators give or that a provider claims.

    A claim takes away what was claimed before and is no longer, and never what an administrator gave; an administrator's
    choice replaces everything.

    Raises:
        NotFoundError: There is no such group.
    """
    wanted = await all_groups.ids_of(connection, ids_or_names)
    gone = delete(group_members).where(group_members.c.user_id == user_id)
    gone = gone.where(group_members.c.group_id.not_in(wanted))
    if is_claimed:
        gone = gone.where(group_members.c.is_claimed)
    await connection.execute(gone)
    held = select(group_members.c.group_id).where(group_members.c.user_id == user_id)
    missing = [each for each in wanted if each not in set((await connection.scalars(held)).all())]
    if missing:
        rows = [{"group_id": each, "user_id": user_id, "is_claimed": is_claimed} for each in missing]
        await connection.execute(insert(group_members), rows)


async def _locked(connection: AsyncConnection, id_or_email: str) -> User:
    found = await _all(connection, select(users).where(_is(id_or_email)).with_for_update())
    if not found:
        raise _no_user(id_or_email)
    return found[0]


async def _one(connection: AsyncConnection, which: Any, *, told: str = "") -> User:
    found = await _all(connection, select(users).where(which))
    if not found:
        raise _no_user(told)
    return found[0]


async def _all(connection: AsyncConnection, query: Select[Any]) -> list[User]:
    rows: Sequence[Mapping[Any, Any]] = (await connection.execute(query)).mappings().all()
    memberships = (
        select(group_members.c.user_id, groups.c.id, groups.c.name)
        .join(groups)
        .where(group_members.c.user_id == func.any([row["id"] for row in rows]))
        .order_by(groups.c.name)
    )
    theirs: dict[str, dict[str, str]] = {}
    for member in await connection.execute(memberships) if rows else ():
        theirs.setdefault(member.user_id, {})[member.id] = member.name
    return [_user(row, theirs.get(row["id"], {})) for row in rows]


def _is(id_or_email: str) -> Any:
    return (users.c.id == id_or_email) | (users.c.email == id_or_email.strip().casefold())


def _user(row: Mapping[Any, Any], theirs: Mapping[str, str]) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        role=Role(row["role"]),
        groups=theirs,
        has_password=row["password_hash"] is not None,
        invited_until=row["invited_until"],
        issuer=row["issuer"],
        disabled_at=row["disabled_at"],
        signed_in_at=row["signed_in_at"],
        created_at=row["created_at"],
    )


def _told(user: User) -> dict[str, object]:
    """What the audit log says of an account."""
    return {
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "groups": sorted(user.groups.values()),
        "disabled_at": user.disabled_at,
        "issuer": user.issuer,
    }


def _as_principal(user: User) -> Principal:
    return Principal(id=user.id, name=user.name, scopes=user.role.scopes, user=user.id)


def _named(name: str) -> str:
    called = " ".join(name.split())
    if len(called) > _LONGEST_NAME or not (called.isprintable() or not called):
        raise InvalidInputError(
            f"{name[:_LONGEST_NAME]!r} cannot be a name: use at most {_LONGEST_NAME} printable characters"
        )
    return called


def _no_user(told: str) -> NotFoundError:
    return NotFoundError(f"no account is of '{told[:100]}'; 'causeway users list' shows them")
