"""Keys: made once and shown once, kept as hashes, revoked at once.

A key is ``cw-`` and 256 random bits, so a plain SHA-256 is a sufficient hash: there is nothing to guess that a slow
hash would protect.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import func, insert, select, update

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal, Scope
from causeway.errors import NotFoundError, NotSignedInError
from causeway.storage.database import Database
from causeway.storage.schema import api_keys

_PREFIX_LENGTH = 9
_FIRST_KEY_LOCK = 7_310_561


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as it can be shown: ``prefix`` and not the secret."""

    id: str
    name: str
    prefix: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made; ``secret`` cannot be shown again."""

    id: str
    secret: str
    prefix: str


class Keys:
    """The keys of this Causeway."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self, name: str, scopes: Iterable[Scope], *, expires_at: datetime | None = None
    ) -> NewKey:
        """Make a key."""
        key, row = _new_key(name, scopes, expires_at)
        async with self._database.begin() as connection:
            await connection.execute(insert(api_keys).values(row))
        return key

    async def create_first(self) -> NewKey | None:
        """The administrator's key of a new installation; None when there has been a key before."""
        async with self._database.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(_FIRST_KEY_LOCK)))
            if await connection.scalar(select(func.count()).select_from(api_keys)):
                return None
            key, row = _new_key("admin", [Scope.ADMIN], None)
            await connection.execute(insert(api_keys).values(row))
            return key

    async def identify(self, secret: str) -> Principal:
        """Whose key this is.

        Raises:
            NotSignedInError: The key is unknown, expired or revoked.
        """
        query = select(api_keys).where(api_keys.c.secret_hash == digest(secret))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            msg = "unknown key; use one made by 'causeway keys create'"
            raise NotSignedInError(msg)
        if row["revoked_at"] is not None:
            raise NotSignedInError(f"key {row['prefix']}... was revoked; ask an administrator for another")
        if row["expires_at"] is not None and row["expires_at"] <= self._clock.now():
            raise NotSignedInError(f"key {row['prefix']}... has expired; ask an administrator for another")
        return Principal(
            id=row["id"], name=row["name"], scopes=frozenset(Scope(scope) for scope in row["scopes"])
        )

    async def list(self) -> list[Key]:
        """Every key, newest first."""
        query = select(api_keys).order_by(api_keys.c.created_at.desc())
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            Key(
                id=row["id"],
                name=row["name"],
                prefix=row["prefix"],
                scopes=frozenset(Scope(scope) for scope in row["scopes"]),
                created_at=row["created_at"],
                expires_at=row["expires_at"],
                revoked_at=row["revoked_at"],
            )
            for row in rows
        ]

    async def revoke(self, id_or_prefix: str) -> None:
        """End a key at once.

        Raises:
            NotFoundError: No key in force has this id or prefix.
        """
        matches = (api_keys.c.id == id_or_prefix) | (api_keys.c.prefix == id_or_prefix.removesuffix("..."))
        statement = (
            update(api_keys)
            .where(matches, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=self._clock.now())
        )
        async with self._database.begin() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFoundError(
                    f"no key in force is called '{id_or_prefix}'; 'causeway keys list' shows them"
                )


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _new_key(
    name: str, scopes: Iterable[Scope], expires_at: datetime | None
) -> tuple[NewKey, dict[str, object]]:
    secret = f"cw-{secrets.token_urlsafe(32)}"
    key = NewKey(id=f"key_{uuid4().hex}", secret=secret, prefix=secret[:_PREFIX_LENGTH])
    row: dict[str, object] = {
        "id": key.id,
        "name": name,
        "prefix": key.prefix,
        "secret_hash": digest(secret),
        "scopes": sorted(scopes),
        "expires_at": expires_at,
    }
    return key, row
