"""Who is asking, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from causeway.contracts.money import Micros
from causeway.errors import NotAllowedError

Operation = Literal["chat", "embeddings", "rerank", "images"]
"""A kind of model call."""

INTERNAL_TIER = "internal"
"""The tier of Causeway's own work; without limits unless the settings say otherwise."""


class Scope(StrEnum):
    """One thing a caller may do."""

    MODELS = "models"
    """Call models through ``/v1``."""
    ASK = "ask"
    """Search the knowledge base, ask it, and see its documents."""
    INGEST = "ingest"
    """Add and delete documents."""
    ADMIN = "admin"
    """Everything, keys and traces included."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Money that may be spent in each calendar day or month, UTC.

    Attributes:
        id: The key, team or tier whose spending counts.
        limit: Most that may be spent in one period.
    """

    scope: Literal["key", "team", "tier"]
    id: str
    period: Literal["day", "month"]
    limit: Micros


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that has been identified.

    Attributes:
        id: Stable; what ledgers and traces record.
        name: For people.
        scopes: What this caller may do; ``ADMIN`` includes every other scope.
        team: The team whose budget pays too, and whose members share a cache; None for a caller without one.
        tier: Which of the settings' ``tiers`` bounds this caller.
        models: Patterns (``openai/*``) of the only models this caller may use; empty leaves it to the tier.
        endpoints: The only operations this caller may use, such as ``chat``; empty allows all.
        budgets: What this caller's key and team may spend; the tier's budgets come from the settings.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    team: str | None = None
    tier: str = INTERNAL_TIER
    models: tuple[str, ...] = ()
    endpoints: frozenset[Operation] = frozenset()
    budgets: tuple[Budget, ...] = ()

    def may(self, scope: Scope) -> bool:
        """Whether this caller may do ``scope``."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Pass, or refuse.

        Raises:
            NotAllowedError: This caller lacks ``scope``.
        """
        if not self.may(scope):
            raise NotAllowedError(
                f"'{self.name}' may not do this: it needs the scope '{scope}'; ask an administrator for a key that has it"
            )


SYSTEM = Principal(id="system", name="Causeway", scopes=frozenset({Scope.ADMIN}))
"""Causeway's own background work, such as ingestion."""

COMMAND_LINE = Principal(id="command_line", name="command line", scopes=frozenset({Scope.ADMIN}))
"""Whoever may run ``causeway`` on the machine: what its commands change is recorded under this name."""
