"""BM25 of our own, in SQL: exact statistics, transactional, on any PostgreSQL.

The table ``chunk_keywords`` holds each chunk's lexemes and length, narrow so that it stays in memory. A search counts
the query's terms, takes as candidates the chunks that hold one of the rarest, and scores these by all terms. Up to
`MOST_CANDIDATES` matching chunks the result is exact; above, a chunk that holds nothing but the commonest words of the
query can be missed, which is what keeps common words fast (bench/results/index_scale.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Double,
    Row,
    Select,
    Text,
    cast,
    func,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.knowledge.index.bm25 import K1, TEXT_CONFIG, B
from causeway.knowledge.index.filters import EVERYTHING, Filter, readers_in, to_sql
from causeway.knowledge.index.identifiers import identifiers
from causeway.knowledge.index.stores import Match
from causeway.storage.schema import chunk_keywords, documents

MOST_CANDIDATES: Final = 5000
"""Scoring 5,000 chunks by ten terms takes about 40 ms on one core."""
MOST_COUNTED: Final = 20_000
"""In a larger index the common words of a query are not counted but estimated."""
_MOST_TERMS = 64
"""Words of a query that are looked for: its identifiers and its first ones."""
_BATCH = 500

_RANKS = list(accumulate(6 / math.pi**2 / times**2 for times in range(1, 257)))
_RANK_OF_TIMES: Final = [(low + high) / 2 for low, high in pairwise([0.0, *_RANKS])]
"""Between the rank of n - 1 occurrences and that of n; a tsvector counts up to 256."""

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

# One statement, so that the counts are of one moment. Counting the chunks of a common word takes milliseconds, ten such
# words tens of them: in large collections the frequencies that ANALYZE keeps for the commonest 1,000 words must do.
_TERMS_IN = f"""
    WITH totals AS MATERIALIZED (
        SELECT count(*) AS chunks, coalesce(avg(length), 1)::float8 AS mean_length FROM chunk_keywords WHERE SCOPE
    ), common AS MATERIALIZED (
        SELECT word, frequency
        FROM totals, pg_stats, unnest(most_common_elems::text::text[], most_common_elem_freqs) AS known (word, frequency)
        WHERE schemaname = current_schema() AND tablename = 'chunk_keywords' AND attname = 'lexemes'
            AND chunks > CAST(:most_counted AS integer)
    )
    SELECT lexeme, coalesce(cardinality(positions), 1) AS times, chunks, mean_length, quoted,
           coalesce((SELECT round(frequency * chunks) FROM common WHERE word = lexeme),
                    (SELECT count(*) FROM chunk_keywords WHERE lexemes @@ quoted::tsquery AND SCOPE)) AS found_in
    FROM totals, unnest(to_tsvector('{TEXT_CONFIG}', :query) || array_to_tsvector(CAST(:whole AS text[]))),
         concat('''', replace(replace(lexeme, '\\', '\\\\'), '''', ''''''), '''') AS quoted
    ORDER BY positions[1] NULLS FIRST LIMIT {_MOST_TERMS}
    """  # noqa: S608 - constants
_TERMS = text(_TERMS_IN.replace("SCOPE", "true"))
# who sees a part is told the statistics of that part: a score would tell how often a word is in the rest
_TERMS_SEEN = text(
    _TERMS_IN.replace(
        "SCOPE", "document_id IN (SELECT id FROM documents WHERE readers && CAST(:readers AS text[]))"
    )
)

# How often a term occurs in a chunk (tf): PostgreSQL has no function for it short of unpacking the whole vector, which
# takes three times as long. But ts_rank with equal weights is (1 + 1/4 + ... + 1/tf^2) / (pi^2 / 6), and that tells tf.
# tf / (tf + norm) is written with tf once: PostgreSQL would compute it twice.
_SCORE = text(
    """
    (SELECT sum(weight * (1 - norm / (norm + width_bucket(
                CAST(ts_rank('{1,1,1,1}', lexemes, term) AS float8), CAST(:rank_of_times AS float8[])))))
     FROM unnest(CAST(CAST(:tsqueries AS text[]) AS tsquery[]), CAST(:weights AS float8[])) AS asked (term, weight)
    ) AS score
    """
)


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of the query.

    Attributes:
        found_in: In how many chunks it is.
        weight: idf, times how often the query has it, times K1 + 1.
        mean_length: Of all chunks.
    """

    tsquery: str
    found_in: int
    weight: float
    mean_length: float


class OwnKeywords:
    """`KeywordIndex` over the table ``chunk_keywords``."""

    def __init__(self, *, most_candidates: int = MOST_CANDIDATES, most_counted: int = MOST_COUNTED) -> None:
        self._most_candidates = most_candidates
        self._most_counted = most_counted

    async def prepare(self, connection: AsyncConnection) -> None:
        """Index what was written while another engine was in use."""
        while rows := (await connection.execute(_UNINDEXED, {"most": _BATCH})).all():
            await self._add(connection, rows)

    async def add(self, connection: AsyncConnection, document_id: str) -> None:
        """Index the chunks of a document that are not: those that an edit left as they were are."""
        rows = (await connection.execute(_CHUNKS_OF, {"document_id": document_id})).all()
        await self._add(connection, rows)

    async def search(self, connection: AsyncConnection, query: str, k: int, where: Filter) -> Sequence[Match]:
        """See `KeywordIndex.search`."""
        terms = await self._terms(connection, query, where)
        most = self._most_candidates
        if where != EVERYTHING and await _is_narrow(connection, where, most):
            most = sum(term.found_in for term in terms)
        needed = 0
        rows: Sequence[Row[*tuple[Any, ...]]] = ()
        # a filter can leave fewer than k of the rare words' chunks: then chunks of more words join
        while len(rows) < k and needed < len(terms):
            needed = max(needed + 1, _rarest(terms, most))
            rows = (await connection.execute(_scored(terms, terms[:needed], where).limit(k))).all()
            most *= 4
        return [Match(row.chunk_id, row.score) for row in rows]

    async def _terms(self, connection: AsyncConnection, query: str, where: Filter) -> list[_Term]:
        """The query's terms that occur at all in what may be seen, rarest first."""
        asked = {"query": query, "whole": sorted(identifiers(query)), "most_counted": self._most_counted}
        readers = readers_in(where)
        if readers is None:
            rows = (await connection.execute(_TERMS, asked)).all()
        else:
            rows = (await connection.execute(_TERMS_SEEN, {**asked, "readers": list(readers)})).all()
        terms = [_term(row) for row in rows if row.found_in]
        return sorted(terms, key=lambda term: (term.found_in, term.tsquery))

    async def _add(self, connection: AsyncConnection, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
        if rows:
            await connection.execute(
                _ADD, [{"chunk_id": row[0], "whole": sorted(identifiers(row[1]))} for row in rows]
            )


def _term(row: Row[*tuple[Any, ...]]) -> _Term:
    idf = math.log(1 + (row.chunks - row.found_in + 0.5) / (row.found_in + 0.5))
    return _Term(row.quoted, int(row.found_in), row.times * idf * (K1 + 1), row.mean_length)


def _rarest(terms: Sequence[_Term], most: int) -> int:
    """How many of ``terms``, rarest first, give at most ``most`` candidates."""
    return sum(candidates <= most for candidates in accumulate(term.found_in for term in terms))


async def _is_narrow(connection: AsyncConnection, where: Filter, most: int) -> bool:
    """Whether so few chunks pass the filter that all of them can be scored."""
    some = select(literal(1)).select_from(chunk_keywords).where(_passes(where)).limit(most + 1).subquery()
    count = await connection.scalar(select(func.count()).select_from(some))
    return count is not None and count <= most


def _scored(terms: Sequence[_Term], needed: Sequence[_Term], where: Filter) -> Select[str, float]:
    """Chunks that hold one of ``needed``, scored by all of ``terms``, best first."""
    holds_any = cast(literal(" | ".join(term.tsquery for term in needed), Text), TSQUERY)
    norm = K1 * (1 - B + B * chunk_keywords.c.length / literal(terms[0].mean_length, Double()))
    candidates = select(chunk_keywords.c.chunk_id, chunk_keywords.c.lexemes, norm.label("norm"))
    candidates = candidates.where(chunk_keywords.c.lexemes.op("@@")(holds_any), _passes(where))
    score = _SCORE.bindparams(
        tsqueries=[term.tsquery for term in terms],
        weights=[term.weight for term in terms],
        rank_of_times=_RANK_OF_TIMES,
    )
    found = candidates.subquery()
    return select(found.c.chunk_id, score).order_by(text("score DESC"), found.c.chunk_id)


def _passes(where: Filter) -> ColumnElement[bool]:
    if where == EVERYTHING:
        return true()
    return chunk_keywords.c.document_id.in_(select(documents.c.id).where(to_sql(where)))
