"""Who is asking, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable
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
    TRACES = "traces"
    """Send traces of other programs in."""
    ADMIN = "admin"
    """Everything, keys and traces included."""


class Role(StrEnum):
    """What a person may do here; which documents they may do it with is the access rules' matter."""

    ADMIN = "admin"
    """Everything, and sees every document."""
    EDITOR = "editor"
    """Asks, and adds and deletes documents."""
    READER = "reader"
    """Asks."""

    @property
    def scopes(self) -> frozenset[Scope]:
        """What a person of this role may do in a browser."""
        match self:
            case Role.ADMIN:
                return frozenset({Scope.ADMIN})
            case Role.EDITOR:
                return frozenset({Scope.ASK, Scope.INGEST})
            case Role.READER:
                return frozenset({Scope.ASK})

    def bounded(self, scopes: frozenset[Scope]) -> frozenset[Scope]:
        """Of a key's ``scopes`` those that a person of this role can have; calling models and sending traces is the key's own matter."""
        if self is Role.ADMIN:
            return scopes
        may = self.scopes | {Scope.MODELS, Scope.TRACES}
        return may if Scope.ADMIN in scopes else scopes & may


EVERYONE = "everyone"
"""The name in an access rule that means every person."""


def viewer_names(user_id: str, group_ids: Iterable[str]) -> frozenset[str]:
    """What access rules call a person: their own name, those of their groups, and `EVERYONE`."""
    return frozenset({EVERYONE, f"user:{user_id}", *(f"group:{group_id}" for group_id in group_ids)})


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
        user: The person who calls, or whose key it is; None for a program's own key and for Causeway itself.
        sees_as: What access rules call this caller (`viewer_names`); None sees every document: administrators,
            programs' own keys, Causeway itself.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    team: str | None = None
    tier: str = INTERNAL_TIER
    models: tuple[str, ...] = ()
    endpoints: frozenset[Operation] = frozenset()
    budgets: tuple[Budget, ...] = ()
    user: str | None = None
    sees_as: frozenset[str] | None = None

    @property
    def owner(self) -> str:
        """Whose traces and votes these are: the person's, whichever of their keys calls, or the key's."""
        return self.user or self.id

    def may(self, scope: Scope) -> bool:
        """Whether this caller may do ``scope``."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Pass, or refuse.

        Raises:
            NotAllowedError: This caller lacks ``scope``.
        """
        if scope not in self.scopes and not self.may(scope):
            raise NotAllowedError(
                f"'{self.name}' may not do this: it needs the scope '{scope}'; ask an administrator for a key that has it"
            )


SYSTEM = Principal(id="system", name="Causeway", scopes=frozenset({Scope.ADMIN}))
"""Causeway's own background work, such as ingestion."""

COMMAND_LINE = Principal(id="command_line", name="command line", scopes=frozenset({Scope.ADMIN}))
"""Whoever may run ``causeway`` on the machine: what its commands change is recorded under this name."""
