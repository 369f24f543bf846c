"""Who writes down a change, in its own transaction: what domains that know nothing of the audit log are handed."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal


class Recorder(Protocol):
    """Writes a line of the audit log in a change's transaction; `causeway.gateway.audit.record`."""

    async def __call__(
        self,
        connection: AsyncConnection,
        by: Principal,
        action: str,
        subject: str,
        *,
        before: object = None,
        after: object = None,
    ) -> None:
        """Add a line."""
        ...
