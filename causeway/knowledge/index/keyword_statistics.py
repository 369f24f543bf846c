"""In how many chunks a query's terms are: what BM25 weighs them by, for a caller and what they may see.

Of an index of up to `MOST_COUNTED` chunks all is counted, and so it is for a reader who sees up to `_MOST_LOOKED_THROUGH`,
whose chunks are looked through once for all words. Beyond that counting takes longer than searching, so there the work is
bounded:

- How many chunks there are, and of how many words, is remembered for ten minutes, for each set of names that a caller has
  in access rules.
- A common word is not counted. For who sees everything its frequency is what ANALYZE keeps; for anybody else it is that in
  a sample of what they see, since the other would tell how often a word is in the rest. What is rare is counted exactly.

A word that is nowhere is never remembered: a document is found by its words from the moment it is there.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.knowledge.index.bm25 import TEXT_CONFIG
from causeway.knowledge.index.spelling import MENDED_SHARE, mended

MOST_COUNTED: Final = 20_000
MOST_TERMS: Final = 64
"""Words of a query that are looked for: its identifiers and its first ones."""
_MOST_LOOKED_THROUGH: Final = 5_000
"""Chunks of a reader: 8 ms for eleven words."""
_REMEMBERED_S: Final = 600.0
_MOST_REMEMBERED: Final = 500
_SAMPLE: Final = 3_000
_FEWEST_IN_SAMPLE: Final = 30
"""A word that is in fewer chunks of the sample is counted."""
_FEWEST_REMEMBERED: Final = 100


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


_PARSED = f"""
    SELECT lexeme, coalesce(cardinality(positions), 1) AS times, positions[1] AS place,
        concat('''', replace(replace(lexeme, '\\', '\\\\'), '''', ''''''), '''') AS quoted
    FROM unnest(to_tsvector('{TEXT_CONFIG}', :query) || array_to_tsvector(CAST(:whole AS text[])))
    ORDER BY place NULLS FIRST LIMIT {MOST_TERMS}
    """  # noqa: S608 - constants
_COMMON = """
    SELECT word, frequency
    FROM pg_stats, unnest(most_common_elems::text::text[], most_common_elem_freqs) AS known (word, frequency)
    WHERE schemaname = current_schema() AND tablename = 'chunk_keywords' AND attname = 'lexemes'
        AND word IN (SELECT lexeme FROM parsed)
    """
_COUNT = "(SELECT count(*) FROM chunk_keywords WHERE lexemes @@ quoted::tsquery)"
_ALL = text(
    f"""
    WITH totals AS MATERIALIZED (
        SELECT count(*) AS chunks, coalesce(avg(length), 1)::float8 AS mean_length FROM chunk_keywords
    )
    SELECT lexeme, times, quoted, chunks, mean_length,
        CASE WHEN chunks <= CAST(:most_counted AS integer) THEN {_COUNT} END AS found_in
    FROM totals, ({_PARSED}) AS parsed ORDER BY place NULLS FIRST
    """  # noqa: S608 - constants
)
"""Totals and each word's chunks in one statement, so that the counts are of one moment."""
_LARGE = text(
    f"""
    WITH parsed AS MATERIALIZED ({_PARSED}), common AS MATERIALIZED ({_COMMON})
    SELECT lexeme, times, quoted, coalesce(round(frequency * CAST(:chunks AS integer)), {_COUNT}) AS found_in
    FROM parsed LEFT JOIN common ON word = lexeme ORDER BY place NULLS FIRST
    """  # noqa: S608 - constants
)
_WORDS = text(
    f"""
    WITH parsed AS MATERIALIZED ({_PARSED}), common AS MATERIALIZED ({_COMMON})
    SELECT lexeme, times, quoted, word IS NOT NULL AS is_common
    FROM parsed LEFT JOIN common ON word = lexeme ORDER BY place NULLS FIRST
    """  # noqa: S608 - constants
)
_READABLE = "SELECT id FROM documents WHERE readers && %s::text[]"
_ONE_BY_ONE = f"document_id = ANY(ARRAY({_READABLE}))"
"""For who sees few documents; see `causeway.knowledge.index.filters.is_among_passing`."""
_SEEN = f"document_id IN ({_READABLE})"
_COUNT_SEEN = f"SELECT count(*) FROM chunk_keywords WHERE {_SEEN}"  # noqa: S608 - constants
_HOLDS_ANY = f"lexemes @@ %s::tsquery AND {_SEEN}"


class KeywordStatistics:
    """Counts, and remembers what may be remembered."""

    def __init__(self, clock: Clock, *, most_counted: int = MOST_COUNTED) -> None:
        self._clock = clock
        self._most_counted = most_counted
        self._most_looked_through = min(most_counted, _MOST_LOOKED_THROUGH)
        self._known: OrderedDict[tuple[str, ...] | None, Statistics] = OrderedDict()

    async def of(
        self, connection: AsyncConnection, query: str, whole: Sequence[str], readers: tuple[str, ...] | None
    ) -> tuple[Statistics, list[Counted], Mapping[str, str]]:
        """What there is, the terms of a query that are in it, and which of its stems were read as which others.

        ``readers`` are the names of who asks, None for all.
        """
        asked: dict[str, Any] = {"query": query, "whole": list(whole)}
        known = self._known.get(readers)
        if known is not None and known.until < self._clock.monotonic():
            known = None
        if readers is None:
            known, words, found = await self._in_all(connection, asked, known)
        else:
            known, words, found = await self._in_seen(connection, asked, known, readers)
        nowhere = [lexeme for lexeme, count in found.items() if not count]
        many = known.chunks if known.chunks > self._most_counted else None
        instead = await mended(connection, nowhere, readers, many=many)
        terms = [Counted(word.quoted, word.times, found[word.lexeme]) for word in words if found[word.lexeme]]
        asked_for = {term.tsquery for term in terms}
        terms.extend(
            Counted(instead[word.lexeme].tsquery, word.times, instead[word.lexeme].found_in, MENDED_SHARE)
            for word in words
            if word.lexeme in instead and instead[word.lexeme].tsquery not in asked_for
        )
        return known, terms, {lexeme: other.word for lexeme, other in instead.items()}

    async def _in_all(
        self, connection: AsyncConnection, asked: dict[str, Any], known: Statistics | None
    ) -> tuple[Statistics, _Rows, dict[str, int]]:
        if known is None:
            rows = (await connection.execute(_ALL, {**asked, "most_counted": self._most_counted})).all()
            known = Statistics(rows[0].chunks, rows[0].mean_length) if rows else Statistics(0, 1.0)
            if known.chunks <= self._most_counted:
                return known, rows, _found(rows)
            self._remember(None, known)
        rows = (await connection.execute(_LARGE, {**asked, "chunks": known.chunks})).all()
        return known, rows, _found(rows)

    async def _in_seen(
        self,
        connection: AsyncConnection,
        asked: dict[str, Any],
        known: Statistics | None,
        readers: tuple[str, ...],
    ) -> tuple[Statistics, _Rows, dict[str, int]]:
        words = (await connection.execute(_WORDS, asked)).all()
        quoted = {word.lexeme: word.quoted for word in words}
        names = list(readers)
        if known is None:
            few = f"{_ONE_BY_ONE} LIMIT {self._most_looked_through + 1}"
            seen = await _look_through(connection, few, [names], quoted)
            if seen.chunks <= self._most_looked_through:
                return Statistics(seen.chunks, seen.mean_length), words, seen.holding
            chunks = (await connection.exec_driver_sql(_COUNT_SEEN, (names,))).scalar_one()
            known = Statistics(chunks, seen.mean_length)  # of thousands: the lengths of all are in no index
            self._remember(readers, known)
        found = {lexeme: known.common[lexeme] for lexeme in quoted if lexeme in known.common}
        common = [word.lexeme for word in words if word.is_common and word.lexeme not in found]
        if common:
            sample = f"{_SEEN} LIMIT {_SAMPLE}"
            found |= (await _look_through(connection, sample, [names], _of(quoted, common))).estimated(
                known.chunks
            )
        rare = _of(quoted, [lexeme for lexeme in quoted if lexeme not in found])
        if rare:
            holds = [" | ".join(rare.values()), names]
            found |= (await _look_through(connection, _HOLDS_ANY, holds, rare)).holding
        known.common |= {lexeme: count for lexeme, count in found.items() if count >= _FEWEST_REMEMBERED}
        return known, words, found

    def _remember(self, readers: tuple[str, ...] | None, known: Statistics) -> None:
        known.until = self._clock.monotonic() + _REMEMBERED_S
        self._known[readers] = known
        self._known.move_to_end(readers)
        while len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)


_Rows = Sequence[Row[*tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """Chunks that were looked through.

    Attributes:
        chunks: How many.
        mean_length: Their words' number.
        holding: Lexeme -> how many of them have it.
    """

    chunks: int
    mean_length: float
    holding: dict[str, int]

    def estimated(self, chunks: int) -> dict[str, int]:
        """Of ``chunks`` that these are a sample of; without words that are in too few for that."""
        return {
            lexeme: round(count / self.chunks * chunks)
            for lexeme, count in self.holding.items()
            if count >= _FEWEST_IN_SAMPLE
        }


async def _look_through(
    connection: AsyncConnection, where: str, asked: Sequence[object], quoted: Mapping[str, str]
) -> _Seen:
    """Read each chunk of ``where`` once, for all words: a scan for each word takes three times as long."""
    row = (await connection.exec_driver_sql(_looking(where, len(quoted)), (*quoted.values(), *asked))).one()
    return _Seen(row.chunks, row.mean_length, dict(zip(quoted, row.holding, strict=True)))


@functools.lru_cache(maxsize=512)
def _looking(where: str, words: int) -> str:
    counts = ", ".join(["count(*) FILTER (WHERE lexemes @@ %s::tsquery)"] * words)
    return f"""
        SELECT count(*) AS chunks, coalesce(avg(length), 1)::float8 AS mean_length, ARRAY[{counts}]::bigint[] AS holding
        FROM (SELECT lexemes, length FROM chunk_keywords WHERE {where}) AS seen
        """  # noqa: S608 - constants


def _found(rows: _Rows) -> dict[str, int]:
    return {row.lexeme: int(row.found_in) for row in rows}


def _of(quoted: Mapping[str, str], lexemes: Iterable[str]) -> dict[str, str]:
    return {lexeme: quoted[lexeme] for lexeme in lexemes}
