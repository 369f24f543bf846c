"""Search for answers: of a small chunk that was found, the section that it is a part of.

Only collections of the strategy ``parent_child`` have such chunks (`causeway.knowledge.ingest.chunk_parents`); the hits
of all others stay as they are. The number of hits may shrink: several small chunks of one section are one passage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import func, select

from causeway.contracts.model_gateway import Call
from causeway.knowledge.markdown_tables import joined
from causeway.knowledge.search.request import Hit, SearchRequest, SearchResult
from causeway.knowledge.search.search import Search
from causeway.storage.database import Database
from causeway.storage.schema import chunks


class SectionSearch:
    """A search whose hits are whole sections."""

    def __init__(self, search: Search, database: Database) -> None:
        self._search = search
        self._database = database

    async def search(self, request: SearchRequest, call: Call) -> SearchResult:
        """See `causeway.knowledge.search.search.Search.search`."""
        result = await self._search.search(request, call)
        sections = await self._sections([hit.chunk_id for hit in result.hits])
        return replace(result, hits=_widened(result.hits, sections)) if sections else result

    async def _sections(self, chunk_ids: Sequence[str]) -> Mapping[str, tuple[int, str, int]]:
        """Chunk id -> its section's first ordinal, text and tokens; of chunks that are a part of one."""
        part = chunks.alias("part")
        wanted = (
            select(chunks.c.id, part.c.parent, part.c.text, part.c.tokens)
            .join(part, (part.c.document_id == chunks.c.document_id) & (part.c.parent == chunks.c.parent))
            .where(chunks.c.id == func.any(list(chunk_ids)))
            .order_by(chunks.c.id, part.c.ordinal)
        )
        found: defaultdict[str, list[tuple[int, str, int]]] = defaultdict(list)
        async with self._database.glance() as connection:
            for row in await connection.execute(wanted):
                found[row.id].append((row.parent, row.text, row.tokens))
        return {
            chunk_id: (
                parts[0][0],
                joined([text for _, text, _ in parts]),
                sum(tokens for *_, tokens in parts),
            )
            for chunk_id, parts in found.items()
        }


def _widened(hits: Sequence[Hit], sections: Mapping[str, tuple[int, str, int]]) -> tuple[Hit, ...]:
    """``hits`` with their sections' text, each section once, where its best chunk was."""
    kept: list[Hit] = []
    given: set[tuple[str, int]] = set()
    for hit in hits:
        section = sections.get(hit.chunk_id)
        if section is None:
            kept.append(hit)
            continue
        parent, text, tokens = section
        if (hit.document_id, parent) not in given:
            given.add((hit.document_id, parent))
            kept.append(replace(hit, text=text, tokens=tokens))
    return tuple(kept)
