"""Who a secret belongs to: asked on every call, answered from memory.

A principal is remembered under its secret's SHA-256 until its key or team changes, which `Notices` tells from whatever
process the change was made in; while notices are not heard nothing is remembered and every call asks the database, so
a revoked key never works longer than its notice takes. Expiry is the clock's matter on every call.

Guessing is cheap to refuse: what cannot be a key is refused unread, what was refused just now is refused from memory,
and the rest shares a few database connections, so that guesses never take those of the work.

``bench/results/accounting.md`` has what a remembered call takes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

from sqlalchemy import ScalarSelect, Select, bindparam, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Budget, Principal, Role, Scope, viewer_names
from causeway.errors import BusyError, CausewayError, DeadlineError, NotSignedInError
from causeway.storage.background import alongside
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.storage.schema import api_keys, group_members, teams, users

log = logging.getLogger(__name__)

_FORM = re.compile(r"cw-[A-Za-z0-9_-]{43}")
_MOST_KNOWN = 10_000
_MOST_REFUSED = 4_096
_REFUSED_FOR_S = 5.0
_MOST_ASKING = 4
"""Connections of the pool that identifying may use at a time."""
_MOST_WAITING = 1_000
_ASK_DEADLINE_S = 10.0
_NOTE_EVERY = timedelta(minutes=1)


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return _hashed(secret).hex()


def _hashed(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()  # a cookie or form may hold anything


def identity_query() -> Select[tuple[Any, ...]]:
    """The rows that ``principal_of`` reads: keys with their teams' budgets and owners; callers add the condition."""
    return (
        select(
            api_keys,
            teams.c.budget_day_micros.label("team_day_micros"),
            teams.c.budget_month_micros.label("team_month_micros"),
            users.c.role.label("user_role"),
            users.c.disabled_at.label("user_disabled_at"),
            groups_of_user().label("user_groups"),
        )
        .outerjoin(teams, teams.c.id == api_keys.c.team_id)
        .outerjoin(users, users.c.id == api_keys.c.user_id)
    )


def groups_of_user() -> ScalarSelect[Any]:
    """The ids of the groups that the row's user is in, as an array; null when there are none."""
    members = select(func.array_agg(group_members.c.group_id)).where(group_members.c.user_id == users.c.id)
    return members.correlate(users).scalar_subquery()


def principal_of(row: Mapping[Any, Any]) -> Principal:
    """The principal of a row of ``identity_query``."""
    key, team, user = row["id"], row["team_id"], row["user_id"]
    budgets = (
        _budget("key", key, "day", row["budget_day_micros"]),
        _budget("key", key, "month", row["budget_month_micros"]),
        _budget("team", team, "day", row["team_day_micros"]),
        _budget("team", team, "month", row["team_month_micros"]),
    )
    scopes = frozenset(Scope(scope) for scope in row["scopes"])
    role = None if user is None else Role(row["user_role"])
    is_bounded = role not in (None, Role.ADMIN)
    return Principal(
        id=key,
        name=row["name"],
        scopes=scopes if role is None else role.bounded(scopes),
        team=team,
        tier=row["tier"],
        models=tuple(row["models"]),
        endpoints=frozenset(row["endpoints"]),
        budgets=tuple(budget for budget in budgets if budget is not None),
        user=user,
        sees_as=viewer_names(user, row["user_groups"] or ()) if is_bounded else None,
    )


def person_query() -> Select[tuple[Any, ...]]:
    """The rows that ``person_of`` reads: people who may sign in; callers add the condition."""
    groups = groups_of_user().label("user_groups")
    return select(users.c.id, users.c.name, users.c.role, groups).where(users.c.disabled_at.is_(None))


def person_of(row: Mapping[Any, Any], *, tier: str) -> Principal:
    """The principal of a row of ``person_query``, who calls without a key and is bounded by ``tier``."""
    role = Role(row["role"])
    return Principal(
        id=row["id"],
        name=row["name"],
        scopes=role.scopes,
        tier=tier,
        user=row["id"],
        sees_as=None if role is Role.ADMIN else viewer_names(row["id"], row["user_groups"] or ()),
    )


class _Known:
    """A secret's principal, until when it holds, and from when its use is to be noted again."""

    __slots__ = ("ends_at", "note_at", "principal")

    def __init__(self, principal: Principal, ends_at: datetime | None, note_at: datetime) -> None:
        self.principal = principal
        self.ends_at = ends_at
        self.note_at = note_at


class Identities:
    """The principals in use; made and held by `Keys`."""

    def __init__(self, database: Database, clock: Clock, notices: Notices) -> None:
        self._database = database
        self._clock = clock
        self._notices = notices
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._changes = 0
        self._asking = asyncio.Semaphore(_MOST_ASKING)
        self._waiting = 0
        self._used: dict[str, datetime] = {}
        notices.follow("api_keys", self.forget)
        notices.follow("teams", self.forget)
        notices.follow("users", self.forget)
        notices.follow("group_members", self.forget)

    def remembered(self, secret: str) -> Principal | None:
        """Whose key this is, from memory; None when the database has to be asked."""
        if not self._notices.is_live:
            return None
        hashed = _hashed(secret)
        known = self._known.get(hashed)
        if known is None:
            return None
        now = self._clock.now()
        if known.ends_at is not None and now >= known.ends_at:
            return None
        if now >= known.note_at:
            known.note_at = now + _NOTE_EVERY
            self._note(known.principal.id, now)
        self._known.move_to_end(hashed)
        return known.principal

    async def identify(self, secret: str) -> Principal:
        """Whose key this is, from the database.

        Raises:
            NotSignedInError: The key is unknown, expired or revoked.
            BusyError: Very many calls with keys that are not in memory wait already.
            DeadlineError: The database does not answer.
        """
        if _FORM.fullmatch(secret) is None:
            raise NotSignedInError(_UNKNOWN)
        hashed = _hashed(secret)
        if self._waiting >= _MOST_WAITING:
            msg = "too many keys are being looked up; try again in a second"
            raise BusyError(msg)
        self._waiting += 1
        try:
            async with self._asking:
                self._refuse_again(hashed)
                return self.remembered(secret) or await self._ask(hashed)
        finally:
            self._waiting -= 1

    def forget(self, changed: str | None) -> None:
        """A key, team or user has changed, so ask for it anew; None forgets everything."""
        self._changes += 1
        self._refused.clear()
        if changed is None:
            self._known.clear()
            return
        stale = [
            hashed
            for hashed, known in self._known.items()
            if changed in (known.principal.id, known.principal.team, known.principal.user)
        ]
        for hashed in stale:
            del self._known[hashed]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write down once a minute, and in the end, when keys were last used."""
        try:
            async with alongside(self._keep_noting()):
                yield
        finally:
            await self._write_use()

    def _refuse_again(self, hashed: bytes) -> None:
        until, reason = self._refused.get(hashed, (0.0, ""))
        if self._clock.monotonic() < until:
            raise NotSignedInError(reason)

    async def _ask(self, hashed: bytes) -> Principal:
        changes, hex_digest = self._changes, hashed.hex()
        is_secret = (api_keys.c.secret_hash == hex_digest) | (api_keys.c.previous_hash == hex_digest)
        try:
            async with asyncio.timeout(_ASK_DEADLINE_S), self._database.connect() as connection:
                row = (await connection.execute(identity_query().where(is_secret))).mappings().one_or_none()
        except TimeoutError as exc:
            raise DeadlineError(
                f"the database did not tell within {_ASK_DEADLINE_S:g} s whose key this is; try again later"
            ) from exc
        now = self._clock.now()
        # what was read before a change must not be remembered after it
        may_remember = self._notices.is_live and changes == self._changes
        reason = _reason_to_refuse(row, hex_digest, now)
        if row is None or reason:
            if may_remember:
                self._refused[hashed] = (self._clock.monotonic() + _REFUSED_FOR_S, reason)
                _cut(self._refused, _MOST_REFUSED)
            raise NotSignedInError(reason)
        principal = principal_of(row)
        self._note(principal.id, now)
        if may_remember:
            self._known[hashed] = _Known(principal, _ends_at(row, hex_digest), now + _NOTE_EVERY)
            _cut(self._known, _MOST_KNOWN)
        return principal

    def _note(self, key: str, now: datetime) -> None:
        if key in self._used or len(self._used) < _MOST_KNOWN:
            self._used[key] = now

    async def _keep_noting(self) -> None:
        while True:
            await asyncio.sleep(_NOTE_EVERY.total_seconds())
            await self._write_use()

    async def _write_use(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        # always in the same order: two processes that note the same keys must not wait for each other
        rows = [{"key": key, "used_at": used[key]} for key in sorted(used)]
        newest = func.greatest(api_keys.c.last_used_at, bindparam("used_at"))
        statement = update(api_keys).where(api_keys.c.id == bindparam("key")).values(last_used_at=newest)
        try:
            async with self._database.begin() as connection:
                await connection.execute(statement, rows)
        except (CausewayError, SQLAlchemyError) as exc:
            log.warning("the last use of keys was not noted", extra={"reason": type(exc).__name__})


_UNKNOWN = "unknown key; use one made by 'causeway keys create'"


def _reason_to_refuse(row: Mapping[Any, Any] | None, hex_digest: str, now: datetime) -> str:
    """Why the secret of a row no longer works, or never did; empty when it does."""
    if row is None:
        return _UNKNOWN
    shown = f"key {row['prefix']}..."
    if row["revoked_at"] is not None:
        return f"{shown} was revoked; ask an administrator for another"
    if row["expires_at"] is not None and row["expires_at"] <= now:
        return f"{shown} has expired; ask an administrator for another"
    if row["user_disabled_at"] is not None:
        return f"the account that {shown} belongs to is disabled; ask an administrator"
    if row["secret_hash"] != hex_digest and row["previous_until"] <= now:
        return f"this secret was replaced by the one that begins {row['prefix']}; use that one"
    return ""


def _ends_at(row: Mapping[Any, Any], hex_digest: str) -> datetime | None:
    ends = [row["expires_at"], None if row["secret_hash"] == hex_digest else row["previous_until"]]
    return min((end for end in ends if end is not None), default=None)


def _budget(
    scope: Literal["key", "team"], owner: str, period: Literal["day", "month"], limit: Any
) -> Budget | None:
    return None if limit is None else Budget(scope, owner, period, limit)


def _cut(remembered: OrderedDict[bytes, Any], most: int) -> None:
    while len(remembered) > most:
        remembered.popitem(last=False)
