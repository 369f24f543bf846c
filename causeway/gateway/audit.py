"""The audit log: who changed which key, team or setting, from what to what. It is only ever added to.

A line is written in the transaction of its change, so neither exists without the other. Secrets never reach it: what
is a secret by its type or by its name is written as ``***``.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal
from causeway.storage.database import Database
from causeway.storage.schema import audit_log

_MASK = "***"
_SECRET_WORDS = frozenset({"key", "keys", "secret", "secrets", "hash", "password", "token", "authorization"})
"""A field is taken for a secret when its name ends with one of these words: ``api_key``, ``secret_hash``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One change; ``before`` is None for what was made, ``after`` for what was removed."""

    id: int
    at: datetime
    principal_id: str
    action: str
    subject: str
    before: Any
    after: Any


async def record(
    connection: AsyncConnection,
    by: Principal,
    action: str,
    subject: str,
    *,
    before: object = None,
    after: object = None,
) -> None:
    """Add a line in the transaction of ``connection``.

    Args:
        connection: The transaction that makes the change.
        by: Who made it.
        action: ``<what>.<verb>``, such as ``key.revoke``.
        subject: The id of what was changed.
        before: What can be shown of it as it was: mappings, sequences and plain values.
        after: The same as it is now.
    """
    line = {
        "principal_id": by.id,
        "action": action,
        "subject": subject,
        "before": _shown(before),
        "after": _shown(after),
    }
    await connection.execute(insert(audit_log).values(line))


class Audit:
    """Reads the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, *, subject: str | None = None, before_id: int | None = None, limit: int = 50
    ) -> list[Line]:
        """The newest lines, newest first; the last line's id as ``before_id`` gets the page after it."""
        query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
        if subject is not None:
            query = query.where(audit_log.c.subject == subject)
        if before_id is not None:
            query = query.where(audit_log.c.id < before_id)
        async with self._database.connect() as connection:
            return [Line(**row) for row in (await connection.execute(query)).mappings()]


def _shown(value: object) -> Any:
    """``value`` as JSON can hold it, without its secrets."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case SecretStr():
            return _MASK
        case Mapping():
            return {
                str(name): _MASK if inner and _names_secret(str(name)) else _shown(inner)
                for name, inner in value.items()
            }
        case Set():
            return sorted(_shown(inner) for inner in value)
        case list() | tuple():
            return [_shown(inner) for inner in value]
        case datetime():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case _:
            raise TypeError(f"the audit log holds no values of the type '{type(value).__name__}'")


def _names_secret(name: str) -> bool:
    return name.lower().replace("-", "_").rpartition("_")[2] in _SECRET_WORDS
