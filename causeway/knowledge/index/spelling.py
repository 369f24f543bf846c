"""Words of a query that no document has, as they may have been meant: one letter more, less, other or swapped.

The table ``vocabulary`` has every stem that chunks have, and each with one of its letters left out; two words that are one
edit apart have one of these in common (Garbe's symmetric deletion, https://github.com/wolfgarbe/SymSpell). A word counts only
if the caller may see a chunk with it, so a mistyped name tells nothing of what is hidden. Codes and numbers are never mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

MENDED_SHARE: Final = 0.8
"""What a mended word counts, beside one that was written so."""
_MENDABLE = re.compile(r"[^\W\d_]{5,24}")
_MOST: Final = 4
"""Words of one query that are mended."""
_SEEN = "document_id IN (SELECT id FROM documents WHERE readers && CAST(:readers AS text[]))"

_NEAR = """
    SELECT word, quoted, (SELECT count(*) FROM chunk_keywords WHERE lexemes @@ quoted::tsquery AND SCOPE) AS found_in
    FROM vocabulary, concat('''', word, '''') AS quoted
    WHERE shorter && CAST(:shorter AS text[]) LIMIT 60
    """
_NEAR_LARGE = text(
    """
    WITH near AS MATERIALIZED (
        SELECT word, concat('''', word, '''') AS quoted FROM vocabulary WHERE shorter && CAST(:shorter AS text[]) LIMIT 60
    ),
    common AS MATERIALIZED (
        SELECT known.word AS lexeme, frequency
        FROM pg_stats, unnest(most_common_elems::text::text[], most_common_elem_freqs) AS known (word, frequency)
        WHERE schemaname = current_schema() AND tablename = 'chunk_keywords' AND attname = 'lexemes'
            AND known.word IN (SELECT word FROM near)
    )
    SELECT word, quoted,
        coalesce(round(frequency * CAST(:chunks AS integer)),
                 (SELECT count(*) FROM chunk_keywords WHERE lexemes @@ quoted::tsquery)) AS found_in
    FROM near LEFT JOIN common ON lexeme = word
    """
)
"""By the frequencies that ANALYZE keeps, where counting the common ones takes longer than searching."""
_NEAR_ALL = text(_NEAR.replace("SCOPE", "true"))
_NEAR_SEEN = text(_NEAR.replace("SCOPE", _SEEN))
_KEEP = text(
    """
    INSERT INTO vocabulary (word, shorter)
    SELECT word, array_append(
        ARRAY(SELECT DISTINCT overlay(word PLACING '' FROM at FOR 1) FROM generate_series(1, length(word)) AS at), word)
    FROM (SELECT DISTINCT unnest(tsvector_to_array(lexemes)) AS word FROM chunk_keywords WHERE document_id = :document_id)
        AS held
    WHERE word ~ '^[[:alpha:]]{4,24}$' AND NOT EXISTS (SELECT FROM vocabulary WHERE vocabulary.word = held.word)
    ORDER BY word
    ON CONFLICT DO NOTHING
    """
)


@dataclass(frozen=True, slots=True)
class Meant:
    """A stem that is read in place of one that nothing has.

    Attributes:
        word: It.
        tsquery: How it is asked for.
        found_in: In how many chunks it is.
    """

    word: str
    tsquery: str
    found_in: int


async def keep_words(connection: AsyncConnection, document_id: str) -> None:
    """Take the words of a document whose chunks' words were just written, in the caller's transaction."""
    await connection.execute(_KEEP, {"document_id": document_id})


async def mended(
    connection: AsyncConnection,
    lexemes: Iterable[str],
    readers: tuple[str, ...] | None,
    *,
    many: int | None = None,
) -> Mapping[str, Meant]:
    """Stem that nothing has -> the most frequent one that may be meant by it.

    ``many`` is how many chunks there are, where they are too many to be counted for who sees everything.
    """
    wrong = [lexeme for lexeme in lexemes if _MENDABLE.fullmatch(lexeme)][:_MOST]
    if not wrong:
        return {}
    asked: dict[str, Any] = {"shorter": sorted({part for lexeme in wrong for part in _shorter(lexeme)})}
    counting = _NEAR_ALL
    if readers is not None:
        counting, asked["readers"] = _NEAR_SEEN, list(readers)
    elif many is not None:
        counting, asked["chunks"] = _NEAR_LARGE, many
    rows = (await connection.execute(counting, asked)).all()
    there = [Meant(row.word, row.quoted, int(row.found_in)) for row in rows if row.found_in]
    best: dict[str, Meant] = {}
    for lexeme in wrong:
        near = [each for each in there if is_one_edit(lexeme, each.word)]
        if near:
            best[lexeme] = max(near, key=lambda each: (each.found_in, each.word))
    return best


def is_one_edit(one: str, other: str) -> bool:
    """Whether the words differ by one letter that is added, left out or another, or by two neighbours that are swapped.

    >>> is_one_edit("retrun", "return"), is_one_edit("tent", "tents"), is_one_edit("tean", "tent")
    (True, True, False)
    """
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    short, long = sorted((one, other), key=len)
    at = next((n for n, letter in enumerate(short) if letter != long[n]), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    is_swapped = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return is_swapped or short[at + 1 :] == long[at + 1 :]


def _shorter(word: str) -> Sequence[str]:
    return [word, *(word[:at] + word[at + 1 :] for at in range(len(word)))]
