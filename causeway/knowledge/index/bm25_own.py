"""BM25 of our own, in SQL: exact statistics, transactional, on any PostgreSQL.

The table ``chunk_keywords`` holds each chunk's lexemes and length, narrow so that it stays in memory. A search counts
the query's terms (`keyword_statistics`), takes as candidates the chunks that hold one of the rarest, and scores these by
all terms; of a long query only those that score best by its heaviest terms. Up to `MOST_CANDIDATES` matching chunks and
`_FIRST_TERMS` terms the result is exact; above, a chunk that holds nothing but the commonest words of the query can be
missed, which is what keeps common words fast (bench/results/index_scale.md).

Where few chunks pass a filter these are read, and not the index of words: of common words it would bring most of the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Row,
    Select,
    Text,
    cast,
    literal,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from causeway.contracts.clock import Clock, SystemClock
from causeway.knowledge.index.bm25 import K1, TEXT_CONFIG, B
from causeway.knowledge.index.breadth import Breadth
from causeway.knowledge.index.filters import (
    EVERYTHING,
    Filter,
    ReadableBy,
    has_statistics,
    is_among_passing,
    readers_in,
    to_sql,
)
from causeway.knowledge.index.identifiers import identifiers
from causeway.knowledge.index.keyword_statistics import (
    MOST_COUNTED,
    Counted,
    KeywordStatistics,
    Statistics,
)
from causeway.knowledge.index.spelling import keep_words
from causeway.knowledge.index.stores import Match
from causeway.storage.schema import chunk_keywords, documents

MOST_CANDIDATES: Final = 5000
"""Scoring 5,000 chunks by ten terms takes about 40 ms on one core."""
_MOST_PASSING: Final = 20_000
"""Chunks that pass a filter and are read one by one, whatever words they hold."""
_FIRST_TERMS: Final = 6
"""The heaviest terms, by which the best candidates of a long query are chosen: scoring takes longer than finding."""
_FEWEST_CHOSEN: Final = 800
_BATCH = 500

_RANK_OF_ONE: Final = 6 / math.pi**2
"""What PostgreSQL ranks one occurrence of a term."""

_UNINDEXED = text(
    """
    SELECT id, searchable FROM chunks
    WHERE NOT EXISTS (SELECT FROM chunk_keywords WHERE chunk_id = chunks.id) LIMIT :most
    """
)
_CHUNKS_OF = text(
    """
    SELECT id, searchable FROM chunks
    WHERE document_id = :document_id AND NOT EXISTS (SELECT FROM chunk_keywords WHERE chunk_id = chunks.id)
    ORDER BY ordinal
    """
)

_ADD = text(
    f"""
    INSERT INTO chunk_keywords (chunk_id, document_id, lexemes, length)
    SELECT chunks.id, chunks.document_id, lexemes || array_to_tsvector(CAST(:whole AS text[])),
           (SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(lexemes))
    FROM chunks, to_tsvector('{TEXT_CONFIG}', searchable) AS lexemes
    WHERE chunks.id = :chunk_id
    ON CONFLICT (chunk_id) DO NOTHING
    """  # noqa: S608 - a constant
)


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of the query.

    Attributes:
        found_in: In how many chunks it is.
        weight: idf, times how often the query has it, times K1 + 1.
    """

    tsquery: str
    found_in: int
    weight: float


class OwnKeywords:
    """`KeywordIndex` over the table ``chunk_keywords``."""

    def __init__(
        self,
        *,
        most_candidates: int = MOST_CANDIDATES,
        most_counted: int = MOST_COUNTED,
        clock: Clock | None = None,
    ) -> None:
        self._most_candidates = most_candidates
        clock = clock or SystemClock()
        self._statistics = KeywordStatistics(clock, most_counted=most_counted)
        self._breadth = Breadth(chunk_keywords.c.document_id, _MOST_PASSING, clock)

    async def prepare(self, connection: AsyncConnection) -> None:
        """Index what was written while another engine was in use."""
        while rows := (await connection.execute(_UNINDEXED, {"most": _BATCH})).all():
            await self._add(connection, rows)

    async def add(self, connection: AsyncConnection, document_id: str) -> None:
        """Index the chunks of a document that are not: those that an edit left as they were are."""
        rows = (await connection.execute(_CHUNKS_OF, {"document_id": document_id})).all()
        await self._add(connection, rows)
        await keep_words(connection, document_id)

    async def search(
        self,
        connection: AsyncConnection,
        query: str,
        k: int,
        where: Filter,
        *,
        mended: dict[str, str] | None = None,
    ) -> Sequence[Match]:
        """See `KeywordIndex.search`."""
        whole = sorted(identifiers(query))
        known, counted, instead = await self._statistics.of(connection, query, whole, readers_in(where))
        if mended is not None:
            mended |= instead
        weighed = [_term(each, known.chunks) for each in counted]
        terms = sorted(weighed, key=lambda term: (term.found_in, term.tsquery))
        most, passing = self._most_candidates, await self._passing(connection, where, known)
        if passing is not None:  # of each word's chunks only the share that passes is a candidate
            most = round(most * max(1.0, known.chunks / max(1, passing)))
        needed = 0
        rows: Sequence[Row[*tuple[Any, ...]]] = ()
        # a filter can leave fewer than k of the rare words' chunks: then chunks of more words join
        while len(rows) < k and needed < len(terms):
            needed = max(needed + 1, _rarest(terms, most))
            found = _holding(terms[:needed], where, known.mean_length, reads_passing=passing is not None)
            rows = (await connection.execute(_best(found, terms, k))).all()
            most *= 4
        return [Match(row.chunk_id, row.score) for row in rows]

    async def _passing(self, connection: AsyncConnection, where: Filter, known: Statistics) -> int | None:
        """How many chunks pass, when they are few; None when they are many."""
        if where == EVERYTHING or self._breadth.is_known_as_many(where):
            return None
        if isinstance(where, ReadableBy):  # what a reader sees was counted just now, or within minutes
            return self._breadth.learn(where, known.chunks)
        return self._breadth.learn(where, await connection.scalar(select(self._breadth.counted(where))) or 0)

    async def _add(self, connection: AsyncConnection, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
        if rows:
            await connection.execute(
                _ADD, [{"chunk_id": row[0], "whole": sorted(identifiers(row[1]))} for row in rows]
            )


def _term(counted: Counted, chunks: int) -> _Term:
    found_in = min(counted.found_in, chunks)  # an estimate can be above it
    idf = math.log(1 + (chunks - found_in + 0.5) / (found_in + 0.5))
    return _Term(counted.tsquery, found_in, counted.share * counted.times * idf * (K1 + 1))


def _rarest(terms: Sequence[_Term], most: int) -> int:
    """How many of ``terms``, rarest first, give at most ``most`` candidates."""
    return sum(candidates <= most for candidates in accumulate(term.found_in for term in terms))


def _holding(
    needed: Sequence[_Term], where: Filter, mean_length: float, *, reads_passing: bool
) -> FromClause:
    """Chunks that pass and hold one of ``needed``: ``chunk_id``, ``lexemes`` and ``norm``, of their length."""
    holds_any = cast(literal(" | ".join(term.tsquery for term in needed), Text), TSQUERY)
    norm = _written(K1 * (1 - B)) + literal(K1 * B / mean_length, Double()) * chunk_keywords.c.length
    rows = select(chunk_keywords.c.chunk_id, chunk_keywords.c.lexemes, norm.label("norm"))
    if not reads_passing:
        return rows.where(chunk_keywords.c.lexemes.op("@@")(holds_any), _passes(where)).subquery("found")
    # OFFSET 0 keeps the planner from asking the index of words; MATERIALIZED would also write the rows to disk
    few = (
        rows.where(is_among_passing(chunk_keywords.c.document_id, where))
        .offset(literal_column("0"))
        .subquery("passing")
    )
    return select(few).where(few.c.lexemes.op("@@")(holds_any)).subquery("found")


def _best(found: FromClause, terms: Sequence[_Term], k: int) -> Select[Any]:
    """The ``k`` of ``found`` that score best by all of ``terms``, chosen from twice as many or more by the heaviest ones."""
    if len(terms) > _FIRST_TERMS:
        heaviest = sorted(terms, key=lambda term: -term.weight)[:_FIRST_TERMS]
        first = _score(heaviest, found).label("first")
        best = select(found, first).order_by(first.desc(), found.c.chunk_id).limit(max(2 * k, _FEWEST_CHOSEN))
        # MATERIALIZED keeps the planner from scoring all of them by all terms
        found = best.cte("best").prefix_with("MATERIALIZED", dialect="postgresql")
    score = _score(terms, found).label("score")
    return select(found.c.chunk_id, score).order_by(score.desc(), found.c.chunk_id).limit(k)


def _score(terms: Sequence[_Term], found: FromClause) -> ColumnElement[float]:
    """The sum over ``terms``."""
    asked = (
        part for term in terms for part in (literal(term.weight, Double()), literal(term.tsquery, TSQUERY))
    )
    return _Bm25(found.c.lexemes, found.c.norm, *asked)


class _Bm25(FunctionElement[float]):
    """The score of a chunk by its lexemes, the norm of its length, and the weight and query of each term.

    How often a term occurs in a chunk (tf): PostgreSQL has no function for it short of unpacking the whole vector, which
    takes three times as long. But ts_rank with equal weights is R * (1 + 1/4 + ... + 1/tf^2) with R = 6 / pi^2, and what is
    left to 1 is nearly R / (tf + 1/2), so near that rounding gives tf itself up to 256, where a tsvector ends.
    tf / (tf + norm) is written with tf once: PostgreSQL would compute it twice. One element for all terms, since putting
    together a dozen for each took as long as half of the scoring.
    """

    name = "bm25"
    type = Double()
    inherit_cache = True


@compiles(_Bm25)
def _write_bm25(element: _Bm25, compiler: SQLCompiler, **options: Any) -> str:
    lexemes, norm, *asked = (compiler.process(part, **options) for part in element.clauses)
    parts = [
        f"{weight} * (1.0::float8 - {norm} / ({norm} + round({_RANK_OF_ONE!r}::float8 / (1.0::float8"
        f" - ts_rank('{{1,1,1,1}}'::float4[], {lexemes}, {tsquery}::tsquery)::float8) - 0.5::float8)))"
        for weight, tsquery in zip(asked[::2], asked[1::2], strict=True)
    ]
    return f"({' + '.join(parts)})"


def _written(number: float) -> ColumnElement[float]:
    """As a constant of the statement, which PostgreSQL need not be told each time."""
    return literal_column(f"{number!r}::float8", Double())


def _passes(where: Filter) -> ColumnElement[bool]:
    """A join where PostgreSQL knows how many pass; else asked of each candidate, since it would ask every document first."""
    if where == EVERYTHING:
        return true()
    if has_statistics(where):
        return chunk_keywords.c.document_id.in_(select(documents.c.id).where(to_sql(where)))
    its_document = select(to_sql(where)).where(documents.c.id == chunk_keywords.c.document_id)
    return its_document.correlate(chunk_keywords).scalar_subquery()
