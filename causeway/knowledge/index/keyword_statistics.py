"""In how many chunks a query's terms are: what BM25 weighs them by, for a caller and what they may see.

Of an index of up to `MOST_COUNTED` chunks all is counted, in one statement. In a larger one counting takes longer than
searching (35 ms at 100,000 chunks, for a reader who sees them all 500), so there the work is bounded:

- How many chunks there are is remembered for a minute, for each set of names that a caller has in access rules.
- A common word is not counted. For who sees everything its frequency is what ANALYZE keeps; for anybody else it is that in
  a sample of what they see, since the other would tell how often a word is in the rest. What is rare is counted exactly.

Rare words are never remembered: a document is found by its words from the moment it is there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.knowledge.index.bm25 import TEXT_CONFIG
from causeway.knowledge.index.spelling import MENDED_SHARE, mended

MOST_COUNTED: Final = 20_000
MOST_TERMS: Final = 64
"""Words of a query that are looked for: its identifiers and its first ones."""
_REMEMBERED_S: Final = 60.0
_MOST_REMEMBERED: Final = 500
_SAMPLE: Final = 3_000
_FEWEST_IN_SAMPLE: Final = 30
"""A word that is in fewer chunks of the sample is counted."""
_FEWEST_REMEMBERED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Counted:
    """A term of the query.

    Attributes:
        tsquery: How it is asked for.
        times: How often the query has it.
        found_in: In how many chunks it is.
        share: What it counts; less than 1 where it stands for a word that nothing has.
    """

    tsquery: str
    times: int
    found_in: int
    share: float = 1.0


@dataclass(slots=True)
class Statistics:
    """What there is to be found.

    Attributes:
        chunks: How many.
        mean_length: Their words' number.
        until: On the clock's monotonic time; then they are counted anew.
        common: The chunks of common words, by lexeme.
    """

    chunks: int
    mean_length: float
    until: float = 0.0
    common: dict[str, int] = field(default_factory=dict)


_SEEN = "document_id IN (SELECT id FROM documents WHERE readers && CAST(:readers AS text[]))"
_QUOTED = "concat('''', replace(replace(lexeme, '\\', '\\\\'), '''', ''''''), '''')"
_LEXEMES = f"unnest(to_tsvector('{TEXT_CONFIG}', :query) || array_to_tsvector(CAST(:whole AS text[])))"


def _all(beginning: str, *, scope: str, holding: str) -> TextClause:
    """Totals and each word's chunks in one statement, so that the counts are of one moment."""
    return text(
        f"""
    WITH {beginning} totals AS MATERIALIZED (
        SELECT count(*) AS chunks, coalesce(avg(length), 1)::float8 AS mean_length FROM chunk_keywords WHERE {scope}
    )
    SELECT lexeme, coalesce(cardinality(positions), 1) AS times, chunks, mean_length, quoted,
           CASE WHEN chunks <= CAST(:most_counted AS integer)
                THEN (SELECT count(*) FROM {holding} WHERE lexemes @@ quoted::tsquery) END AS found_in
    FROM totals, {_LEXEMES}, {_QUOTED} AS quoted
    ORDER BY positions[1] NULLS FIRST LIMIT {MOST_TERMS}
    """  # noqa: S608 - constants
    )


_ALL = _all("", scope="true", holding="chunk_keywords")
# a reader of few of many chunks: the index of words would bring most of the others' for a common word
_ALL_SEEN = _all(
    "seen AS MATERIALIZED (SELECT lexemes FROM chunk_keywords WHERE document_id = ANY(ARRAY("
    "SELECT id FROM documents WHERE readers && CAST(:readers AS text[])))),",
    scope=_SEEN,
    holding="seen",
)
_TERMS = text(
    f"""
    SELECT lexeme, coalesce(cardinality(positions), 1) AS times, quoted FROM {_LEXEMES}, {_QUOTED} AS quoted
    ORDER BY positions[1] NULLS FIRST LIMIT {MOST_TERMS}
    """  # noqa: S608 - constants
)
_ASKED = f"SELECT lexeme, {_QUOTED} AS quoted FROM unnest(CAST(:lexemes AS text[])) AS lexeme"  # noqa: S608 - constants
_LARGE = text(
    f"""
    WITH common AS MATERIALIZED (
        SELECT word, frequency
        FROM pg_stats, unnest(most_common_elems::text::text[], most_common_elem_freqs) AS known (word, frequency)
        WHERE schemaname = current_schema() AND tablename = 'chunk_keywords' AND attname = 'lexemes'
            AND word = ANY(CAST(:lexemes AS text[]))
    )
    SELECT lexeme, coalesce((SELECT round(frequency * CAST(:chunks AS integer)) FROM common WHERE word = lexeme),
                            (SELECT count(*) FROM chunk_keywords WHERE lexemes @@ quoted::tsquery)) AS found_in
    FROM ({_ASKED}) AS asked
    """  # noqa: S608 - constants
)
_LARGE_SEEN = text(
    f"""
    WITH sample AS MATERIALIZED (SELECT lexemes FROM chunk_keywords WHERE {_SEEN} LIMIT {_SAMPLE}),
    asked AS MATERIALIZED (
        SELECT lexeme, quoted, (SELECT count(*) FROM sample WHERE lexemes @@ quoted::tsquery) AS sampled
        FROM ({_ASKED}) AS each
    )
    SELECT lexeme, CASE WHEN sampled >= {_FEWEST_IN_SAMPLE}
                        THEN round(sampled::float8 / (SELECT count(*) FROM sample) * CAST(:chunks AS integer))
                        ELSE (SELECT count(*) FROM chunk_keywords WHERE lexemes @@ quoted::tsquery AND {_SEEN}) END AS found_in
    FROM asked
    """  # noqa: S608 - constants
)


class KeywordStatistics:
    """Counts, and remembers what may be remembered."""

    def __init__(self, clock: Clock, *, most_counted: int = MOST_COUNTED) -> None:
        self._clock = clock
        self._most_counted = most_counted
        self._known: OrderedDict[tuple[str, ...] | None, Statistics] = OrderedDict()

    async def of(
        self, connection: AsyncConnection, query: str, whole: Sequence[str], readers: tuple[str, ...] | None
    ) -> tuple[Statistics, list[Counted]]:
        """What there is, and the terms of a query that are in it; ``readers`` are the names of who asks, None for all."""
        asked: dict[str, Any] = {"query": query, "whole": list(whole)}
        if readers is not None:
            asked["readers"] = list(readers)
        known = self._known.get(readers)
        if known is None or known.until < self._clock.monotonic():
            scoped = _ALL if readers is None else _ALL_SEEN
            rows = (await connection.execute(scoped, {**asked, "most_counted": self._most_counted})).all()
            if not rows:
                return Statistics(0, 1.0), []
            known = Statistics(rows[0].chunks, rows[0].mean_length)
            if known.chunks > self._most_counted:
                self._remember(readers, known)
        else:
            rows = (await connection.execute(_TERMS, asked)).all()
        if known.chunks > self._most_counted:
            found = await self._count(connection, known, [row.lexeme for row in rows], readers)
        else:
            found = {row.lexeme: int(row.found_in) for row in rows}
        instead = await mended(connection, [lexeme for lexeme, count in found.items() if not count], readers)
        terms = [Counted(row.quoted, row.times, found[row.lexeme]) for row in rows if found[row.lexeme]]
        asked_for = {term.tsquery for term in terms}
        terms.extend(
            Counted(instead[row.lexeme][0], row.times, instead[row.lexeme][1], MENDED_SHARE)
            for row in rows
            if row.lexeme in instead and instead[row.lexeme][0] not in asked_for
        )
        return known, terms

    async def _count(
        self,
        connection: AsyncConnection,
        known: Statistics,
        lexemes: Sequence[str],
        readers: tuple[str, ...] | None,
    ) -> dict[str, int]:
        found = {lexeme: known.common[lexeme] for lexeme in lexemes if lexeme in known.common}
        unknown = [lexeme for lexeme in lexemes if lexeme not in found]
        if unknown:
            asked: dict[str, Any] = {"lexemes": unknown, "chunks": known.chunks}
            counting = _LARGE
            if readers is not None:
                counting, asked["readers"] = _LARGE_SEEN, list(readers)
            for row in (await connection.execute(counting, asked)).all():
                found[row.lexeme] = int(row.found_in)
        known.common |= {lexeme: count for lexeme, count in found.items() if count >= _FEWEST_REMEMBERED}
        return found

    def _remember(self, readers: tuple[str, ...] | None, known: Statistics) -> None:
        known.until = self._clock.monotonic() + _REMEMBERED_S
        self._known[readers] = known
        self._known.move_to_end(readers)
        while len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
