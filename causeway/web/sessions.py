"""Browser sessions in PostgreSQL: a random token in a cookie, its hash in a table, whose it is beside it.

A session is a person's or, signed in with a key, the key's. It ends when it is closed, when nobody used it for a while
(`SignInSettings.idle_hours`), after its whole life (`SignInSettings.days`) whatever happens, or with its person or key:
disabling the one or revoking the other signs their browsers out at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.errors import NotSignedInError
from causeway.gateway.identities import digest, identity_query, person_of, person_query, principal_of
from causeway.settings import SignInSettings
from causeway.storage.database import Database
from causeway.storage.schema import api_keys, sessions, users

_SEEN_EVERY: Final = timedelta(minutes=5)
"""How late a session's last use may be noted; writing it on every request would cost a commit each."""
_OVER = "your session is over; sign in again"


class Sessions:
    """The sessions of this Causeway.

    Args:
        database: Where they are kept.
        clock: Tells when one is over.
        settings: How long they last.
        tier: Which tier bounds people who sign in without a key.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: SignInSettings | None = None,
        *,
        tier: str = "pro",
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings or SignInSettings()
        self._tier = tier

    async def open(self, key_id: str) -> str:
        """Begin a session for a key; returns the cookie's value, which is not stored."""
        return await self._open({"key_id": key_id})

    async def open_for(self, user_id: str) -> str:
        """The same for a person."""
        return await self._open({"user_id": user_id})

    async def principal(self, token: str) -> Principal:
        """Whose session this is.

        Raises:
            NotSignedInError: The session is unknown or over, or its key or person is.
        """
        now = self._clock.now()
        async with self._database.connect() as connection:
            row = await _found(connection, token)
            owner = await self._owner(connection, row, now) if row else None
        if row is None or owner is None or self._is_over(row, now):
            raise NotSignedInError(_OVER)
        if now - row["seen_at"] >= _SEEN_EVERY:
            async with self._database.begin() as connection:
                await connection.execute(
                    update(sessions).where(sessions.c.token_hash == row["token_hash"]).values(seen_at=now)
                )
        return owner

    async def close(self, token: str) -> None:
        """End a session; ending it twice does nothing."""
        async with self._database.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_hash == digest(token)))

    async def close_all(self, principal: Principal) -> int:
        """End every session of a person, those opened with their keys too, or of a key; how many there were."""
        theirs = sessions.c.key_id == principal.id
        if principal.user is not None:
            keys = select(api_keys.c.id).where(api_keys.c.user_id == principal.user)
            theirs = or_(sessions.c.user_id == principal.user, sessions.c.key_id.in_(keys))
        async with self._database.begin() as connection:
            return int((await connection.execute(delete(sessions).where(theirs))).rowcount)

    @property
    def lifetime(self) -> timedelta:
        """How long a session may last at most."""
        return timedelta(days=self._settings.days)

    async def _open(self, owner: Mapping[str, str]) -> str:
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        row = {"token_hash": digest(token), "created_at": now, "seen_at": now, **owner}
        async with self._database.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
            await connection.execute(insert(sessions).values(**row, expires_at=now + self.lifetime))
        return token

    def _is_over(self, row: Mapping[Any, Any], now: datetime) -> bool:
        idle = timedelta(hours=self._settings.idle_hours)
        return bool(row["expires_at"] <= now or row["seen_at"] + idle <= now)

    async def _owner(
        self, connection: AsyncConnection, row: Mapping[Any, Any], now: datetime
    ) -> Principal | None:
        if row["user_id"] is not None:
            return await self._person(connection, row["user_id"])
        query = (
            identity_query()
            .where(api_keys.c.id == row["key_id"], api_keys.c.revoked_at.is_(None))
            .where(api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > now))
            .where(users.c.disabled_at.is_(None))
        )
        key = (await connection.execute(query)).mappings().one_or_none()
        return principal_of(key) if key else None

    async def _person(self, connection: AsyncConnection, user_id: str) -> Principal | None:
        query = person_query().where(users.c.id == user_id)
        row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else person_of(row, tier=self._tier)


async def _found(connection: AsyncConnection, token: str) -> Mapping[Any, Any] | None:
    query = select(sessions).where(sessions.c.token_hash == digest(token))
    return (await connection.execute(query)).mappings().one_or_none()
