"""Top questions: what people ask, grouped by meaning, as it comes in and anew every hour.

A new question joins the nearest group or begins one; that is quick, but depends on the order. So every hour the newest
questions are grouped afresh by average linkage, and each new group takes over the id of the old one that it shares most
with, so that links and trends hold. Only masked text is kept, and embedded. A question goes when its trace does.
``bench/top_questions.py`` measures both ways on public sets of intents.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import uuid4

from sqlalchemy import bindparam, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.contracts.vectors import Vectors
from causeway.errors import CausewayError
from causeway.observability.average_linkage import groups_of
from causeway.observability.question_background import QUESTIONS
from causeway.observability.question_labels import frequencies, label_of
from causeway.seams import deferred
from causeway.storage.background import rest
from causeway.storage.database import Database
from causeway.storage.stats_schema import clustered_questions, question_clusters, rollup_progress
from causeway.storage.telemetry_schema import trace_summaries

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = deferred("numpy")

log = logging.getLogger(__name__)

Vector: TypeAlias = "npt.NDArray[np.float32]"
Embed = Callable[[Sequence[str]], Awaitable[Vectors]]
"""One unit vector for each text."""

_NAME: Final = "questions"
_EVERY_S: Final = 15.0
_ROUNDS_A_REGROUPING: Final = 240
_AT_ONCE: Final = 64
_LOOKED_BACK: Final = timedelta(hours=2)
"""Traces may be stored so much later than they began."""
_FIRST_LOOKED_BACK: Final = timedelta(days=30)
_REGROUPED: Final = 2_000
_DESCRIBED: Final = 200
_LONGEST: Final = 1_000
_LEFT_OUT: Final = ("evals", "top_questions")
"""Products whose questions nobody asked."""
JOINS_WITHIN: Final = 0.8
"""A new question joins within this share of the distance: it is measured from the middle, not on average."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a trace."""

    trace_id: str
    question: str
    at: datetime


@dataclass(slots=True)
class _Cluster:
    """A group while questions are put into it."""

    id: str
    total: Vector
    size: int
    stored_size: int = 0

    @property
    def is_new(self) -> bool:
        """Not stored yet."""
        return self.stored_size == 0

    @property
    def is_changed(self) -> bool:
        """Larger than it is stored."""
        return self.size > self.stored_size

    @property
    def has_doubled(self) -> bool:
        """New, or beyond a power of two that it was not beyond before: then its name may have become another."""
        return self.size.bit_length() > self.stored_size.bit_length()


class TopQuestions:
    """Groups questions of traces.

    Args:
        database: Where they are kept.
        embed: Makes vectors.
        space: Names the embedding model: groups of another are left alone, and forgotten with their traces.
        mask: Takes personal data out of a question.
        distance: The mean cosine distance within a group; the embedding model's matter.
        clock: Tells the time.
    """

    def __init__(
        self,
        database: Database,
        *,
        embed: Embed,
        space: str,
        mask: Callable[[str], str],
        distance: float,
        clock: Clock,
    ) -> None:
        self._database = database
        self._embed = embed
        self._space = space
        self._mask = mask
        self._distance = distance
        self._clock = clock
        self._background: Vectors | None = None
        self._has_row = False

    async def tend(self, *, stop: asyncio.Event) -> None:
        """Take in new questions every few seconds, group all anew every hour, until ``stop``."""
        rounds = 0
        while not stop.is_set():
            try:
                while await self.take_in() == _AT_ONCE and not stop.is_set():
                    pass
                rounds += 1
                if rounds % _ROUNDS_A_REGROUPING == 0:
                    await self.forget()
                    await self.regroup()
            except CausewayError as exc:
                log.warning("the top questions wait", extra={"reason": exc.message})
            await rest(stop, _EVERY_S)

    async def take_in(self) -> int:
        """Put the next new questions into groups; how many. Nothing while another process does."""
        async with self._database.begin() as connection:
            since = await self._turn(connection)
            if since is None:
                return 0
            new = await _new_questions(connection, since)
            if new:
                await self.add(connection, new)
                await self._advance(connection, max(each.at for each in new))
        return len(new)

    async def add(self, connection: AsyncConnection, new: Sequence[Asked]) -> None:
        """Put questions into the groups that they are nearest to."""
        masked = [self._mask(each.question) for each in new]
        vectors = await self._embed(masked)
        clusters = await self._clusters(connection)
        common = await self._common(clusters)
        joined = _joined(clusters, vectors, common, within=self._distance * JOINS_WITHIN)
        await self._store(connection, clusters, masked, new)
        rows = [
            {
                "trace_id": asked.trace_id,
                "cluster_id": cluster.id,
                "question": question,
                "vector": vector.tobytes(),
                "asked_at": asked.at,
            }
            for asked, question, vector, cluster in zip(new, masked, vectors, joined, strict=True)
        ]
        await connection.execute(insert(clustered_questions).on_conflict_do_nothing(), rows)
        await self._describe(connection, {each.id for each in clusters if each.has_doubled})

    async def regroup(self) -> int:
        """Group the newest questions afresh; how many groups they make."""
        async with self._database.begin() as connection:
            if await self._turn(connection) is None:
                return 0
            newest = (
                select(
                    clustered_questions.c.trace_id,
                    clustered_questions.c.cluster_id,
                    clustered_questions.c.vector,
                )
                .join(question_clusters, question_clusters.c.id == clustered_questions.c.cluster_id)
                .where(question_clusters.c.space == self._space)
                .order_by(clustered_questions.c.asked_at.desc(), clustered_questions.c.trace_id)
                .limit(_REGROUPED)
            )
            rows = (await connection.execute(newest)).all()
            if not rows:
                return 0
            vectors = np.stack([np.frombuffer(row.vector, np.float32) for row in rows])
            apart = without_common(vectors, await self._common(await self._clusters(connection)))
            groups = await asyncio.to_thread(groups_of, apart, within=self._distance)
            named = _named(groups, [row.cluster_id for row in rows])
            await self._move(connection, groups, named, rows)
            touched = {row.cluster_id for row in rows} | set(named)
            await self._recount(connection, touched)
            await self._describe(connection, touched)
        return len(groups)

    async def forget(self) -> int:
        """Delete the questions whose traces are gone, and what was called by them; how many there were."""
        is_traced = exists().where(trace_summaries.c.trace_id == clustered_questions.c.trace_id)
        gone = delete(clustered_questions).where(~is_traced).returning(clustered_questions.c.cluster_id)
        async with self._database.begin() as connection:
            of = list(await connection.scalars(gone))
            await self._recount(connection, set(of))
            await self._describe(connection, set(of))
        return len(of)

    async def _common(self, clusters: Sequence[_Cluster]) -> Vector:
        """What the vectors of all questions have in common."""
        if self._background is None:
            self._background = await self._embed(QUESTIONS)
        return common_of(
            self._background, [each.total for each in clusters], sum(each.size for each in clusters)
        )

    async def _turn(self, connection: AsyncConnection) -> datetime | None:
        """From when on questions may be new; None while another process is at it."""
        if not self._has_row:  # in a transaction of its own, or others would wait for the end of this one
            async with self._database.begin() as own:
                await own.execute(insert(rollup_progress).values(name=_NAME).on_conflict_do_nothing())
            self._has_row = True
        mine = (
            select(rollup_progress.c.until)
            .where(rollup_progress.c.name == _NAME)
            .with_for_update(skip_locked=True)
        )
        row = (await connection.execute(mine)).one_or_none()
        if row is None:
            return None
        return row.until - _LOOKED_BACK if row.until else self._clock.now() - _FIRST_LOOKED_BACK

    async def _advance(self, connection: AsyncConnection, until: datetime) -> None:
        mine = rollup_progress.c.name == _NAME
        later = func.greatest(rollup_progress.c.until, until)
        await connection.execute(update(rollup_progress).where(mine).values(until=later))

    async def _clusters(self, connection: AsyncConnection) -> list[_Cluster]:
        columns = (question_clusters.c.id, question_clusters.c.centroid, question_clusters.c.size)
        kept = select(*columns).where(question_clusters.c.space == self._space)
        return [
            _Cluster(row.id, np.frombuffer(row.centroid, np.float32), row.size, row.size)
            for row in await connection.execute(kept)
        ]

    async def _store(
        self,
        connection: AsyncConnection,
        clusters: Sequence[_Cluster],
        masked: Sequence[str],
        new: Sequence[Asked],
    ) -> None:
        """Write the groups that are new or have grown; `_describe` calls them by their questions afterwards."""
        made = [
            {
                "id": each.id,
                "space": self._space,
                "label": "",
                "example": masked[0],
                "example_trace_id": new[0].trace_id,
                "centroid": each.total.tobytes(),
                "size": each.size,
            }
            for each in clusters
            if each.is_new
        ]
        grown = [
            {"of": each.id, "centroid": each.total.tobytes(), "size": each.size}
            for each in clusters
            if each.is_changed and not each.is_new
        ]
        if made:
            await connection.execute(insert(question_clusters), made)
        if grown:
            changed = update(question_clusters).where(question_clusters.c.id == bindparam("of"))
            await connection.execute(changed.values(updated_at=func.now()), grown)

    async def _move(
        self,
        connection: AsyncConnection,
        groups: Sequence[Sequence[int]],
        named: Sequence[str],
        rows: Sequence[Any],
    ) -> None:
        """Put the questions into their new groups."""
        known = {row.cluster_id for row in rows}
        made = [
            {
                "id": cluster_id,
                "space": self._space,
                "label": "",
                "example": "",
                "example_trace_id": "",
                "centroid": b"",
                "size": 0,
            }
            for cluster_id in named
            if cluster_id not in known
        ]
        if made:
            await connection.execute(insert(question_clusters), made)
        moved = [
            {"of": rows[place].trace_id, "cluster_id": cluster_id}
            for group, cluster_id in zip(groups, named, strict=True)
            for place in group
            if rows[place].cluster_id != cluster_id
        ]
        if moved:
            of_trace = clustered_questions.c.trace_id == bindparam("of")
            await connection.execute(update(clustered_questions).where(of_trace), moved)

    async def _recount(self, connection: AsyncConnection, ids: Iterable[str]) -> None:
        """Sum up groups from their questions; those that have none are deleted."""
        wanted = sorted(set(ids))
        members = select(clustered_questions.c.cluster_id, clustered_questions.c.vector).where(
            clustered_questions.c.cluster_id.in_(wanted)
        )
        vectors: defaultdict[str, list[Vector]] = defaultdict(list)
        for row in await connection.execute(members):
            vectors[row.cluster_id].append(np.frombuffer(row.vector, np.float32))
        summed = [
            {"of": each, "centroid": np.sum(vectors[each], axis=0).tobytes(), "size": len(vectors[each])}
            for each in wanted
            if each in vectors
        ]
        if summed:
            changed = update(question_clusters).where(question_clusters.c.id == bindparam("of"))
            await connection.execute(changed.values(updated_at=func.now()), summed)
        empty = question_clusters.c.id.in_(set(wanted) - set(vectors))
        await connection.execute(delete(question_clusters).where(empty))

    async def _describe(self, connection: AsyncConnection, ids: Iterable[str]) -> None:
        """Call groups by the question in their middle and the words that set them apart."""
        wanted = sorted(set(ids))
        if not wanted:
            return
        newest = (
            select(
                clustered_questions,
                func.row_number()
                .over(
                    partition_by=clustered_questions.c.cluster_id,
                    order_by=clustered_questions.c.asked_at.desc(),
                )
                .label("number"),
            )
            .where(clustered_questions.c.cluster_id.in_(wanted))
            .subquery()
        )
        members: defaultdict[str, list[Any]] = defaultdict(list)
        for row in await connection.execute(select(newest).where(newest.c.number <= _DESCRIBED)):
            members[row.cluster_id].append(row)
        others = select(question_clusters.c.example).where(
            question_clusters.c.space == self._space, question_clusters.c.id.not_in(wanted)
        )
        examples = {each: _middle(rows) for each, rows in members.items()}
        known, of = frequencies(
            [*(await connection.scalars(others)), *(each.question for each in examples.values())]
        )
        described = [
            {
                "of": each,
                "example": example.question,
                "example_trace_id": example.trace_id,
                "label": label_of(
                    [row.question for row in members[each]], example.question, known=known, of=of
                ),
            }
            for each, example in examples.items()
        ]
        if described:
            changed = update(question_clusters).where(question_clusters.c.id == bindparam("of"))
            await connection.execute(changed.values(updated_at=func.now()), described)


def common_of(background: Vectors, totals: Sequence[Vector], count: int) -> Vector:
    """The mean of background questions and of ``count`` others, whose vectors add up to ``totals``."""
    total = background.sum(axis=0) + sum(totals)
    mean: Vector = (total / (len(background) + count)).astype(np.float32)
    return mean


def without_common(vectors: Vectors, common: Vector) -> Vectors:
    """What is left of vectors without what all have in common; unit length."""
    apart = vectors - common
    lengths = np.linalg.norm(apart, axis=1, keepdims=True)
    unit: Vectors = (apart / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


def grouped_in_order(batches: Sequence[Vectors], background: Vectors, *, within: float) -> list[int]:
    """The group of each vector, numbered, when they come in batch after batch: for measurements."""
    clusters: list[_Cluster] = []
    places: dict[str, int] = {}
    found = []
    for batch in batches:
        common = common_of(background, [each.total for each in clusters], sum(each.size for each in clusters))
        joined = _joined(clusters, batch, common, within=within)
        found += [places.setdefault(each.id, len(places)) for each in joined]
    return found


def _joined(clusters: list[_Cluster], vectors: Vectors, common: Vector, *, within: float) -> list[_Cluster]:
    """The group of each vector; what is near none begins one, at the end of ``clusters``."""
    middles = np.zeros((len(clusters) + len(vectors), vectors.shape[1]), np.float32)
    if clusters:
        totals = np.stack([each.total / np.float32(each.size) for each in clusters])
        middles[: len(clusters)] = without_common(totals, common)
    joined = []
    for vector, apart in zip(vectors, without_common(vectors, common), strict=True):
        count = len(clusters)
        nearness = middles[:count] @ apart
        place = int(np.argmax(nearness)) if count else -1
        if count and nearness[place] >= 1 - within:
            cluster = clusters[place]
            cluster.total, cluster.size = cluster.total + vector, cluster.size + 1
        else:
            place, cluster = count, _Cluster(_new_id(), vector.copy(), 1)
            clusters.append(cluster)
        middles[place] = without_common((cluster.total / np.float32(cluster.size))[None, :], common)[0]
        joined.append(cluster)
    return joined


def _named(groups: Sequence[Sequence[int]], before: Sequence[str]) -> list[str]:
    """An id for each group: of the old group that it shares most with and no larger one took, else a new one."""
    taken: set[str] = set()
    named = []
    for group in groups:
        shared = Counter(before[place] for place in group if before[place] not in taken)
        cluster_id = min(shared, key=lambda each: (-shared[each], each)) if shared else _new_id()
        taken.add(cluster_id)
        named.append(cluster_id)
    return named


def _middle(rows: Sequence[Any]) -> Any:
    """The question nearest to the middle of its group, the newest of equals."""
    vectors = np.stack([np.frombuffer(row.vector, np.float32) for row in rows])
    return rows[int(np.argmax(vectors @ vectors.sum(axis=0)))]


def _new_id() -> str:
    return f"qcl_{uuid4().hex}"


async def _new_questions(connection: AsyncConnection, since: datetime) -> list[Asked]:
    """The oldest questions that are in no group yet."""
    is_in = exists().where(clustered_questions.c.trace_id == trace_summaries.c.trace_id)
    product = func.coalesce(trace_summaries.c.product, "")
    new = (
        select(trace_summaries.c.trace_id, trace_summaries.c.question, trace_summaries.c.started_at)
        .where(
            trace_summaries.c.started_at >= since,
            trace_summaries.c.question.is_not(None),
            func.length(func.trim(trace_summaries.c.question)).between(3, _LONGEST),
            product.not_in(_LEFT_OUT),
            ~is_in,
        )
        .order_by(trace_summaries.c.started_at, trace_summaries.c.trace_id)
        .limit(_AT_ONCE)
    )
    return [Asked(row.trace_id, row.question, row.started_at) for row in await connection.execute(new)]
