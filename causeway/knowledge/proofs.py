"""Whether what was learnt from feedback may be used: only with a proof that it does no harm, for as long as that holds.

An experiment (`causeway.evals.no_harm`) measures an improvement over a collection and keeps what it measured under which
conditions. The improvement can be switched on only when its newest experiment was accepted, and it is **off by itself**
once the conditions are other ones: docs/adr/0031. Being on is asked for at every search, so the answer is remembered for
half a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from causeway.contracts.clock import Clock
from causeway.settings import KnowledgeSettings
from causeway.storage.database import Database
from causeway.storage.feedback_schema import confirmed_answers, experiments, improvements
from causeway.storage.schema import collections, documents

Kind = Literal["retrieval-votes", "answer-examples"]
KINDS: Final[Mapping[Kind, str]] = {
    "retrieval-votes": "Confirmed answers move the passages that they cite",
    "answer-examples": "Confirmed answers are shown to the model as examples",
}
MOST_CHANGED: Final = 0.2
"""Share of the documents that may be new, changed or gone since the experiment began."""
LONGEST: Final = timedelta(days=90)
MOST_GROWTH: Final = 2.0
"""The confirmed answers may be this many times those of the experiment, and `FEW` more."""
FEW: Final = 20
_REMEMBERED_S: Final = 30.0
_SEARCH: Final = ("candidates", "vector_weight", "rerank", "rerank_candidates", "rerank_weight")
_ANSWER: Final = (*_SEARCH, "passages", "context_tokens", "check", "check_quotes", "refuse_below")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a proof holds for.

    Attributes:
        embedding_model: The collection's.
        documents: How many are searchable.
        confirmed: How many confirmed answers there are.
        settings: Those of `KnowledgeSettings` that the outcome depends on.
    """

    embedding_model: str
    documents: int
    confirmed: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an improvement of a collection stands.

    Attributes:
        experiment_id: The newest that was done; None when there was none.
        is_accepted: Whether that one lets it be switched on.
        void_because: Why its proof holds no longer, in a sentence; None while it does.
        is_switched_on: Somebody wants it to be on.
        switched_by: Who does.
    """

    collection_id: str
    collection: str
    kind: Kind
    experiment_id: str | None = None
    is_accepted: bool = False
    void_because: str | None = None
    is_switched_on: bool = False
    switched_by: str | None = None

    @property
    def may_be_on(self) -> bool:
        """Whether there is a proof, and it holds."""
        return self.is_accepted and self.void_because is None

    @property
    def is_on(self) -> bool:
        """Whether it has an effect."""
        return self.is_switched_on and self.may_be_on


class Proofs:
    """Reads the standing of every improvement."""

    def __init__(self, database: Database, settings: KnowledgeSettings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._on: dict[Kind, frozenset[str]] = {}
        self._read_at = float("-inf")

    async def conditions(self, collection_id: str, kind: Kind) -> Conditions:
        """Those of a collection now."""
        model = select(collections.c.embedding_model).where(collections.c.id == collection_id)
        held = select(func.count()).where(_is_searchable(collection_id))
        confirmed = select(func.count()).where(confirmed_answers.c.collection_id == collection_id)
        async with self._database.connect() as connection:
            return Conditions(
                embedding_model=await connection.scalar(model) or "",
                documents=await connection.scalar(held) or 0,
                confirmed=await connection.scalar(confirmed) or 0,
                settings={
                    name: getattr(self._settings, name)
                    for name in (_SEARCH if kind == "retrieval-votes" else _ANSWER)
                },
            )

    async def standings(self) -> list[Standing]:
        """Of every collection and kind, by the collection's name."""
        newest = (
            select(experiments)
            .where(experiments.c.state == "done")
            .ext(distinct_on(experiments.c.collection_id, experiments.c.kind))
            .order_by(experiments.c.collection_id, experiments.c.kind, experiments.c.created_at.desc())
        )
        async with self._database.connect() as connection:
            known = (
                await connection.execute(
                    select(collections.c.id, collections.c.name).order_by(collections.c.name)
                )
            ).all()
            done = {(row.collection_id, row.kind): row for row in await connection.execute(newest)}
            on = {
                (row.collection_id, row.kind): row for row in await connection.execute(select(improvements))
            }
        return [
            await self._standing(row.id, row.name, kind, done.get((row.id, kind)), on.get((row.id, kind)))
            for row in known
            for kind in KINDS
        ]

    async def on(self, kind: Kind) -> frozenset[str]:
        """The ids of the collections for which an improvement has an effect; up to half a minute old."""
        if self._clock.monotonic() - self._read_at > _REMEMBERED_S:
            self._read_at = self._clock.monotonic()
            async with self._database.connect() as connection:
                is_any = await connection.scalar(select(func.count()).select_from(improvements))
            found = await self.standings() if is_any else []
            self._on = {
                each: frozenset(one.collection_id for one in found if one.kind == each and one.is_on)
                for each in KINDS
            }
        return self._on.get(kind, frozenset())

    async def identity(self) -> Mapping[str, object]:
        """What answers depend on beside settings and documents: the improvements that have an effect, with their proofs."""
        on = [each for each in await self.standings() if each.is_on]
        return {f"learnt.{each.kind}.{each.collection}": each.experiment_id for each in on}

    def reread(self) -> None:
        """Have the next question be answered anew: something was switched."""
        self._read_at = float("-inf")

    async def _standing(
        self,
        collection_id: str,
        name: str,
        kind: Kind,
        experiment: Row[Any] | None,
        switch: Row[Any] | None,
    ) -> Standing:
        is_accepted = experiment is not None and bool(experiment.is_accepted)
        return Standing(
            collection_id=collection_id,
            collection=name,
            kind=kind,
            experiment_id=experiment.id if experiment is not None else None,
            is_accepted=is_accepted,
            void_because=await self._void(experiment) if experiment is not None and is_accepted else None,
            is_switched_on=switch is not None,
            switched_by=switch.switched_by if switch is not None else None,
        )

    async def _void(self, experiment: Row[Any]) -> str | None:
        then = Conditions(**experiment.conditions)
        now = await self.conditions(experiment.collection_id, experiment.kind)
        if self._clock.now() - experiment.created_at > LONGEST:
            return f"it is older than {LONGEST.days} days"
        if now.embedding_model != then.embedding_model:
            return f"the collection's embedding model was {then.embedding_model} and is {now.embedding_model}"
        other = sorted(name for name in now.settings if now.settings[name] != then.settings.get(name))
        if other:
            return f"the settings are other ones: {', '.join(f'knowledge.{name}' for name in other)}"
        share = await self._changed(experiment.collection_id, experiment.created_at, then.documents)
        if share > MOST_CHANGED:
            return f"{share:.0%} of the documents are new, changed or gone, more than {MOST_CHANGED:.0%}"
        if now.confirmed > MOST_GROWTH * then.confirmed + FEW:
            return f"there are {now.confirmed} confirmed answers, and it was measured with {then.confirmed}"
        return None

    async def _changed(self, collection_id: str, since: datetime, held: int) -> float:
        """The share of a collection's documents that are new, changed or gone since a moment at which it held so many."""
        counted = select(
            func.count().filter(documents.c.updated_at > since),
            func.count().filter(documents.c.created_at <= since),
        ).where(_is_searchable(collection_id))
        async with self._database.connect() as connection:
            changed, kept = (await connection.execute(counted)).one()
        return float(changed + max(0, held - kept)) / max(1, held)


def _is_searchable(collection_id: str) -> Any:
    return (documents.c.collection_id == collection_id) & documents.c.ready_revision.is_not(None)
