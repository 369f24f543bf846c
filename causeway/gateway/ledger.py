"""The ledger: one line for every model call, in exact micro-dollars, kept apart from traces."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import insert

from causeway.contracts.chat import Usage
from causeway.contracts.identity import Operation
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.storage.database import Database
from causeway.storage.schema import ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one call used; ``outcome`` is ``ok``, ``cancelled`` or an error's code."""

    operation: Operation
    model: str
    provider: str
    usage: Usage
    cost: Micros
    outcome: str
    trace_id: str


class Ledger:
    """Writes entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, entry: Entry, call: Call) -> None:
        """Keep ``entry``; it is safe on disk when this returns."""
        row = {
            "id": f"led_{uuid4().hex}",
            "principal_id": call.principal.id,
            "purpose": call.purpose,
            "operation": entry.operation,
            "model": entry.model,
            "provider": entry.provider,
            "prompt": call.prompt,
            "input_tokens": entry.usage.input_tokens,
            "output_tokens": entry.usage.output_tokens,
            "cost_micros": entry.cost,
            "outcome": entry.outcome,
            "trace_id": entry.trace_id,
        }
        async with self._database.begin() as connection:
            await connection.execute(insert(ledger).values(row))
