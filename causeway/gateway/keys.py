"""Keys: made once and shown once, kept as hashes, revoked at once in every process.

A key is ``cw-`` and 256 random bits, so a plain SHA-256 is a sufficient hash: there is nothing to guess that a slow
hash would protect.

Owns the keys' rows and what they allow. Who a secret belongs to is asked on every call and kept in memory by
`causeway.gateway.identities`.
"""

from __future__ import annotations

import builtins
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Select, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM, Operation, Principal, Scope
from causeway.contracts.money import Micros
from causeway.errors import InvalidInputError, NotFoundError
from causeway.gateway import audit
from causeway.gateway.identities import Identities, digest
from causeway.gateway.teams import check_budgets
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.storage.schema import api_keys, sessions, teams, users

_PREFIX_LENGTH = 9
_FIRST_KEY_LOCK = 7_310_561


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a key may use and spend beside its tier's limits.

    Attributes:
        team: The id of the team that pays too.
        tier: A name of the settings' ``tiers``; None takes ``gateway.default_tier`` when the key is made.
        models: Patterns (``openai/*``) of the only models it may use; empty leaves it to the tier.
        endpoints: The only operations it may use; empty allows all.
        budget_per_day: Its own, a UTC day; None is no limit, and so is ``budget_per_month``.
    """

    team: str | None = None
    tier: str | None = None
    models: tuple[str, ...] = ()
    endpoints: frozenset[Operation] = frozenset()
    budget_per_day: Micros | None = None
    budget_per_month: Micros | None = None


UNBOUNDED = Bounds()
"""Every model and endpoint, the default tier, no team and no budget of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as it can be shown: ``prefix`` and not the secret.

    Attributes:
        created_by: The id of the principal that made it.
        last_used_at: To the minute, and up to a minute late; None when it never was.
        rotates_at: Until then the secret of before the last rotation works too.
        user: The id of the person whose rights it has; None for a program's own, which reads every document.
    """

    id: str
    name: str
    prefix: str
    scopes: frozenset[Scope]
    bounds: Bounds
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    rotates_at: datetime | None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made; ``secret`` cannot be shown again."""

    id: str
    secret: str
    prefix: str


class Keys:
    """The keys of this Causeway.

    Args:
        database: Where they are kept.
        clock: Tells when a key has expired.
        notices: How other processes' changes are heard; while they are not, every call asks the database.
        default_tier: The tier of a key that is made without one.
    """

    def __init__(self, database: Database, clock: Clock, *, notices: Notices, default_tier: str) -> None:
        self._database = database
        self._clock = clock
        self._default_tier = default_tier
        self._identities = Identities(database, clock, notices)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Note when keys were used, until the block ends."""
        return self._identities.running()

    def remembered(self, secret: str) -> Principal | None:
        """Like ``identify``, from memory and without waiting; None when the database has to be asked."""
        return self._identities.remembered(secret)

    async def identify(self, secret: str) -> Principal:
        """Whose key this is.

        Raises:
            NotSignedInError: The key is unknown, expired or revoked.
            DatabaseUnavailableError: The key is not in memory and the database is out of reach.
        """
        return self._identities.remembered(secret) or await self._identities.identify(secret)

    async def create(
        self,
        name: str,
        scopes: Iterable[Scope],
        *,
        expires_at: datetime | None = None,
        bounds: Bounds = UNBOUNDED,
        user: str | None = None,
        by: Principal = SYSTEM,
    ) -> NewKey:
        """Make a key; with ``user``, a person's id, it never can do or see more than they.

        Raises:
            InvalidInputError: A budget is negative, or a team's or user's id unknown.
        """
        async with self._database.begin() as connection:
            return await self._insert(
                connection, name, scopes, expires_at=expires_at, bounds=bounds, user=user, by=by
            )

    async def create_first(self) -> NewKey | None:
        """The administrator's key of a new installation; None when there has been a key before."""
        async with self._database.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(_FIRST_KEY_LOCK)))
            if await connection.scalar(select(func.count()).select_from(api_keys)):
                return None
            scopes = [Scope.ADMIN]
            return await self._insert(
                connection, "admin", scopes, expires_at=None, bounds=UNBOUNDED, by=SYSTEM
            )

    async def list(self) -> list[Key]:
        """Every key, newest first."""
        query = select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
        async with self._database.connect() as connection:
            return [_key(row) for row in (await connection.execute(query)).mappings()]

    async def find(self, id_or_prefix: str) -> Key:
        """One key.

        Raises:
            NotFoundError: No key in force has this id or prefix.
            InvalidInputError: The prefix fits several keys.
        """
        async with self._database.connect() as connection:
            return await _find(connection, id_or_prefix)

    async def update(
        self,
        id_or_prefix: str,
        *,
        name: str | None = None,
        scopes: Iterable[Scope] | None = None,
        bounds: Bounds | None = None,
        by: Principal = SYSTEM,
    ) -> Key:
        """Change what is given and leave the rest; ``bounds`` replaces all of them. In force at once.

        Raises:
            NotFoundError: No key in force has this id or prefix.
            InvalidInputError: A budget is negative, a team's id unknown, or the prefix fits several keys.
        """
        async with self._changing(id_or_prefix) as (connection, before):
            after = replace(
                before,
                name=before.name if name is None else name,
                scopes=before.scopes if scopes is None else frozenset(scopes),
                bounds=before.bounds if bounds is None else self._in_a_tier(bounds),
            )
            await _check(connection, after.bounds)
            values = {"name": after.name, "scopes": sorted(after.scopes), **_bounds_row(after.bounds)}
            await connection.execute(update(api_keys).where(api_keys.c.id == before.id).values(values))
            await _record(connection, by, "key.update", before, after)
        self._identities.forget(before.id)
        return after

    async def rotate(
        self, id_or_prefix: str, *, grace: timedelta = timedelta(0), by: Principal = SYSTEM
    ) -> NewKey:
        """Give a key a new secret; what it allows and its id stay.

        Args:
            id_or_prefix: The key.
            grace: How long the present secret still works. Without any, as a leak calls for, the browser sessions
                that were opened with it end too.
            by: Who does it.

        Raises:
            NotFoundError: No key in force has this id or prefix.
            InvalidInputError: The prefix fits several keys.
        """
        secret = _new_secret()
        until = self._clock.now() + grace if grace > timedelta(0) else None
        async with self._changing(id_or_prefix) as (connection, before):
            after = replace(before, prefix=secret[:_PREFIX_LENGTH], rotates_at=until)
            values = {
                "secret_hash": digest(secret),
                "prefix": after.prefix,
                "previous_hash": api_keys.c.secret_hash if until else None,
                "previous_until": until,
            }
            await connection.execute(update(api_keys).where(api_keys.c.id == before.id).values(values))
            if until is None:
                await connection.execute(delete(sessions).where(sessions.c.key_id == before.id))
            await _record(connection, by, "key.rotate", before, after)
        self._identities.forget(before.id)
        return NewKey(id=before.id, secret=secret, prefix=after.prefix)

    async def revoke(self, id_or_prefix: str, *, by: Principal = SYSTEM) -> None:
        """End a key at once, its browser sessions with it.

        Raises:
            NotFoundError: No key in force has this id or prefix.
            InvalidInputError: The prefix fits several keys.
        """
        async with self._changing(id_or_prefix) as (connection, before):
            after = replace(before, revoked_at=self._clock.now())
            values = {"revoked_at": after.revoked_at}
            await connection.execute(update(api_keys).where(api_keys.c.id == before.id).values(values))
            await connection.execute(delete(sessions).where(sessions.c.key_id == before.id))
            await _record(connection, by, "key.revoke", before, after)
        self._identities.forget(before.id)

    async def _insert(
        self,
        connection: AsyncConnection,
        name: str,
        scopes: Iterable[Scope],
        *,
        expires_at: datetime | None,
        bounds: Bounds,
        by: Principal,
        user: str | None = None,
    ) -> NewKey:
        bounds = self._in_a_tier(bounds)
        await _check(connection, bounds)
        if user is not None and not await connection.scalar(select(exists().where(users.c.id == user))):
            raise InvalidInputError(f"there is no user '{user}'; make it with 'causeway users create'")
        secret = _new_secret()
        row = {
            "id": f"key_{uuid4().hex}",
            "name": name,
            "prefix": secret[:_PREFIX_LENGTH],
            "secret_hash": digest(secret),
            "scopes": sorted(scopes),
            "expires_at": expires_at,
            "created_by": by.id,
            "user_id": user,
            **_bounds_row(bounds),
        }
        stored = await connection.execute(insert(api_keys).values(row).returning(api_keys))
        key = _key(stored.mappings().one())
        await audit.record(connection, by, "key.create", key.id, after=asdict(key))
        return NewKey(id=key.id, secret=secret, prefix=key.prefix)

    def _in_a_tier(self, bounds: Bounds) -> Bounds:
        return bounds if bounds.tier is not None else replace(bounds, tier=self._default_tier)

    @asynccontextmanager
    async def _changing(self, id_or_prefix: str) -> AsyncIterator[tuple[AsyncConnection, Key]]:
        """A transaction that has the one key in force of this id or prefix for itself."""
        async with self._database.begin() as connection:
            yield connection, await _find(connection, id_or_prefix)


async def _find(connection: AsyncConnection, id_or_prefix: str) -> Key:
    is_it = (api_keys.c.id == id_or_prefix) | (api_keys.c.prefix == id_or_prefix.removesuffix("..."))
    query = select(api_keys).where(is_it, api_keys.c.revoked_at.is_(None)).with_for_update()
    rows = (await connection.execute(query)).mappings().all()
    if not rows:
        raise NotFoundError(f"no key in force is called '{id_or_prefix}'; 'causeway keys list' shows them")
    if len(rows) > 1:
        ids = ", ".join(sorted(row["id"] for row in rows))
        raise InvalidInputError(f"'{id_or_prefix}' is the prefix of several keys; name one by id: {ids}")
    return _key(rows[0])


async def _check(connection: AsyncConnection, bounds: Bounds) -> None:
    check_budgets(bounds.budget_per_day, bounds.budget_per_month)
    if bounds.team is not None and not await connection.scalar(_team_exists(bounds.team)):
        raise InvalidInputError(f"there is no team '{bounds.team}'; make it with 'causeway teams create'")


async def _record(connection: AsyncConnection, by: Principal, action: str, before: Key, after: Key) -> None:
    await audit.record(connection, by, action, before.id, before=asdict(before), after=asdict(after))


def _team_exists(team: str) -> Select[tuple[bool]]:
    return select(exists().where(teams.c.id == team))


def _new_secret() -> str:
    return f"cw-{secrets.token_urlsafe(32)}"


def _bounds_row(bounds: Bounds) -> dict[str, object]:
    return {
        "team_id": bounds.team,
        "tier": bounds.tier,
        "models": builtins.list(bounds.models),
        "endpoints": sorted(bounds.endpoints),
        "budget_day_micros": bounds.budget_per_day,
        "budget_month_micros": bounds.budget_per_month,
    }


def _key(row: Mapping[Any, Any]) -> Key:
    bounds = Bounds(
        team=row["team_id"],
        tier=row["tier"],
        models=tuple(row["models"]),
        endpoints=frozenset(row["endpoints"]),
        budget_per_day=row["budget_day_micros"],
        budget_per_month=row["budget_month_micros"],
    )
    return Key(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        bounds=bounds,
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        rotates_at=row["previous_until"],
        user=row["user_id"],
    )
