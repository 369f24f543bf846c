"""Cuts a document as its collection wants it: one door to every strategy.

Every strategy keeps the same promises, which one suite holds them to: no text is lost, its order stays, no chunk has
more tokens than it may, and a table that goes on says its header again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, assert_never

from causeway.contracts.model_gateway import Call
from causeway.knowledge.collection_options import Chunking
from causeway.knowledge.document import Chunk, ParsedDocument
from causeway.knowledge.ingest import chunk_flat
from causeway.knowledge.ingest.chunk_context import CONTEXT_TOKENS, ContextWriter
from causeway.knowledge.ingest.chunk_flat import Size
from causeway.knowledge.ingest.chunk_parents import children
from causeway.knowledge.ingest.chunk_semantic import Embed, semantic
from causeway.knowledge.ingest.chunk_text import Counter
from causeway.knowledge.ingest.chunking import Chunker

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A document's chunks, and what is to be told of how they were made; None when all went well."""

    chunks: tuple[Chunk, ...]
    notice: str | None = None


class ChunkStrategies:
    """Cuts documents; one for a process, since it holds the tokenizer."""

    def __init__(
        self, tokenizer: Tokenizer, *, default_tokens: int, contexts: ContextWriter | None = None
    ) -> None:
        """``contexts`` writes the lines of ``contextual``; without it such a collection's chunks have none."""
        self._tokenizer = tokenizer
        self._counter = Counter(tokenizer)
        self._default_tokens = default_tokens
        self._contexts = contexts

    async def cut(
        self, parsed: ParsedDocument, *, title: str, chunking: Chunking, embed: Embed, call: Call
    ) -> Cut:
        """The chunks of ``parsed`` in order; ``title`` begins each heading path.

        Args:
            parsed: The document.
            title: What it is called.
            chunking: What its collection wants.
            embed: Gives vectors of texts, for ``semantic``.
            call: On whose behalf the models are called.

        Raises:
            CausewayError: The embedding model failed where a strategy needs it.
        """
        size = Size(
            max_tokens=chunking.max_tokens or self._default_tokens, overlap_tokens=chunking.overlap_tokens
        )
        flat = partial(self._flat, parsed, title=title, size=size)
        match chunking.strategy:
            case "structure":
                chunks = await asyncio.to_thread(self._structure, parsed, title, size.max_tokens)
                return Cut(chunks=chunks)
            case "fixed" | "recursive" | "sentence" as name:
                return Cut(chunks=await asyncio.to_thread(flat, name))
            case "semantic":
                chunks = await semantic(
                    self._counter,
                    parsed.blocks,
                    title=title,
                    size=size,
                    percentile=chunking.breakpoint_percentile,
                    embed=embed,
                )
                return Cut(chunks=chunks)
            case "parent_child":
                return Cut(chunks=await asyncio.to_thread(self._parent_child, parsed, title, chunking))
            case "contextual":
                return await self._contextual(parsed, title, size.max_tokens, call)
            case other:
                assert_never(other)

    def _flat(self, parsed: ParsedDocument, name: str, *, title: str, size: Size) -> tuple[Chunk, ...]:
        strategy = {
            "fixed": chunk_flat.fixed,
            "recursive": chunk_flat.recursive,
            "sentence": chunk_flat.sentence,
        }[name]
        return strategy(self._counter, parsed.blocks, title=title, size=size)

    def _structure(self, parsed: ParsedDocument, title: str, max_tokens: int) -> tuple[Chunk, ...]:
        return Chunker(self._tokenizer, max_tokens=max_tokens).chunk(parsed, title=title)

    def _parent_child(self, parsed: ParsedDocument, title: str, chunking: Chunking) -> tuple[Chunk, ...]:
        sections = self._structure(parsed, title, chunking.parent_tokens)
        return children(self._counter, sections, child_tokens=chunking.child_tokens)

    async def _contextual(self, parsed: ParsedDocument, title: str, max_tokens: int, call: Call) -> Cut:
        room = max(max_tokens // 2, max_tokens - CONTEXT_TOKENS)
        chunks = await asyncio.to_thread(self._structure, parsed, title, room)
        if self._contexts is None:
            return Cut(chunks=chunks, notice="no passage has a line of context: no model writes them here")
        placed, notice = await self._contexts.write(
            self._counter, chunks, title=title, max_tokens=max_tokens, call=call
        )
        return Cut(chunks=placed, notice=notice)
