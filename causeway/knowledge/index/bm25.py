"""Keyword search by BM25: what both engines agree on.

score(chunk) = sum over the query's terms of idf * tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / mean length))
with idf = ln(1 + (N - df + 0.5) / (df + 0.5)) (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009).
Terms are what PostgreSQL's configuration ``english`` makes of heading and text: stop words gone, stems kept. N, df and
the mean length are of the whole index and not of one collection, as in ``pg_textsearch``: filters then cost nothing and
scores of several collections compare. For a caller who may not see everything `bm25_own` takes them of what they may see;
``pg_textsearch`` cannot.

Which engine runs is the database's decision (``Database.capabilities.bm25``); see docs/adr/0005.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.knowledge.index.filters import Filter
from causeway.knowledge.index.stores import Match

TEXT_CONFIG: Final = "english"
K1: Final = 1.5
B: Final = 0.75


class KeywordIndex(Protocol):
    """Finds chunks by their words."""

    async def prepare(self, connection: AsyncConnection) -> None:
        """Make what is missing, in the caller's transaction; cheap when nothing is.

        A search need not wait for it, and finds no more than has been indexed by then.
        """
        ...

    async def add(self, connection: AsyncConnection, document_id: str) -> None:
        """Index the chunks of a document that the caller's transaction has just written."""
        ...

    async def search(
        self,
        connection: AsyncConnection,
        query: str,
        k: int,
        where: Filter,
        *,
        mended: dict[str, str] | None = None,
    ) -> Sequence[Match]:
        """The ``k`` best chunks that hold a word of ``query``, best first; equal scores by chunk id.

        ``mended`` gets the stems of the query that nothing has, each with the one that was searched for instead.
        """
        ...
