"""BM25 by the server's extension ``pg_textsearch``.

Not what ``auto`` takes at version 1.0: killed while it writes, that version loses its index without an error, its VACUUM
fails beside writers, and a scan can return a row twice (docs/adr/0005). It stays the quickest for collections of
hundreds of thousands of chunks that are written once.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Float, Text, column, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.knowledge.index.bm25 import K1, TEXT_CONFIG, B
from causeway.knowledge.index.filters import EVERYTHING, Filter, to_sql
from causeway.knowledge.index.stores import Match
from causeway.storage.schema import chunks, documents

INDEX = "chunks_bm25"


class ExtensionKeywords:
    """`KeywordIndex` over a ``bm25`` index on ``chunks.searchable``, which PostgreSQL keeps up to date."""

    def __init__(self) -> None:
        self._is_made = False

    async def prepare(self, connection: AsyncConnection) -> None:
        """Make the index if it is missing."""
        await connection.execute(
            text(
                f"CREATE INDEX IF NOT EXISTS {INDEX} ON chunks USING bm25 (searchable)"
                f" WITH (text_config = '{TEXT_CONFIG}', k1 = {K1}, b = {B})"
            )
        )

    async def add(self, connection: AsyncConnection, document_id: str) -> None:
        """Nothing to do: the index follows the table."""

    async def search(
        self,
        connection: AsyncConnection,
        query: str,
        k: int,
        where: Filter,
        *,
        mended: dict[str, str] | None = None,  # noqa: ARG002 - nothing is mended
    ) -> Sequence[Match]:
        """See `KeywordIndex.search`."""
        if not await self._is_there(connection):
            return []
        asked = func.to_bm25query(literal(query, Text), literal(INDEX, Text))
        # lower is better: the operator gives the score's negative, since an index can only be read upwards
        distance = chunks.c.searchable.op("<@>", return_type=Float())(asked)
        found = select(chunks.c.id, distance.label("distance")).order_by(distance).limit(2 * k)
        if where != EVERYTHING:
            found = found.where(chunks.c.document_id.in_(select(documents.c.id).where(to_sql(where))))
        best = found.subquery()
        # version 1.0 can return a row twice when somebody writes meanwhile: hence twice the limit, and the grouping
        once = (
            select(best.c.id, func.min(best.c.distance).label("distance"))
            .where(best.c.distance < 0)
            .group_by(best.c.id)
            .order_by(column("distance"), best.c.id)
            .limit(k)
        )
        rows = await connection.execute(once)
        return [Match(row.id, -row.distance) for row in rows]

    async def _is_there(self, connection: AsyncConnection) -> bool:
        """Whether a worker has made the index yet; a search with it by name fails before."""
        if not self._is_made:
            self._is_made = bool(await connection.scalar(select(func.to_regclass(INDEX).is_not(None))))
        return self._is_made
