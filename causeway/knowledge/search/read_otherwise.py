"""Which words of a query were read as others, since no document that the caller sees has them: ``retrun`` as *return*.

The keyword arm mends them (`causeway.knowledge.index.spelling`) and knows stems; people are told whole words, as the hits have
them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import text

from causeway.knowledge.index.bm25 import TEXT_CONFIG
from causeway.knowledge.index.spelling import is_one_edit
from causeway.knowledge.search.request import Hit
from causeway.knowledge.sight import Sight

_WORD: Final = re.compile(r"[^\W\d_]{5,24}")
_SHORTEST_STEM: Final = 4
_ENDINGS: Final = ("ies", "ing", "ed", "es", "s", "ly")
_LONGEST_ENDING: Final = 3
_STEMS: Final = text(
    f"""
    SELECT word, lexeme FROM unnest(CAST(:words AS text[])) AS word,
        LATERAL unnest(to_tsvector('{TEXT_CONFIG}', word)) AS parsed (lexeme, positions, weights)
    """  # noqa: S608 - a constant
)


async def read_otherwise(
    sight: Sight, query: str, instead: Mapping[str, str], hits: Sequence[Hit]
) -> list[dict[str, str]]:
    """For each word that was mended ``{"written": ..., "read": ...}``, in the order of the query.

    ``instead`` has the stem that was read for each that no document has which the caller sees: a hidden document's word is
    mended and told like any other. Without one nothing is asked of the database.
    """
    if not instead or not hits:
        return []
    found = "\n".join(f"{hit.title} {hit.heading} {hit.text}" for hit in hits).lower()
    unknown = [word for word in dict.fromkeys(_WORD.findall(query.lower())) if not _is_in(word, found)]
    async with sight.connect_to_words() as connection:
        rows = (await connection.execute(_STEMS, {"words": unknown})).all()
    lexemes = {row.word: row.lexeme for row in rows}
    words = Counter(_WORD.findall(found))
    return [
        {"written": word, "read": _whole(word, instead[lexemes[word]], words)}
        for word in unknown
        if lexemes.get(word) in instead
    ]


def _is_in(word: str, found: str) -> bool:
    """Whether ``found`` has the word, or begins one with it less its ending."""
    shorter = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
    return any(re.search(rf"\b{each}", found) for each in (word, *shorter) if len(each) >= _SHORTEST_STEM)


def _whole(written: str, stem: str, words: Counter[str]) -> str:
    """The word that ``stem`` is of: one that is a letter off what was written, else the most frequent one."""
    there = [
        word for word in words if word.startswith(stem[:-1]) and len(word) - len(stem) <= _LONGEST_ENDING
    ]
    return max(there, key=lambda word: (is_one_edit(written, word), words[word], word), default=stem)
