"""What is done to a document between reading and embedding, as its collection's options want it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from causeway.contracts.model_gateway import Call
from causeway.knowledge.collection_options import CollectionOptions
from causeway.knowledge.document import ParsedDocument
from causeway.knowledge.ingest.chunk_semantic import Embed
from causeway.knowledge.ingest.chunk_strategies import ChunkStrategies, Cut
from causeway.knowledge.ingest.personal_data import PersonalData, Screened


class Preparation:
    """Screens documents for personal data and cuts them."""

    def __init__(self, *, strategies: ChunkStrategies, personal_data: PersonalData) -> None:
        self._strategies = strategies
        self._personal_data = personal_data

    async def screen(
        self,
        parsed: ParsedDocument,
        *,
        title: str,
        metadata: Mapping[str, object],
        options: CollectionOptions,
    ) -> Screened:
        """``parsed`` as its collection may have it.

        Raises:
            MissingCapabilityError: Names of people are wanted and the extra is not installed.
        """
        return await asyncio.to_thread(
            self._personal_data.screen, parsed, title=title, metadata=metadata, pii=options.pii
        )

    async def cut(self, screened: Screened, *, options: CollectionOptions, embed: Embed, call: Call) -> Cut:
        """Its chunks.

        Raises:
            CausewayError: The embedding model failed where the strategy needs it.
        """
        return await self._strategies.cut(
            screened.parsed, title=screened.title, chunking=options.chunking, embed=embed, call=call
        )
