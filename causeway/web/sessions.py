"""Browser sessions in PostgreSQL: a random token in a cookie, its hash in a table, the key it was opened with beside it.

A session ends when it is closed, after 30 days, or with its key: revoking the key signs its browsers out at once.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, insert

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.errors import NotSignedInError
from causeway.gateway.identities import digest, identity_query, principal_of
from causeway.storage.database import Database
from causeway.storage.schema import api_keys, sessions

LIFETIME = timedelta(days=30)


class Sessions:
    """The sessions of this Causeway."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def open(self, key_id: str) -> str:
        """Begin a session for a key; returns the cookie's value, which is not stored."""
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        async with self._database.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
            await connection.execute(
                insert(sessions).values(
                    token_hash=digest(token), key_id=key_id, created_at=now, expires_at=now + LIFETIME
                )
            )
        return token

    async def principal(self, token: str) -> Principal:
        """Whose session this is.

        Raises:
            NotSignedInError: The session is unknown or over, or its key is.
        """
        now = self._clock.now()
        query = (
            identity_query()
            .join(sessions, sessions.c.key_id == api_keys.c.id)
            .where(sessions.c.token_hash == digest(token), sessions.c.expires_at > now)
            .where(api_keys.c.revoked_at.is_(None))
            .where(api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > now))
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            msg = "your session is over; sign in again"
            raise NotSignedInError(msg)
        return principal_of(row)

    async def close(self, token: str) -> None:
        """End a session; ending it twice does nothing."""
        async with self._database.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_hash == digest(token)))
