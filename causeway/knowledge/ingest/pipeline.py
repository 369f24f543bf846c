"""A file becomes searchable: parse, chunk, embed what is new in it, and swap old chunks for new in one transaction.

This is what durable work runs for one revision of a document, at least once and possibly again after a crash; a run
for a revision that is finished or overtaken changes nothing. Until the swap the revision before stays searchable,
and nothing partial ever is.

What the file's owner can mend, or has to know, ends as the document's failure and is not raised; what passes by
itself is raised, so that durable work tries again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import numpy as np

from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.errors import (
    CausewayError,
    DatabaseUnavailableError,
    InvalidInputError,
    SettingsError,
    TryLaterError,
    UnreadableDocumentError,
)
from causeway.knowledge.document import Chunk, ParsedDocument
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest.chunking import Chunker
from causeway.knowledge.ingest.in_parallel import in_parallel
from causeway.knowledge.ingest.revisions import Revision, Revisions
from causeway.knowledge.ingest.sandbox import Sandbox
from causeway.knowledge.library import title_of
from causeway.observability.spans import Span, Spans

log = logging.getLogger(__name__)

EMBEDDED_AT_ONCE = 64
"""Texts in one call: enough for the embedder to sort by length, few enough that a long document leaves room."""

_CALLS_AT_ONCE = 2
"""So that a lone long document keeps the embedder busy while the ledger's line for the last call is written."""

_CHUNK_BYTES = 16_384
"""What a chunk takes on the database's disk while it is written: text, words, vector, index, and all of it in the log."""

_PASSING = (TryLaterError, DatabaseUnavailableError)


class Pipeline:
    """Makes revisions searchable."""

    def __init__(
        self,
        *,
        revisions: Revisions,
        index: PostgresIndex,
        chunker: Chunker,
        gateway: ModelGateway,
        spans: Spans,
        sandbox: Sandbox,
        model: str,
    ) -> None:
        """``model`` is the embedding model, as the gateway knows it."""
        self._revisions = revisions
        self._index = index
        self._chunker = chunker
        self._gateway = gateway
        self._spans = spans
        self._sandbox = sandbox
        self._model = model

    async def ingest(self, argument: str) -> None:
        """Make a revision searchable, or note why it cannot be; ``argument`` is ``<document_id>@<revision>``.

        Raises:
            TryLaterError: A model is not ready, or something did not answer.
            DatabaseUnavailableError: The database is gone.
            DiskFullError: There is not even room to note that there is none.
        """
        document_id, _, number = argument.rpartition("@")
        revision = await self._revisions.start(document_id, int(number))
        if revision is None:
            return
        with self._spans.start("ingest", attributes=_attributes(revision)) as span:
            try:
                await self._make_searchable(revision, span)
            except _PASSING:
                raise
            except CausewayError as exc:
                await self._fail(revision, exc, exc.message, span)
            except Exception as exc:  # the worker's door: one document's trouble is its own
                log.exception("ingestion failed unexpectedly", extra={"document_id": document_id})
                reason = f"Causeway failed to ingest it ({type(exc).__name__}); its log says more"
                await self._fail(revision, exc, reason, span)

    async def _make_searchable(self, revision: Revision, span: Span) -> None:
        self._revisions.require_room(0)  # before the work, not after it
        parsed = await self._parse(revision, span)
        if parsed.metadata:
            await self._revisions.describe(revision, parsed.metadata)
        title = parsed.title.strip() or title_of(revision.path)
        with self._spans.start("chunk", parent=span.traceparent) as step:
            chunks = await asyncio.to_thread(self._chunker.chunk, parsed, title=title)
            step.set({"causeway.chunks": len(chunks)})
        if not chunks:
            msg = "no text found in it"
            raise UnreadableDocumentError(msg)
        with self._spans.start("embed", parent=span.traceparent) as step:
            vectors = await self._embed(revision, chunks, step)
        self._revisions.require_room(len(chunks) * _CHUNK_BYTES)
        await self._revisions.keep_words(revision, parsed.page_words)
        with self._spans.start("index", parent=span.traceparent) as step:
            is_ready = await self._index.replace_document(
                revision.document_id,
                revision.number,
                chunks,
                vectors,
                media_type=parsed.media_type,
                title=title,
                pages=parsed.pages,
                blob=revision.blob,
            )
            step.set({"causeway.is_overtaken": not is_ready})
        await self._revisions.forget_replaced(revision)

    async def _parse(self, revision: Revision, span: Span) -> ParsedDocument:
        with self._spans.start("parse", parent=span.traceparent) as step:
            file = self._revisions.file(revision)
            parsed = await self._sandbox.parse(file, name=revision.path)
            step.set({"causeway.media_type": parsed.media_type, "causeway.pages": parsed.pages})
            return parsed

    async def _embed(self, revision: Revision, chunks: Sequence[Chunk], step: Span) -> Vectors:
        """A vector for each chunk; only what the document did not say before is embedded."""
        digests = [chunk.digest(revision.embedding_model) for chunk in chunks]
        known = dict(await self._index.vectors_of(revision.document_id, digests))
        fresh = {
            digest: chunk.searchable
            for digest, chunk in zip(digests, chunks, strict=True)
            if digest not in known
        }
        step.set({"causeway.chunks.embedded": len(fresh), "causeway.chunks.unchanged": len(known)})
        texts = tuple(fresh.values())
        call = Call(principal=SYSTEM, purpose="ingest", traceparent=step.traceparent)
        parts: dict[int, Vectors] = {}

        async def embed(first: int) -> None:
            batch = texts[first : first + EMBEDDED_AT_ONCE]
            request = EmbedRequest(model=self._model, texts=batch, kind="document")
            parts[first] = (await self._gateway.embed(request, call)).vectors

        starts = range(0, len(texts), EMBEDDED_AT_ONCE)
        await in_parallel(map(embed, starts), at_once=_CALLS_AT_ONCE)
        if parts:
            made = np.concatenate([parts[first] for first in starts])
            _check_dimensions(made, revision, self._model)
            known |= dict(zip(fresh, made, strict=True))
        return np.stack([known[digest] for digest in digests])

    async def _fail(self, revision: Revision, error: Exception, reason: str, span: Span) -> None:
        span.fail(error)
        if not isinstance(error, InvalidInputError):
            log.warning("a document failed", extra={"document_id": revision.document_id, "reason": reason})
        await self._revisions.fail(revision, reason)


def _attributes(revision: Revision) -> dict[str, object]:
    return {
        "causeway.document.id": revision.document_id,
        "causeway.document.revision": revision.number,
        "causeway.document.path": revision.path,
        "causeway.collection": revision.collection,
    }


def _check_dimensions(vectors: Vectors, revision: Revision, model: str) -> None:
    if vectors.shape[1] != revision.dimensions:
        raise SettingsError(
            f"collection '{revision.collection}' holds vectors of {revision.dimensions} numbers and '{model}' gives"
            f" {vectors.shape[1]}; set models.embed to the model it was made with, or use a new collection"
        )
